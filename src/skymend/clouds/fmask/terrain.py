"""What a DEM says: ground that mountains shade, and slopes too steep for water."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from skymend.clouds.fmask.geometry import mean_angles
from skymend.clouds.fmask.potential import DARK_WATER, SNOW, WATER
from skymend.clouds.fmask.scene import Scene
from skymend.core.encoding import ByteArray

BoolArray = npt.NDArray[np.bool_]

COARSE_M = 60.0
"""Rays run over pixels of at least this size: DEMs hold no more."""


STEEP_DEGREES = 10.0
"""Water does not lie on steeper ground (Qiu et al. 2019, section 3.3.1)."""


def dry_slopes(scene: Scene, flags: ByteArray) -> ByteArray:
    """Return the flags without the water that lies on slopes: it is shaded ground.

    Where it is bright in green it is shaded snow, which the snow test misses for want of light
    in the near infrared.
    """
    if scene.heights is None:
        return flags
    down, along = np.gradient(scene.heights, scene.grid.resolution)
    slope = np.hypot(down, along)
    steep = (slope > math.tan(math.radians(STEEP_DEGREES))) & ((flags & WATER) != 0)
    dried = flags.copy()
    dried[steep] &= np.uint8(255 - WATER - DARK_WATER)
    dried[steep & (scene.bands.green > 1000)] |= np.uint8(SNOW)
    return dried


def terrain_shadow(scene: Scene) -> BoolArray:
    """Return where higher ground stands between a pixel and the sun.

    Returns
    -------
    (rows, columns) boolean; False everywhere without a DEM, and where it has no height.
    """
    if scene.heights is None:
        return np.zeros(scene.grid.shape, np.bool_)
    ratio = max(1, round(COARSE_M / scene.grid.resolution))
    heights = np.ascontiguousarray(scene.heights[::ratio, ::ratio])
    zenith, azimuth = mean_angles(scene.sun)
    rise = scene.grid.resolution * ratio / math.tan(math.radians(zenith)) if zenith > 0 else 1e9
    turn = math.radians(azimuth)
    highest = float(np.nanmax(heights)) if np.isfinite(heights).any() else 0.0
    shaded = _cast(heights, -math.cos(turn), math.sin(turn), rise, highest)
    rows, columns = scene.grid.shape
    fine: BoolArray = shaded.repeat(ratio, 0).repeat(ratio, 1)[:rows, :columns]
    return fine


@njit(cache=True, nogil=True)
def _cast(
    heights: npt.NDArray[np.float32], down: float, along: float, rise: float, highest: float
) -> npt.NDArray[np.bool_]:
    """Walk from each pixel towards the sun, one pixel a step, until above every summit."""
    rows, columns = heights.shape
    shaded = np.zeros((rows, columns), np.bool_)
    for row in range(rows):
        for column in range(columns):
            ray = heights[row, column]
            step = 0
            while ray < highest:
                step += 1
                ray += rise
                r = round(row + step * down)
                c = round(column + step * along)
                if r < 0 or c < 0 or r >= rows or c >= columns:
                    break
                if heights[r, c] > ray:
                    shaded[row, column] = True
                    break
    return shaded
