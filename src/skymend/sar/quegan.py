"""Multi-temporal speckle filter (S. Quegan and J. J. Yu, IEEE TGRS 39(11), 2001).

Speckle of one place differs from date to date while its reflectivity, relative to its
surroundings, mostly does not. So the ratio of each image to its local mean is averaged over the
dates and scaled back by the local mean of the date wanted: no spatial detail is lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.core.errors import ConfigError


def margin(window: int = 7) -> int:
    """Return the margin in pixels around a block that makes its result that of the whole."""
    return window // 2


def quegan(stack: FloatArray, window: int = 7, *, dates: Sequence[int] | None = None) -> FloatArray:
    """Filter a stack of co-registered backscatter images of one orbit and polarisation.

    J_k = m_k / N * sum over i of I_i / m_i (the filter of the paper for images whose
    speckle is not correlated between dates), m the mean of the window around the pixel. Where
    some dates are invalid, N is the number of those that are not.

    Parameters
    ----------
    stack : (dates, rows, columns) float32 linear power, above 0; NaN where invalid.
    window : odd side in pixels of the window of the local means, 3 or more.
    dates : indexes of the images wanted, in order; all when None.

    Returns
    -------
    (dates, rows, columns) float32, NaN where the image itself is NaN: nothing is filled.

    Raises
    ------
    ConfigError
        if the window is even or below 3, or the stack holds no image.
    """
    if window < 3 or window % 2 == 0:
        raise ConfigError(
            where="window",
            expected="an odd number of pixels, 3 or more",
            found=str(window),
            fix="choose 5, 7 or 9",
        )
    if stack.ndim != 3 or len(stack) == 0:
        raise ConfigError(
            where="stack",
            expected="(dates, rows, columns) with one date or more",
            found=f"shape {stack.shape}",
            fix="give the images of the stack",
        )
    wanted = list(range(len(stack)) if dates is None else dates)
    ratio = mean_ratio(stack, window)
    out = np.empty((len(wanted), *stack.shape[1:]), np.float32)
    for index, date in enumerate(wanted):
        filtered = local_mean(stack[date], window) * ratio
        out[index] = np.where(np.isfinite(stack[date]), filtered, np.nan)
    return out


def mean_ratio(stack: FloatArray, window: int) -> FloatArray:
    """Return the mean over the valid dates of power over local mean, (rows, columns) float32.

    NaN where no date is valid. Memory holds one image at a time besides the stack.
    """
    total = np.zeros(stack.shape[1:], np.float64)
    count = np.zeros(stack.shape[1:], np.int32)
    for power in stack:
        mean = local_mean(power, window)
        valid = np.isfinite(power) & (mean > 0)
        total[valid] += power[valid] / mean[valid]
        count += valid
    ratio = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return np.asarray(ratio, np.float32)


def local_mean(power: npt.NDArray[np.float32], window: int) -> FloatArray:
    """Return the mean of the valid pixels of the window around each, (rows, columns) float32."""
    from skymend.sar.speckle import filter_speckle

    return filter_speckle("boxcar", power, looks=1.0, window=window)
