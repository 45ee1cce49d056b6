"""Windows small enough for one answer of computePixels."""

from __future__ import annotations

import math
from collections.abc import Iterator

from skymend.core.errors import ConfigError
from skymend.core.grid import Grid, Window

MOST_BYTES = 48 * 2**20
"""Bytes of one answer before compression."""

LONGEST_SIDE = 32_768
MOST_BANDS = 1024
_STEP = 256


def windows(grid: Grid, bytes_per_pixel: int, bands: int = 1) -> Iterator[Window]:
    """Yield windows that cover a grid, each within what one answer may hold.

    Parameters
    ----------
    bytes_per_pixel : of all bands together.
    bands : their number.

    Raises
    ------
    ConfigError
        if there are more bands than an answer may hold.
    """
    if not 0 < bands <= MOST_BANDS or bytes_per_pixel <= 0:
        raise ConfigError(
            where="bands of one request",
            expected=f"1 to {MOST_BANDS}",
            found=str(bands),
            fix="ask for fewer at once",
        )
    yield from grid.blocks(side(bytes_per_pixel))


def side(bytes_per_pixel: int) -> int:
    """Return the side of the largest square window, a multiple of 256 where it is above that."""
    most = min(math.isqrt(MOST_BYTES // bytes_per_pixel), LONGEST_SIDE)
    return most // _STEP * _STEP if most >= _STEP else max(most, 1)
