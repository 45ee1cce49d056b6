"""STAC catalogues on disk, walked link by link without leaving their folder."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any

from skymend.core.errors import ProductError
from skymend.core.product import Product, Rejection, SearchResult
from skymend.products import stac
from skymend.products.safe import parse_baseline
from skymend.products.stac_item import (
    CATALOGUES,
    Item,
    catalogue_root,
    local_path,
    read_document,
)
from skymend.sources.question import Candidate, Question, settle

_ITEM_SUFFIXES = (".json", ".geojson")


def search(path: Path, question: Question, *, strict: bool) -> SearchResult:
    """Search a catalogue, a collection, a folder of items or one item.

    Items with reflectance are compared with the bands asked for, items with backscatter with
    the polarisations.
    """
    rejected: list[Rejection] = []
    candidates = []
    for item in _items(path, rejected):
        try:
            reason = _outside(item.checked(), question)
        except ProductError as error:
            if strict:
                raise
            reason = f"expected {error.expected}, found {error.found}"
        if reason is not None:
            rejected.append(Rejection(item.path, reason))
        else:
            candidates.append(_candidate(item, question))
    return settle(candidates, rejected, strict=strict)


def _outside(item: Item, question: Question) -> str | None:
    """Say why an item does not answer; None if it does."""
    radar = stac.polarisations(item)
    if radar:
        missing = [p for p in question.polarisations if p not in radar]
        if not question.polarisations:
            return "a radar image, and no polarisation was asked for"
        if missing:
            return f"it has no polarisation {' and '.join(missing)}"
    elif not stac.optical_bands(item):
        return "it has neither reflectance bands nor backscatter"
    elif question.polarisations and not question.bands:
        return "an optical image, and only backscatter was asked for"
    return question.outside_period(item.time) or _outside_area(item, question)


def _outside_area(item: Item, question: Question) -> str | None:
    code, bounds = item.grid_of(next(iter(item.assets)))
    if code is not None and bounds is not None:
        return question.outside_bounds(code, bounds)
    box = item.document.get("bbox")
    if not box:
        return None
    return question.outside_degrees([*box[:2], *box[len(box) // 2 :][:2]])


def _candidate(item: Item, question: Question) -> Candidate:
    version = _version(item.properties)
    return Candidate(item.path, item.id, _acquisition(item), version, _builder(item, question))


def _acquisition(item: Item) -> Hashable:
    """Return what versions of the same acquisition share: satellite, time and place."""
    box = tuple(round(float(b), 4) for b in item.document.get("bbox") or ())
    return (item.platform, item.time, item.tile or box, bool(stac.polarisations(item)))


def _version(properties: dict[str, Any]) -> tuple[tuple[int, int], str, str]:
    baseline = str(properties.get("s2:processing_baseline") or "0.0")
    made = properties.get("s2:generation_time") or properties.get("processing:datetime") or ""
    return parse_baseline(baseline), str(made), str(properties.get("s2:sequence") or "")


def _builder(item: Item, question: Question) -> Callable[[], Product]:
    def build() -> Product:
        tags = {"platform": item.platform, "tile": item.tile}
        if stac.polarisations(item):
            radar = stac.StacRadar(item)
            files = radar.files(question.polarisations)
            orbit = radar.relative_orbit
            tags |= {
                "sensor": "radar",
                "convention": radar.convention,
                "direction": radar.direction,
                "relative_orbit": None if orbit is None else f"{orbit:03d}",
            }
        else:
            tags |= {
                "sensor": "optical",
                "version": item.properties.get("s2:processing_baseline"),
            }
            files = stac.StacOptical(item).files(question.bands)
        known = {k: str(v) for k, v in tags.items() if v is not None}
        return Product(item.id, stac.KIND, item.time, item.path, files, known)

    return build


def _items(path: Path, rejected: list[Rejection]) -> Iterator[Item]:
    """Yield the items of a catalogue in the order of its links, each once."""
    starts = _starts(path)
    root = catalogue_root(starts[0]) if starts else path
    seen: set[Path] = set()
    queue = list(reversed(starts))
    while queue:
        file = queue.pop()
        if file in seen:
            continue
        seen.add(file)
        document = read_document(file)
        if document.get("type") == "Feature":
            yield Item(file, document)
        else:
            queue += reversed(list(_linked(file, document, root, rejected)))


def _starts(path: Path) -> list[Path]:
    """Return the documents to begin with."""
    if path.is_file():
        return [path]
    for name in CATALOGUES:
        if (path / name).exists():
            return [path / name]
    loose = sorted(p for p in path.iterdir() if p.suffix.lower() in _ITEM_SUFFIXES)
    if not loose:
        raise ProductError(
            where=path,
            expected="a STAC catalogue: catalog.json, collection.json or items",
            found="no such file in the folder",
            fix="give the folder of the catalogue",
        )
    return [p for p in loose if stac.refusal(p) is None]


def _linked(
    file: Path, document: dict[str, Any], root: Path, rejected: list[Rejection]
) -> Iterator[Path]:
    links = document.get("links")
    for link in links if isinstance(links, list) else ():
        if not isinstance(link, dict) or link.get("rel") not in ("child", "item"):
            continue
        href = str(link.get("href", ""))
        target = local_path(href, file.parent, root)
        if target is None:
            rejected.append(Rejection(Path(href), f"the link in {file} leaves the catalogue"))
        else:
            yield target
