"""What farmers, foresters and rivers do in a season, parcel by parcel, with dates.

A season runs from 1 November to 31 October and is named after the year it ends in; every
parcel's calendar follows from (seed, season) alone. Changes take place at midnight UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.simulate.landscape import BROADLEAF, CONIFER, GRASS, IntArray, landscape
from skymend.simulate.noise import generator

NEVER = 9999.0
"""A day of the season that does not come."""

HARVEST, CUT, PLOUGH, CLEAR_CUT, FLOOD = range(1, 6)
KINDS = ("harvest", "cut", "plough", "clear-cut", "flood")


@dataclass(frozen=True, slots=True)
class Crop:
    """One use of a field: means of what varies from parcel to parcel.

    Parameters
    ----------
    share : share of the fields.
    rise, rise_rate : day of year of half growth and its rate, 1/day.
    ripe, ripe_rate : day of year of half senescence and its rate, 1/day.
    harvest, spread : mean day of year of the harvest and its standard deviation, days.
    peak : green cover at the height of the season, 0..1.
    attenuation : how much more the canopy weakens VV than a random one (vertical stems).
    after : crop that follows in the same season, by index, or -1.
    """

    name: str
    share: float
    rise: float
    rise_rate: float
    ripe: float
    ripe_rate: float
    harvest: float
    spread: float
    peak: float
    attenuation: float = 1.0
    after: int = -1


CROPS = (
    Crop("wheat", 0.22, 84, 0.055, 172, 0.13, 193, 8, 0.93, 1.6),
    Crop("barley", 0.10, 76, 0.06, 158, 0.14, 175, 7, 0.90, 1.6),
    Crop("rapeseed", 0.10, 66, 0.06, 168, 0.12, 187, 7, 0.92, 1.1),
    Crop("sunflower", 0.13, 158, 0.10, 226, 0.11, 250, 9, 0.86, 0.9),
    Crop("maize", 0.12, 166, 0.10, 252, 0.09, 270, 9, 0.92, 0.9),
    Crop("silage rye", 0.09, 70, 0.06, NEVER, 0.1, 133, 9, 0.94, 1.5, after=4),
    Crop("cover crop", 0.09, 50, 0.05, NEVER, 0.1, 108, 12, 0.80, 1.0, after=3),
    Crop("peas", 0.05, 112, 0.09, 172, 0.16, 183, 6, 0.88, 0.9),
    Crop("lucerne", 0.10, 70, 0.06, NEVER, 0.1, NEVER, 1, 0.95, 0.9),
)
"""Calendars of south-western France (start, height and end of season as in the regional
crop bulletins; timing spread of about a week between farms)."""

LUCERNE = 8
RAPESEED = 2
_MEADOW = Crop("meadow", 0.0, 68, 0.05, NEVER, 0.1, NEVER, 1, 0.88)


@dataclass(frozen=True, slots=True)
class Season:
    """Calendars of all parcels; arrays are (parcels,) of days since 1 January.

    ``rise``, ``ripe``, ``harvest``, ``plough`` and ``peak`` have shape (2, parcels): the main
    crop and what follows it. ``cuts`` is (3, parcels). Days that never come are ``NEVER``.
    """

    year: int
    crop: IntArray
    rise: FloatArray
    rise_rate: FloatArray
    ripe: FloatArray
    ripe_rate: FloatArray
    harvest: FloatArray
    peak: FloatArray
    plough: FloatArray
    cuts: FloatArray
    clear_cut: FloatArray
    attenuation: FloatArray
    flood: tuple[float, float]
    """First and last day of the flood of the season."""

    def day(self, when: date) -> float:
        """Days since 1 January of the season's year; negative in the autumn before."""
        return float((when - date(self.year, 1, 1)).days)


def season_of(when: date) -> int:
    """Return the season a day belongs to."""
    return when.year + (when.month >= 11)


@lru_cache(maxsize=8)
def season(seed: int, size_px: int, year: int) -> Season:
    """Draw what happens to every parcel of a scene in a season."""
    land = landscape(seed, size_px)
    rng = generator(seed, "season", year)
    n = land.parcels
    kind = _parcel_cover(seed, size_px)
    shares = np.array([c.share for c in CROPS])
    crop = rng.choice(len(CROPS), n, p=shares / shares.sum()).astype(np.int32)
    crop[kind == GRASS] = -1
    first = [_crop(i) for i in crop]
    second = [_follower(c, rng.uniform()) for c in first]
    tables = [_draw(first, rng), _draw(second, rng)]
    rise, ripe, harvest, peak = (np.stack(parts) for parts in zip(*tables, strict=True))
    rise[1] = np.maximum(rise[1], np.where(harvest[0] < NEVER, harvest[0] + 38, 0))
    fallow = rng.choice([1.0, 0.0], n, p=[0.75, 0.25])
    wait = rng.gamma(2.0, 9.0, (2, n)) + 3
    plough = np.where(harvest < NEVER, np.floor(harvest + wait), NEVER)
    plough[0] = np.where(fallow + (peak[1] > 0) > 0, plough[0], NEVER)
    plough[0] = np.where(peak[1] > 0, np.minimum(plough[0], harvest[0] + 16), plough[0])
    wooded = (kind == BROADLEAF) | (kind == CONIFER)
    felled = wooded & (rng.uniform(size=n) < 0.04)
    clear_cut = np.where(felled, np.floor(rng.uniform(-50, 290, n)), NEVER)
    return Season(
        year=year,
        crop=crop,
        rise=rise,
        rise_rate=np.array([[c.rise_rate for c in cs] for cs in (first, second)], np.float32),
        ripe=ripe,
        ripe_rate=np.array([[c.ripe_rate for c in cs] for cs in (first, second)], np.float32),
        harvest=harvest,
        peak=peak,
        plough=plough.astype(np.float32),
        cuts=_cuts(crop, kind, rng),
        clear_cut=clear_cut.astype(np.float32),
        attenuation=np.array([[c.attenuation for c in cs] for cs in (first, second)], np.float32),
        flood=_flood(seed, year),
    )


