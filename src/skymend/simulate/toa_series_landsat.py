"""Cloud scenes as Landsat 8 and 9 deliver them: Collection 2 level 1 in a folder.

Numbers are stored as the Landsat 8 Data Users Handbook has them (LSDS-1574, section 5):
reflectance without the sun's elevation, radiance of band 10 by Planck's law with K1 and K2.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray, FloatArray
from skymend.core.errors import ConfigError
from skymend.simulate.cloud_scene import CLOUD, NODATA, SHADOW, SNOW, WATER, CloudScene
from skymend.simulate.geotiff import write_band

REFLECTANCE_MULT, REFLECTANCE_ADD = 2e-5, -0.1
RADIANCE_MULT, RADIANCE_ADD = 3.342e-4, 0.1
K1, K2 = 774.8853, 1321.0789
"""Constants of band 10 of Landsat 8, as its metadata give them."""

_QA_BITS = {CLOUD: 3, SHADOW: 4, SNOW: 5, WATER: 7}
_CLEAR_BIT, _FILL_BIT = 6, 0

_MTL = """\
GROUP = LANDSAT_METADATA_FILE
  GROUP = PRODUCT_CONTENTS
    LANDSAT_PRODUCT_ID = "{name}"
    PROCESSING_LEVEL = "L1TP"
    COLLECTION_NUMBER = 02
    COLLECTION_CATEGORY = "T1"
  END_GROUP = PRODUCT_CONTENTS
  GROUP = IMAGE_ATTRIBUTES
    SPACECRAFT_ID = "LANDSAT_{satellite}"
    SENSOR_ID = "OLI_TIRS"
    DATE_ACQUIRED = {time:%Y-%m-%d}
    SCENE_CENTER_TIME = "{time:%H:%M:%S.%f}0Z"
    SUN_AZIMUTH = {azimuth:.8f}
    SUN_ELEVATION = {elevation:.8f}
  END_GROUP = IMAGE_ATTRIBUTES
  GROUP = LEVEL1_RADIOMETRIC_RESCALING
{scaling}
  END_GROUP = LEVEL1_RADIOMETRIC_RESCALING
  GROUP = LEVEL1_THERMAL_CONSTANTS
    K1_CONSTANT_BAND_10 = {k1}
    K2_CONSTANT_BAND_10 = {k2}
  END_GROUP = LEVEL1_THERMAL_CONSTANTS
END_GROUP = LANDSAT_METADATA_FILE
END
"""


def write_landsat(folder: Path, scene: CloudScene, *, satellite: Literal[8, 9] = 8) -> Path:
    """Write a cloud scene of Landsat: bands, QA_PIXEL made of the truth, MTL.

    Parameters
    ----------
    folder : receives the level-1 folder and ``elevation.tif`` (metres).
    scene : of ``landsat-8``; Landsat 9 has the same bands.

    Returns
    -------
    The product folder.

    Raises
    ------
    ConfigError
        if the scene is one of Sentinel-2.
    """
    if scene.sensor != "landsat-8":
        raise ConfigError(
            where="write_landsat",
            expected="a scene of landsat-8",
            found=scene.sensor,
            fix='make it with cloud_scene(..., sensor="landsat-8")',
        )
    name = f"LC0{satellite}_L1TP_199030_{scene.time:%Y%m%d}_{scene.time:%Y%m%d}_02_T1"
    product = folder / name
    sine = math.cos(math.radians(scene.sun[0]))
    for band, plane in zip(scene.bands, scene.reflectance, strict=True):
        stored = _numbers(plane * sine, REFLECTANCE_MULT, REFLECTANCE_ADD)
        write_band(product / f"{name}_B{int(band[1:])}.TIF", stored, scene.grid)
    radiance = _planck(scene.brightness_temperature)
    stored = _numbers(radiance, RADIANCE_MULT, RADIANCE_ADD)
    write_band(product / f"{name}_B10.TIF", stored, scene.grid)
    write_band(product / f"{name}_QA_PIXEL.TIF", _quality(scene.labels), scene.grid)
    (product / f"{name}_MTL.txt").write_text(_metadata(scene, name, satellite))
    write_band(folder / "elevation.tif", scene.elevation, scene.grid, nodata=-32768.0)
    return product


def _numbers(values: FloatArray, scale: float, offset: float) -> npt.NDArray[np.uint16]:
    """Return stored numbers; 0 is kept for fill."""
    return np.asarray(np.clip(np.rint((values - offset) / scale), 1, 65535), np.uint16)


def _planck(kelvin: FloatArray) -> FloatArray:
    return np.asarray(K1 / (np.exp(K2 / kelvin) - 1), np.float32)


def _quality(labels: ByteArray) -> npt.NDArray[np.uint16]:
    """Return QA_PIXEL (LSDS-1619): the bit of each label, without confidences."""
    quality = np.full(labels.shape, 1 << _CLEAR_BIT, np.uint16)
    for label, bit in _QA_BITS.items():
        quality[labels == label] = 1 << bit
    quality[labels == WATER] |= 1 << _CLEAR_BIT
    quality[labels == NODATA] = 1 << _FILL_BIT
    return quality


def _metadata(scene: CloudScene, name: str, satellite: int) -> str:
    terms = [
        f"    REFLECTANCE_MULT_BAND_{int(band[1:])} = {REFLECTANCE_MULT:.4E}\n"
        f"    REFLECTANCE_ADD_BAND_{int(band[1:])} = {REFLECTANCE_ADD}"
        for band in scene.bands
    ]
    terms.append(f"    RADIANCE_MULT_BAND_10 = {RADIANCE_MULT:.4E}")
    terms.append(f"    RADIANCE_ADD_BAND_10 = {RADIANCE_ADD}")
    zenith, azimuth = scene.sun
    return _MTL.format(
        name=name, satellite=satellite, time=scene.time, azimuth=azimuth,
        elevation=90 - zenith, scaling="\n".join(terms), k1=K1, k2=K2,
    )  # fmt: skip
