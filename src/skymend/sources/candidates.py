"""Candidates of a search: what each covers of the area, which belong to one pass, and the table.

A pass is one overflight of one satellite: the tiles of a Sentinel-2 datatake, the slices of a
Sentinel-1 strip. Its products cover the area together.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from skymend.core.errors import ConfigError
from skymend.sources.area import Area, footprint_of
from skymend.sources.globe import size_km2
from skymend.sources.versions import name_of

if TYPE_CHECKING:
    import pystac
    from shapely.geometry import MultiPolygon
    from shapely.geometry.base import BaseGeometry

SAME_PASS = timedelta(minutes=20)
"""Products of one satellite and orbit that follow each other this closely are one pass."""

_NOTHING = 1e-4
"""Share of the area that a product must add to be worth fetching."""


@dataclass(frozen=True, slots=True)
class Row:
    """One product in the table of a search.

    Parameters
    ----------
    coverage : share 0..1 of the area that the whole pass covers; None where unknown.
    cloud : share 0..1 of cloud inside the area; None where unknown or meaningless.
    gap_hours : from the date it was paired with (positive: after it).
    chosen, reason : whether it is used, and why or why not.
    """

    id: str
    collection: str
    time: str
    place: str
    coverage: float | None
    cloud: float | None
    gap_hours: float | None
    chosen: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Table:
    """Every candidate of a search with the reason for its fate."""

    rows: tuple[Row, ...]

    def __add__(self, other: Table) -> Table:
        return Table((*self.rows, *other.rows))

    def csv(self) -> str:
        """Return the table as CSV: shares with four digits, hours with two, empty for unknown."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        names = [f.name for f in fields(Row)]
        writer.writerow(names)
        for row in self.rows:
            writer.writerow([_cell(getattr(row, name)) for name in names])
        return stream.getvalue()

    def text(self, width: int = 160) -> str:
        """Return the table for a screen of so many characters."""
        from rich.console import Console
        from rich.table import Table as Drawn

        drawn = Drawn(box=None, pad_edge=False)
        for name, side in _COLUMNS:
            drawn.add_column(name, justify=side, overflow="fold", no_wrap=name != "reason")
        for row in self.rows:
            drawn.add_row(*_screen(row), style="bold" if row.chosen else "dim")
        stream = io.StringIO()
        Console(file=stream, width=width).print(drawn)
        return stream.getvalue().rstrip()


_COLUMNS: tuple[tuple[str, Any], ...] = (
    ("", "left"),
    ("time", "left"),
    ("product", "left"),
    ("place", "left"),
    ("covers", "right"),
    ("cloud", "right"),
    ("gap", "right"),
    ("reason", "left"),
)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A product with its footprint on the map."""

    item: pystac.Item
    footprint: MultiPolygon

    @property
    def id(self) -> str:
        """The product's name."""
        return name_of(self.item)

    @property
    def time(self) -> datetime:
        """When it was taken, UTC."""
        return time_of(self.item)

    @property
    def km2(self) -> float:
        """Size of its footprint."""
        return size_km2(self.footprint)


@dataclass(frozen=True, eq=False)
class Pass:
    """The products of one overflight that touch the area, in order of time."""

    candidates: tuple[Candidate, ...]

    @property
    def time(self) -> datetime:
        """Time of the first product, UTC."""
        return self.candidates[0].time

    @property
    def relative_orbit(self) -> int | None:
        """The repeat orbit, None where the provider does not state it."""
        orbit = self.candidates[0].item.properties.get("sat:relative_orbit")
        return None if orbit is None else int(orbit)

    @property
    def direction(self) -> str | None:
        """``ascending``, ``descending`` or None where it is not stated."""
        state = self.candidates[0].item.properties.get("sat:orbit_state")
        return None if state is None else str(state)

    def lacking(self, polarisations: Sequence[str]) -> str | None:
        """Say which channels not all products have; None if there is no such."""
        for candidate in self.candidates:
            channels = candidate.item.properties.get("sar:polarizations") or ()
            missing = [p for p in polarisations if p not in channels]
            if missing and not channels:
                return "its polarisations are not stated"
            if missing:
                there = " and ".join(channels)
                return f"it has no polarisation {' and '.join(missing)}, only {there}"
        return None

    @cached_property
    def footprint(self) -> BaseGeometry:
        """The ground that all its products cover."""
        import shapely

        return shapely.union_all([c.footprint for c in self.candidates])

    @property
    def id(self) -> str:
        """Name of its first product: what orders equal passes."""
        return self.candidates[0].id

    def rows(
        self,
        area: Area,
        reason: str,
        *,
        chosen: bool = False,
        cloud: float | None = None,
        gap_hours: float | None = None,
    ) -> list[Row]:
        """Return a row for each product."""
        share = area.coverage(self.footprint)
        return [
            replace(
                row_of(c.item, reason, chosen=chosen),
                coverage=share,
                cloud=cloud,
                gap_hours=gap_hours,
            )
            for c in self.candidates
        ]


