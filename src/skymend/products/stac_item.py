"""STAC items on disk, read as plain JSON: properties, and assets as local files.

Nothing is ever fetched. A link to a server is answered only by a file of the same name beside
the item (a mirrored catalogue), and no link may leave the folder of the catalogue.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from skymend.core.errors import ProductError
from skymend.core.grid import Grid
from skymend.products.stac_rules import problems

CATALOGUES = ("catalog.json", "collection.json")

_MAX_BYTES = 20_000_000
_MAX_DEPTH = 6
_COMMON_NAMES = {
    "coastal": "B01",
    "blue": "B02",
    "green": "B03",
    "red": "B04",
    "rededge1": "B05",
    "rededge2": "B06",
    "rededge3": "B07",
    "nir": "B08",
    "nir08": "B8A",
    "nir09": "B09",
    "swir16": "B11",
    "swir22": "B12",
}
_KEY = re.compile(r"(b\d[0-9a]?|scl|[a-z]+\d*)(?:[_-](10|20|60)m)?", re.IGNORECASE)
_IMAGE_SUFFIXES = (".tif", ".tiff", ".jp2")


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of an item and what the item says of its numbers."""

    key: str
    href: str
    document: dict[str, Any]

    def value(self, name: str) -> Any:
        """Return ``scale``, ``offset``, ``nodata`` or ``unit``; None where the item is silent.

        Looked up in ``raster:bands`` (raster extension 1), in ``bands`` (STAC 1.1 with raster
        extension 2) and at the asset itself.
        """
        for group in ("raster:bands", "bands"):
            entries = self.document.get(group) or [{}]
            for key in (name, f"raster:{name}"):
                if entries[0].get(key) is not None:
                    return entries[0][key]
        own = self.document.get(f"raster:{name}")
        return self.document.get(name) if own is None else own


@dataclass(frozen=True)
class Item:
    """A STAC item on disk."""

    path: Path
    document: dict[str, Any]

    def checked(self) -> Item:
        """Return the item if what it says has the form that STAC prescribes.

        Raises
        ------
        ProductError
            naming the first field that is missing or of another form.
        """
        for expected, found in problems(self.document):
            raise self.lacking(expected, found)
        return self

    @property
    def id(self) -> str:
        """The item's id."""
        return str(self.document["id"])

    @property
    def properties(self) -> dict[str, Any]:
        """The item's properties."""
        properties: dict[str, Any] = self.document.get("properties") or {}
        return properties

    @property
    def time(self) -> datetime:
        """Sensing time (``datetime``, or else ``start_datetime``), UTC.

        Raises
        ------
        ProductError
            if the item has neither, or not in ISO 8601.
        """
        text = self.properties.get("datetime") or self.properties.get("start_datetime")
        try:
            time = datetime.fromisoformat(str(text))
            return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
        except (ValueError, OverflowError):
            raise self.lacking("properties.datetime in ISO 8601", repr(text)[:80]) from None

    @property
    def platform(self) -> str:
        """Platform as the item names it, else what its collection is called."""
        return str(self.properties.get("platform") or self.document.get("collection") or "unknown")

    @property
    def tile(self) -> str | None:
        """MGRS tile, from ``grid:code`` or ``s2:mgrs_tile``."""
        text = str(self.properties.get("grid:code") or self.properties.get("s2:mgrs_tile") or "")
        match = re.fullmatch(r"(?:MGRS-|T)?(\d{1,2}[C-X][A-Z]{2})", text)
        return match.group(1).zfill(5) if match else None

    @cached_property
    def assets(self) -> dict[str, Asset]:
        """Images by name of band (``B04``, ``SCL``, ``VV``), the finest of each."""
        found: dict[str, tuple[tuple[int, str], Asset]] = {}
        for key, document in sorted((self.document.get("assets") or {}).items()):
            name, resolution = asset_name(key, document)
            href = str(document.get("href", ""))
            if name is None or not href.lower().split("?")[0].endswith(_IMAGE_SUFFIXES):
                continue
            candidate = ((resolution, key), Asset(key, href, document))
            found[name] = min(found.get(name, candidate), candidate, key=lambda c: c[0])
        return {name: asset for name, (_, asset) in found.items()}

    def asset(self, name: str) -> Asset:
        """Return the asset of a band.

        Raises
        ------
        ProductError
            if the item has none.
        """
        try:
            return self.assets[name]
        except KeyError:
            present = ", ".join(sorted(self.assets)) or "no image"
            raise self.lacking(f"an asset with the band {name}", present) from None

    def file(self, name: str) -> Path:
        """Return the local file of a band.

        Raises
        ------
        ProductError
            if it is missing, or its link leaves the catalogue.
        """
        href = self.asset(name).href
        path = local_path(href, self.path.parent, catalogue_root(self.path))
        if path is None:
            raise self.lacking(f"the band {name} inside the catalogue", href)
        if not _there(path):
            raise self.lacking(f"the file {path.name} of the band {name}", "no such file")
        return path

    def has(self, name: str) -> bool:
        """Tell whether the file of a band is there."""
        try:
            return _there(self.file(name))
        except ProductError:
            return False

    def grid_of(self, name: str) -> tuple[str | None, list[float] | None]:
        """Return CRS code and bounds (left, bottom, right, top) that the item claims."""
        asset = self.assets[name].document if name in self.assets else {}
        merged = {**self.properties, **{k: v for k, v in asset.items() if k.startswith("proj:")}}
        code = merged.get("proj:code")
        if code is None and merged.get("proj:epsg") is not None:
            code = f"EPSG:{merged['proj:epsg']}"
        transform, shape = merged.get("proj:transform"), merged.get("proj:shape")
        if transform and shape:
            a, b, c, d, e, f = (float(v) for v in transform[:6])
            grid = Grid("", (a, b, c, d, e, f), (int(shape[0]), int(shape[1])))
            return code, list(grid.bounds)
        return code, None

    def lacking(self, expected: str, found: str) -> ProductError:
        """Return the error for something the item should have said."""
        return ProductError(
            where=self.path,
            expected=expected,
            found=found,
            fix="mend the item or ask for what it holds",
        )


