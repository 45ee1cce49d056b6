"""``skymend search``: ask a provider, choose among the answers, pair radar with it.

Nothing is left out silently: each product that the provider named stands in the table, chosen
or with the reason why not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from skymend.core.errors import ConfigError
from skymend.sources.area import Area
from skymend.sources.candidates import Pass, Row, Table, best_first, gather, row_of, time_of
from skymend.sources.clear import Best, choose, cloud_share, counted, stated
from skymend.sources.pairing import PairingRules, pair
from skymend.sources.protocol import Filters, Period, Source
from skymend.sources.versions import newest

if TYPE_CHECKING:
    import pystac
    from shapely.geometry import MultiPolygon

OPTICAL = ("sentinel-2-", "landsat-")
"""Starts of the collections that have a cloud share."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is searched, and how the best is chosen.

    Parameters
    ----------
    collection : skymend's name, such as ``sentinel-2-l2a``.
    area : where.
    periods : one period for each date wanted (before and after a fire, ...).
    filters : what the provider filters by.
    best : choose one pass for each period; None lists all.
    cloud_max, coverage_min : shares 0..1 of the area.
    """

    collection: str
    area: Area
    periods: tuple[Period, ...]
    filters: Filters = field(default_factory=Filters)
    best: Best | None = None
    cloud_max: float = 0.1
    coverage_min: float = 0.99

    def __post_init__(self) -> None:
        for name, share in (("--max-cloud", self.cloud_max), ("--coverage", self.coverage_min)):
            if not 0 <= share <= 1:
                raise ConfigError(
                    where=name, expected="a share of 0..1", found=str(share), fix="correct it"
                )
        for start, end in self.periods:
            if end < start:
                raise ConfigError(
                    where="period",
                    expected="a start before its end",
                    found=f"{start:%Y-%m-%d} to {end:%Y-%m-%d}",
                    fix="exchange them",
                )


@dataclass(frozen=True, eq=False)
class Footprint:
    """The outline of one product for the map."""

    shape: MultiPolygon
    label: str
    chosen: bool
    radar: bool


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    Parameters
    ----------
    passes : the chosen optical passes, one for each period that has one.
    radar : the radar passes for them, in the same order; empty when none was asked or found.
    items : all chosen products, ready to be fetched.
    table : every candidate with its reason.
    notes : what is missing, in sentences.
    """

    area: Area
    passes: tuple[Pass, ...]
    radar: tuple[Pass, ...]
    items: tuple[pystac.Item, ...]
    table: Table
    footprints: tuple[Footprint, ...]
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """True when everything that was asked for was found."""
        return bool(self.items) and not self.notes


def find(
    source: Source,
    wish: Wish,
    *,
    radar: Source | None = None,
    radar_collection: str = "sentinel-1-grd",
    rules: PairingRules | None = None,
    radar_filters: Filters | None = None,
    scene_classes: Path | None = None,
) -> Found:
    """Search, choose and pair.

    Parameters
    ----------
    source : who is asked for the wish's collection.
    radar : who is asked for radar; None pairs nothing. Needs a wish with ``best``.
    rules : of pairing.
    scene_classes : folder into which scene classes of candidates are fetched, to count clouds
        inside the area; None judges by the share that the provider states.

    Raises
    ------
    ConfigError
        if radar is wanted for no chosen date, or the provider cannot answer.
    """
    if wish.best is not None and not wish.collection.startswith(OPTICAL):
        raise ConfigError(
            where="--best",
            expected=f"a collection with clouds ({', '.join(f'{o}...' for o in OPTICAL)})",
            found=wish.collection,
            fix="list it without --best; to pair radar, search optical images and name --radar",
        )
    if scene_classes is not None and wish.best is None:
        raise ConfigError(
            where="--scene-classes",
            expected="a choice by clouds (--best)",
            found="a plain listing",
            fix="say --best earliest, latest or clearest",
        )
    if radar is not None and wish.best is None:
        raise ConfigError(
            where="radar pairing",
            expected="one chosen optical date for each period (--best)",
            found="a plain listing",
            fix="say --best earliest, latest or clearest",
        )
    clouds = stated if scene_classes is None else counted(source, scene_classes)
    collected = _Collected(wish.area)
    for period in wish.periods:
        items = collected.search(source, wish.collection, period, wish.filters)
        if wish.best is None:
            collected.list_all(items)
            continue
        chosen = choose(
            items,
            wish.area,
            best=wish.best,
            cloud_max=wish.cloud_max,
            coverage_min=wish.coverage_min,
            clouds=clouds,
        )
        collected.take(chosen.best, chosen.table, period)
    if radar is not None and len(collected.passes) == len(wish.periods):
        collected.pair(radar, radar_collection, rules or PairingRules(), radar_filters or Filters())
    elif radar is not None:
        collected.notes.append("no radar was looked for: not every period has its optical date")
    return collected.found()


