"""Refined Lee filter (Lee 1981): local statistics from the side of an edge the pixel lies on.

In a 7 x 7 window the means of nine overlapping 3 x 3 areas give the gradient in four directions.
The strongest one says how an edge would run; of the two halves beside it, the one whose mean is
nearer to that of the centre is taken, with the line through the centre: 28 pixels. The filter
follows the edge everywhere, as Lee, Grunes and de Grandi (1999) use it, without the variance
threshold that saved computing time in 1981.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.sar.speckle.compiled import compiled
from skymend.sar.speckle.local import linear_estimate, sum_columns, window_moments

RADIUS = 3
"""Half side of the 7 x 7 window, pixels."""


def half_windows() -> npt.NDArray[np.int64]:
    """Return the eight half windows, (8, 28, 2): offsets of row and column from the centre.

    Two for each direction of an edge: left and right, upper right and lower left, upper and
    lower, upper left and lower right.
    """
    row, column = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    sides = (
        column <= 0,
        column >= 0,
        column >= row,
        column <= row,
        row <= 0,
        row >= 0,
        row + column <= 0,
        row + column >= 0,
    )
    return np.stack([np.stack([row[s], column[s]], axis=-1) for s in sides]).astype(np.int64)


@compiled
def filter_refined(
    power: FloatArray, speckle_variance: float, halves: npt.NDArray[np.int64]
) -> FloatArray:
    """Filter every valid pixel.

    Parameters
    ----------
    power : (rows, columns) float32, NaN where invalid.
    speckle_variance : 1 / looks.
    halves : see :func:`half_windows`.

    Returns
    -------
    (rows, columns) float32, NaN where ``power`` is.
    """
    rows, columns = power.shape
    means = area_means(power)
    out = np.empty((rows, columns), np.float32)
    for row in range(rows):
        for column in range(columns):
            value = power[row, column]
            if math.isnan(value):
                out[row, column] = np.nan
                continue
            side = choose_side(means, row, column)
            mean, variance = half_moments(power, row, column, halves[side])
            out[row, column] = linear_estimate(value, mean, variance, speckle_variance)
    return out


@compiled
def area_means(power: FloatArray) -> npt.NDArray[np.float64]:
    """Return the mean of the 3 x 3 area around each pixel, NaN where it holds no valid one."""
    rows, columns = power.shape
    means = np.full((rows, columns), np.nan, np.float64)
    sums = np.empty((3, columns), np.float64)
    for row in range(rows):
        sum_columns(power, row, 1, sums)
        for column in range(columns):
            low, high = max(column - 1, 0), min(column + 2, columns)
            if sums[0, low:high].sum() > 0.0:
                means[row, column] = window_moments(sums, column, 1)[0]
    return means


@compiled
def choose_side(means: npt.NDArray[np.float64], row: int, column: int) -> int:
    """Return the index of the half window for a pixel.

    An area without a valid pixel, or outside the image, counts as flat ground: it takes the
    mean of the centre.
    """
    rows, columns = means.shape
    centre = means[row, column]
    m = np.full((3, 3), centre)
    for i in range(3):
        for j in range(3):
            r, c = row + 2 * (i - 1), column + 2 * (j - 1)
            if 0 <= r < rows and 0 <= c < columns and not math.isnan(means[r, c]):
                m[i, j] = means[r, c]
    gradients = (
        abs(m[0, 2] + m[1, 2] + m[2, 2] - m[0, 0] - m[1, 0] - m[2, 0]),
        abs(m[0, 1] + m[0, 2] + m[1, 2] - m[1, 0] - m[2, 0] - m[2, 1]),
        abs(m[0, 0] + m[0, 1] + m[0, 2] - m[2, 0] - m[2, 1] - m[2, 2]),
        abs(m[0, 0] + m[0, 1] + m[1, 0] - m[1, 2] - m[2, 1] - m[2, 2]),
    )
    ends = (
        (m[1, 0], m[1, 2]),
        (m[0, 2], m[2, 0]),
        (m[0, 1], m[2, 1]),
        (m[0, 0], m[2, 2]),
    )
    direction = 0
    for candidate in range(1, 4):
        if gradients[candidate] > gradients[direction]:
            direction = candidate
    first, second = ends[direction]
    return 2 * direction + (0 if abs(first - centre) <= abs(second - centre) else 1)


@compiled
def half_moments(
    power: FloatArray, row: int, column: int, half: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """Return mean and population variance of the valid pixels of a half window."""
    rows, columns = power.shape
    count = 0.0
    total = 0.0
    squares = 0.0
    for k in range(half.shape[0]):
        r, c = row + half[k, 0], column + half[k, 1]
        if 0 <= r < rows and 0 <= c < columns:
            value = np.float64(power[r, c])
            if value == value:  # noqa: PLR0124 - False for NaN only, and quick
                count += 1.0
                total += value
                squares += value * value
    mean = total / count
    return mean, max(squares / count - mean * mean, 0.0)
