"""One Sentinel-2 date: the land seen through its sky, with MAJA-like masks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from skymend.core.encoding import ByteArray, FloatArray
from skymend.simulate.clouds import Sky, sky
from skymend.simulate.landscape import ROAD, TOWN, WATER, BoolArray, landscape
from skymend.simulate.noise import fractal, generator
from skymend.simulate.scenario import BANDS_20M, Scenario
from skymend.simulate.spectra import reflectance

NODATA, CLEAR, CLOUD, SHADOW, WATERS = 0, 1, 2, 3, 5
"""Labels of a truth mask; snow (4) does not occur."""

ALL, CLOUDS, MONO, MULTI, THIN, CAST, CAST_OUTSIDE, HIGH = (1 << bit for bit in range(8))
"""Bits of MAJA's CLM mask (THEIA Sentinel-2 L2A format, cloud mask): all clouds and shadows;
all clouds; found on one date; found by comparing dates; thinnest; shadow of a cloud seen;
shadow of a cloud outside the image; high cloud in the 1.38 um band."""

_WAVELENGTH_UM = {
    "B02": 0.492, "B03": 0.560, "B04": 0.665, "B05": 0.704, "B06": 0.741, "B07": 0.783,
    "B08": 0.833, "B8A": 0.865, "B11": 1.614, "B12": 2.202,
}  # fmt: skip
_CLOUD_REFLECTANCE = {
    "B02": 0.66, "B03": 0.65, "B04": 0.66, "B05": 0.67, "B06": 0.68, "B07": 0.68,
    "B08": 0.68, "B8A": 0.68, "B11": 0.42, "B12": 0.30,
}  # fmt: skip
_HIDDEN = 0.02
"""Opacity above which the true label is cloud: the error stays near sensor noise."""
_SHADED = 0.05


@dataclass(frozen=True, slots=True)
class Image:
    """One optical acquisition on the 10 m grid.

    Parameters
    ----------
    reflectance : (bands, rows, columns) float32 with clouds and noise, NaN outside the swath.
    clm : (rows, columns) uint8, MAJA bits; 0 clear.
    edge : (rows, columns) bool, outside the swath.
    labels : (rows, columns) uint8, the true label set: 0 nodata, 1 clear, 2 cloud, 3 shadow,
        5 water.
    """

    reflectance: FloatArray
    clm: ByteArray
    edge: BoolArray
    labels: ByteArray


def observe(scenario: Scenario, day: date) -> Image:
    """Return what Sentinel-2 delivers of a day."""
    above = sky(scenario, day)
    edge = swath_edge(scenario, day)
    land = landscape(scenario.seed, scenario.size_px)
    image = _through(scenario, above, reflectance(scenario, day))
    image += _noise(scenario, day, image)
    image = np.clip(image, 0.0001, 1.6)
    image[:, edge] = np.nan
    labels = true_labels(above, land.cover == WATER)
    labels[edge] = NODATA
    clm = _clm(above, labels)
    if scenario.mask_errors:
        clm = _with_errors(scenario, day, clm)
    clm[edge] = 0
    return Image(image.astype(np.float32), clm, edge, labels)


def true_labels(above: Sky, water: BoolArray) -> ByteArray:
    """Return the true label of each pixel: cloud over shadow over water over clear."""
    labels = np.where(water, WATERS, CLEAR).astype(np.uint8)
    labels[above.shadow > _SHADED] = SHADOW
    labels[1 - (1 - above.thick) * (1 - above.thin) > _HIDDEN] = CLOUD
    return labels


def swath_edge(scenario: Scenario, day: date) -> BoolArray:
    """Return what lies outside the swath: mostly nothing, at times a slanted part or all."""
    rng = generator(scenario.seed, "swath", day.toordinal())
    draw, position, east_side = rng.uniform(), rng.uniform(0.2, 0.8), rng.uniform() < 0.5
    if draw < scenario.outside_swath_share:
        return np.ones(scenario.shape, np.bool_)
    if draw > scenario.outside_swath_share + scenario.partial_swath_share:
        return np.zeros(scenario.shape, np.bool_)
    return slanted(scenario.shape, position, lean=0.21, east_side=bool(east_side))


def slanted(shape: tuple[int, int], position: float, *, lean: float, east_side: bool) -> BoolArray:
    """Return one side of a line close to the ground track (12 degrees off north: lean 0.21)."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    line = position * shape[1] - lean * (rows - shape[0] / 2)
    return np.asarray(columns > line if east_side else columns < line)


