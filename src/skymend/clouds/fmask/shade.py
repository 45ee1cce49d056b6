"""Where shadow can lie: ground darker than what surrounds it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from numba import njit

from skymend.clouds.fmask.fill import LEVELS, OUTSIDE, STEP, fill, to_levels
from skymend.clouds.fmask.potential import CLEAR_LAND, CLOUD_LIKE, VALID, WATER
from skymend.clouds.fmask.scene import NODATA, Bands, Scene, ShortArray
from skymend.clouds.fmask.strips import thinned
from skymend.clouds.fmask.terrain import levelled
from skymend.core.encoding import ByteArray

BoolArray = npt.NDArray[np.bool_]

DARKENING = 0.02
"""Reflectance by which shadow is darker than the rim of its hollow (Zhu & Woodcock eq. 19)."""

DARKENING_SHARE = 0.3
"""Share of the rim's reflectance that shadow takes away. A cloud that stops 45 % of the beam
stops about 40 % of the light in the near infrared; shades of forest in fields take less."""

OPEN_WATER = 0.3
"""(green - NIR) / (green + NIR) of open water, the index of McFeeters 1996 (IJRS 17, 1425);
shaded land, which the water test takes for water, stays below 0.25."""

SHADED_WATER = 0.88
"""Share of the usual blue of open water below which it lies in shadow."""

BACKGROUND = 0.4
"""Quantile of clear land in the sun that stands for ground nobody sees. The 17.5 % of Zhu &
Woodcock is itself shadow where a low sun and many clouds shade a fifth of the land."""

_FEWEST = 500


def find_shade(
    scene: Scene, flags: ByteArray, terrain: BoolArray, cpus: int
) -> tuple[BoolArray, BoolArray]:
    """Find the places where shadow can lie, and those that say nothing of it.

    On land shadow lies in hollows of both NIR and SWIR1, freed of the light and shade of slopes
    if there is a DEM. Open water is black in both; there, shadow takes the light that the
    water and the air below the cloud scatter in blue.

    Parameters
    ----------
    terrain : (rows, columns) boolean, ground in the shade of mountains, which is no rim to judge
        others by.

    Returns
    -------
    candidates : (rows, columns) boolean.
    silent : (rows, columns) boolean, open water of a scene that shows too little of it.
    """
    invalid = (flags & VALID) == 0
    clear = ((flags & CLEAR_LAND) == VALID) & ~terrain
    water = np.zeros(flags.shape, np.bool_)
    _open_water(scene.bands, flags, water)
    dark = water | terrain
    with ThreadPoolExecutor(max_workers=min(2, max(1, cpus))) as pool:
        bands = (scene.bands.nir, scene.bands.swir1)
        near, short = pool.map(
            lambda band: hollows(levelled(scene, band), invalid, clear, dark), bands
        )
    candidates = np.logical_and(near, short, out=near)
    candidates &= ~water
    usual = _usual_blue(scene.bands.blue, water & ((flags & CLOUD_LIKE) == 0))
    if usual is None:
        return candidates, water
    candidates |= water & (scene.bands.blue < SHADED_WATER * usual)
    return candidates, np.zeros(flags.shape, np.bool_)


def hollows(band: ShortArray, invalid: BoolArray, clear: BoolArray, dark: BoolArray) -> BoolArray:
    """Return where a band lies deep below the rim around.

    The rims are found at twice the pixel size, a quarter of the work: they enclose hollows of
    hundreds of metres. What is dark for another reason, water and the shade of mountains,
    counts as clear land, and so does what lies outside the image: shade at a coast would else
    run out into the sea, and what is less dark would become a hollow of a brighter rim.

    Parameters
    ----------
    clear : clear land in the sun, for the reflectance of such land.
    dark : water and ground in the shade of mountains.
    """
    half = _halved(band, invalid)
    levels = to_levels(half, half == NODATA)
    counts = np.bincount(np.clip(thinned(band[clear]) // STEP, 0, LEVELS - 1), minlength=1).cumsum()
    background = int(np.searchsorted(counts, BACKGROUND * counts[-1])) if counts[-1] else 0
    levels[dark[::2, ::2]] = background
    fill(levels, background)
    deep = np.empty(band.shape, np.bool_)
    _deep(band, levels, DARKENING * 1e4, DARKENING_SHARE, deep)
    return deep


@njit(cache=True, nogil=True)
def _halved(band: npt.NDArray[np.int16], invalid: npt.NDArray[np.bool_]) -> npt.NDArray[np.int16]:
    """Return means over 2 x 2 pixels, of those that are valid."""
    rows, columns = band.shape
    half = np.empty(((rows + 1) // 2, (columns + 1) // 2), np.int16)
    for row in range(half.shape[0]):
        for column in range(half.shape[1]):
            total, count = 0, 0
            for r in range(2 * row, min(2 * row + 2, rows)):
                for c in range(2 * column, min(2 * column + 2, columns)):
                    if not invalid[r, c]:
                        total += band[r, c]
                        count += 1
            half[row, column] = total // count if count > 0 else NODATA
    return half


@njit(cache=True, nogil=True)
def _deep(
    band: npt.NDArray[np.int16],
    filled: npt.NDArray[np.uint16],
    least: float,
    share: float,
    deep: npt.NDArray[np.bool_],
) -> None:
    for row in range(band.shape[0]):
        for column in range(band.shape[1]):
            rim = filled[row // 2, column // 2]
            height = float(rim) * STEP
            depth = height - band[row, column]
            deep[row, column] = rim != OUTSIDE and depth > least and depth > share * height


@njit(cache=True, nogil=True)
def _open_water(bands: Bands, flags: npt.NDArray[np.uint8], water: npt.NDArray[np.bool_]) -> None:
    for row in range(flags.shape[0]):
        for column in range(flags.shape[1]):
            if flags[row, column] & WATER:
                green = float(bands.green[row, column])
                nir = float(bands.nir[row, column])
                water[row, column] = green - nir > OPEN_WATER * (green + nir)


def _usual_blue(blue: ShortArray, water: BoolArray) -> float | None:
    values = blue[water]
    return None if values.size < _FEWEST else float(np.quantile(thinned(values), 0.6))
