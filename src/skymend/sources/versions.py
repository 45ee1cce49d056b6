"""Which of several products of one acquisition counts.

Catalogues hold the same acquisition more than once: reprocessed with a newer baseline, as
near-real-time slice and from the archive, as GRD and as its cloud-optimised twin. Two parts of
one datatake over one tile, on the other hand, look like duplicates and are none.

Names follow the product specifications: Sentinel-2 (S2-PDGS-TAS-DI-PSD, section 3.6),
Sentinel-1 (S1-RS-MDA-52-7441, section 3.4.2), Landsat Collection 2 (LSDS-1619, section 2.2).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from skymend.core.errors import ConfigError, ProductError
from skymend.products.safe import OFFSET_BASELINE, Name, parse_baseline
from skymend.sources.answers import malformed, time_of

if TYPE_CHECKING:
    import pystac

OFFSET_DN = -1000
"""Added to the stored numbers of all bands from baseline 04.00 on (S2-PDGS-TAS-DI-PSD, 14.9)."""

MOSTLY = 0.9
"""Share of a product that better ones must cover to replace it."""

_SAME_STRIP_S = 10.0
_S1 = re.compile(
    r"(S1[A-D])_(\w\w)_(\w{3}[FHM_])_(\d\w\w\w)_(\w{15})_(\w{15})_(\d{6})_(\w{6})_\w{4}(_COG)?"
)
_LANDSAT = re.compile(r"(L\w\d\d)_(L\w{3})_(\d{6})_(\d{8})_(\d{8})_(\d\d)_(\w\w)")
_STRIP = re.compile(r"_S(\d{8}T\d{6})_N")
_NEAR_REAL_TIME = re.compile(r"NRT.*|PT(\d+M|[1-3]H)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A product left aside, why, and for which."""

    id: str
    reason: str
    kept: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What is used and what is left aside, both in the order of the answer."""

    kept: tuple[pystac.Item, ...]
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A product with what decides: the greater ``rank`` wins within an ``acquisition``."""

    item: pystac.Item
    acquisition: Hashable
    rank: tuple[Any, ...]
    twin: str = ""
    span: tuple[datetime, datetime] | None = None
    strip: datetime | None = None
    version: str = ""

    @property
    def id(self) -> str:
        return name_of(self.item)


def name_of(item: pystac.Item) -> str:
    """Return the product's name, without ``.SAFE``: the title where the provider states one."""
    return str(item.properties.get("title") or item.id).removesuffix(".SAFE")


def newest(items: Iterable[pystac.Item]) -> Choice:
    """Choose one product of each acquisition; what is of no known kind stays.

    - Sentinel-2: the newest baseline of each datatake and tile, then the latest processing.
      Parts of a datatake that cover different ground all stay.
    - Sentinel-1: archive before near real time, newest processor, plain before cloud-optimised;
      a slice goes only if better ones cover nine tenths of its time.
    - Landsat: tiers before real time, then the latest processing.
    """
    listed = list(items)
    groups: dict[Hashable, list[_Candidate]] = defaultdict(list)
    for position, item in enumerate(listed):
        candidate = _candidate(item)
        key = (position,) if candidate is None else candidate.acquisition
        groups[key].append(candidate or _Candidate(item, key, ()))
    reasons: dict[str, Dropped] = {}
    for group in groups.values():
        kept: list[_Candidate] = []
        for candidate in sorted(group, key=lambda c: (c.rank, c.id), reverse=True):
            better = [k for k in kept if _alike(candidate, k)]
            if better and _covered(candidate, better):
                nearest = max(better, key=lambda k: _common(candidate, k))
                reasons[candidate.item.id] = _dropped(candidate, nearest)
            else:
                kept.append(candidate)
    return Choice(
        tuple(i for i in listed if i.id not in reasons),
        tuple(reasons[i.id] for i in listed if i.id in reasons),
    )


def baseline(item: pystac.Item) -> tuple[int, int]:
    """Return the processing baseline of a Sentinel-2 product, such as (5, 0).

    The sensing date says nothing about it: archives are reprocessed. The item's
    ``processing:version`` or ``s2:processing_baseline`` counts, then the name.

    Raises
    ------
    AnswerError
        if neither states it.
    """
    for key in ("s2:processing_baseline", "processing:version"):
        text = str(item.properties.get(key) or "")
        if re.fullmatch(r"\d{1,2}\.\d{1,2}", text):
            return parse_baseline(text)
    name = Name.parse(name_of(item))
    if name is None:
        raise malformed(
            f"item {item.id}", "a baseline such as 05.00 in field 'processing:version'", "none"
        )
    return name.baseline


def offset_dn(item: pystac.Item) -> int:
    """Return what is added to the stored numbers of a Sentinel-2 product: -1000 or 0.

    For planning and checks; readers take it from the product's own metadata.
    """
    return OFFSET_DN if baseline(item) >= OFFSET_BASELINE else 0


def successor(item: pystac.Item, candidates: Iterable[pystac.Item]) -> pystac.Item | None:
    """Return the best other product of the same acquisition, None if there is none."""
    own = _candidate(item)
    if own is None:
        return None
    found = [
        c
        for c in map(_candidate, candidates)
        if c is not None
        and c.acquisition == own.acquisition
        and c.id != own.id
        and (_alike(own, c) and _covered(own, [c], share=0.5))
    ]
    return max(found, key=lambda c: (c.rank, c.id)).item if found else None


