"""Multilook: incoherent averaging of power over blocks of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.core.errors import ConfigError


def multilook(power: FloatArray, looks: int, *, minimum_share: float = 0.5) -> FloatArray:
    """Average power over blocks of ``looks`` x ``looks`` pixels.

    Parameters
    ----------
    power : (..., rows, columns) float32 linear power; NaN where invalid. Rows and columns that
        do not fill a block at the lower and right edge are averaged as a smaller block.
    looks : pixels a side of a block, 1 or more; 1 returns a copy.
    minimum_share : valid pixels a block must have for a value, 0..1.

    Returns
    -------
    (..., ceil(rows / looks), ceil(columns / looks)) float32: the mean over the valid pixels of
    each block; NaN where fewer than ``minimum_share`` of the block's pixels are valid.

    Raises
    ------
    ConfigError
        if ``looks`` is below 1.
    """
    if looks < 1:
        raise ConfigError(
            where="multilook", expected="1 or more", found=str(looks), fix="give a whole number"
        )
    if looks == 1:
        return power.copy()
    valid = np.isfinite(power)
    total = _block_sums(np.where(valid, power, 0.0), looks)
    count = _block_sums(valid.astype(np.float64), looks)
    size = _block_sums(np.ones(power.shape[-2:]), looks)
    enough = (count >= minimum_share * size) & (count > 0)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=enough)
    return np.asarray(mean, np.float32)


def _block_sums(values: npt.NDArray[Any], looks: int) -> npt.NDArray[np.float64]:
    """Sum over blocks in double precision; the last block of an axis may be smaller."""
    rows, columns = values.shape[-2:]
    sums = np.add.reduceat(values.astype(np.float64), np.arange(0, rows, looks), axis=-2)
    return np.asarray(np.add.reduceat(sums, np.arange(0, columns, looks), axis=-1))
