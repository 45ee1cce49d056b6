"""Clouds, their shadows and haze over a scene on one date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.simulate.noise import blur, fractal, generator
from skymend.simulate.scenario import Scenario
from skymend.simulate.spectra import sun

_SPELL_BLOCK_DAYS = 76
_BORDER_PX = 64


@dataclass(frozen=True, slots=True)
class Weather:
    """The kind of sky of a date, before any pixel is drawn.

    Parameters
    ----------
    cover : share of the sky behind thick clouds, 0..1.
    cirrus : share of the sky behind thin high clouds, 0..1.
    base_m : height of the clouds above ground, which places their shadows.
    spell : number of the cloudy spell the date belongs to, or -1.
    """

    cover: float
    cirrus: float
    base_m: float
    spell: int


@dataclass(frozen=True, slots=True)
class Sky:
    """What stands between sun, land and sensor; maps are (rows, columns).

    Parameters
    ----------
    thick, thin : opacity of low clouds and of cirrus seen from above, 0..1.
    shadow : share of direct sunlight the low clouds take from the ground, 0..1.
    whiteness : brightness pattern of the cloud tops, mean 0, standard deviation 1.
    aerosol : path reflectance of B02 that atmospheric correction left.
    shift_px : (rows, columns) from a cloud to its shadow.
    weather : the kind of sky.
    """

    thick: FloatArray
    thin: FloatArray
    shadow: FloatArray
    whiteness: FloatArray
    aerosol: FloatArray
    shift_px: tuple[float, float]
    weather: Weather


def spell(scenario: Scenario, day: date) -> int:
    """Return the number of the cloudy spell that holds a day, or -1.

    Each stretch of 76 days since year 1 has one spell of 20 to 34 days at a place of its own
    seed; with clear dates only around it, the gap over a pixel reaches 20 to 45 days.
    """
    if not scenario.spells or scenario.cloudiness == 0:
        return -1
    block = day.toordinal() // _SPELL_BLOCK_DAYS
    rng = generator(scenario.seed, "spell", block)
    length = int(rng.integers(20, 35))
    first = block * _SPELL_BLOCK_DAYS + int(rng.integers(0, _SPELL_BLOCK_DAYS - length))
    return block if first <= day.toordinal() < first + length else -1


def weather(scenario: Scenario, day: date) -> Weather:
    """Draw the kind of sky of a date.

    Outside spells about half of the dates are nearly clear at a cloudiness of 0.5, as
    observed over western Europe (Sudmanns et al. 2020, Int. J. Digital Earth 13(7)).
    """
    rng = generator(scenario.seed, "weather", day.toordinal())
    inside = spell(scenario, day)
    # A cloudiness of 0.5 leaves the draw alone; 0 and 1 push it to the ends.
    power = np.inf if scenario.cloudiness == 0 else 1 / scenario.cloudiness - 1
    draw = float(rng.uniform() ** power)
    limits = (0.0, 0.05, 0.22, 0.55) if inside >= 0 else (0.42, 0.68, 0.84, 0.91)
    ranges = ((0.0, 0.01), (0.04, 0.22), (0.22, 0.6), (0.65, 0.92), (1.0, 1.0))
    kind = int(np.searchsorted(limits, draw, side="right"))
    cover = float(rng.uniform(*ranges[kind]))
    if scenario.cloudiness == 0:
        kind, cover = 0, 0.0
    veiled = rng.uniform() < 0.22 and kind > 0
    return Weather(
        cover=cover,
        cirrus=float(rng.uniform(0.1, 0.6)) if veiled else 0.0,
        base_m=float(rng.uniform(500, 1700)),
        spell=inside,
    )


def shadow_shift_px(scenario: Scenario, day: date, base_m: float) -> tuple[float, float]:
    """Return how far shadows lie from their clouds, (rows, columns) at 10 m.

    ``height * tan(zenith)`` away from the sun: towards azimuth + 180 degrees.
    """
    zenith, azimuth = sun(scenario, scenario.optical_time(day))
    distance_px = base_m * np.tan(np.radians(zenith)) / 10.0
    toward = np.radians(azimuth + 180)
    return float(-np.cos(toward) * distance_px), float(np.sin(toward) * distance_px)


@lru_cache(maxsize=2)
def sky(scenario: Scenario, day: date) -> Sky:
    """Draw the sky of a date.

    The cloud field is periodic and a little larger than the scene, so that clouds outside
    the image throw their shadows into it.
    """
    now = weather(scenario, day)
    rng = generator(scenario.seed, "sky", day.toordinal())
    padded = (scenario.size_px + _BORDER_PX,) * 2
    whiteness = fractal(padded, rng, slope=2.2, longest_px=80)
    low = _low_clouds(scenario, now, padded, rng)
    shift = shadow_shift_px(scenario, day, now.base_m)
    shadow = blur(_rolled(low, shift), 1.0)
    thin = _cirrus(now, padded, rng)
    aerosol = _aerosol(scenario, padded, rng)
    inside = (slice(0, scenario.size_px), slice(0, scenario.size_px))
    return Sky(
        thick=low[inside],
        thin=thin[inside],
        shadow=np.clip(shadow[inside], 0, 1),
        whiteness=whiteness[inside],
        aerosol=aerosol[inside],
        shift_px=shift,
        weather=now,
    )


def _low_clouds(
    scenario: Scenario, now: Weather, shape: tuple[int, int], rng: np.random.Generator
) -> FloatArray:
    """Return the opacity of low clouds: a fractal cut at the quantile of the cover.

    Within a spell all dates share half of their field, so that the same places stay hidden.
    """
    broken = now.cover < 0.6
    field = fractal(shape, rng, slope=3.0 if broken else 3.4, longest_px=90 if broken else 250)
    detail = fractal(shape, rng, slope=2.3, longest_px=24)
    if now.spell >= 0:
        lasting = generator(scenario.seed, "lasting", now.spell)
        field = 0.7 * field + 0.8 * fractal(shape, lasting, slope=3.0, longest_px=200)
    field = field + 0.17 * detail
    if now.cover < 0.002:
        return np.zeros(shape, np.float32)
    if now.cover >= 1:
        return np.asarray(1 - np.exp(-(2.6 + 0.7 * field).clip(0.9, None)), np.float32)
    base = np.quantile(field, 1 - now.cover)
    depth = np.clip(field - base, 0, None) * (3.2 if broken else 2.2)
    return blur(np.asarray(1 - np.exp(-depth), np.float32), 1.1)


def _cirrus(now: Weather, shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    stretch = (0.6, 1.4) if rng.uniform() < 0.5 else (1.4, 0.6)
    streaks = fractal(shape, rng, slope=3.6, stretch=stretch, longest_px=300)
    if now.cirrus <= 0:
        return np.zeros(shape, np.float32)
    base = np.quantile(streaks, 1 - now.cirrus)
    return np.asarray(0.38 * (1 - np.exp(-0.9 * np.clip(streaks - base, 0, None))), np.float32)


def _aerosol(scenario: Scenario, shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    smooth = fractal(shape, rng, slope=3.4)
    level = scenario.haze * rng.gamma(1.5, 1 / 1.5)
    return np.asarray(np.clip(level * (1 + 0.25 * smooth), 0, None), np.float32)


def _rolled(field: FloatArray, shift: tuple[float, float]) -> FloatArray:
    """Displace a periodic field by a fraction of pixels, bilinearly."""
    row, column = (int(np.floor(s)) for s in shift)
    part_row, part_column = shift[0] - row, shift[1] - column
    rolled = np.roll(field, (row, column), axis=(0, 1))
    rolled = (1 - part_row) * rolled + part_row * np.roll(rolled, 1, axis=0)
    rolled = (1 - part_column) * rolled + part_column * np.roll(rolled, 1, axis=1)
    return np.asarray(rolled, np.float32)
