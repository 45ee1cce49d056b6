"""The state of the land on one day: vegetation, residues, soil, water."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.simulate.landscape import (
    BROADLEAF,
    CONIFER,
    FIELD,
    GRASS,
    BoolArray,
    Landscape,
    landscape,
)
from skymend.simulate.noise import fractal, generator, logistic
from skymend.simulate.scenario import Scenario
from skymend.simulate.seasons import NEVER, RAPESEED, Season, season, season_of

_MEMORY_DAYS = 25
_RAIN_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Surface:
    """Maps of one day, (rows, columns).

    Parameters
    ----------
    green, dry : cover of green and of dry vegetation or residues, 0..1; the rest is soil.
    canopy : descriptor of the wet biomass that a radar sees, 0..1 as a vegetation index.
    attenuation : factor on the extinction of VV (vertical stems weaken it more).
    roughness_cm : standard deviation of soil heights.
    moisture : volumetric soil moisture of the top 5 cm, m3/m3.
    blossom : share of yellow rapeseed flowers, 0..1.
    flooded : under water by a flood.
    felled : clear-cut forest, 0..1 fading as it grows back.
    """

    green: FloatArray
    dry: FloatArray
    canopy: FloatArray
    attenuation: FloatArray
    roughness_cm: FloatArray
    moisture: FloatArray
    blossom: FloatArray
    flooded: BoolArray
    felled: FloatArray


def rain_mm(seed: int, ordinal: int) -> float:
    """Return the rain of one day, millimetres, by the day's own seed."""
    rng = generator(seed, "rain", ordinal)
    wet = rng.uniform() < _RAIN_SHARE
    return float(rng.gamma(0.9, 8.0)) if wet else 0.0


def mean_moisture(seed: int, day: date) -> float:
    """Return the mean soil moisture of a day, m3/m3.

    An antecedent precipitation index with a drying time of 5 days (summer, bare topsoil),
    between 0.08 (dry) and 0.38 (wet).
    """
    ages = range(_MEMORY_DAYS)
    index = sum(rain_mm(seed, day.toordinal() - age) * 0.82**age for age in ages)
    return 0.08 + 0.30 * (1 - float(np.exp(-index / 28.0)))


@lru_cache(maxsize=4)
def surface(scenario: Scenario, day: date) -> Surface:
    """Return the state of the land on a day."""
    land = landscape(scenario.seed, scenario.size_px)
    calendar = season(scenario.seed, scenario.size_px, season_of(day))
    t = calendar.day(day)
    fields = _fields(calendar, t)
    maps = {name: values[land.parcel] for name, values in fields.items()}
    felled = _felled(scenario, land, day)
    green, dry, canopy = _vegetation(land, maps, felled, t)
    flooded = _flooded(land, calendar, t)
    moisture = _moisture(scenario, land, day, calendar, t)
    return Surface(
        green=green,
        dry=dry,
        canopy=canopy,
        attenuation=maps["attenuation"],
        roughness_cm=maps["roughness"],
        moisture=moisture,
        blossom=maps["blossom"] * (land.cover == FIELD),
        flooded=flooded,
        felled=felled,
    )


def _fields(calendar: Season, t: float) -> dict[str, FloatArray]:
    """Return the state of every parcel as if it were a field or meadow, (parcels,) each."""
    standing = calendar.peak * logistic(calendar.rise_rate * (t - calendar.rise))
    standing = np.where(t >= calendar.harvest, 0, standing)
    ripe = logistic(calendar.ripe_rate * (t - calendar.ripe))
    green = (standing * (1 - ripe)).sum(axis=0)
    straw = (standing * ripe).sum(axis=0)
    mown = _mown(calendar, t)
    since_harvest = _since(calendar.harvest, t)
    since_plough = _since(calendar.plough, t)
    fresh = since_harvest < since_plough
    stubble = np.where(fresh, 0.55 * np.exp(-since_harvest / 60.0), 0.0)
    stubble = np.where(calendar.peak[0] > 0.1, stubble, 0.0)
    rough = 0.9 + 2.0 * np.exp(-since_plough / 25.0)
    lead = standing.argmax(axis=0)
    return {
        "green": np.asarray(green * mown, np.float32),
        "straw": np.asarray(straw, np.float32),
        "stubble": np.asarray(stubble * (1 - green), np.float32),
        "mown": np.asarray(1 - mown, np.float32),
        "roughness": np.asarray(rough, np.float32),
        "attenuation": np.take_along_axis(calendar.attenuation, lead[None], axis=0)[0],
        "blossom": _blossom(calendar, t),
        "grass": np.asarray(calendar.crop < 0, np.float32),
    }


def _since(days: FloatArray, t: float) -> FloatArray:
    """Return days since the last of the events, ``NEVER`` before the first."""
    passed = np.where(days <= t, t - days, NEVER)
    return np.asarray(passed.min(axis=0), np.float32)