def _through(scenario: Scenario, above: Sky, ground: FloatArray) -> FloatArray:
    """Return ground reflectance dimmed by shadows and mixed with clouds, cirrus and haze."""
    bands = zip(scenario.bands, ground, strict=True)
    return np.stack([through(band, above, image) for band, image in bands])


def through(band: str, above: Sky, ground: FloatArray) -> FloatArray:
    """Return one band of the ground seen through a sky.

    In shadow only diffuse light remains: its share falls with wavelength from 0.30 in the
    blue to 0.05 in the short-wave infrared.

    Parameters
    ----------
    ground : (rows, columns) surface reflectance.
    """
    wavelength = _WAVELENGTH_UM[band]
    bright = 1 + 0.07 * above.whiteness + 0.25 * (above.thick - 0.8)
    diffuse = 0.05 + 0.25 * (0.492 / wavelength) ** 2
    lit = ground * (1 - (1 - diffuse) * above.shadow)
    top = np.clip(_CLOUD_REFLECTANCE[band] * bright, 0.1, 1.5)
    veil = 0.55 if wavelength < 1 else 0.3
    lit = lit * (1 - above.thin) + veil * above.thin
    hazy = lit + above.aerosol * (0.492 / wavelength) ** 1.6 * (1 - lit)
    return np.asarray(hazy * (1 - above.thick) + top * above.thick)


def _noise(scenario: Scenario, day: date, image: FloatArray) -> FloatArray:
    """Return sensor noise and the date's calibration error.

    Noise of 0.001 + 0.6 % (signal-to-noise ratios of 150 to 170 at reference radiance,
    Gascon et al. 2017, Remote Sensing 9(6)) and 1 % per band and date.
    """
    rng = generator(scenario.seed, "sensor", day.toordinal())
    gain = np.exp(rng.normal(0, 0.010, len(scenario.bands)))[:, None, None]
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    for index, band in enumerate(scenario.bands):
        if band in BANDS_20M:
            grain[index] = grain[index, ::2, ::2].repeat(2, axis=0).repeat(2, axis=1)
    noise = grain * np.hypot(0.001, 0.006 * image) + image * (gain - 1)
    return np.asarray(noise, np.float32)


def _clm(above: Sky, labels: ByteArray) -> ByteArray:
    """Return the MAJA bits of the true labels."""
    clm = np.zeros(labels.shape, np.uint8)
    shaded = (above.shadow > _SHADED) & (labels != NODATA)
    cloudy = labels == CLOUD
    shadow_only = shaded & ~cloudy
    clm[shadow_only] |= ALL
    clm[shaded] |= _cast_bit(above)[shaded]
    clm[cloudy] |= ALL | CLOUDS | MULTI
    clm[cloudy & (above.thick > 0.35)] |= MONO
    clm[cloudy & (above.thick < 0.12)] |= THIN
    clm[cloudy & (above.thin > 0.03)] |= HIGH
    return clm


def _cast_bit(above: Sky) -> ByteArray:
    """Tell shadows of clouds in the image from those of clouds outside it."""
    size = above.shadow.shape
    rows, columns = np.ogrid[: size[0], : size[1]]
    row, column = rows - above.shift_px[0], columns - above.shift_px[1]
    inside = (row >= 0) & (row < size[0]) & (column >= 0) & (column < size[1])
    return np.where(inside, CAST, CAST_OUTSIDE).astype(np.uint8)


def _with_errors(scenario: Scenario, day: date, clm: ByteArray) -> ByteArray:
    """Return a mask that misses thin cloud edges and takes bright ground for cloud."""
    rng = generator(scenario.seed, "mask-errors", day.toordinal())
    land = landscape(scenario.seed, scenario.size_px)
    patches = fractal(clm.shape, rng, slope=2.2, longest_px=30)
    thin = (clm & THIN > 0) | (clm & (CLOUDS | ALL) == ALL)
    missed = thin & (patches > 0.9)
    bright = ((land.cover == TOWN) | (land.cover == ROAD) | (land.soil_tone > 0.9)) & (clm == 0)
    invented = bright & (patches < -1.6)
    clm = np.where(missed, 0, clm)
    return np.where(invented, ALL | CLOUDS | MONO, clm).astype(np.uint8)