def withdrawn(item: pystac.Item, candidates: Iterable[pystac.Item]) -> ProductError:
    """Return the error of a frozen product that its provider no longer has."""
    other = successor(item, candidates)
    name = name_of(item)
    if other is None:
        found, fix = "withdrawn, without a successor", "plan again without it (--refresh)"
    else:
        found = f"withdrawn; its successor is {name_of(other)}"
        fix = "plan again with --refresh to take the successor"
    return ProductError(
        where=f"product {name}", expected="the product that the plan froze", found=found, fix=fix
    )


def _candidate(item: pystac.Item) -> _Candidate | None:
    name = name_of(item)
    return _sentinel2(item, name) or _sentinel1(item, name) or _landsat(item, name)


def _sentinel2(item: pystac.Item, text: str) -> _Candidate | None:
    name = Name.parse(text)
    if name is None:
        return None
    strip = _STRIP.search(str(item.properties.get("eopf:datastrip_id") or ""))
    return _Candidate(
        item,
        (name.platform, name.level, name.relative_orbit, name.tile, name.time),
        (baseline(item), name.made),
        strip=_time(strip[1]) if strip else None,
        version="{:02d}.{:02d}".format(*baseline(item)),
    )


def _sentinel1(item: pystac.Item, text: str) -> _Candidate | None:
    match = _S1.fullmatch(text)
    if match is None:
        return None
    platform, mode, kind, channels, start, end, orbit, datatake, cog = match.groups()
    stated = item.properties.get("product:timeliness_category")
    timeliness = str(stated or item.properties.get("timeliness") or "")
    timeliness = timeliness or str(item.properties.get("product:timeliness") or "")
    late = _NEAR_REAL_TIME.fullmatch(timeliness) is None
    processor = _numbers(item.properties.get("processing:version"))
    made = str(item.properties.get("published") or item.properties.get("created") or "")
    return _Candidate(
        item,
        (platform, mode, kind, channels, orbit, datatake),
        (late, processor, cog is None, made),
        twin="cloud-optimised" if cog else "" if late else "near-real-time",
        span=(
            _stated(item, "start_datetime") or _time(start),
            _stated(item, "end_datetime") or _time(end),
        ),
    )


def _landsat(item: pystac.Item, text: str) -> _Candidate | None:
    match = _LANDSAT.fullmatch(text)
    if match is None:
        return None
    platform, level, scene, day, made, collection, tier = match.groups()
    acquisition = (platform, level, scene, day)
    return _Candidate(item, acquisition, (collection, tier != "RT", made), version=tier)


def _alike(worse: _Candidate, better: _Candidate) -> bool:
    """Say whether two products of one datatake may be versions of each other.

    Two parts of a datatake differ in the start of their data strip. Without those, parts made by
    one baseline are told apart by their ground alone.
    """
    if worse.strip is None or better.strip is None or worse.rank[0] != better.rank[0]:
        return True
    return abs((worse.strip - better.strip).total_seconds()) <= _SAME_STRIP_S


def _covered(worse: _Candidate, better: Sequence[_Candidate], share: float = MOSTLY) -> bool:
    """Say whether better products cover this one: in time (radar) or on the ground."""
    if worse.span is not None:
        return _time_share(worse.span, [b.span for b in better if b.span]) >= share
    strips = {b.strip for b in better}
    if worse.strip is not None and worse.strip in strips:
        return True
    outlines = [b.item.geometry for b in better]
    if worse.item.geometry is None or None in outlines:
        return True
    return _ground_share(worse.item.geometry, outlines) >= share


def _common(worse: _Candidate, better: _Candidate) -> float:
    """Return the share of a radar slice that another covers; 0 where time tells nothing."""
    if worse.span is None or better.span is None:
        return 0.0
    return _time_share(worse.span, [better.span])


def _time_share(own: tuple[datetime, datetime], others: list[tuple[datetime, datetime]]) -> float:
    """Return the share of an interval that others cover together."""
    total = (own[1] - own[0]).total_seconds()
    reach, covered = own[0], 0.0
    for start, end in sorted(others):
        first, last = max(start, reach), min(end, own[1])
        if last > first:
            covered += (last - first).total_seconds()
            reach = last
    return covered / total if total > 0 else 1.0


def _ground_share(own: Any, others: list[Any]) -> float:
    """Return the share of a footprint that others cover together, by size on the ellipsoid."""
    from shapely import union_all

    from skymend.sources.area import footprint_of
    from skymend.sources.globe import size_km2

    try:
        outline, *parts = [footprint_of(geometry, "footprint") for geometry in (own, *others)]
    except ConfigError:
        return 1.0
    return size_km2(outline.intersection(union_all(parts))) / size_km2(outline)


def _dropped(worse: _Candidate, better: _Candidate) -> Dropped:
    if worse.version != better.version:
        kind = f"an older version ({worse.version}, there is {better.version})"
    elif worse.twin and worse.twin != better.twin:
        kind = f"the {worse.twin} twin"
    else:
        kind = "an earlier processing"
    return Dropped(worse.item.id, f"{kind} of {better.id}", better.id)


def _stated(item: pystac.Item, key: str) -> datetime | None:
    """Return a time of the item, which is finer than the whole seconds of names."""
    text = item.properties.get(key)
    return None if text is None else time_of({key: text}, key, f"item {item.id}")


def _time(stamp: str) -> datetime:
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        where = f"the name of a product with {stamp}"
        raise malformed(where, "a time of the calendar", repr(stamp)) from None


def _numbers(version: object) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", str(version or "")))
