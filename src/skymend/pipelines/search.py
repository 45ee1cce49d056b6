"""Searching a region's sources once and freezing the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from skymend.core.errors import ConfigError, NoImageError
from skymend.core.grid import Grid
from skymend.core.keys import digest
from skymend.core.plan import FrozenProduct
from skymend.core.product import Product, RemoteProduct
from skymend.pipelines import remote
from skymend.pipelines.orbits import orbit_files
from skymend.pipelines.region import Region
from skymend.pipelines.region_sources import OpticalSource, RadarSource, Source
from skymend.pipelines.snapshot import SnapshotOpener
from skymend.sources import local

Times: TypeAlias = tuple[datetime, datetime]

POLARISATIONS = ("VV", "VH")

DEM_MARGIN_M = 20_000.0
"""How far beyond the area heights are needed to place a radar image."""

DEM_RESOLUTION_M = 30.0

_FILES = "files-2"
"""What a snapshot freezes of a product; raised when readers ask for other files of it."""

_EXPECTED = ("outside the period", "was asked for")
"""Reasons that tell nothing new: other dates, and other sensors in the same catalogue."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the searches of one tile gave, frozen.

    ``optical`` and ``radar`` are in order of time; ``l1c`` holds the products that the mask
    engine reads where ``optical`` is level 2A; ``orbits`` the orbit file of a radar product,
    by its id; ``notes`` say what was rejected.
    """

    optical: tuple[FrozenProduct, ...]
    radar: tuple[FrozenProduct, ...]
    dem: tuple[FrozenProduct, ...]
    shapes: tuple[FrozenProduct, ...]
    notes: tuple[str, ...]
    l1c: tuple[FrozenProduct, ...] = ()
    orbits: Mapping[str, FrozenProduct] = field(default_factory=dict)


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
            where=f"{region.name}, sources.s2 {sources.s2.path or sources.s2.provider}",
            expected=f"a product of the area between {times[0]:%Y-%m-%d} and {times[1]:%Y-%m-%d}",
            found=f"none ({reasons})",
            fix="check provider, path, area and period",
        )
    radar, radar_notes = _search("s1", sources.s1, grid, times, (), snapshot)
    heights = wide(grid) if any(p.kind == "safe-grd" for p in radar) else grid
    dem, dem_notes = _search("dem", sources.dem, heights, times, (), snapshot)
    l1c, l1c_notes = _search("l1c", region.mask.source, grid, times, (), snapshot)
    orbits, orbit_notes = orbit_files(sources.s1, radar, snapshot)
    wanted = region.evaluate.shapes if region.evaluate else None
    shapes, shape_notes = _search("shapes", wanted, None, None, (), snapshot)
    if not radar:
        notes = (*notes, "no Sentinel-1 image: rebuilding from time alone")
    every_note = (*notes, *radar_notes, *dem_notes, *l1c_notes, *orbit_notes, *shape_notes)
    return Catalogue(optical, radar, dem, shapes, every_note, l1c, orbits)


def wide(grid: Grid) -> Grid:
    """Return the grid of the heights that placing a radar image on ``grid`` needs."""
    left, bottom, right, top = grid.bounds
    step = DEM_RESOLUTION_M
    west, north = left - DEM_MARGIN_M, top + DEM_MARGIN_M
    rows = int((top - bottom + 2 * DEM_MARGIN_M) / step) + 1
    columns = int((right - left + 2 * DEM_MARGIN_M) / step) + 1
    return Grid(grid.crs, (step, 0.0, west, 0.0, -step, north), (rows, columns))


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
    found: Sequence[Product | RemoteProduct]
    if source.path is None:
        found, rejected = remote.search(name, source, grid, times, bands)
    else:
        found, rejected = _local(name, source, source.path, grid, times, bands)
    opened = snapshot(f"{name}-{digest(_question(name, source, bands))[:8]}")
    frozen = opened.freeze(found, times or (_EARLIEST, _LATEST))
    opened.save()
    return frozen.products, (*frozen.notes, *_condensed(rejected))


def _question(name: str, source: Source, bands: Sequence[str]) -> list[Any]:
    """Return what makes a search another one, whose answer is frozen for itself."""
    where = str(source.path or remote.collection_of(name, source))
    asked: list[Any] = [_FILES, name, source.provider, where, sorted(bands)]
    if isinstance(source, OpticalSource) and source.max_cloud_cover < 100:
        asked.append({"max_cloud_cover": source.max_cloud_cover})
    if isinstance(source, RadarSource) and source.relative_orbits:
        asked.append({"relative_orbits": sorted(source.relative_orbits)})
    return asked


def _local(
    name: str,
    source: Source,
    path: Path,
    grid: Grid | None,
    times: Times | None,
    bands: Sequence[str],
) -> tuple[Sequence[Product | RemoteProduct], tuple[str, ...]]:
    if isinstance(source, OpticalSource) and source.max_cloud_cover < 100:
        field = "mask.source" if name == "l1c" else f"sources.{name}"
        raise ConfigError(
            where=f"{field}.max_cloud_cover",
            expected="a catalogue, which states the cloud share of its products",
            found=f"a folder ({source.provider})",
            fix="leave it out: what is cloudy is masked",
        )
    result = local.search(
        source.provider,
        path,
        grid=grid,
        period=times,
        bands=tuple(bands),
        polarisations=POLARISATIONS if name == "s1" else (),
    )
    rejected = tuple(
        f"{r.path.name}: {r.reason}"
        for r in result.rejected
        if not any(words in r.reason for words in _EXPECTED)
    )
    if not isinstance(source, RadarSource):
        return result.products, rejected
    other = remote.other_orbits(result.products, source)
    kept = tuple(p for p in result.products if p.id not in other)
    return kept, (*rejected, *other.values())


_EARLIEST = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_LATEST = datetime.fromisoformat("2999-12-31T00:00:00+00:00")


def _condensed(rejected: tuple[str, ...], most: int = 20) -> tuple[str, ...]:
    """Keep the first rejections; the rest are counted."""
    if len(rejected) <= most:
        return rejected
    return (*rejected[:most], f"and {len(rejected) - most} more candidates rejected")