def _mown(calendar: Season, t: float) -> FloatArray:
    """Return what mowing left and regrowth restored of the sward, 0..1."""
    since = _since(calendar.cuts, t)
    return np.asarray(1 - 0.68 * np.exp(-((since / 17.0) ** 1.6)), np.float32)


def _blossom(calendar: Season, t: float) -> FloatArray:
    """Rapeseed flowers for some four weeks, three weeks after half growth."""
    flowering = np.exp(-(((t - calendar.rise[0] - 38) / 13.0) ** 2))
    return np.asarray(np.where(calendar.crop == RAPESEED, flowering, 0), np.float32)


def _vegetation(
    land: Landscape, maps: dict[str, FloatArray], felled: FloatArray, t: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return green cover, dry cover and canopy descriptor of all covers."""
    vigour = np.clip(1 + 0.07 * land.variation + 0.025 * land.texture, 0.5, 1.2)
    summer = _summer_drought(t)
    meadow = np.clip(maps["green"] * (1 - 0.25 * summer), 0.18 * (1 - maps["mown"]), 1)
    leaves = 0.25 + 0.70 * _bump(t, 104, 0.13, 302, 0.10)
    cover = land.cover
    winter_weeds = np.float32(0.05)
    green = np.select(
        [cover == FIELD, cover == GRASS, cover == BROADLEAF, cover == CONIFER],
        [maps["green"] + winter_weeds, meadow, leaves, 0.92],
        0.0,
    )
    green = np.clip(green * vigour, 0, 0.98) * (1 - felled) + 0.1 * felled
    dry = np.select(
        [cover == FIELD, cover == GRASS, cover == BROADLEAF],
        [
            maps["straw"] + maps["stubble"],
            0.10 + 0.25 * maps["mown"] + 0.2 * summer,
            0.5 * (1 - leaves),
        ],
        0.0,
    )
    dry = np.clip(dry * (1 - felled) + 0.35 * felled, 0, 1 - green)
    straw = np.where(cover == FIELD, maps["straw"], 0.0)
    canopy = np.clip(green + 0.6 * straw, 0, 1)
    maps_of = (green, dry, canopy)
    green, dry, canopy = (np.asarray(a, np.float32) for a in maps_of)
    return green, dry, canopy


def _bump(t: float, rise: float, rise_rate: float, fall: float, fall_rate: float) -> float:
    """Return a double logistic (Beck et al. 2006, RSE 100(3), equation 1), 0..1."""
    up, down = logistic(np.array([rise_rate * (t - rise), fall_rate * (t - fall)], np.float32))
    return float(up - down)


def _summer_drought(t: float) -> float:
    return _bump(t, 190, 0.08, 265, 0.08)


def _felled(scenario: Scenario, land: Landscape, day: date) -> FloatArray:
    """Return clear-cut forest of this season and the three before, fading with regrowth."""
    felled = np.zeros(land.parcels, np.float32)
    for year in range(season_of(day) - 3, season_of(day) + 1):
        calendar = season(scenario.seed, scenario.size_px, year)
        since = calendar.day(day) - calendar.clear_cut
        regrown = np.exp(-np.maximum(since, 0) / 900.0)
        felled = np.maximum(felled, np.where(since >= 0, regrown, 0))
    forest = (land.cover == BROADLEAF) | (land.cover == CONIFER)
    return np.asarray(felled[land.parcel] * forest, np.float32)


def flood_plain(land: Landscape) -> BoolArray:
    """Return what a flood covers: near the river, farther where the ground is low."""
    reach = 11 + 5 * land.variation
    return np.asarray(land.river_distance_px < reach)


def _flooded(land: Landscape, calendar: Season, t: float) -> BoolArray:
    first, last = calendar.flood
    if not first <= t <= last:
        return np.zeros(land.cover.shape, np.bool_)
    fall = (t - first) / (last - first)
    dry_land = land.river_distance_px > (11 + 5 * land.variation) * (1 - 0.5 * fall**2)
    return flood_plain(land) & ~dry_land


def _moisture(
    scenario: Scenario, land: Landscape, day: date, calendar: Season, t: float
) -> FloatArray:
    """Return soil moisture: the day's mean, showers in patches, wet valleys."""
    mean = mean_moisture(scenario.seed, day)
    showers = fractal(
        land.cover.shape,
        generator(scenario.seed, "showers", day.toordinal()),
        slope=3.0,
        longest_px=250,
    )
    valley = 0.03 * np.exp(-land.river_distance_px / 20.0)
    moisture = mean * (1 + 0.12 * showers - 0.15 * (land.soil_tone - 0.5)) + valley
    soaked = flood_plain(land) & (t >= calendar.flood[0]) & (t < calendar.flood[1] + 15)
    return np.asarray(np.clip(moisture + 0.12 * soaked, 0.04, 0.45), np.float32)