def _flood(seed: int, year: int) -> tuple[float, float]:
    """Draw the first and last day of the season's flood, between spring and midsummer."""
    rng = generator(seed, "flood", year)
    first = float(rng.integers(95, 190))
    return first, first + float(rng.integers(8, 17))


@lru_cache(maxsize=2)
def _parcel_cover(seed: int, size_px: int) -> IntArray:
    """Return the cover of the first pixel of each parcel."""
    land = landscape(seed, size_px)
    counts = np.zeros((8, land.parcels), np.int64)
    np.add.at(counts, (land.cover.ravel(), land.parcel.ravel()), 1)
    return np.asarray(counts[1:5].argmax(axis=0) + 1, np.int32)


def _crop(index: int) -> Crop:
    return CROPS[index] if index >= 0 else _MEADOW


def _follower(crop: Crop, draw: float) -> Crop:
    """Return the second crop: as planned, or volunteers and catch crops on a third."""
    if crop.after >= 0:
        return CROPS[crop.after]
    regrowth = Crop("regrowth", 0, 0, 0.09, NEVER, 0.1, NEVER, 1, 0.0)
    if crop.harvest < 200 and draw < 0.35:
        return Crop("catch crop", 0, 232, 0.09, NEVER, 0.1, NEVER, 1, 0.65)
    return regrowth


def _draw(
    crops: list[Crop], rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Draw rise, ripeness, harvest and peak of one crop per parcel."""
    n = len(crops)
    early = rng.normal(0, 1, n)
    jitter = rng.normal(0, 1, (3, n))
    spread = np.array([c.spread for c in crops])
    rise = np.array([c.rise for c in crops]) + 7 * early + 3 * jitter[0]
    ripe = np.array([c.ripe for c in crops]) + 0.6 * spread * early + 2 * jitter[1]
    harvest = np.array([c.harvest for c in crops])
    moved = np.floor(harvest + spread * (0.6 * early + 0.8 * jitter[2]))
    harvest = np.where(harvest < NEVER, moved, NEVER)
    peak = np.array([c.peak for c in crops]) * np.clip(rng.normal(1, 0.06, n), 0.7, 1.04)
    return (
        rise.astype(np.float32),
        np.where(ripe < NEVER / 2, ripe, NEVER).astype(np.float32),
        harvest.astype(np.float32),
        peak.astype(np.float32),
    )


def _cuts(crop: IntArray, kind: IntArray, rng: np.random.Generator) -> FloatArray:
    """Draw mowing days, (3, parcels): lucerne thrice, most meadows once or twice."""
    n = len(crop)
    first = rng.normal(np.where(crop == LUCERNE, 126, 148), 11, n)
    cuts = np.stack([first, first + rng.normal(40, 6, n), first + rng.normal(84, 9, n)])
    times = rng.choice([0, 1, 2], n, p=[0.35, 0.4, 0.25])
    times = np.where(crop == LUCERNE, 3, np.where(kind == GRASS, times, 0))
    mown = np.arange(3)[:, None] < times
    return np.where(mown, np.floor(cuts), NEVER).astype(np.float32)


def changes(seed: int, size_px: int, first: date, last: date) -> list[tuple[date, int, IntArray]]:
    """List abrupt changes of a period.

    Returns
    -------
    (day, kind, parcels) in order of time; ``kind`` is one of ``HARVEST`` ... ``FLOOD`` and
    ``parcels`` the indices concerned (empty for a flood, which keeps to no parcel).
    """
    found: list[tuple[date, int, IntArray]] = []
    for year in range(season_of(first), season_of(last) + 1):
        calendar = season(seed, size_px, year)
        origin = date(year, 1, 1)
        for kind, days in _event_tables(calendar):
            for day in np.unique(days[days < NEVER / 2]):
                when = origin + timedelta(days=int(day))
                if first <= when <= last and season_of(when) == year:
                    parcels = np.nonzero((days == day).any(axis=0))[0].astype(np.int32)
                    found.append((when, kind, parcels))
        flood = origin + timedelta(days=int(calendar.flood[0]))
        if first <= flood <= last:
            found.append((flood, FLOOD, np.zeros(0, np.int32)))
    return sorted(found, key=lambda c: (c[0], c[1]))


def _event_tables(calendar: Season) -> tuple[tuple[int, FloatArray], ...]:
    grown = np.where(calendar.peak > 0.1, calendar.harvest, NEVER)
    return (
        (HARVEST, grown),
        (CUT, calendar.cuts),
        (PLOUGH, calendar.plough),
        (CLEAR_CUT, calendar.clear_cut[None]),
    )
