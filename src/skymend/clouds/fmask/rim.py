"""The thin edges of clouds: growing a mask only where the ground looks hazed over."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from skymend.clouds.fmask.potential import CLEAR_LAND, CLOUD_LIKE, SNOW, VALID, WATER
from skymend.clouds.fmask.scene import ShortArray
from skymend.clouds.fmask.tidy import grow
from skymend.core.encoding import ByteArray

BoolArray = npt.NDArray[np.bool_]

BRIGHT = 0.94
"""Quantile of the red band over clear ground that an edge must exceed."""

_FEWEST = 100
_BINS = 12_000


def grow_rims(cloud: BoolArray, flags: ByteArray, red: ShortArray, radius: float) -> BoolArray:
    """Grow clouds over the brighter ground around them.

    Fmask dilates blindly (Zhu & Woodcock 2012, section 3.3); edges thin enough to fail the
    spectral tests still outshine clear ground in red, where plants and water are dark.

    Parameters
    ----------
    radius : in pixels; clouds reach no further than this.
    """
    near = grow(cloud, radius) & ~cloud & ((flags & VALID) != 0)
    near &= (flags & SNOW) == 0
    land, water = bright_levels(flags, red)
    water_here = (flags & WATER) != 0
    near &= np.where(water_here, red > water, red > land)
    return np.asarray(cloud | near)


def bright_levels(flags: ByteArray, red: ShortArray) -> tuple[int, int]:
    """Return the red reflectance x 10000 that few clear pixels of land, and of water, exceed."""
    land = _quantile(red[(flags & CLEAR_LAND) == VALID])
    water = _quantile(red[(flags & (VALID | CLOUD_LIKE | WATER)) == (VALID | WATER)])
    either = land if land is not None else water
    if either is None:
        return _BINS, _BINS
    return either, either if water is None else water


def _quantile(values: ShortArray) -> int | None:
    if values.size < _FEWEST:
        return None
    counts = np.bincount(np.clip(values, 0, _BINS - 1), minlength=_BINS).cumsum()
    return int(np.searchsorted(counts, BRIGHT * counts[-1]))
