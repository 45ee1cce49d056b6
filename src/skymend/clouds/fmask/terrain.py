"""What a DEM says: ground that mountains shade, slopes too steep for water, light on slopes."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from skymend.clouds.fmask.geometry import mean_angles
from skymend.clouds.fmask.potential import DARK_WATER, SNOW, WATER
from skymend.clouds.fmask.scene import NODATA, Scene, ShortArray
from skymend.core.encoding import ByteArray

BoolArray = npt.NDArray[np.bool_]

NOWHERE = -1e9
"""Height of what lies outside the image: nothing that could shade."""

SKYLIGHT = 0.2
"""Light of the sky over that of the sun on flat ground, in the infrared (the C of SCS+C): 0.15
through usual haze under a low sun, and some of the slopes around."""

MOST_DARKENED = 0.5
"""Least factor of the correction: a cliff is steeper in the DEM than what its pixels show."""

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
    shaded = np.zeros(scene.grid.shape, np.bool_)
    if scene.heights is None:
        return shaded
    south, east, steepness = _towards_sun(scene)
    rise = scene.grid.resolution / max(steepness, 1e-3)
    if abs(south) >= abs(east):
        _cast(scene.heights, south, east, rise, shaded)
    else:
        _cast(scene.heights.T, east, south, rise, shaded.T)
    return shaded


def levelled(scene: Scene, band: ShortArray) -> ShortArray:
    """Return a band as it would be if all ground lay flat.

    SCS+C of Soenen et al. 2005 (IEEE TGRS 43, 2148), as Qiu et al. 2019 correct NIR before its
    hollows are sought: slopes away from the sun are brightened, those towards it darkened.
    Without a DEM, and where it has no height, the band is left as it is.
    """
    if scene.heights is None:
        return band
    south, east, steepness = _towards_sun(scene)
    out = np.empty_like(band)
    size = scene.grid.resolution
    _level(band, scene.heights, steepness * south, steepness * east, size, out)
    return out


def _towards_sun(scene: Scene) -> tuple[float, float, float]:
    """Return the direction of the sun, down the rows and along them, and tan(zenith)."""
    zenith, azimuth = (math.radians(a) for a in mean_angles(scene.sun))
    return -math.cos(azimuth), math.sin(azimuth), math.tan(zenith)


@njit(cache=True, nogil=True)
def _cast(
    heights: npt.NDArray[np.float32],
    down: float,
    along: float,
    rise: float,
    shaded: npt.NDArray[np.bool_],
) -> None:
    """Carry the upper edge of the shade away from the sun, row by row.

    A ray towards the sun meets the next row between two columns; ground there, or the shade
    above it, shades the pixel where it stands higher than the ray.

    Parameters
    ----------
    down, along : direction of the sun; ``down`` is the larger.
    rise : metres that a ray climbs on a pixel's side.
    """
    rows, columns = heights.shape
    rise = rise / abs(down)
    shift = along / abs(down)
    whole = math.floor(shift)
    part = shift - whole
    edge = np.full(columns, NOWHERE, np.float32)
    last = np.full(columns, NOWHERE, np.float32)
    for step in range(rows):
        row = rows - 1 - step if down > 0 else step
        for column in range(columns):
            left, right = column + whole, column + whole + 1
            near = last[left] if 0 <= left < columns else NOWHERE
            far = last[right] if 0 <= right < columns else NOWHERE
            met = near + part * (far - near) - rise
            height = heights[row, column]
            shaded[row, column] = met > height
            edge[column] = met if np.isnan(height) else max(met, height)
        edge, last = last, edge


@njit(cache=True, nogil=True)
def _level(
    band: npt.NDArray[np.int16],
    heights: npt.NDArray[np.float32],
    down: float,
    along: float,
    size: float,
    out: npt.NDArray[np.int16],
) -> None:
    rows, columns = band.shape
    for row in range(rows):
        above, below = max(row - 1, 0), min(row + 1, rows - 1)
        for column in range(columns):
            left, right = max(column - 1, 0), min(column + 1, columns - 1)
            south = heights[below, column] - heights[above, column]
            south /= size * max(1, below - above)
            east = heights[row, right] - heights[row, left]
            east /= size * max(1, right - left)
            value = band[row, column]
            out[row, column] = value
            if value == NODATA or np.isnan(south + east):
                continue
            flat = 1.0 / math.sqrt(1.0 + south**2 + east**2)
            lit = flat * max(0.0, 1.0 - south * down - east * along)
            factor = max(MOST_DARKENED, (flat + SKYLIGHT) / (lit + SKYLIGHT))
            out[row, column] = int(min(30000.0, value * factor))
