"""Sliding objects along the direction of shadows: clouds onto shade, and shade onto clouds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from skymend.clouds.fmask.geometry import Drift
from skymend.clouds.fmask.objects import Objects
from skymend.clouds.fmask.probability import Clear
from skymend.clouds.fmask.scene import NODATA, Scene
from skymend.clouds.fmask.strips import over_strips
from skymend.core.encoding import ByteArray, FloatArray

BoolArray = npt.NDArray[np.bool_]

UNKNOWN, MISS, HIT = range(3)
"""What a pixel says of an object that is slid onto it."""

LOWEST_M, HIGHEST_M = 200.0, 12000.0
LEAST_SIMILAR = 0.3
"""Heights that are tried, and the match below which a cloud is taken to have no shadow."""

LIKELY = 0.7
"""Share of a true shadow's pixels that are expected to be candidates."""

SAMPLES = 200
"""Pixels of an object that are slid: more change the share by less than its noise."""

NEIGHBOURS = 14
"""Clouds whose heights limit those of one that matches badly (Qiu et al. 2019)."""


class Matched(NamedTuple):
    """Height of each object in metres (NaN: no shadow found) and how well it matched, 0..1."""

    heights: FloatArray
    similarity: FloatArray


class Slid(NamedTuple):
    """Shares of an object's pixels at each height, (objects, heights) float32, 0..1."""

    hit: FloatArray
    miss: FloatArray


def trial_heights(slide: Drift) -> FloatArray:
    """Return the heights to try, so that shadows move by one pixel from one to the next."""
    speed = float(np.nanmean(np.hypot(slide.down, slide.along)))
    step = min(max(1.0 / max(speed, 1e-6), 20.0), 1000.0)
    return np.arange(LOWEST_M, HIGHEST_M + step, step, dtype=np.float32)


def slide_objects(
    objects: Objects, state: ByteArray, slide: Drift, heights: FloatArray, cpus: int
) -> Slid:
    """Slide every object to the place of its shadow at every height.

    Parameters
    ----------
    state : (coarse rows, coarse columns) uint8, what each place says: unknown, miss or hit.
    heights : metres; negative ones slide towards the sun.
    """
    if objects.count == 0:
        empty = np.empty((0, heights.size), np.float32)
        return Slid(empty, empty)
    listed = (objects.rows, objects.columns, objects.starts)
    parts = over_strips(
        lambda first, last: _slide(*listed, state, slide, heights, first, last),
        objects.count,
        cpus,
    )
    table = np.concatenate(parts)
    return Slid(table[..., 0], table[..., 1])


def choose_heights(
    objects: Objects,
    heights: FloatArray,
    slid: Slid,
    usual: float,
    limits: tuple[FloatArray, FloatArray],
) -> Matched:
    """Choose the height at which each cloud explains the shade best.

    Every pixel that lands on a candidate speaks for a height, every other visible one against
    it, weighed by how usual candidates are in the scene (a likelihood ratio: the plain share
    of Zhu & Woodcock 2012 favours heights at which hardly anything is visible). Large objects
    with a clear match choose first; the range of the 14 nearest limits all others (Qiu et al.
    2019, section 3.4).

    Parameters
    ----------
    usual : share of candidates among all visible pixels.
    limits : least and greatest height of each object, metres.
    """
    usual = min(max(usual, 0.02), LIKELY - 0.1)
    evidence = slid.hit * np.log(LIKELY / usual) + slid.miss * np.log((1 - LIKELY) / (1 - usual))
    low, high = (limit[:, None] for limit in limits)
    evidence[(heights < low) | (heights > high)] = -np.inf
    best = evidence.argmax(axis=1)
    seen = slid.hit + slid.miss
    similarity = np.divide(slid.hit, seen, out=np.zeros_like(seen), where=seen > 0)
    every = np.arange(objects.count)
    sure = (similarity[every, best] > LIKELY) & (objects.sizes >= 25) & (seen[every, best] > 0.2)
    if sure.sum() >= 3:
        least, most = _around(objects, sure, heights[best])
        evidence[(heights < least[:, None] - 500) | (heights > most[:, None] + 500)] -= 0.3
        best = evidence.argmax(axis=1)
    chosen = heights[best].astype(np.float32)
    peak = similarity[every, best]
    chosen[(peak < LEAST_SIMILAR) | (evidence[every, best] <= 0)] = np.nan
    return Matched(chosen, peak)


