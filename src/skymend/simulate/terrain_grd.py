"""GRD products of any ground: a terrain, its backscatter, and a pass over it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.core.errors import ConfigError
from skymend.core.grid import Grid
from skymend.simulate.facets import FACET_M, Facets, Terrain, beta0, facets_of, finer
from skymend.simulate.landscape import BoolArray
from skymend.simulate.s1_frame import Frame, corners_of, frame_over
from skymend.simulate.s1_orbit import CircularOrbit, Doubles, earth_fixed, geodetic, orbit_over
from skymend.simulate.s1_product import Direction, Slice
from skymend.simulate.s1_signal import LOOKS, digital_numbers, speckle
from skymend.simulate.safe_s1 import write_grd
from skymend.simulate.safe_s1_tables import BETA_NOUGHT, noise_power, tables_of

NOISE = {"VV": 10**-2.4, "VH": 10**-2.6}
"""Noise-equivalent sigma nought of the middle of a sub-swath, linear."""


@dataclass(frozen=True)
class Survey:
    """A pass of Sentinel-1.

    Parameters
    ----------
    time : when it is abreast of the area's centre, UTC.
    incidence_degrees : there, on the ellipsoid.
    direction : of the flight; the radar looks to its right.
    relative_orbit, platform : of the products.
    ipf : processor the products claim; before 002.90 noise is given along range only.
    slices : how many consecutive products share the pass.
    noise : noise-equivalent sigma nought by polarisation, linear; its keys are the
        polarisations. Zero leaves the noise out of image and annotation.
    """

    time: datetime
    incidence_degrees: float
    direction: Direction
    relative_orbit: int = 110
    platform: str = "S1A"
    ipf: str = "003.31"
    slices: int = 1
    noise: Mapping[str, float] = field(default_factory=NOISE.copy)


@dataclass(frozen=True)
class Look:
    """How a pass sees an area.

    Parameters
    ----------
    frame : image of the whole pass over the area.
    orbit : of the satellite.
    """

    frame: Frame
    orbit: CircularOrbit


def look_over(area: Grid, terrain: Terrain, survey: Survey) -> Look:
    """Return the frame that holds an area at all heights of its terrain.

    Raises
    ------
    ConfigError
        if no orbit sees the place.
    """
    longitude, latitude = outline(area)
    # A mean in space, as longitudes jump at the antimeridian.
    centre = earth_fixed(longitude, latitude, np.zeros(longitude.shape)).mean(axis=0)
    east, north, _ = (float(a) for a in geodetic(centre))
    orbit = orbit_over(north, east, survey.incidence_degrees, survey.direction)
    heights = (float(terrain.height.min()), float(terrain.height.max()))
    corners = corners_of(longitude, latitude, heights)
    return Look(frame_over(orbit, survey.time, corners, margin_m=0.0), orbit)


def outline(grid: Grid) -> tuple[Doubles, Doubles]:
    """Return longitude and latitude of points along the edge of a grid."""
    from rasterio.warp import transform

    left, bottom, right, top = grid.bounds
    share = np.linspace(0, 1, 9)
    across, up = left + share * (right - left), bottom + share * (top - bottom)
    x = np.concatenate([across, across, np.full(9, left), np.full(9, right)])
    y = np.concatenate([np.full(9, top), np.full(9, bottom), up, up])
    longitude, latitude = transform(grid.crs, "EPSG:4326", x.tolist(), y.tolist())[:2]
    return np.asarray(longitude), np.asarray(latitude)


def write_terrain_grd(
    folder: Path,
    area: Grid,
    terrain: Terrain,
    gamma0: Mapping[str, FloatArray | float],
    survey: Survey,
    *,
    seed: int = 0,
    looks: float = LOOKS,
    grainless: bool = False,
    facet_m: float = FACET_M,
) -> tuple[Path, ...]:
    """Write what a pass sees of a terrain as consecutive GRD slices.

    Parameters
    ----------
    folder : receives the products.
    area : what the image holds at least; in metres.
    terrain : of the area and of a third of it around, so that the image is full; heights
        above the ellipsoid.
    gamma0 : terrain-flattened backscatter by polarisation, on the terrain's grid or one
        number, linear.
    survey : the pass.
    seed : of the speckle.
    looks : equivalent number of looks.
    grainless : leave speckle out, for oracles.
    facet_m : facets are of this size or finer.

    Returns
    -------
    The product folders, in order of time.

    Raises
    ------
    ConfigError
        if a backscatter map does not fit the terrain.
    """
    seen = look_over(area, terrain, survey)
    images = images_of(seen.frame, terrain, gamma0, facet_m=facet_m)
    shape, address = seen.frame.shape, f"{survey.time:%Y%m%dT%H%M%S}"
    grain = {
        p: np.ones(shape, np.float32)
        if grainless
        else speckle(shape, seed, f"{address}{p}", looks=looks)
        for p in images
    }
    return tuple(
        _write_slice(folder, part, seen.frame, images, grain)
        for part in slices_of(seen, survey, round(float(terrain.height.mean()), 1))
    )


def _write_slice(
    folder: Path,
    part: Slice,
    whole: Frame,
    images: Mapping[str, FloatArray],
    grain: Mapping[str, FloatArray],
) -> Path:
    first = round((part.frame.first - whole.first) / whole.interval)
    rows = slice(first, first + part.frame.shape[0])
    tables = {p: tables_of(part, p) for p in part.polarisations}
    numbers = {
        p: digital_numbers(
            images[p][rows], BETA_NOUGHT, noise_power(part, tables[p]), grain[p][rows]
        )
        for p in part.polarisations
    }
    return write_grd(folder, part, numbers, tables=tables)


def images_of(
    frame: Frame,
    terrain: Terrain,
    gamma0: Mapping[str, FloatArray | float],
    *,
    facet_m: float = FACET_M,
) -> dict[str, FloatArray]:
    """Return beta nought of each polarisation in radar geometry, (lines, samples) float32.

    NaN outside the ground that the terrain describes; shadow inside it is 0.
    """
    fine = finer(terrain, facet_m)
    factor = round(terrain.grid.resolution / fine.grid.resolution)
    facets = facets_of(fine, frame)
    imaged = _imaged(frame, facets)
    images = {}
    for polarisation, level in gamma0.items():
        on_facets = _on_facets(level, terrain, factor)
        image = beta0(frame, facets, on_facets)
        images[polarisation] = np.where(imaged, image, np.nan).astype(np.float32)
    return images


def _on_facets(level: FloatArray | float, terrain: Terrain, factor: int) -> FloatArray | float:
    """Return backscatter at the centres of facets: means of the pixels at their corners."""
    if isinstance(level, int | float):
        return float(level)
    if level.shape != terrain.height.shape:
        raise ConfigError(
            where="simulated GRD",
            expected=f"backscatter of {terrain.height.shape} pixels as the terrain has",
            found=str(level.shape),
            fix="give both on one grid",
        )
    fine = level.repeat(factor, axis=0).repeat(factor, axis=1)
    return np.asarray((fine[:-1, :-1] + fine[1:, 1:]) / 2, np.float32)


def _imaged(frame: Frame, facets: Facets) -> BoolArray:
    """Return the imaged ground with its shadows, which are measured too: as noise."""
    from scipy.ndimage import binary_fill_holes

    return np.asarray(binary_fill_holes(beta0(frame, facets, 1.0) > 0))


def slices_of(seen: Look, survey: Survey, terrain_m: float) -> list[Slice]:
    """Cut a frame into consecutive slices."""
    edges = np.rint(np.linspace(0, seen.frame.shape[0], survey.slices + 1)).astype(int).tolist()
    return [
        Slice(
            frame=seen.frame.rows(first, after - first),
            platform=survey.platform,
            relative_orbit=survey.relative_orbit,
            direction=survey.direction,
            number=number + 1,
            total=survey.slices,
            ipf=survey.ipf,
            node_seconds=seen.orbit.seconds_since_node,
            terrain_m=terrain_m,
            sigma_noise=survey.noise,
        )
        for number, (first, after) in enumerate(itertools.pairwise(edges))
    ]
