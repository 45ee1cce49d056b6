"""The radar passes of a scenario as GRD products: facets, speckle, noise, slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.core.grid import Grid, Window
from skymend.simulate.facets import Terrain
from skymend.simulate.landscape import landscape
from skymend.simulate.radar import POLARISATIONS, gamma0
from skymend.simulate.s1_orbit import Doubles
from skymend.simulate.scenario import Pass, Scenario
from skymend.simulate.terrain_grd import Survey, outline, write_terrain_grd

FRAME_MARGIN_PX = 40
"""Ground around the scenario that the image holds, pixels of 10 m."""


def ground_margin_px(scenario: Scenario) -> int:
    """Return how much ground around the scenario fills a frame that lies askew on the map."""
    return FRAME_MARGIN_PX + 30 + int(np.ceil(0.3 * scenario.size_px))


def padded(image: FloatArray, margin_px: int) -> FloatArray:
    """Return a map of the scenario with mirrored ground around it."""
    return np.pad(image, margin_px, mode="symmetric")


def padded_grid(scenario: Scenario, margin_px: int) -> Grid:
    """Return the grid of a padded map."""
    rows, columns = scenario.shape
    around = Window(-margin_px, -margin_px, rows + 2 * margin_px, columns + 2 * margin_px)
    return scenario.grid.crop(around)


def survey_of(acquisition: Pass, *, slices: int = 2, ipf: str = "003.31") -> Survey:
    """Return a pass of the scenario as a survey of Sentinel-1A."""
    return Survey(
        time=acquisition.time,
        incidence_degrees=acquisition.orbit.incidence_degrees,
        direction=acquisition.orbit.direction,
        relative_orbit=acquisition.orbit.relative_orbit,
        slices=slices,
        ipf=ipf,
    )


def terrain_of(scenario: Scenario, undulation: Doubles | float | None = None) -> Terrain:
    """Return the scenario's ground with mirrored ground around it, above the ellipsoid.

    Parameters
    ----------
    undulation : of the geoid over the ellipsoid on the padded grid, metres; by default EGM96
        of PROJ's data.

    Raises
    ------
    ToolMissingError
        if PROJ's EGM96 grid is wanted and not installed.
    """
    margin_px = ground_margin_px(scenario)
    grid = padded_grid(scenario, margin_px)
    elevation = padded(landscape(scenario.seed, scenario.size_px).elevation, margin_px)
    lift = geoid_over(grid) if undulation is None else undulation
    return Terrain(grid, elevation.astype(np.float64) + lift)


def flattened(scenario: Scenario, acquisition: Pass) -> dict[str, FloatArray]:
    """Return the true flattened backscatter of a pass on the terrain's grid, linear."""
    margin_px = ground_margin_px(scenario)
    images = gamma0(scenario, acquisition)
    return {p: padded(i, margin_px) for p, i in zip(POLARISATIONS, images, strict=True)}


def area_of(scenario: Scenario) -> Grid:
    """Return what the images of a scenario hold: its grid and some ground around it."""
    return padded_grid(scenario, FRAME_MARGIN_PX)


def geoid_over(grid: Grid) -> Doubles:
    """Return EGM96 over WGS 84 on a grid, (rows, columns) metres: linear between its corners.

    EGM96 has a spacing of 28 km; a scenario is smaller.
    """
    from rasterio.warp import transform

    from skymend.sar.geoid import read_geoid

    left, bottom, right, top = grid.bounds
    x, y = [left, right, left, right], [top, top, bottom, bottom]
    longitude, latitude = transform(grid.crs, "EPSG:4326", x, y)[:2]
    corner = read_geoid().at(np.asarray(longitude), np.asarray(latitude))
    down, right_share = ((np.arange(n) + 0.5)[:, None] / n for n in grid.shape)
    upper = corner[0] + (corner[1] - corner[0]) * right_share.T
    lower = corner[2] + (corner[3] - corner[2]) * right_share.T
    return np.asarray(upper + (lower - upper) * down)


def write_pass_grd(
    folder: Path,
    scenario: Scenario,
    acquisition: Pass,
    *,
    slices: int = 2,
    ipf: str = "003.31",
    grainless: bool = False,
    undulation: Doubles | float | None = None,
) -> tuple[Path, ...]:
    """Write a pass as consecutive GRD slices, VV and VH.

    Parameters
    ----------
    folder : receives the products.
    slices : how many products share the pass.
    ipf : version of the processor; before 002.90 the noise is given along range only.
    grainless : leave speckle out, for oracles.
    undulation : see :func:`terrain_of`.

    Returns
    -------
    The product folders, in order of time.
    """
    return write_terrain_grd(
        folder,
        area_of(scenario),
        terrain_of(scenario, undulation),
        flattened(scenario, acquisition),
        survey_of(acquisition, slices=slices, ipf=ipf),
        seed=scenario.seed,
        looks=scenario.looks,
        grainless=grainless,
    )


def write_wide_elevation(path: Path, scenario: Scenario, *, margin_px: int = 2500) -> None:
    """Write the elevation that the passes saw, and the mirrored ground around it.

    One-arcsecond pixels in EPSG:4326, as GLO-30 has them: centres on whole arcseconds,
    metres above the geoid, float32.

    Parameters
    ----------
    margin_px : how far beyond the scenario, pixels of 10 m.
    """
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.warp import Resampling, reproject

    # Degrees and metres lie askew: the source reaches beyond the corners of what is written.
    beyond_px = round(1.1 * margin_px) + scenario.size_px // 10 + 20
    source_grid = padded_grid(scenario, beyond_px)
    source = padded(landscape(scenario.seed, scenario.size_px).elevation, beyond_px)
    longitude, latitude = outline(padded_grid(scenario, margin_px))
    step = 1 / 3600
    west, south = (np.ceil(a.min() / step) for a in (longitude, latitude))
    east, north = (np.floor(a.max() / step) for a in (longitude, latitude))
    transform = from_origin((west - 0.5) * step, (north + 0.5) * step, step, step)
    image = np.zeros((int(north - south) + 1, int(east - west) + 1), np.float32)
    reproject(
        source,
        image,
        src_transform=rasterio.Affine(*source_grid.transform),
        src_crs=source_grid.crs,
        dst_transform=transform,
        dst_crs="EPSG:4326",
        resampling=Resampling.cubic,
    )
    _write_degrees(path, image, transform)


def _write_degrees(path: Path, image: FloatArray, transform: Any) -> None:
    import rasterio

    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=image.shape[0],
        width=image.shape[1],
        count=1,
        dtype="float32",
        crs="EPSG:4326",
        transform=transform,
        compress="deflate",
        predictor=3,
        nodata=-32767.0,
    ) as target:
        target.write(image, 1)
