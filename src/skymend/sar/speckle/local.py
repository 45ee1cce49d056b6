"""Filters on the moments of a square window: boxcar, Lee, Gamma-MAP.

All sums are taken anew for each pixel in a fixed order, never carried from one to the next, so
that a pixel's result is the same bits wherever the image was cut into blocks.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.sar.speckle.compiled import compiled

BOXCAR, LEE, GAMMA_MAP = 0, 1, 2

_Sums = npt.NDArray[np.float64]


@compiled
def filter_local(
    power: FloatArray, radius: int, kind: int, speckle_variance: float, looks: float
) -> FloatArray:
    """Apply one of the three filters to every valid pixel.

    Parameters
    ----------
    power : (rows, columns) float32, NaN where invalid; windows leave NaN and the outside out.
    radius : half side of the window, pixels.
    kind : ``BOXCAR``, ``LEE`` or ``GAMMA_MAP``.
    speckle_variance : Cu^2, 1 / looks.
    looks : L, used by Gamma-MAP.

    Returns
    -------
    (rows, columns) float32, NaN where ``power`` is.
    """
    rows, columns = power.shape
    out = np.empty((rows, columns), np.float32)
    sums = np.empty((3, columns), np.float64)
    for row in range(rows):
        sum_columns(power, row, radius, sums)
        for column in range(columns):
            value = power[row, column]
            if math.isnan(value):
                out[row, column] = np.nan
                continue
            mean, variance = window_moments(sums, column, radius)
            if kind == BOXCAR:
                out[row, column] = mean
            elif kind == LEE:
                out[row, column] = linear_estimate(value, mean, variance, speckle_variance)
            else:
                out[row, column] = gamma_map(value, mean, variance, speckle_variance, looks)
    return out


@compiled
def sum_columns(power: FloatArray, row: int, radius: int, sums: _Sums) -> None:
    """Sum count, power and squared power of each column over the rows of a window."""
    rows, columns = power.shape
    sums[:] = 0.0
    for r in range(max(row - radius, 0), min(row + radius + 1, rows)):
        for column in range(columns):
            value = np.float64(power[r, column])
            if value == value:  # noqa: PLR0124 - False for NaN only, and quick
                sums[0, column] += 1.0
                sums[1, column] += value
                sums[2, column] += value * value


@compiled
def window_moments(sums: _Sums, column: int, radius: int) -> tuple[float, float]:
    """Return mean and population variance of the window around a column."""
    count = 0.0
    total = 0.0
    squares = 0.0
    for c in range(max(column - radius, 0), min(column + radius + 1, sums.shape[1])):
        count += sums[0, c]
        total += sums[1, c]
        squares += sums[2, c]
    mean = total / count
    return mean, max(squares / count - mean * mean, 0.0)


@compiled
def linear_estimate(value: float, mean: float, variance: float, speckle_variance: float) -> float:
    """Return the linear minimum-mean-square-error estimate of reflectivity.

    For z = x v: Var(x) = (Var(z) - mean^2 Cu^2) / (1 + Cu^2), weight b = Var(x) / Var(z),
    estimate = mean + b (z - mean) (Lee 1980 with a linearised weight; with this exact one Lee et
    al. 2009).
    """
    if variance <= 0.0:
        return mean
    signal = (variance - mean * mean * speckle_variance) / (1.0 + speckle_variance)
    return mean + max(signal, 0.0) / variance * (value - mean)


@compiled
def gamma_map(
    value: float, mean: float, variance: float, speckle_variance: float, looks: float
) -> float:
    """Return the maximum a posteriori estimate for gamma distributed reflectivity.

    Lopes et al. (1990): the mean where Ci <= Cu, the pixel itself where
    Ci >= sqrt(2) Cu, between them the positive root of
    alpha x^2 - (alpha - L - 1) mean x - L z mean = 0 with alpha = (1 + Cu^2) / (Ci^2 - Cu^2).
    """
    if mean <= 0.0:
        return mean
    observed = variance / (mean * mean)
    if observed <= speckle_variance:
        return mean
    if observed >= 2.0 * speckle_variance:
        return value
    alpha = (1.0 + speckle_variance) / (observed - speckle_variance)
    linear = (alpha - looks - 1.0) * mean
    root = math.sqrt(linear * linear + 4.0 * alpha * looks * value * mean)
    return (linear + root) / (2.0 * alpha)