def gather(items: Iterable[pystac.Item], area: Area) -> tuple[list[Pass], list[Row]]:
    """Group the items that touch an area into passes, in order of time; tell the others.

    Items without a usable footprint, and those that do not touch the area, become rows.
    """
    groups: dict[tuple[object, ...], list[Candidate]] = defaultdict(list)
    left: list[Row] = []
    for item in items:
        try:
            footprint = footprint_of(item.geometry, f"footprint of {item.id}")
        except ConfigError as error:
            left.append(row_of(item, f"no usable footprint: found {error.found}"))
            continue
        if size_km2(area.part(footprint)) == 0:
            left.append(replace(row_of(item, "does not touch the area"), coverage=0.0))
            continue
        known = item.properties
        key = tuple(known.get(k) for k in ("platform", "sat:relative_orbit", "sat:orbit_state"))
        groups[key].append(Candidate(item, footprint))
    found = [p for group in groups.values() for p in _split(group)]
    return sorted(found, key=lambda p: (p.time, p.id)), left


def _split(group: Iterable[Candidate]) -> list[Pass]:
    passes: list[list[Candidate]] = []
    for candidate in sorted(group, key=lambda c: (c.time, c.id)):
        if passes and candidate.time - passes[-1][-1].time <= SAME_PASS:
            passes[-1].append(candidate)
        else:
            passes.append([candidate])
    return [Pass(tuple(candidates)) for candidates in passes]


def needed(one: Pass, area: Area) -> tuple[Pass, list[Row]]:
    """Leave out the products of a pass without which it covers as much; tell which.

    Tiles overlap: where one holds the whole area, its neighbours add nothing. Those that add
    least go first.
    """
    import shapely

    kept = list(one.candidates)
    shares = {c.id: area.coverage(c.footprint) for c in kept}
    whole = area.coverage(one.footprint)
    for candidate in sorted(kept, key=lambda c: (shares[c.id], c.id)):
        others = [c for c in kept if c is not candidate]
        if (
            others
            and area.coverage(shapely.union_all([c.footprint for c in others])) >= whole - _NOTHING
        ):
            kept = others
    reason = "the other products of this pass cover the area without it"
    spared = [c for c in one.candidates if c not in kept]
    rows = [replace(row_of(c.item, reason), coverage=shares[c.id]) for c in spared]
    return Pass(tuple(kept)), rows


def row_of(item: pystac.Item, reason: str, *, chosen: bool = False) -> Row:
    """Return the row of an item by its properties alone."""
    known = item.properties
    tile = str(known.get("grid:code") or "").removeprefix("MGRS-")
    orbit = known.get("sat:relative_orbit")
    side = str(known.get("sat:orbit_state") or "")[:1].upper()
    place = " ".join(x for x in (tile, f"{side}{orbit:03d}" if orbit is not None else "") if x)
    return Row(
        id=name_of(item),
        collection=item.collection_id or "",
        time=time_of(item).strftime("%Y-%m-%dT%H:%M:%SZ"),
        place=place,
        coverage=None,
        cloud=None,
        gap_hours=None,
        chosen=chosen,
        reason=reason,
    )


def time_of(item: pystac.Item) -> datetime:
    """Return when an item was taken, UTC: its start where it has one."""
    from datetime import UTC

    text = item.properties.get("start_datetime")
    moment = datetime.fromisoformat(str(text)) if text else item.datetime
    if moment is None:
        raise ConfigError(
            where=f"item {item.id}",
            expected="a time",
            found="none",
            fix="report this to the provider",
        )
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def best_first(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Order rows for reading: by collection and time."""
    return tuple(sorted(rows, key=lambda r: (r.collection, r.time, r.id)))


def percent(share: float | None) -> str:
    """Write a share for people; empty for unknown."""
    if share is None:
        return ""
    fine = 0 < share < 0.0995 or 0.9945 <= share < 0.9995
    return f"{100 * share:.1f} %" if fine else f"{100 * share:.0f} %"


def _screen(row: Row) -> tuple[str, ...]:
    gap = "" if row.gap_hours is None else f"{row.gap_hours / 24:+.1f} d"
    when = row.time[:16].replace("T", " ")
    mark = "*" if row.chosen else ""
    shares = (percent(row.coverage), percent(row.cloud))
    return (mark, when, row.id, row.place, *shares, gap, row.reason)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
