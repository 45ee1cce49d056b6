"""``skymend doctor`` of paths: what lies there, as the local sources of a region find it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from skymend.core.errors import SkymendError
from skymend.core.product import Rejection, SearchResult
from skymend.products.dem import KIND as DEM
from skymend.products.diagnosis import diagnose, is_catalogue, kind_of, refusals
from skymend.sources import local
from skymend.sources.orbits import OrbitFile

MOST_BROKEN = 10
"""So many broken products of a folder are named; the others are counted."""

_CHANNELS = ("VV", "HH")
_FOLDERS = ("theia", "safe-l2a", "safe-l1c", "safe-grd", "s1tiling")
_BROKEN = "expected "
_OLDER = "an older version"


@dataclass(frozen=True, slots=True)
class Holding:
    """What a folder holds of one kind.

    Parameters
    ----------
    kind : what they are, such as ``theia products``: a ``provider`` of a region file.
    images : acquisitions; of several versions the newest counts.
    older : versions left aside for newer ones.
    broken : what has the name of such a product and is none, each with the reason.
    """

    kind: str
    images: int
    older: int = 0
    broken: tuple[Rejection, ...] = ()

    def __str__(self) -> str:
        count = f"{self.images} {self.kind}"
        return f"{count} and {self.older} older versions" if self.older else count


def holdings(path: Path) -> tuple[Holding, ...]:
    """Return what a folder or STAC catalogue holds, kinds without anything left out.

    Names are read and metadata; rasters are not opened.
    """
    return tuple(h for h in _holdings(path) if h.images or h.broken)


def describe(path: Path) -> tuple[str, bool]:
    """Return what a product, a folder or a catalogue is, in lines, and whether all is sound."""
    kind = kind_of(path)
    if kind not in {None, DEM} or not (path.is_dir() or is_catalogue(path)):
        return diagnose(path)
    found = holdings(path)
    if found:
        return _folder(path, found, kind)
    return _looked_into(path) if kind is None else diagnose(path)


def _folder(path: Path, found: Sequence[Holding], kind: str | None) -> tuple[str, bool]:
    """Describe a folder of products, and name those that are broken."""
    what = [str(held) for held in found if held.images]
    what += [] if kind is None else ["GeoTIFFs that may be heights"]
    broken = [f"  {r.path}: {r.reason}" for held in found for r in held.broken]
    what += [f"{len(broken)} broken products"] if broken else []
    more = [f"  and {len(broken) - MOST_BROKEN} more"] if len(broken) > MOST_BROKEN else []
    lines = [f"{path}: {', '.join(what)}", *broken[:MOST_BROKEN], *more]
    return "\n".join(lines), not broken


def _looked_into(path: Path) -> tuple[str, bool]:
    """Count what lies in a folder that holds nothing a source would find, one level deep."""
    inside = sorted(path.iterdir()) if path.is_dir() else []
    kinds = [kind for kind in map(kind_of, inside) if kind is not None]
    if kinds:
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
        return f"{path}: a folder with {counts}", True
    reasons = [f"  {name}: {reason}" for name, reason in refusals(path).items()]
    return "\n".join([f"{path}: no reader takes it, and none what lies in it", *reasons]), False


def _holdings(path: Path) -> Iterator[Holding]:
    yield from _catalogue(path)
    if path.is_dir():
        for kind in _FOLDERS:
            yield _holding(f"{kind} products", _search(kind, path))
        orbits = [p for p in path.glob("*.EOF") if OrbitFile.parse(p.name) is not None]
        yield Holding("orbit files", len(orbits))


def _catalogue(path: Path) -> Iterator[Holding]:
    """Count the optical and the radar images of a STAC catalogue or folder of items."""
    optical = _search("stac", path)
    yield _holding("optical images (stac)", optical)
    for channel in _CHANNELS:
        radar = _holding("radar images (stac)", _search("stac", path, channel))
        if radar.images:
            yield Holding(radar.kind, radar.images, radar.older)
            return


def _search(kind: str, path: Path, *channels: str) -> SearchResult:
    try:
        return local.search(
            kind, path, grid=None, period=None, polarisations=channels, strict=False
        )
    except SkymendError as error:
        no_catalogue = kind == "stac" and error.found.startswith("no such file")
        reason = f"{_BROKEN}{error.expected}, found {error.found}"
        return SearchResult((), () if no_catalogue else (Rejection(Path(error.where), reason),))


def _holding(kind: str, found: SearchResult) -> Holding:
    return Holding(
        kind,
        len(found.products),
        sum(r.reason.startswith(_OLDER) for r in found.rejected),
        tuple(r for r in found.rejected if r.reason.startswith(_BROKEN)),
    )
