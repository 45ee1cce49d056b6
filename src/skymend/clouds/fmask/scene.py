"""What Fmask works on: the bands of one acquisition as small integers, and its geometry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import REFLECTANCE, FloatArray
from skymend.core.errors import ProductError
from skymend.core.grid import Grid
from skymend.products.dem import read_dem
from skymend.products.planes import read_planes
from skymend.products.toa import Angles, Sensor, TopOfAtmosphere

ShortArray = npt.NDArray[np.int16]

NODATA = -10000
"""Stored number of a pixel without data."""

ZERO_CELSIUS = 273.15

ROLES = ("blue", "green", "red", "nir", "swir1", "swir2")

_BANDS: dict[str, dict[str, str]] = {
    "sentinel-2": {
        **dict(zip(ROLES, ("B02", "B03", "B04", "B8A", "B11", "B12"), strict=True)),
        "cirrus": "B10",
        "red_edge": "B07",
        "nir_wide": "B08",
    },
    "landsat": {
        **dict(zip(ROLES, ("B2", "B3", "B4", "B5", "B6", "B7"), strict=True)),
        "cirrus": "B9",
    },
}


class Bands(NamedTuple):
    """Bands by their role, each (rows, columns) int16.

    Reflectance is stored x 10000, temperature as hundredths of a degree Celsius, nodata as
    -10000: half the memory of float32, and finer than the sensors. A band that a sensor lacks
    is an array of one pixel.
    """

    blue: ShortArray
    green: ShortArray
    red: ShortArray
    nir: ShortArray
    swir1: ShortArray
    swir2: ShortArray
    cirrus: ShortArray
    celsius: ShortArray


@dataclass(frozen=True, slots=True)
class Scene:
    """One acquisition on one grid.

    Parameters
    ----------
    bands : what the spectral tests need.
    red_edge, nir_wide : (rows, columns) int16 of B07 and B08 for the parallax test of
        Sentinel-2; None without it.
    heights : (rows, columns) float32 in metres; None without a DEM.
    sun, view : angles as scalars, or on any coarser grid of the same extent.
    """

    bands: Bands
    grid: Grid
    sensor: Sensor
    sun: Angles
    view: Angles
    red_edge: ShortArray | None = None
    nir_wide: ShortArray | None = None
    heights: FloatArray | None = None

    @property
    def has_cirrus(self) -> bool:
        """Tell whether there is a band at 1.38 um."""
        return self.bands.cirrus.size > 1

    @property
    def has_temperature(self) -> bool:
        """Tell whether there is a thermal band."""
        return self.bands.celsius.size > 1

    def with_cirrus(self, cirrus: ShortArray) -> Scene:
        """Return the scene with another cirrus band."""
        return replace(self, bands=self.bands._replace(cirrus=cirrus))


def bands_for(sensor: Sensor) -> dict[str, str]:
    """Return role -> band name of a sensor."""
    return _BANDS["sentinel-2" if sensor == "sentinel-2" else "landsat"]


def absent() -> ShortArray:
    """Return what stands for a band that a sensor lacks."""
    return np.full((1, 1), NODATA, np.int16)


def read_scene(
    product: TopOfAtmosphere, grid: Grid, dem: Path | None, *, cpus: int = 1
) -> Scene | None:
    """Read what Fmask needs.

    If the first band turns out empty, the others are not read.

    Parameters
    ----------
    cpus : threads that decode.

    Returns
    -------
    The scene; None if it has no valid pixel.

    Raises
    ------
    ProductError
        if a band that cannot be missed is missing, or a file is damaged.
    """
    names = bands_for(product.sensor)
    _require(product, [names[role] for role in ROLES])
    planes = _read(product, {ROLES[0]: names[ROLES[0]]}, grid, cpus)
    if not (planes[ROLES[0]] != NODATA).any():
        return None
    others = {r: b for r, b in names.items() if b in product.bands and r not in planes}
    planes |= _read(product, others, grid, cpus)
    temperature = product.brightness_temperature(grid)
    coarse = grid.at_resolution(max(grid.resolution, 1000.0))
    return Scene(
        Bands(
            **{role: planes[role] for role in ROLES},
            cirrus=planes.get("cirrus", absent()),
            celsius=absent() if temperature is None else to_celsius(temperature),
        ),
        grid,
        product.sensor,
        _flat(product.sun(coarse)),
        _flat(product.view(coarse)),
        red_edge=planes.get("red_edge"),
        nir_wide=planes.get("nir_wide"),
        heights=None if dem is None else read_dem(dem, grid, resampling="bilinear"),
    )


def to_short(reflectance: FloatArray) -> ShortArray:
    """Return reflectance as it is stored in :class:`Bands`."""
    return np.asarray(REFLECTANCE.encode(reflectance), np.int16)


def to_celsius(kelvin: FloatArray) -> ShortArray:
    """Return a temperature in kelvin as it is stored in :class:`Bands`."""
    hundredths = np.rint((kelvin - ZERO_CELSIUS) * 100)
    valid = np.isfinite(hundredths)
    limited = np.clip(np.where(valid, hundredths, NODATA), NODATA, 32767)
    return limited.astype(np.int16)


def _read(
    product: TopOfAtmosphere, bands: dict[str, str], grid: Grid, cpus: int
) -> dict[str, ShortArray]:
    """Read bands by their role, in blocks, so that none ever stands whole in float32."""
    planes = read_planes(product, tuple(bands.values()), grid, to_short, np.int16, cpus=cpus)
    return dict(zip(bands, planes, strict=True))


def _flat(angles: Angles) -> Angles:
    """Return one pair where all pixels share it to within a hundredth of a degree."""
    zenith, azimuth = (np.asarray(a, np.float32) for a in angles)
    if zenith.ndim == 0 or (np.ptp(zenith) < 0.01 and np.ptp(azimuth) < 0.01):
        return Angles(float(zenith.flat[0]), float(azimuth.flat[0]))
    return Angles(zenith, azimuth)


def _require(product: TopOfAtmosphere, bands: list[str]) -> None:
    missing = [band for band in bands if band not in product.bands]
    if missing:
        raise ProductError(
            where=product.path,
            expected=f"the bands {', '.join(bands)} that fmask needs",
            found=f"no {', '.join(missing)}",
            fix="fetch the product again, or choose an engine that does without",
        )