def _around(
    objects: Objects, sure: BoolArray, heights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the range of heights of the nearest sure objects."""
    from scipy.spatial import cKDTree

    centres = objects.centres()
    count = min(NEIGHBOURS, int(sure.sum()))
    _, near = cKDTree(centres[sure]).query(centres, k=count)
    least, most = np.quantile(heights[sure][near], [0.1, 0.9], axis=1)
    return least, most


def height_limits(scene: Scene, objects: Objects, clear: Clear) -> tuple[FloatArray, FloatArray]:
    """Return the least and greatest height of each object's base, metres.

    With a thermal band: air cools by at most 9.8 K for a kilometre from the coldest clear
    land, and by at least 1 K from the warmest (Zhu & Woodcock 2012, eq. 21).
    """
    low = np.full(objects.count, LOWEST_M, np.float32)
    high = np.full(objects.count, HIGHEST_M, np.float32)
    if scene.has_temperature and objects.count:
        base = _base_temperature(scene, objects)
        low = np.clip(1000 * (clear.land_low - base) / 9.8, LOWEST_M, 8000.0)
        high = np.clip(1000 * (clear.land_high - base), low + 1000, HIGHEST_M)
    return low.astype(np.float32), high.astype(np.float32)


def _base_temperature(scene: Scene, objects: Objects) -> FloatArray:
    """Return the upper quartile of each object's temperature, degrees Celsius."""
    stored = scene.bands.celsius[:: objects.ratio, :: objects.ratio]
    values = stored[objects.rows, objects.columns]
    parts = np.split(values, objects.starts[1:-1])
    warm = [np.quantile(p[p != NODATA], 0.75) if (p != NODATA).any() else 0.0 for p in parts]
    return np.array(warm, np.float32) * np.float32(0.01)


@njit(cache=True, nogil=True)
def _slide(
    rows: npt.NDArray[np.int32],
    columns: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int32],
    state: npt.NDArray[np.uint8],
    slide: Drift,
    heights: npt.NDArray[np.float32],
    first: int,
    last: int,
) -> npt.NDArray[np.float32]:
    table = np.zeros((last - first, heights.size, 2), np.float32)
    high, wide = state.shape
    for item in range(first, last):
        begin, end = starts[item], starts[item + 1]
        stride = max(1, (end - begin) // SAMPLES)
        share = 1.0 / ((end - begin + stride - 1) // stride)
        for i in range(begin, end, stride):
            r = min(int(rows[i] / slide.cell), slide.down.shape[0] - 1)
            c = min(int(columns[i] / slide.cell), slide.down.shape[1] - 1)
            down, along = slide.down[r, c], slide.along[r, c]
            for k in range(heights.size):
                row = round(rows[i] + heights[k] * down)
                column = round(columns[i] + heights[k] * along)
                if row < 0 or column < 0 or row >= high or column >= wide:
                    continue
                found = state[row, column]
                if found == HIT:
                    table[item - first, k, 0] += share
                elif found == MISS:
                    table[item - first, k, 1] += share
    return table


def paint(cloud: BoolArray, objects: Objects, heights: FloatArray, slide: Drift) -> BoolArray:
    """Draw the shadow of each cloud at its height.

    Parameters
    ----------
    cloud : (rows, columns) boolean.
    heights : of each object in metres; NaN draws nothing.
    slide : drift in pixels of the mask.

    Returns
    -------
    (rows, columns) boolean; holes of single pixels, left by rounding, are closed.
    """
    import cv2

    if objects.count == 0:
        return np.zeros(cloud.shape, np.bool_)
    # Thin parts of a cloud lie in coarse pixels that count as clear: they follow the object
    # beside them.
    beside = cv2.dilate(objects.labels.astype(np.float32), np.ones((3, 3), np.uint8))
    labels = np.where(objects.labels > 0, objects.labels, beside.astype(np.int32))
    by_label = np.concatenate([[np.nan], heights]).astype(np.float32)
    drawn = np.zeros(cloud.shape, np.uint8)
    _paint(cloud, labels, objects.ratio, by_label, slide, drawn)
    closed = cv2.morphologyEx(drawn, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return np.asarray(closed, np.uint8).view(np.bool_)


@njit(cache=True, nogil=True)
def _paint(
    cloud: npt.NDArray[np.bool_],
    labels: npt.NDArray[np.int32],
    ratio: int,
    heights: npt.NDArray[np.float32],
    slide: Drift,
    drawn: npt.NDArray[np.uint8],
) -> None:
    high, wide = cloud.shape
    for row in range(high):
        for column in range(wide):
            if not cloud[row, column]:
                continue
            height = heights[labels[row // ratio, column // ratio]]
            if np.isnan(height):
                continue
            r = min(int(row / slide.cell), slide.down.shape[0] - 1)
            c = min(int(column / slide.cell), slide.down.shape[1] - 1)
            i = round(row + height * slide.down[r, c])
            j = round(column + height * slide.along[r, c])
            if 0 <= i < high and 0 <= j < wide:
                drawn[i, j] = 1
