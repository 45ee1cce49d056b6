"""What a region asks a source for, and why a candidate does not answer it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from skymend.core.errors import ProductError
from skymend.core.grid import Grid
from skymend.core.product import Product, Rejection, SearchResult

Bounds = Sequence[float]


@dataclass(frozen=True)
class Question:
    """Area, period and channels wanted; both days of the period are included.

    Without grid every place answers, without bands and polarisations any optical product.
    """

    grid: Grid | None
    start: date
    end: date
    bands: tuple[str, ...] = ()
    polarisations: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        grid: Grid | None,
        period: tuple[date, date] | None,
        bands: Sequence[str],
        polarisations: Sequence[str],
    ) -> Question:
        """Build a question; the period may be given as dates or as times (UTC)."""
        start, end = (_day(d) for d in period or (date.min, date.max))
        return cls(grid, start, end, tuple(bands), tuple(polarisations))

    def outside_period(self, time: datetime) -> str | None:
        """Say why a time does not answer; None if it does."""
        day = time.astimezone(UTC).date()
        if self.start <= day <= self.end:
            return None
        return f"{day} is outside the period {self.start} to {self.end}"

    def outside_tile(self, tile: str) -> str | None:
        """Say why an image of an MGRS tile does not answer; None if it may."""
        if self.grid is None:
            return None
        extent = _tile(tile)
        return self.outside_bounds(extent.crs, extent.bounds, f"tile {tile}")

    def outside_bounds(self, crs: str, bounds: Bounds, what: str = "the image") -> str | None:
        """Say why an image with these bounds (left, bottom, right, top) does not answer."""
        if self.grid is None:
            return None
        if crs != self.grid.crs:
            return f"{what} is in {crs}, the region in {self.grid.crs}"
        return None if _overlap(bounds, self.grid.bounds) else f"{what} does not touch the area"

    def outside_degrees(self, box: Bounds) -> str | None:
        """Say why an image with this box (west, south, east, north) does not answer."""
        if self._degrees is None or _overlap(box, self._degrees):
            return None
        return "the image does not touch the area"

    @cached_property
    def _degrees(self) -> tuple[float, float, float, float] | None:
        from pyproj import Transformer

        if self.grid is None:
            return None
        transformer = Transformer.from_crs(self.grid.crs, "EPSG:4326", always_xy=True)
        west, south, east, north = transformer.transform_bounds(*self.grid.bounds)
        return (west, south, east, north)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An acquisition that answers a question, before versions are compared.

    ``acquisition`` is equal for versions of the same data; the greatest ``version`` is the
    newest. ``build`` checks that the files are there.
    """

    path: Path
    id: str
    acquisition: Hashable
    version: Any
    build: Callable[[], Product]


def settle(
    candidates: Iterable[Candidate], rejected: list[Rejection], *, strict: bool
) -> SearchResult:
    """Keep the newest version of each acquisition, in order of time.

    Parameters
    ----------
    strict : an incomplete product is an error; else it is one more rejection.

    Raises
    ------
    ProductError
        if ``strict`` and a product lacks a file that was asked for.
    """
    newest: dict[Hashable, Candidate] = {}
    for candidate in sorted(candidates, key=lambda c: (c.version, c.id)):
        older = newest.get(candidate.acquisition)
        if older is not None:
            reason = f"an older version of {candidate.id}"
            rejected.append(Rejection(older.path, reason))
        newest[candidate.acquisition] = candidate
    products = []
    for candidate in newest.values():
        try:
            products.append(candidate.build())
        except ProductError as error:
            if strict:
                raise
            rejected.append(
                Rejection(candidate.path, f"expected {error.expected}, found {error.found}")
            )
    return SearchResult(
        tuple(sorted(products, key=lambda p: (p.time, p.id))),
        tuple(sorted(rejected, key=lambda r: (str(r.path), r.reason))),
    )


def _day(moment: date) -> date:
    return moment.date() if isinstance(moment, datetime) else moment


@lru_cache(maxsize=64)
def _tile(tile: str) -> Grid:
    return Grid.from_mgrs(tile)


def _overlap(first: Bounds, second: Bounds) -> bool:
    return (
        first[0] < second[2]
        and second[0] < first[2]
        and first[1] < second[3]
        and second[1] < first[3]
    )
