"""Pass two: how probable cloud is, against the clear ground of the same scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from skymend.clouds.fmask import rules
from skymend.clouds.fmask.potential import CLEAR_LAND, CLOUD_LIKE, DARK_WATER, SNOW, VALID, WATER
from skymend.clouds.fmask.scene import Bands, Scene
from skymend.clouds.fmask.strips import over_strips, thinned
from skymend.core.encoding import ByteArray
from skymend.products.toa import Sensor

LOW, HIGH = 0.175, 0.825
"""The quantiles of clear ground between which most of it lies (eq. 8 and 13)."""

STEP = 100.0
"""Probabilities are kept as whole percent."""

SCARCE = 0.25
"""With a smaller share of clear land, what passes for it may be thin cloud itself."""

USUAL = 0.15
"""Probability of cloud over plants in clear air: haze in the middle of its range (0.5), times
the greyness of an NDVI of 0.7 (0.3)."""

NONE = 255
"""Stored where there is no data."""

_MOST = 250
_BINS = 4096
_HAZE_LOW, _HAZE_STEP = -0.2, 2.5e-4
_CELSIUS_LOW, _CELSIUS_STEP = -100.0, 0.05


@dataclass(frozen=True, slots=True)
class Weights:
    """What differs between sensors (Qiu et al. 2019, section 3.3).

    Parameters
    ----------
    cirrus : weight of the cirrus probability.
    above_clear : a land pixel is cloud if its probability exceeds the upper quantile of clear
        land by this much.
    usual : the most that this quantile counts for where clear land is scarce.
    """

    cirrus: float
    above_clear: float
    usual: float


def weights_of(sensor: Sensor) -> Weights:
    """Return the weights of a sensor."""
    return Weights(0.5, 0.2, USUAL) if sensor == "sentinel-2" else Weights(0.3, 0.175, 1.0)


class Clear(NamedTuple):
    """Statistics of the scene's clear ground.

    ``haze_low`` and ``haze_high`` widen the quantiles of clear land by 0.04 (Qiu et al. 2019),
    ``land_low`` and ``land_high`` those of its temperature by 4 K (eq. 14); ``water`` is the
    upper quantile of the temperature of clear water (eq. 7). Degrees Celsius.
    """

    haze_low: float
    haze_high: float
    land_low: float
    land_high: float
    water: float


def clear_statistics(scene: Scene, flags: ByteArray, cpus: int) -> Clear:
    """Measure the clear ground of a scene."""
    parts = over_strips(
        lambda first, last: _count(scene.bands, scene.has_temperature, flags, first, last),
        flags.shape[0],
        cpus,
    )
    haze, land, water = np.sum(parts, axis=0)
    if haze.sum() == 0:
        haze[round((0.1 - _HAZE_LOW) / _HAZE_STEP)] = 1
    if land.sum() == 0:
        land = water if water.sum() else _at(20.0)
    if water.sum() == 0:
        water = land
    return Clear(
        _quantile(haze, LOW) * _HAZE_STEP + _HAZE_LOW - 0.04,
        _quantile(haze, HIGH) * _HAZE_STEP + _HAZE_LOW + 0.04,
        _quantile(land, LOW) * _CELSIUS_STEP + _CELSIUS_LOW - 4.0,
        _quantile(land, HIGH) * _CELSIUS_STEP + _CELSIUS_LOW + 4.0,
        _quantile(water, HIGH) * _CELSIUS_STEP + _CELSIUS_LOW,
    )


def cloud_probability(
    scene: Scene, flags: ByteArray, clear: Clear, weights: Weights, cpus: int
) -> ByteArray:
    """Return the probability of cloud.

    Over land it is that of haze (Sentinel-2; Qiu et al. 2019) or of cold (Landsat; eq. 14)
    times that of greyness (eq. 15); over water that of brightness (eq. 10), with a thermal
    band times that of cold (eq. 9). The cirrus probability is added to either.

    Returns
    -------
    (rows, columns) uint8 in percent, up to 250; 255 where there is no data.
    """
    percent = np.full(flags.shape, NONE, np.uint8)
    switches = (scene.has_cirrus, scene.has_temperature, weights.cirrus)
    over_strips(
        lambda first, last: _rate(scene.bands, *switches, clear, flags, percent, first, last),
        flags.shape[0],
        cpus,
    )
    return percent


def land_threshold(flags: ByteArray, percent: ByteArray, weights: Weights) -> float:
    """Return the percentage above which land is cloud (eq. 17), from clear land without snow.

    A scene that shows no clear land is judged by the margin alone. Where a veil lies over a
    whole scene its thinnest parts pass for clear land; such scarce land may lower the
    threshold of evenly clear air but not raise it.
    """
    clear = (flags & CLEAR_LAND) == VALID
    counts = np.bincount(thinned(percent[clear]), minlength=256)
    level = _quantile(counts, HIGH) if counts.sum() else 0.0
    land = (flags & (VALID | WATER | SNOW)) == VALID
    if np.count_nonzero(clear) < SCARCE * np.count_nonzero(land):
        level = min(level, STEP * weights.usual)
    return level + STEP * weights.above_clear


@njit(cache=True, nogil=True)
def _count(
    bands: Bands,
    has_temperature: bool,
    flags: npt.NDArray[np.uint8],
    first: int,
    last: int,
) -> npt.NDArray[np.int64]:
    """Count the haze of clear land, and the temperature of clear land and of clear water."""
    counts = np.zeros((3, _BINS), np.int64)
    for row in range(first, last):
        for column in range(flags.shape[1]):
            flag = flags[row, column]
            if flag & (VALID | CLOUD_LIKE) != VALID:
                continue
            land = flag & CLEAR_LAND == VALID
            if land:
                haze = rules.haze(bands.blue[row, column] * 1e-4, bands.red[row, column] * 1e-4)
                place = int((haze - _HAZE_LOW) / _HAZE_STEP)
                counts[0, min(_BINS - 1, max(0, place))] += 1
            if has_temperature and (land or flag & DARK_WATER):
                celsius = bands.celsius[row, column] * 0.01
                place = int((celsius - _CELSIUS_LOW) / _CELSIUS_STEP)
                counts[1 if land else 2, min(_BINS - 1, max(0, place))] += 1
    return counts


@njit(cache=True, nogil=True)
def _rate(
    bands: Bands,
    has_cirrus: bool,
    has_temperature: bool,
    cirrus_weight: float,
    clear: Clear,
    flags: npt.NDArray[np.uint8],
    percent: npt.NDArray[np.uint8],
    first: int,
    last: int,
) -> None:
    unit = 1e-4
    for row in range(first, last):
        for column in range(flags.shape[1]):
            flag = flags[row, column]
            if flag & VALID == 0:
                continue
            swir1 = bands.swir1[row, column] * unit
            celsius = bands.celsius[row, column] * 0.01 if has_temperature else 0.0
            if flag & WATER:
                chance = rules.brightness(swir1)
                if has_temperature:
                    chance *= min(1.0, max(0.0, (clear.water - celsius) / 4.0))
            else:
                blue = bands.blue[row, column] * unit
                red = bands.red[row, column] * unit
                chance = rules.variability(
                    blue,
                    bands.green[row, column] * unit,
                    red,
                    bands.nir[row, column] * unit,
                    swir1,
                )
                if has_temperature:
                    chance *= rules.between(-celsius, -clear.land_high, -clear.land_low)
                else:
                    chance *= rules.between(rules.haze(blue, red), clear.haze_low, clear.haze_high)
            if has_cirrus:
                cirrus = bands.cirrus[row, column] * unit / 0.04
                chance += cirrus_weight * min(1.0, max(0.0, cirrus))
            percent[row, column] = int(min(float(_MOST), chance * STEP + 0.5))


def _quantile(counts: npt.NDArray[np.int64], share: float) -> float:
    """Return the index of a histogram below which ``share`` of the counts lie."""
    total = np.cumsum(counts)
    return float(np.searchsorted(total, share * total[-1]))


def _at(celsius: float) -> npt.NDArray[np.int64]:
    counts = np.zeros(_BINS, np.int64)
    counts[round((celsius - _CELSIUS_LOW) / _CELSIUS_STEP)] = 1
    return counts
