"""Backscatter of terrain by facets: an independent reference for terrain flattening.

The ground is cut into facets of 5 m or less. Each has its own normal and area, is placed in
time and range by its own zero-Doppler geometry, and adds its power to the radar cells around
that place; facets that share a cell add up (layover), those that see no radar add nothing
(shadow). No area image, no look-up and no code of the flattening under test is involved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.core.grid import Grid, Window
from skymend.simulate.landscape import BoolArray
from skymend.simulate.msi import centres
from skymend.simulate.s1_frame import Frame, place
from skymend.simulate.s1_orbit import Doubles, earth_fixed, zero_doppler

FACET_M = 5.0

_GUESS_STEP = 16


@dataclass(frozen=True)
class Terrain:
    """Ground to be seen by a radar.

    Parameters
    ----------
    grid : of the maps, in metres.
    height : (rows, columns) above the ellipsoid, metres.
    """

    grid: Grid
    height: Doubles


@dataclass(frozen=True)
class Facets:
    """Facets as a radar sees them; all (rows - 1, columns - 1) between pixel centres.

    Parameters
    ----------
    line, sample : image coordinates of their centres.
    area : metres squared.
    cosine : of the local incidence angle; below zero on the far side.
    visible : lit by the radar.
    ellipsoid_cosine : of the incidence angle on the ellipsoid.
    """

    line: Doubles
    sample: Doubles
    area: Doubles
    cosine: Doubles
    visible: BoolArray
    ellipsoid_cosine: Doubles


def finer(terrain: Terrain, facet_m: float = FACET_M) -> Terrain:
    """Return a terrain of finer pixels, by cubic splines.

    Parameters
    ----------
    facet_m : wanted spacing, a whole fraction of the terrain's.
    """
    from scipy.ndimage import zoom

    factor = round(terrain.grid.resolution / facet_m)
    if factor <= 1:
        return terrain
    height = zoom(terrain.height, factor, order=3, mode="nearest", grid_mode=True)
    return Terrain(terrain.grid.at_resolution(terrain.grid.resolution / factor), height)


def facets_of(terrain: Terrain, frame: Frame) -> Facets:
    """Place and orient all facets of a terrain."""
    from rasterio.warp import transform

    x, y = centres(terrain.grid)
    longitude, latitude = transform(
        terrain.grid.crs, "EPSG:4326", x.ravel().tolist(), y.ravel().tolist()
    )[:2]
    shape = terrain.height.shape
    flat = (np.asarray(a, np.float64).reshape(shape) for a in (longitude, latitude))
    east, north = flat
    points = earth_fixed(east, north, terrain.height)
    seconds = zero_doppler(frame.orbit, points, _first_times(frame, points))
    satellite = frame.orbit.at(seconds)[0]
    look = satellite - points
    slant = np.linalg.norm(look, axis=-1)
    lines, samples = frame.pixel(seconds, slant)
    area, normal = _areas(points)
    toward = _middle(look / slant[..., None])
    cosine = np.einsum("...i,...i", toward, normal)
    hidden = _hidden(satellite, points, frame, terrain.grid)
    up = _middle(_vertical(east, north))
    return Facets(
        line=_middle(lines),
        sample=_middle(samples),
        area=area,
        cosine=cosine,
        visible=(cosine > 0) & ~hidden,
        ellipsoid_cosine=np.einsum("...i,...i", toward, up),
    )


def _vertical(longitude: Doubles, latitude: Doubles) -> Doubles:
    from skymend.simulate.s1_orbit import normal_of

    return normal_of(longitude, latitude)


def _first_times(frame: Frame, points: Doubles) -> Doubles:
    """Return good guesses of zero-Doppler times: linear between every 16th row and column."""
    from scipy.ndimage import map_coordinates

    rows, columns = (np.unique([*range(0, n, _GUESS_STEP), n - 1]) for n in points.shape[:2])
    coarse = zero_doppler(frame.orbit, points[np.ix_(rows, columns)])
    at = [
        np.interp(np.arange(n), nodes, np.arange(len(nodes)))
        for n, nodes in zip(points.shape[:2], (rows, columns), strict=True)
    ]
    places = np.stack(np.meshgrid(*at, indexing="ij"))
    return np.asarray(map_coordinates(coarse, places, order=1, mode="nearest"))


def _middle(corners: Doubles) -> Doubles:
    """Return the means of the four corners of each facet."""
    pairs = corners[:-1] + corners[1:]
    return np.asarray((pairs[:, :-1] + pairs[:, 1:]) / 4)


def _areas(points: Doubles) -> tuple[Doubles, Doubles]:
    """Return area and upward normal of each facet, from its two diagonals."""
    first = points[1:, 1:] - points[:-1, :-1]
    second = points[:-1, 1:] - points[1:, :-1]
    cross = np.cross(first, second)
    length = np.linalg.norm(cross, axis=-1)
    return length / 2, cross / length[..., None]


def _hidden(satellite: Doubles, points: Doubles, frame: Frame, grid: Grid) -> BoolArray:
    """Return which facets lie in shadow.

    A point is hidden if a point between it and the track, seen at the same time, appears
    farther from nadir. The greatest angle from nadir on the way to the track is found by
    doubling the distance looked ahead.
    """
    from scipy.ndimage import shift

    down = -satellite / np.linalg.norm(satellite, axis=-1, keepdims=True)
    ray = points - satellite
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    angle = np.arccos(np.einsum("...i,...i", ray, down))
    toward = _toward_track(frame, grid)
    ahead = shift(angle, toward, order=1, mode="nearest")
    # Beyond the edge there is nothing that could hide.
    ahead[_outside(angle.shape, toward)] = 0
    reach = 1
    while reach < max(angle.shape):
        move = reach * toward
        farther = shift(ahead, move, order=1, mode="constant", cval=0.0)
        ahead, reach = np.maximum(ahead, farther), 2 * reach
    return _middle((ahead > angle + 1e-9).astype(np.float64)) >= 0.5


def _toward_track(frame: Frame, grid: Grid) -> Doubles:
    """Return the shift of rows and columns that brings ground nearer to the track to a pixel."""
    from rasterio.warp import transform

    middle = (np.array([n / 2.0]) for n in frame.shape)
    seconds, slant = frame.times(*middle)
    steps = slant + np.array([0.0, -200.0])
    near = place(frame.orbit, np.full(2, seconds[0]), steps, np.zeros(2))
    from skymend.simulate.s1_orbit import geodetic

    longitude, latitude, _ = geodetic(near)
    x, y = transform("EPSG:4326", grid.crs, longitude.tolist(), latitude.tolist())[:2]
    east, north = x[1] - x[0], y[1] - y[0]
    return np.asarray(np.array([north, -east]) / np.hypot(east, north))


def _outside(shape: tuple[int, ...], toward: Doubles) -> BoolArray:
    rows, columns = np.indices(shape)
    row, column = rows - toward[0], columns - toward[1]
    out = (row < 0) | (column < 0) | (row > shape[0] - 1) | (column > shape[1] - 1)
    return np.asarray(out)


def beta0(
    frame: Frame,
    facets: Facets,
    gamma0: FloatArray | float,
    window: Window | None = None,
) -> FloatArray:
    """Return the beta nought that a radar measures.

    A facet scatters ``gamma0 cos(theta) area``; a cell divides what it receives by its own
    area in the slant plane, ``slant spacing x azimuth spacing``.

    Parameters
    ----------
    gamma0 : of each facet, linear; or one number for all.
    window : part of the image wanted, by default all.

    Returns
    -------
    (lines, samples) float32, linear; 0 where no facet is seen.
    """
    part = Window(0, 0, *frame.shape) if window is None else window
    power = np.where(facets.visible, gamma0 * facets.cosine * facets.area, 0)
    line, sample = facets.line - part.row, facets.sample - part.column
    image = spread(line, sample, power, (part.rows, part.columns))
    return np.asarray(image / cell_areas(frame, part)[None], np.float32)


def spread(line: Doubles, sample: Doubles, power: Doubles, shape: tuple[int, int]) -> Doubles:
    """Add each facet's power to the four cells around its place, bilinearly."""
    row, column = np.floor(line).astype(np.int64), np.floor(sample).astype(np.int64)
    down, right = line - row, sample - column
    total = np.zeros(shape[0] * shape[1])
    for step_down, weight_down in ((0, 1 - down), (1, down)):
        for step_right, weight_right in ((0, 1 - right), (1, right)):
            at_row, at_column = row + step_down, column + step_right
            inside = (at_row >= 0) & (at_row < shape[0]) & (at_column >= 0)
            inside &= (at_column < shape[1]) & (power > 0)
            index = at_row[inside] * shape[1] + at_column[inside]
            share = (power * weight_down * weight_right)[inside]
            total += np.bincount(index, share, minlength=total.size)
    return total.reshape(shape)


def cell_areas(frame: Frame, window: Window) -> Doubles:
    """Return the slant-plane area of a window's cells at each sample, metres squared."""
    samples = window.column + np.arange(window.columns, dtype=np.float64)
    middle = np.full(samples.shape, window.row + window.rows / 2)
    edges = [frame.times(middle, samples + half)[1] for half in (-0.5, 0.5)]
    lines = [frame.locate(middle + half, samples) for half in (-0.5, 0.5)]
    return np.asarray((edges[1] - edges[0]) * np.linalg.norm(lines[1] - lines[0], axis=-1))
