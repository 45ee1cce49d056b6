"""Folders of Sentinel-1 GRD products, as SAFE folders or zips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from skymend.core.errors import ProductError
from skymend.core.product import Product, Rejection, SearchResult
from skymend.products import sentinel1
from skymend.sources.folders import walk
from skymend.sources.question import Candidate, Question, settle


def search_grd(path: Path, question: Question, *, strict: bool) -> SearchResult:
    """Search a folder of IW GRD products; each slice is one product.

    Whether a slice touches the area is judged by the footprint in its manifest.
    """
    rejected: list[Rejection] = []
    candidates = []
    folders = walk(path, _is_sentinel1, sentinel1.refusal, rejected)
    zips = walk(path, _is_sentinel1, sentinel1.refusal, [], files=True)
    for entry in sorted({*folders, *zips}):
        try:
            found = _candidate(entry, question)
        except ProductError as error:
            found = f"expected {error.expected}, found {error.found}"
        if isinstance(found, str):
            rejected.append(Rejection(entry, found))
        else:
            candidates.append(found)
    taken = {c.path for c in candidates}
    return settle(candidates, [r for r in rejected if r.path not in taken], strict=strict)


def _is_sentinel1(name: str) -> bool:
    return name.startswith("S1") and name.endswith((".SAFE", ".zip"))


def _candidate(path: Path, question: Question) -> Candidate | str:
    """Return the product, or why it does not answer."""
    reason = sentinel1.refusal(path)
    if reason is not None:
        return reason
    product = sentinel1.open_grd(path)
    reason = question.outside_period(product.time) or _outside(product, question)
    missing = [p for p in question.polarisations if p not in product.polarisations]
    if reason is None and missing:
        reason = f"it has no {' and '.join(missing)}, only {', '.join(product.polarisations)}"
    if reason is not None:
        return reason
    acquisition = (product.platform, product.time)
    return Candidate(path, product.id, acquisition, product.ipf, _builder(path, product))


def _outside(product: sentinel1.GrdProduct, question: Question) -> str | None:
    latitudes, longitudes = zip(*product.footprint, strict=True)
    west, east = min(longitudes), max(longitudes)
    # A box says nothing of a footprint across the antimeridian; the engine will.
    if east - west > 180:
        return None
    return question.outside_degrees((west, min(latitudes), east, max(latitudes)))


def _files(path: Path, product: sentinel1.GrdProduct) -> tuple[Path, ...]:
    if path.is_file():
        return (path,)
    names = sorted(n for (_, p), n in product.manifest.files.items() if p in product.polarisations)
    return (path / "manifest.safe", *(path / name for name in names if (path / name).exists()))


def _builder(path: Path, product: sentinel1.GrdProduct) -> Callable[[], Product]:
    def build() -> Product:
        tags = {
            "sensor": "radar",
            "platform": product.platform,
            "relative_orbit": f"{product.relative_orbit:03d}",
            "direction": product.direction,
            "version": product.ipf,
        }
        files = _files(path, product)
        return Product(product.id, sentinel1.KIND, product.time, path, files, tags)

    return build
