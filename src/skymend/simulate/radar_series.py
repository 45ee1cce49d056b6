"""The radar passes of a scenario as GRD products: facets, speckle, noise, slices."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.core.grid import Grid, Window
from skymend.simulate.facets import Terrain, beta0, facets_of, finer
from skymend.simulate.landscape import BoolArray, landscape
from skymend.simulate.radar import POLARISATIONS, gamma0
from skymend.simulate.s1_frame import Frame, corners_of, frame_over
from skymend.simulate.s1_orbit import CircularOrbit, Doubles, orbit_over
from skymend.simulate.s1_product import Slice
from skymend.simulate.s1_signal import digital_numbers, speckle
from skymend.simulate.safe_s1 import write_grd
from skymend.simulate.safe_s1_tables import BETA_NOUGHT, noise_power, tables_of
from skymend.simulate.scenario import Pass, Scenario

NOISE = {"VV": 10**-2.4, "VH": 10**-2.6}
"""Noise-equivalent sigma nought of the middle of a sub-swath, linear."""
FRAME_MARGIN_PX = 40
"""Ground around the scenario that the image holds, pixels of 10 m."""


@dataclass(frozen=True)
class Look:
    """How a pass sees a scenario: the frame, and the terrain with its margin.

    Parameters
    ----------
    frame : of the whole pass over the area.
    orbit : of the satellite.
    terrain : at 10 m, heights above the ellipsoid.
    """

    frame: Frame
    orbit: CircularOrbit
    terrain: Terrain


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


def outline(grid: Grid) -> tuple[Doubles, Doubles]:
    """Return longitude and latitude of points along the edge of a grid."""
    from rasterio.warp import transform

    left, bottom, right, top = grid.bounds
    share = np.linspace(0, 1, 9)
    x = np.concatenate([left + share * (right - left)] * 2 + [np.full(9, left), np.full(9, right)])
    y = np.concatenate(
        [np.full(9, top), np.full(9, bottom)] + [bottom + share * (top - bottom)] * 2
    )
    longitude, latitude = transform(grid.crs, "EPSG:4326", x.tolist(), y.tolist())[:2]
    return np.asarray(longitude), np.asarray(latitude)


def look_at(
    scenario: Scenario, acquisition: Pass, undulation: Doubles | float | None = None
) -> Look:
    """Return how a pass sees the scenario.

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
    land = landscape(scenario.seed, scenario.size_px)
    lift = geoid_over(grid) if undulation is None else undulation
    height = padded(land.elevation, margin_px).astype(np.float64) + lift
    longitude, latitude = outline(padded_grid(scenario, FRAME_MARGIN_PX))
    orbit = orbit_over(
        float(latitude.mean()),
        float(longitude.mean()),
        acquisition.orbit.incidence_degrees,
        acquisition.orbit.direction,
    )
    corners = corners_of(longitude, latitude, (float(height.min()), float(height.max())))
    frame = frame_over(orbit, acquisition.time, corners, margin_m=0.0)
    return Look(frame, orbit, Terrain(grid, height))


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
    undulation : see :func:`look_at`.

    Returns
    -------
    The product folders, in order of time.
    """
    seen = look_at(scenario, acquisition, undulation)
    images = backscatter_images(scenario, acquisition, seen)
    shape = seen.frame.shape
    address = f"{acquisition.time:%Y%m%dT%H%M%S}"
    grain = {
        p: np.ones(shape, np.float32)
        if grainless
        else speckle(shape, scenario.seed, f"{address}{p}", looks=scenario.looks)
        for p in POLARISATIONS
    }
    written = []
    for part in _parts(scenario, acquisition, seen, slices, ipf):
        first = round((part.frame.first - seen.frame.first) / seen.frame.interval)
        rows = slice(first, first + part.frame.shape[0])
        numbers, tables = {}, {}
        for p in POLARISATIONS:
            tables[p] = tables_of(part, p)
            noise = noise_power(part, tables[p])
            numbers[p] = digital_numbers(images[p][rows], BETA_NOUGHT, noise, grain[p][rows])
        written.append(write_grd(folder, part, numbers, tables=tables))
    return tuple(written)


def backscatter_images(scenario: Scenario, acquisition: Pass, seen: Look) -> dict[str, FloatArray]:
    """Return beta nought of each polarisation in radar geometry, (lines, samples) float32.

    Pixels outside the imaged ground are NaN.
    """
    facets = facets_of(finer(seen.terrain), seen.frame)
    lit = beta0(seen.frame, facets, 1.0) > 0
    images = {}
    for index, polarisation in enumerate(POLARISATIONS):
        level = padded(gamma0(scenario, acquisition)[index], ground_margin_px(scenario))
        fine = level.repeat(2, axis=0).repeat(2, axis=1)
        centres = np.asarray((fine[:-1, :-1] + fine[1:, 1:]) / 2, np.float32)
        image = beta0(seen.frame, facets, centres)
        images[polarisation] = np.where(_imaged(lit), image, np.nan).astype(np.float32)
    return images


def _imaged(lit: BoolArray) -> BoolArray:
    """Return the imaged ground with its shadows, which are measured too: as noise."""
    from scipy.ndimage import binary_fill_holes

    return np.asarray(binary_fill_holes(lit))


def _parts(scenario: Scenario, acquisition: Pass, seen: Look, slices: int, ipf: str) -> list[Slice]:
    edges = np.rint(np.linspace(0, seen.frame.shape[0], slices + 1)).astype(int).tolist()
    return [
        Slice(
            frame=seen.frame.rows(first, after - first),
            platform="S1A",
            relative_orbit=acquisition.orbit.relative_orbit,
            direction=acquisition.orbit.direction,
            number=number + 1,
            total=slices,
            ipf=ipf,
            node_seconds=seen.orbit.seconds_since_node,
            terrain_m=round(float(seen.terrain.height.mean()), 1),
            sigma_noise=NOISE,
        )
        for number, (first, after) in enumerate(itertools.pairwise(edges))
    ]


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
