"""The thin edges of clouds: growing a mask only where the ground looks hazed over.

Fmask dilates blindly (Zhu & Woodcock 2012, section 3.3). Edges too thin for the spectral tests
still outshine the clear ground of the scene: in red, where plants and water are dark, and over
snow in SWIR1, where snow is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from skymend.clouds.fmask.parallax import GROWN, IndexArray
from skymend.clouds.fmask.potential import CLEAR_LAND, CLOUD_LIKE, SNOW, VALID, WATER
from skymend.clouds.fmask.scene import Scene, ShortArray
from skymend.clouds.fmask.strips import thinned
from skymend.clouds.fmask.tidy import grow
from skymend.core.encoding import ByteArray

BoolArray = npt.NDArray[np.bool_]

BRIGHT, BRIGHT_SNOW = 0.93, 0.98
"""Quantile of clear ground that an edge must exceed."""

AFAR_M = 120.0
"""Snow counts as clear at this distance from clouds."""

AROUND_M = 600.0
"""An edge is taken to lie over water if most clear ground in a square of this side is water."""

_FEWEST = 100
_SPARSE = 4
_BINS = 12_000


class Levels(NamedTuple):
    """Reflectance x 10000 that few clear pixels exceed: red of land and water, SWIR1 of snow."""

    land: int
    water: int
    snow: int


def grow_rims(
    scene: Scene, cloud: BoolArray, flags: ByteArray, radius: float, index: IndexArray | None
) -> BoolArray:
    """Grow clouds over the brighter ground around them.

    Parameters
    ----------
    radius : in pixels; clouds reach no further than this.
    index : displacement index x 100; where there is one, edges must move too.
    """
    near = grow(cloud, radius) & ~cloud & ((flags & VALID) != 0)
    if index is not None:
        near &= index < GROWN
    levels = bright_levels(scene, cloud, flags)
    red, swir1 = scene.bands.red, scene.bands.swir1
    snow = (flags & SNOW) != 0
    bright = red > levels.land
    over_water = _over_water(cloud, flags, scene.grid.resolution)
    np.copyto(bright, red > levels.water, where=over_water)
    np.copyto(bright, swir1 > levels.snow, where=snow)
    return np.asarray(cloud | (near & bright))


def bright_levels(scene: Scene, cloud: BoolArray, flags: ByteArray) -> Levels:
    """Return what outshines clear ground; 12000 for a kind that the scene hardly shows."""
    red, swir1 = scene.bands.red, scene.bands.swir1
    land = _quantile(red[(flags & CLEAR_LAND) == VALID], BRIGHT)
    wet = (flags & (VALID | CLOUD_LIKE | WATER)) == (VALID | WATER)
    water = _quantile(red[wet], BRIGHT)
    snow = ((flags & SNOW) != 0) & ~grow(cloud, AFAR_M / scene.grid.resolution)
    return Levels(land, water, _quantile(swir1[snow], BRIGHT_SNOW))


def _over_water(cloud: BoolArray, flags: ByteArray, resolution_m: float) -> BoolArray:
    """Return pixels that are water, or among clear ground that mostly is.

    Every fourth pixel of a row and of a column is enough to say what lies around.
    """
    import cv2

    some = flags[::_SPARSE, ::_SPARSE]
    side = 2 * round(AROUND_M / resolution_m / _SPARSE / 2) + 1
    wet = (some & (WATER | CLOUD_LIKE)) == WATER
    ground = ~cloud[::_SPARSE, ::_SPARSE] & ((some & VALID) != 0)
    shares = (cv2.blur(m.view(np.uint8) * np.uint8(200), (side, side)) for m in (wet, ground))
    wet_share, ground_share = shares
    mostly = (wet_share > 0.6 * ground_share).repeat(_SPARSE, 0).repeat(_SPARSE, 1)
    over: BoolArray = np.asarray((flags & WATER) != 0)
    over |= mostly[: flags.shape[0], : flags.shape[1]]
    return over


def _quantile(values: ShortArray, share: float) -> int:
    if values.size < _FEWEST:
        return _BINS
    within = np.clip(thinned(values), 0, _BINS - 1)
    counts = np.bincount(within, minlength=_BINS).cumsum()
    return int(np.searchsorted(counts, share * counts[-1]))
