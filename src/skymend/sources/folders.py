"""Folders whose entries say by name what they hold: THEIA, SAFE, S1Tiling."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from skymend.core.errors import ProductError
from skymend.core.product import Product, Rejection, SearchResult
from skymend.products import s1tiling, safe, safe_l1c, theia
from skymend.sources.question import Candidate, Question, settle

ANOTHER_KIND = "another kind of product than was asked for"
"""Why a SAFE folder in a search for other products is left alone; it is not looked into."""

_DEPTH = 3
"""How many folders deep products are looked for."""

Refusal = Callable[[Path], str | None]
SafeBuilder = Callable[[Path, safe.Name, Question], Callable[[], Product]]


def search_theia(path: Path, question: Question, *, strict: bool) -> SearchResult:
    """Search a folder of THEIA L2A products."""
    rejected: list[Rejection] = []
    candidates = []
    for folder in walk(path, lambda n: theia.Name.parse(n) is not None, theia.refusal, rejected):
        name = theia.Name.parse(folder.name)
        if name is None:
            continue
        reason = question.outside_period(name.time) or question.outside_tile(name.tile)
        if reason is not None:
            rejected.append(Rejection(folder, reason))
            continue
        acquisition = (name.platform, name.time, name.tile)
        build = _theia_builder(folder, name, question)
        candidates.append(Candidate(folder, folder.name, acquisition, name.version, build))
    return settle(candidates, rejected, strict=strict)


def _theia_builder(folder: Path, name: theia.Name, question: Question) -> Callable[[], Product]:
    def build() -> Product:
        opened = theia.open_product(folder)
        tags = {
            "sensor": "optical",
            "platform": name.platform,
            "tile": name.tile,
            "version": f"{name.version[0]}-{name.version[1]}",
        }
        files = opened.files(question.bands)
        return Product(opened.id, theia.KIND, name.time, folder, files, tags)

    return build


def search_safe(path: Path, question: Question, *, strict: bool) -> SearchResult:
    """Search a folder of Sentinel-2 L2A SAFE products."""
    return _search_sentinel2(path, question, safe.refusal, _l2a_builder, strict=strict)


def search_l1c(path: Path, question: Question, *, strict: bool) -> SearchResult:
    """Search a folder of Sentinel-2 L1C SAFE products, for masks or for their own sake."""
    return _search_sentinel2(path, question, safe_l1c.refusal, _l1c_builder, strict=strict)


def _search_sentinel2(
    path: Path, question: Question, refusal: Refusal, builder: SafeBuilder, *, strict: bool
) -> SearchResult:
    rejected: list[Rejection] = []
    candidates = []
    for folder in walk(path, lambda n: safe.Name.parse(n) is not None, refusal, rejected):
        name = safe.Name.parse(folder.name)
        if name is None:
            continue
        reason = (
            refusal(folder)
            or question.outside_period(name.time)
            or question.outside_tile(name.tile)
        )
        if reason is not None:
            rejected.append(Rejection(folder, reason))
            continue
        acquisition = (name.platform, name.time, name.relative_orbit, name.tile)
        build = builder(folder, name, question)
        version = (name.baseline, name.made)
        candidates.append(Candidate(folder, folder.name, acquisition, version, build))
    return settle(candidates, rejected, strict=strict)


def _l2a_builder(folder: Path, name: safe.Name, question: Question) -> Callable[[], Product]:
    def build() -> Product:
        opened = safe.open_product(folder)
        files = opened.files(question.bands)
        return Product(opened.id, safe.KIND, name.time, folder, files, _safe_tags(name))

    return build


def _l1c_builder(folder: Path, name: safe.Name, question: Question) -> Callable[[], Product]:
    def build() -> Product:
        opened = safe_l1c.open_product(folder)
        # Cloud masks look at every band there is.
        files = opened.files(tuple(dict.fromkeys((*question.bands, *opened.bands))))
        return Product(opened.id, safe_l1c.KIND, name.time, folder, files, _safe_tags(name))

    return build


def _safe_tags(name: safe.Name) -> dict[str, str]:
    return {
        "sensor": "optical",
        "platform": name.platform,
        "tile": name.tile,
        "relative_orbit": str(name.relative_orbit),
        "version": f"{name.baseline[0]:02d}.{name.baseline[1]:02d}",
    }


def search_s1tiling(path: Path, question: Question, *, strict: bool) -> SearchResult:
    """Search a folder of S1Tiling images; one product per pass."""
    rejected: list[Rejection] = []
    passes: dict[tuple[object, ...], dict[str, list[Path]]] = defaultdict(dict)
    for file in walk(path, _is_s1tiling, s1tiling.refusal, rejected, files=True):
        name = s1tiling.Name.parse(file.name)
        if name is None:
            continue
        reason = (
            s1tiling.refusal(file)
            or question.outside_period(name.time)
            or question.outside_tile(name.tile)
        )
        if reason is not None:
            rejected.append(Rejection(file, reason))
            continue
        key = (name.satellite, name.tile, name.orbit_pass, name.relative_orbit, name.day)
        passes[key].setdefault(name.id, []).append(file)
    candidates = []
    for images in passes.values():
        for files in _joined(images, rejected):
            candidate = _radar_candidate(files, question, rejected)
            candidates += [] if candidate is None else [candidate]
    return settle(candidates, rejected, strict=strict)


def _is_s1tiling(name: str) -> bool:
    return s1tiling.Name.parse(name) is not None


def _joined(images: dict[str, list[Path]], rejected: list[Rejection]) -> Iterator[list[Path]]:
    """Yield the images of one pass that count: plain ones first, joined frames over single."""
    names = {i: s1tiling.Name.parse(files[0].name) for i, files in images.items()}
    suffix = min(n.suffix for n in names.values() if n is not None)
    alike = [i for i, n in names.items() if n is not None and n.suffix == suffix]
    joined = [i for i in alike if "txxxxxx" in i]
    kept = joined or alike
    for identifier, files in sorted(images.items()):
        if identifier in kept:
            yield files
        elif identifier in alike:
            rejected += [Rejection(f, f"a frame of the joined image {joined[0]}") for f in files]
        else:
            reason = f"another version of the same pass as {kept[0]}"
            rejected += [Rejection(f, reason) for f in files]


def _radar_candidate(
    files: list[Path], question: Question, rejected: list[Rejection]
) -> Candidate | None:
    opened = s1tiling.open_product(sorted(files)[-1])
    try:
        wanted = opened.files(question.polarisations)
    except ProductError as error:
        rejected += [Rejection(f, f"expected {error.expected}") for f in files]
        return None
    name = opened.name
    tags = {
        "sensor": "radar",
        "platform": name.platform,
        "tile": name.tile,
        "relative_orbit": f"{name.relative_orbit:03d}",
        "direction": name.direction,
        "convention": name.convention,
    }
    path = wanted[0] if wanted else opened.path
    product = Product(name.id, s1tiling.KIND, name.time, path, wanted, tags)
    return Candidate(path, name.id, name.id, 0, lambda: product)


def walk(
    path: Path,
    known: Callable[[str], bool],
    refusal: Refusal,
    rejected: list[Rejection],
    *,
    files: bool = False,
) -> list[Path]:
    """Return the entries below ``path`` whose name is known, sorted; reject all others.

    Folders with other names are looked into; they are rejected only if nothing was in them.
    """
    if known(path.name) and path.is_dir() != files:
        return [path]
    found: list[Path] = []
    if path.is_dir():
        _scan(path, known, refusal, rejected, found, files, _DEPTH)
    return sorted(found)


def _scan(
    path: Path,
    known: Callable[[str], bool],
    refusal: Refusal,
    rejected: list[Rejection],
    found: list[Path],
    files: bool,
    depth: int,
) -> None:
    with os.scandir(path) as entries:
        listing = sorted(entries, key=lambda e: e.name)
    for entry in listing:
        item = path / entry.name
        if known(entry.name) and entry.is_dir() != files:
            found.append(item)
        elif entry.name.endswith(".SAFE"):
            rejected.append(Rejection(item, ANOTHER_KIND))
        elif entry.is_dir() and depth > 1:
            before = len(found)
            inner: list[Rejection] = []
            _scan(item, known, refusal, inner, found, files, depth - 1)
            empty = len(found) == before and not inner
            rejected += [Rejection(item, _why(refusal, item))] if empty else inner
        else:
            rejected.append(Rejection(item, _why(refusal, item)))


def _why(refusal: Refusal, path: Path) -> str:
    return refusal(path) or "it is not a product of this kind"
