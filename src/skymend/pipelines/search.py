"""Searching a region's sources once and freezing the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from skymend.core.errors import NoImageError
from skymend.core.grid import Grid
from skymend.core.keys import digest
from skymend.core.plan import FrozenProduct
from skymend.pipelines.region import Region, Source
from skymend.pipelines.snapshot import Snapshot
from skymend.sources import local

SnapshotOpener: TypeAlias = Callable[[str], Snapshot]
Times: TypeAlias = tuple[datetime, datetime]

POLARISATIONS = ("VV", "VH")

_EXPECTED = ("outside the period", "was asked for")
"""Reasons that tell nothing new: other dates, and other sensors in the same catalogue."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the searches of one tile gave, frozen.

    ``optical`` and ``radar`` are in order of time; ``notes`` say what was rejected.
    """

    optical: tuple[FrozenProduct, ...]
    radar: tuple[FrozenProduct, ...]
    dem: tuple[FrozenProduct, ...]
    shapes: tuple[FrozenProduct, ...]
    notes: tuple[str, ...]


def search_region(region: Region, grid: Grid, snapshot: SnapshotOpener) -> Catalogue:
    """Search Sentinel-2, Sentinel-1, DEM and cloud-shape sources of a region.

    Raises
    ------
    NoImageError
        if no Sentinel-2 product lies in the area and period.
    """
    times = _search_times(region)
    bands = region.reconstruct.bands
    sources = region.sources
    optical, notes = _search("s2", sources.s2, grid, times, bands, snapshot)
    if not optical:
        reasons = "; ".join(notes[:3]) or "the source holds nothing of this kind"
        raise NoImageError(
            where=f"{region.name}, sources.s2.path {sources.s2.path}",
            expected=f"a product of the area between {times[0]:%Y-%m-%d} and {times[1]:%Y-%m-%d}",
            found=f"none ({reasons})",
            fix="check provider, path, area and period",
        )
    radar, radar_notes = _search("s1", sources.s1, grid, times, (), snapshot)
    dem, dem_notes = _search("dem", sources.dem, grid, times, (), snapshot)
    wanted = region.evaluate.shapes if region.evaluate else None
    shapes, shape_notes = _search("shapes", wanted, None, None, (), snapshot)
    if not radar:
        notes = (*notes, "no Sentinel-1 image: rebuilding from time alone")
    every_note = (*notes, *radar_notes, *dem_notes, *shape_notes)
    return Catalogue(optical, radar, dem, shapes, every_note)


def _search_times(region: Region) -> Times:
    start, end = region.period.times
    if region.training is None:
        return start, end
    first, last = region.training.period.times
    return min(start, first), max(end, last)


def _search(
    name: str,
    source: Source | None,
    grid: Grid | None,
    times: Times | None,
    bands: Sequence[str],
    snapshot: SnapshotOpener,
) -> tuple[tuple[FrozenProduct, ...], tuple[str, ...]]:
    if source is None:
        return (), ()
    result = local.search(
        source.provider,
        source.path,
        grid=grid,
        period=times,
        bands=tuple(bands),
        polarisations=POLARISATIONS if name == "s1" else (),
    )
    question = digest([name, source.provider, str(source.path), sorted(bands)])[:8]
    opened = snapshot(f"{name}-{question}")
    bounds = times or (_EARLIEST, _LATEST)
    frozen = opened.freeze(result.products, bounds)
    opened.save()
    rejected = tuple(
        f"{r.path.name}: {r.reason}"
        for r in result.rejected
        if not any(words in r.reason for words in _EXPECTED)
    )
    return frozen.products, (*frozen.notes, *_condensed(rejected))


_EARLIEST = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_LATEST = datetime.fromisoformat("2999-12-31T00:00:00+00:00")


def _condensed(rejected: tuple[str, ...], most: int = 20) -> tuple[str, ...]:
    """Keep the first rejections; the rest are counted."""
    if len(rejected) <= most:
        return rejected
    return (*rejected[:most], f"and {len(rejected) - most} more candidates rejected")
