"""Improved sigma filter (Lee, Wen, Ainsworth, Chen and Chen 2009).

Point targets are kept; a 3 x 3 estimate of the reflectivity says which pixels of the window
share it, within a range that does not bias their mean; the estimate is taken over those.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.sar.speckle.compiled import compiled
from skymend.sar.speckle.local import linear_estimate, sum_columns, window_moments

TARGET_RADIUS = 1
"""Half side of the window of point targets and of the first estimate (3 x 3), pixels."""

TARGET_COUNT = 5
"""Bright pixels that make a point target, of the 9 around a bright one."""

SIGMA = 0.9
"""Share of the speckle inside the range."""


@compiled
def point_targets(power: FloatArray, bright: float) -> npt.NDArray[np.bool_]:
    """Return which pixels belong to point targets, (rows, columns) boolean.

    Where a pixel at or above ``bright`` has, itself included, at least five such pixels in the
    3 x 3 around it, all of these are kept.
    """
    rows, columns = power.shape
    kept = np.zeros((rows, columns), np.bool_)
    for row in range(rows):
        for column in range(columns):
            if not power[row, column] >= bright:
                continue
            top, bottom = max(row - 1, 0), min(row + 2, rows)
            left, right = max(column - 1, 0), min(column + 2, columns)
            count = 0
            for r in range(top, bottom):
                for c in range(left, right):
                    count += power[r, c] >= bright
            if count >= TARGET_COUNT:
                for r in range(top, bottom):
                    for c in range(left, right):
                        kept[r, c] |= power[r, c] >= bright
    return kept


@compiled
def filter_sigma(
    power: FloatArray,
    radius: int,
    speckle_variance: float,
    bright: float,
    low: float,
    high: float,
    range_variance: float,
) -> FloatArray:
    """Filter every valid pixel.

    Parameters
    ----------
    power : (rows, columns) float32, NaN where invalid.
    radius : half side of the window, pixels.
    speckle_variance : 1 / looks, for the first estimate.
    bright : power of point targets, the image's 98th percentile.
    low, high, range_variance : see :class:`~skymend.sar.speckle.statistics.SigmaRange`.

    Returns
    -------
    (rows, columns) float32, NaN where ``power`` is; a pixel with no other in its range, and a
    point target, keeps its power.
    """
    rows, columns = power.shape
    kept = point_targets(power, bright)
    out = np.empty((rows, columns), np.float32)
    sums = np.empty((3, columns), np.float64)
    for row in range(rows):
        sum_columns(power, row, TARGET_RADIUS, sums)
        for column in range(columns):
            value = power[row, column]
            if math.isnan(value) or kept[row, column]:
                out[row, column] = value
                continue
            mean, variance = window_moments(sums, column, TARGET_RADIUS)
            prior = linear_estimate(value, mean, variance, speckle_variance)
            count, mean, variance = range_moments(
                power, row, column, radius, low * prior, high * prior
            )
            if count == 0.0:
                out[row, column] = value
            else:
                out[row, column] = linear_estimate(value, mean, variance, range_variance)
    return out


@compiled
def range_moments(
    power: FloatArray, row: int, column: int, radius: int, low: float, high: float
) -> tuple[float, float, float]:
    """Return count, mean and population variance of the window's pixels within a range."""
    rows, columns = power.shape
    count = 0.0
    total = 0.0
    squares = 0.0
    for r in range(max(row - radius, 0), min(row + radius + 1, rows)):
        for c in range(max(column - radius, 0), min(column + radius + 1, columns)):
            value = np.float64(power[r, c])
            inside = 1.0 if low <= value <= high else 0.0
            taken = value if inside > 0.0 else 0.0
            count += inside
            total += taken
            squares += taken * taken
    if count == 0.0:
        return 0.0, 0.0, 0.0
    mean = total / count
    return count, mean, max(squares / count - mean * mean, 0.0)
