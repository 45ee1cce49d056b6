"""Radar passes for optical dates: near in time, on one relative orbit, covering the area.

Two radar images of different orbits see the ground from different sides; comparing them shows
the geometry, not a change. So all dates get their pass from the same relative orbit, and what
counts is the ground that all passes see.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

from skymend.core.errors import ConfigError
from skymend.sources.area import Area
from skymend.sources.candidates import Pass, Row, Table, best_first, gather, needed, percent
from skymend.sources.globe import size_km2

if TYPE_CHECKING:
    import pystac

MOST_COMBINATIONS = 4096
"""Combinations of passes that are compared for one orbit."""

MOST_NEAR = 64
"""Passes of one orbit that are tried for one date."""

Side: TypeAlias = Literal["both", "before", "after"]


@dataclass(frozen=True, slots=True)
class PairingRules:
    """What a radar pass must fulfil.

    Parameters
    ----------
    window_days : most days between optical date and radar pass.
    coverage_min : smallest share 0..1 of the area that the passes of all dates must see.
    side : passes ``before`` the date, ``after`` it, or ``both``.
    direction : ``ascending`` or ``descending`` only; None takes either.
    polarisations : channels that each product of a pass must have.
    """

    window_days: float = 6.0
    coverage_min: float = 0.99
    side: Side = "both"
    direction: str | None = None
    polarisations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.window_days <= 366:
            raise ConfigError(
                where="--window-days",
                expected="a bounded window of up to 366 days",
                found=str(self.window_days),
                fix="give a number of days above 0",
            )


@dataclass(frozen=True, eq=False)
class Pairing:
    """One pass for each date, in the order of the dates, or none; and the table of all.

    ``coverage`` is the share 0..1 of the area that all passes see.
    """

    passes: tuple[Pass, ...]
    coverage: float
    table: Table


@dataclass(frozen=True, eq=False, slots=True)
class _Partial:
    """Passes for the first dates, and how far they are from them in all."""

    ones: tuple[Pass, ...] = ()
    days: int = 0
    hours: float = 0.0
    ids: tuple[str, ...] = ()

    @property
    def cost(self) -> tuple[object, ...]:
        return (self.days, round(self.hours, 6), self.ids)

    def plus(self, one: Pass, hours: float) -> _Partial:
        """Return these and another pass, so many hours from its date."""
        days = self.days + int(hours // 24)
        return _Partial((*self.ones, one), days, self.hours + hours, (*self.ids, one.id))


@dataclass(frozen=True, eq=False)
class _Match:
    """One pass of the same orbit for each date."""

    passes: tuple[Pass, ...]
    coverage: float
    days: int
    hours: float

    @property
    def cost(self) -> tuple[object, ...]:
        """By whole days of distance, then coverage, then hours; names break ties."""
        ids = tuple(p.id for p in self.passes)
        return (self.days, -round(self.coverage, 3), round(self.hours, 6), ids)


def pair(
    dates: Sequence[datetime],
    items: Iterable[pystac.Item],
    area: Area,
    rules: PairingRules | None = None,
) -> Pairing:
    """Choose a radar pass for each date.

    Parameters
    ----------
    dates : optical dates, one or more, timezone-aware.
    items : radar products, one version of each acquisition.
    area : what the passes must cover.
    rules : window, coverage, side and direction.

    Returns
    -------
    Of all combinations within the window on one relative orbit that see enough of the area:
    the one with the fewest whole days between dates and passes, then the greatest common
    coverage, then the fewest hours.
    """
    rules = rules or PairingRules()
    passes, rows = gather(items, area)
    reasons: dict[str, str] = {}
    open_passes = [p for p in passes if not _refused(p, dates, rules, reasons)]
    matches = _matches(dates, open_passes, area, rules, reasons)
    winner = min(
        (m for m in matches if m.coverage >= rules.coverage_min), key=lambda m: m.cost, default=None
    )
    _explain(matches, winner, rules, reasons)
    taken = () if winner is None else winner.passes
    for one in passes:
        if one in taken:
            slim, spared = needed(one, area)
            date = dates[taken.index(one)]
            rows += spared
            hours = _hours(one, date)
            rows += slim.rows(area, f"for {date:%Y-%m-%d}", chosen=True, gap_hours=hours)
        else:
            reason = reasons.get(one.id, "nearer passes of its orbit were tried")
            rows += one.rows(area, reason, gap_hours=_gap(one, dates))
    slim_passes = tuple(needed(p, area)[0] for p in taken)
    coverage = 0.0 if winner is None else winner.coverage
    return Pairing(slim_passes, coverage, Table(best_first(rows)))


def _refused(
    one: Pass, dates: Sequence[datetime], rules: PairingRules, reasons: dict[str, str]
) -> bool:
    """Tell whether a pass can serve no date at all, and note why."""
    near = [d for d in dates if _within(one, d, rules)]
    if rules.direction is not None and one.direction != rules.direction:
        reasons[one.id] = f"{one.direction or 'of unknown direction'}, {rules.direction} wanted"
    elif (lacking := one.lacking(rules.polarisations)) is not None:
        reasons[one.id] = lacking
    elif one.relative_orbit is None and len(dates) > 1:
        reasons[one.id] = "its relative orbit is not stated"
    elif not near:
        date = min(dates, key=lambda d: abs(_hours(one, d)))
        reasons[one.id] = _too_far(_hours(one, date), date, rules)
    return one.id in reasons


def _too_far(hours: float, date: datetime, rules: PairingRules) -> str:
    if abs(hours) <= 24 * rules.window_days:
        return f"{'after' if hours > 0 else 'before'} {date:%Y-%m-%d}, only {rules.side} wanted"
    return (
        f"{abs(hours) / 24:.1f} days from {date:%Y-%m-%d}, the window is {rules.window_days:g} days"
    )


def _matches(
    dates: Sequence[datetime],
    passes: Sequence[Pass],
    area: Area,
    rules: PairingRules,
    reasons: dict[str, str],
) -> list[_Match]:
    """Return every combination of passes of one orbit, one for each date, none twice."""
    found: list[_Match] = []
    for orbit in sorted({p.relative_orbit for p in passes}, key=str):
        same = [p for p in passes if p.relative_orbit == orbit]
        near = [_nearest(same, date, rules) for date in dates]
        for missing in (date for date, some in zip(dates, near, strict=True) if not some):
            lacking = f"orbit {orbit} has no pass within the window of {missing:%Y-%m-%d}"
            reasons.update({p.id: lacking for p in same})
        combinations = _combinations(near, dates)
        found += [_match(c, dates, area) for c in combinations]
        alone = f"orbit {orbit} has one pass only for {len(dates)} dates"
        for one in same if not combinations else ():
            reasons.setdefault(one.id, alone)
    return found


def _nearest(passes: Sequence[Pass], date: datetime, rules: PairingRules) -> list[Pass]:
    """Return the passes within the window of a date, the nearest first."""
    found = [p for p in passes if _within(p, date, rules)]
    return sorted(found, key=lambda p: (abs(_hours(p, date)), p.id))[:MOST_NEAR]


def _combinations(
    near: Sequence[Sequence[Pass]], dates: Sequence[datetime]
) -> list[tuple[Pass, ...]]:
    """Return combinations of one pass for each date, none twice: the nearest in all."""
    found: list[_Partial] = [_Partial()]
    for passes, date in zip(near, dates, strict=True):
        longer = [c.plus(p, abs(_hours(p, date))) for c in found for p in passes if p not in c.ones]
        found = sorted(longer, key=lambda c: c.cost)[:MOST_COMBINATIONS]
    return [c.ones for c in found]


def _match(passes: tuple[Pass, ...], dates: Sequence[datetime], area: Area) -> _Match:
    common = area.shape
    for one in passes:
        common = common.intersection(one.footprint)
    hours = [abs(_hours(p, d)) for p, d in zip(passes, dates, strict=True)]
    return _Match(
        passes, min(1.0, size_km2(common) / area.km2), sum(int(h // 24) for h in hours), sum(hours)
    )


def _explain(
    matches: Sequence[_Match],
    winner: _Match | None,
    rules: PairingRules,
    reasons: dict[str, str],
) -> None:
    """Note why the passes of the other combinations are not used, by the best of each."""
    ordered = sorted(matches, key=lambda m: (m.coverage < rules.coverage_min, *m.cost))
    for match in ordered:
        for one in match.passes:
            reasons.setdefault(one.id, _shortcoming(match, winner, rules))


def _shortcoming(match: _Match, winner: _Match | None, rules: PairingRules) -> str:
    if match.coverage < rules.coverage_min or winner is None:
        seen = "it covers" if len(match.passes) == 1 else "the passes of all dates see"
        share = math.floor(1000 * match.coverage) / 1000
        return f"{seen} {percent(share)} of the area, {percent(rules.coverage_min)} wanted"
    orbit = winner.passes[0].relative_orbit
    own = orbit is None or orbit == match.passes[0].relative_orbit
    better = "another pass" if own else f"orbit {orbit}"
    if match.days != winner.days:
        return f"{better} is nearer: {winner.days} days in all, here {match.days}"
    if round(match.coverage, 3) != round(winner.coverage, 3):
        return f"{better} covers more: {percent(winner.coverage)}"
    minutes = 60 * (match.hours - winner.hours)
    return f"{better} is nearer by {minutes:.0f} minutes in all"


def _within(one: Pass, date: datetime, rules: PairingRules) -> bool:
    hours = _hours(one, date)
    wanted = {"both": True, "before": hours <= 0, "after": hours >= 0}[rules.side]
    return wanted and abs(hours) <= 24 * rules.window_days


def _hours(one: Pass, date: datetime) -> float:
    return (one.time - date) / timedelta(hours=1)


def _gap(one: Pass, dates: Sequence[datetime]) -> float:
    return min((_hours(one, date) for date in dates), key=abs)


def chosen_rows(pairing: Pairing) -> list[Row]:
    """Return the rows of the products that are used."""
    return [row for row in pairing.table.rows if row.chosen]