class _Collected:
    """What the searches of one wish gave so far."""

    def __init__(self, area: Area) -> None:
        self.area = area
        self.passes: list[Pass] = []
        self.radar: tuple[Pass, ...] = ()
        self.items: dict[str, pystac.Item] = {}
        self.rows: list[Row] = []
        self.notes: list[str] = []
        self.seen: dict[str, pystac.Item] = {}

    def search(
        self, source: Source, collection: str, period: Period, filters: Filters
    ) -> Sequence[pystac.Item]:
        """Ask a provider; older versions and twins go into the table at once."""
        answer = list(source.search(collection, self.area, period, filters))
        self.seen |= {item.id: item for item in answer}
        choice = newest(answer)
        reasons = {dropped.id: dropped.reason for dropped in choice.dropped}
        self.rows += [row_of(item, reasons[item.id]) for item in answer if item.id in reasons]
        if not answer:
            start, end = (f"{moment:%Y-%m-%d}" for moment in period)
            self.notes.append(
                f"{source.name} has no {collection} of the area between {start} and {end}"
                + _filtered(filters)
            )
        return choice.kept

    def list_all(self, items: Iterable[pystac.Item]) -> None:
        """Take every product that touches the area."""
        found, left = gather(items, self.area)
        self.rows += left
        for one in found:
            cloud = cloud_share(one, self.area)
            self.rows += one.rows(self.area, "", chosen=True, cloud=cloud)
            self.items |= {c.item.id: c.item for c in one.candidates}

    def take(self, one: Pass | None, table: Table, period: Period) -> None:
        """Take the choice of one period."""
        self.rows += table.rows
        if one is None:
            if table.rows:
                start, end = (f"{moment:%Y-%m-%d}" for moment in period)
                self.notes.append(f"nothing between {start} and {end} is clear enough")
            return
        self.passes.append(one)
        self.items |= {c.item.id: c.item for c in one.candidates}

    def pair(self, source: Source, collection: str, rules: PairingRules, filters: Filters) -> None:
        """Ask for radar around the chosen dates and pair it."""
        from datetime import timedelta

        window = timedelta(days=rules.window_days)
        dates = [one.time for one in self.passes]
        answers: dict[str, pystac.Item] = {}
        for date in dates:
            items = self.search(source, collection, (date - window, date + window), filters)
            answers |= {item.id: item for item in items}
        pairing = pair(dates, answers.values(), self.area, rules)
        self.rows += pairing.table.rows
        self.radar = pairing.passes
        for one in pairing.passes:
            self.items |= {c.item.id: c.item for c in one.candidates}
        if answers and not pairing.passes:
            self.notes.append("no radar passes of one orbit fulfil the rules for all dates")

    def found(self) -> Found:
        """Return everything."""
        rows = {(row.collection, row.id): row for row in sorted(self.rows, key=lambda r: r.chosen)}
        items = sorted(self.items.values(), key=lambda i: (time_of(i), i.id))
        return Found(
            area=self.area,
            passes=tuple(self.passes),
            radar=self.radar,
            items=tuple(items),
            table=Table(best_first(list(rows.values()))),
            footprints=_footprints(self.seen.values(), self.area, set(self.items)),
            notes=tuple(dict.fromkeys(self.notes)),
        )


def _footprints(
    items: Iterable[pystac.Item], area: Area, chosen: set[str]
) -> tuple[Footprint, ...]:
    passes, _ = gather(items, area)
    return tuple(
        Footprint(
            c.footprint,
            f"{c.time:%Y-%m-%d} {row_of(c.item, '').place}".strip(),
            c.item.id in chosen,
            (c.item.collection_id or "").startswith("sentinel-1"),
        )
        for one in passes
        for c in one.candidates
    )


def _filtered(filters: Filters) -> str:
    """Name the filters that were set, for a search that found nothing."""
    named = {f.name: getattr(filters, f.name) for f in fields(filters)}
    given = {n: v for n, v in named.items() if v not in (None, ())}
    told = [f"{n.replace('_', ' ')} {_plain(v)}" for n, v in given.items()]
    return f" ({', '.join(told)})" if told else ""


def _plain(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def days(text: str, where: str) -> Period:
    """Read ``2020-01-01/2020-01-31`` as a period in UTC, both days included.

    Raises
    ------
    ConfigError
        if it is none.
    """
    from datetime import UTC, date, time

    try:
        first, _, last = text.partition("/")
        start = datetime.combine(date.fromisoformat(first), time.min, UTC)
        return start, datetime.combine(date.fromisoformat(last or first), time.max, UTC)
    except ValueError as error:
        raise ConfigError(
            where=where,
            expected="a day or two, such as 2020-01-01/2020-01-31",
            found=repr(text),
            fix="write dates as YYYY-MM-DD",
        ) from error
