"""Sliding each cloud along its shadow's direction until it covers the dark ground best."""

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

UNKNOWN, CLEAR_GROUND, CANDIDATE, CLOUD = range(4)
"""What a pixel says of a shadow thrown on it."""

LOWEST_M, HIGHEST_M = 200.0, 12000.0
LEAST_SIMILAR = 0.3
"""Heights that are tried, and the match below which a cloud is taken to have no shadow."""

STEP_PIXELS = 1.0
SAMPLES = 400
"""Pixels of an object that are slid: more change the share by less than its noise."""

NEIGHBOURS = 14
"""Clouds whose heights limit those of one that matches badly (Qiu et al. 2019)."""


class Matched(NamedTuple):
    """Height of each object in metres (NaN: no shadow found) and how well it matched, 0..1."""

    heights: FloatArray
    similarity: FloatArray


def match_heights(
    scene: Scene,
    objects: Objects,
    state: ByteArray,
    slide: Drift,
    clear: Clear,
    cpus: int,
) -> Matched:
    """Return the height at which each object's shadow fits best."""
    heights = trial_heights(slide)
    if objects.count == 0:
        return Matched(np.empty(0, np.float32), np.empty(0, np.float32))
    tables = over_strips(
        lambda first, last: _similarity(
            objects.rows,
            objects.columns,
            objects.starts,
            state,
            objects.labels,
            slide,
            heights,
            first,
            last,
        ),
        objects.count,
        cpus,
    )
    table = np.concatenate(tables)
    low, high = height_limits(scene, objects, clear)
    outside = (heights < low[:, None]) | (heights > high[:, None])
    table[outside] = -1
    return choose(objects, heights, table)


def trial_heights(slide: Drift) -> FloatArray:
    """Return the heights to try, so that shadows move by one pixel from one to the next."""
    speed = float(np.nanmean(np.hypot(slide.down, slide.along)))
    step = max(STEP_PIXELS / max(speed, 1e-6), 20.0)
    return np.arange(LOWEST_M, HIGHEST_M + step, min(step, 1000.0), dtype=np.float32)


def height_limits(scene: Scene, objects: Objects, clear: Clear) -> tuple[FloatArray, FloatArray]:
    """Return the least and greatest height of each object's base, metres.

    With a thermal band, air cools by 9.8 K for a kilometre at most and by 1 K at least, from
    the coldest and the warmest clear land (Zhu & Woodcock 2012, eq. 21).
    """
    low = np.full(objects.count, LOWEST_M, np.float32)
    high = np.full(objects.count, HIGHEST_M, np.float32)
    if scene.has_temperature:
        base = _base_temperature(scene, objects)
        low = np.maximum(low, 1000 * (clear.land_low - base) / 9.8)
        high = np.minimum(high, np.maximum(1000 * (clear.land_high - base), low + 1000))
    return low.astype(np.float32), high.astype(np.float32)


def _base_temperature(scene: Scene, objects: Objects) -> FloatArray:
    """Return the upper quartile of each object's temperature, degrees Celsius."""
    stored = scene.bands.celsius[:: objects.ratio, :: objects.ratio]
    values = stored[objects.rows, objects.columns] * np.float32(0.01)
    parts = np.split(values, objects.starts[1:-1])
    return np.array(
        [np.quantile(p[p > NODATA * 0.01], 0.75) if p.size else 0.0 for p in parts], np.float32
    )


def choose(objects: Objects, heights: FloatArray, table: FloatArray) -> Matched:
    """Choose each object's height from its row of similarities.

    Large objects with a clear maximum choose first; every other takes its own best height
    within the range of its neighbours among those (Qiu et al. 2019, section 3.4).
    """
    from scipy.spatial import cKDTree

    best = table.argmax(axis=1)
    peak = table[np.arange(objects.count), best]
    sure = (peak > 0.7) & (objects.sizes >= 50)
    if sure.sum() >= 3:
        centres = objects.centres()
        count = min(NEIGHBOURS, int(sure.sum()))
        _, near = cKDTree(centres[sure]).query(centres, k=count)
        around = heights[best[sure]][near]
        low, high = np.quantile(around, [0.1, 0.9], axis=1)
        away = (heights < low[:, None] - 500) | (heights > high[:, None] + 500)
        limited = np.where(away, np.minimum(table, table * 0.5), table)
        best = limited.argmax(axis=1)
        peak = table[np.arange(objects.count), best]
    chosen = heights[best].astype(np.float32)
    chosen[peak < LEAST_SIMILAR] = np.nan
    return Matched(chosen, np.maximum(peak, 0).astype(np.float32))


@njit(cache=True, nogil=True)
def _similarity(
    rows: npt.NDArray[np.int32],
    columns: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int32],
    state: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int32],
    slide: Drift,
    heights: npt.NDArray[np.float32],
    first: int,
    last: int,
) -> npt.NDArray[np.float32]:
    """Return (objects, heights) the share of visible shadow pixels that are candidates."""
    table = np.full((last - first, heights.size), -1.0, np.float32)
    high, wide = state.shape
    for item in range(first, last):
        begin, end = starts[item], starts[item + 1]
        stride = max(1, (end - begin) // SAMPLES)
        for k in range(heights.size):
            visible = 0
            matched = 0
            for i in range(begin, end, stride):
                r = min(int(rows[i] / slide.cell), slide.down.shape[0] - 1)
                c = min(int(columns[i] / slide.cell), slide.down.shape[1] - 1)
                row = int(round(rows[i] + heights[k] * slide.down[r, c]))
                column = int(round(columns[i] + heights[k] * slide.along[r, c]))
                if row < 0 or column < 0 or row >= high or column >= wide:
                    continue
                found = state[row, column]
                if found == CANDIDATE:
                    visible += 1
                    matched += 1
                elif found == CLEAR_GROUND:
                    visible += 1
            total = (end - begin + stride - 1) // stride
            if visible >= max(3, 0.1 * total):
                table[item - first, k] = matched / visible
    return table


def paint(cloud: BoolArray, objects: Objects, matched: Matched, slide: Drift) -> BoolArray:
    """Draw the shadow of each cloud at its height.

    Parameters
    ----------
    cloud : (rows, columns) boolean.
    slide : drift in pixels of the mask.

    Returns
    -------
    (rows, columns) boolean; holes of single pixels, left by rounding, are closed.
    """
    import cv2

    if objects.count == 0:
        return np.zeros(cloud.shape, np.bool_)
    # Thin parts of a cloud lie in coarse pixels that count as clear: they follow the object next to them.
    labels = cv2.dilate(objects.labels.astype(np.float32), np.ones((3, 3), np.uint8))
    labels = np.where(objects.labels > 0, objects.labels, labels.astype(np.int32))
    heights = np.concatenate([[np.nan], matched.heights]).astype(np.float32)
    drawn = np.zeros(cloud.shape, np.uint8)
    _paint(cloud, labels, objects.ratio, heights, slide, drawn)
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
            if height != height:
                continue
            r = min(int(row / slide.cell), slide.down.shape[0] - 1)
            c = min(int(column / slide.cell), slide.down.shape[1] - 1)
            i = int(round(row + height * slide.down[r, c]))
            j = int(round(column + height * slide.along[r, c]))
            if 0 <= i < high and 0 <= j < wide:
                drawn[i, j] = 1
