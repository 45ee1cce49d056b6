"""Pass one: which pixels may be cloud, which are water, snow, or could be clear ground."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from skymend.clouds.fmask import rules
from skymend.clouds.fmask.scene import NODATA, Bands, Scene
from skymend.clouds.fmask.strips import over_strips
from skymend.core.encoding import ByteArray

VALID = 1
CLOUD_LIKE = 2
WATER = 4
SNOW = 8
BUILT = 16
DARK_WATER = 32
"""Flags of a pixel. ``DARK_WATER`` is water with SWIR2 below 0.03: clear (eq. 6)."""

CIRRUS_CLOUD = 0.01
"""Reflectance at 1.38 um, above that of clear ground, that makes a pixel cloud-like (Zhu et al.
2015)."""

COLD = -273.0

CLEAR_LAND = VALID | CLOUD_LIKE | WATER | SNOW
"""Flags of which clear land has ``VALID`` alone."""


def find_potential(scene: Scene, cpus: int) -> ByteArray:
    """Apply the spectral rules to a scene.

    Returns
    -------
    (rows, columns) uint8, the flags above; 0 where any band has no data.
    """
    rows, columns = scene.bands.blue.shape
    flags = np.zeros((rows, columns), np.uint8)
    cirrus, temperature = scene.has_cirrus, scene.has_temperature
    over_strips(
        lambda first, last: _flag(scene.bands, cirrus, temperature, flags, first, last),
        rows,
        cpus,
    )
    return flags


@njit(cache=True, nogil=True)
def _flag(
    bands: Bands,
    has_cirrus: bool,
    has_temperature: bool,
    flags: npt.NDArray[np.uint8],
    first: int,
    last: int,
) -> None:
    unit = 1e-4
    for row in range(first, last):
        for column in range(flags.shape[1]):
            stored = min(
                bands.blue[row, column],
                bands.green[row, column],
                bands.red[row, column],
                bands.nir[row, column],
                bands.swir1[row, column],
                bands.swir2[row, column],
            )
            if has_cirrus:
                stored = min(stored, bands.cirrus[row, column])
            if stored == NODATA:
                continue
            celsius = COLD
            if has_temperature:
                if bands.celsius[row, column] == NODATA:
                    continue
                celsius = bands.celsius[row, column] * 0.01
            blue = bands.blue[row, column] * unit
            green = bands.green[row, column] * unit
            red = bands.red[row, column] * unit
            nir = bands.nir[row, column] * unit
            swir1 = bands.swir1[row, column] * unit
            swir2 = bands.swir2[row, column] * unit
            flag = VALID
            if rules.is_cloud_like(blue, green, red, nir, swir1, swir2, celsius):
                flag |= CLOUD_LIKE
            if has_cirrus and bands.cirrus[row, column] * unit > CIRRUS_CLOUD:
                flag |= CLOUD_LIKE
            if rules.is_water(red, nir):
                flag |= WATER
                if swir2 < 0.03:
                    flag |= DARK_WATER
            elif rules.is_built(nir, red, swir1):
                flag |= BUILT
            if rules.is_snow(blue, green, red, nir, swir1, celsius):
                flag |= SNOW
            flags[row, column] = flag