def asset_name(key: str, document: dict[str, Any]) -> tuple[str | None, int]:
    """Return band name and pixel size (0 when the key does not say) of an asset."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None, 0
    stem = match.group(1).lower()
    resolution = int(match.group(2) or 0)
    if stem in {"vv", "vh", "hh", "hv", "scl"}:
        return stem.upper(), resolution
    if stem in _COMMON_NAMES:
        return _COMMON_NAMES[stem], resolution
    if re.fullmatch(r"b\d[0-9a]?", stem):
        return "B" + stem[1:].upper().zfill(2), resolution
    named = str((document.get("eo:bands") or [{}])[0].get("name", ""))
    return (named, resolution) if re.fullmatch(r"B\d[0-9A]", named) else (None, resolution)


def read_document(path: Path) -> dict[str, Any]:
    """Read one STAC document.

    Raises
    ------
    ProductError
        if it is missing, too large or not a JSON object.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        document = json.loads(path.read_bytes())
        if not isinstance(document, dict):
            raise ValueError(f"a {type(document).__name__}")
    except (OSError, ValueError, RecursionError) as error:
        raise ProductError(
            where=path,
            expected="a STAC document (a JSON object below 20 MB)",
            found="no such file" if isinstance(error, FileNotFoundError) else str(error)[:160],
            fix="mend the catalogue or fetch it again",
        ) from error
    return document


def catalogue_root(path: Path) -> Path:
    """Return the folder of the catalogue that a document belongs to.

    The highest folder above it, with no gap of more than one level, that holds a
    ``catalog.json`` or ``collection.json``; its own folder when there is none.
    """
    root = path.parent
    candidates = [path.parent, *path.parent.parents][:_MAX_DEPTH]
    gap = 0
    for folder in candidates:
        if any((folder / name).exists() for name in CATALOGUES):
            root, gap = folder, 0
        elif (gap := gap + 1) > 1:
            break
    return root


def local_path(href: str, base: Path, root: Path) -> Path | None:
    """Resolve a link to a local path, None if it leaves ``root``.

    Links to servers resolve to the file of the same name in ``base``, where there is one.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", href) and not href.startswith("file://"):
        beside = base / Path(href.split("?", maxsplit=1)[0]).name
        return beside if _there(beside) else None
    target = Path(os.path.normpath(base / unquote(href.removeprefix("file://"))))
    return target if target.is_relative_to(os.path.normpath(root)) else None


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that no file can have
        return False


def number(value: Any, default: float) -> float:
    """Return a JSON number; ``"nan"`` and its like are read as numbers too."""
    if value is None:
        return default
    result = float(value)
    return result if math.isfinite(result) or math.isnan(result) else default
