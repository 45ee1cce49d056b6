"""Products that already lie in a folder of this machine, behind the same door as any provider.

Endpoint ``folder``: the folder. Kinds that have a searcher of their own (SAFE L2A, THEIA,
S1Tiling, STAC items) are found by it; others by their names.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skymend.core.errors import ConfigError, ProductError, SkymendError
from skymend.core.files import store_errors
from skymend.core.product import Product
from skymend.sources import listing, local, naming
from skymend.sources.fetching import unpacked
from skymend.sources.outlines import touching
from skymend.sources.protocol import Filters, Finding, Period, Settings, require_collection
from skymend.sources.s3_bucket import folder_of

if TYPE_CHECKING:
    import pystac

    from skymend.sources.area import Area
    from skymend.sources.transfer import Progress, Receipt

_KINDS = {
    "sentinel-2-l2a": "safe-l2a",
    "sentinel-2-l2a-maja": "theia",
    "sentinel-1-s1tiling": "s1tiling",
    "stac": "stac",
}
_METADATA = re.compile(r"(^|/)MTD_MSIL(1C|2A)\.xml$")
_BLOCK = 2**20


class FolderSource:
    """A folder with products in it."""

    name = "folder"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def collections(self) -> tuple[str, ...]:
        """Name the collections."""
        return tuple(dict.fromkeys([*_KINDS, *listing.COLLECTIONS]))

    def search(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """Find products below the folder (see :class:`skymend.sources.protocol.Source`)."""
        require_collection(self.name, collection, self.collections())
        if collection in _KINDS:
            items = touching(self._known(collection, period), area)
        else:
            items = listing.items(self._entries(), collection, self.name, area, period)
        return naming.collect(map(_with_clouds, items), filters)

    def fetch(
        self,
        item: pystac.Item,
        assets: Sequence[str],
        destination: Path,
        progress: Progress | None = None,
    ) -> tuple[Receipt, ...]:
        """Copy a product, or the bands asked for with all metadata; copies are read back."""
        copies = []
        for key in listing.choose(item, assets):
            folder = destination / folder_of(item.assets[key])
            copy = copy_file(Path(item.assets[key].href), folder)
            copies.append(unpacked(copy, destination) if key == naming.PRODUCT else copy)
        return tuple(copies)

    def check(self) -> tuple[Finding, ...]:
        """Say whether the folder can be read."""
        try:
            root = self._root()
        except SkymendError as error:
            return (Finding(self.name, False, str(error)),)
        return (Finding(self.name, True, f"{root} can be read"),)

    def _known(self, collection: str, period: Period | None) -> Iterator[pystac.Item]:
        found = local.search(
            _KINDS[collection],
            self._root(),
            grid=None,
            period=period,
            polarisations=("VV",) if collection == "sentinel-1-s1tiling" else (),
            strict=False,
        )
        for product in found.products:
            if period is not None and not period[0] <= product.time <= period[1]:
                continue
            yield self._item(product, collection)

    def _item(self, product: Product, collection: str) -> pystac.Item:
        tags = product.tags
        whole = product.path.is_dir()
        root = product.path if whole else product.path.parent
        files = _files(root) if whole else sorted({product.path, *product.files})
        properties: dict[str, Any] = {
            "datetime": product.time.isoformat(),
            "title": product.path.name if whole else product.id,
            "platform": tags.get("platform", "unknown"),
            "sat:relative_orbit": tags.get("relative_orbit"),
            "sat:orbit_state": tags.get("direction"),
            "grid:code": tags.get("tile"),
            "processing:version": tags.get("version"),
        }
        feature = {
            "id": product.id,
            "geometry": listing.footprint(tags.get("tile", "")),
            "properties": {k: v for k, v in properties.items() if v is not None},
            "assets": {p.relative_to(root).as_posix(): _asset(p, root, whole) for p in files},
        }
        return naming.harmonise(feature, collection, self.name, where=str(product.path))

    def _entries(self) -> Iterator[listing.Entry]:
        root = self._root()
        for path in _files(root):
            inside = path.relative_to(root).as_posix()
            yield listing.Entry(inside, str(path), path.stat().st_size)

    def _root(self) -> Path:
        text = self.settings.endpoints.get(self.name, "")
        if not text or not Path(text).is_dir():
            raise ConfigError(
                where=f"endpoint {self.name!r}",
                expected="a folder of products",
                found=text or "no folder",
                fix="set the endpoint 'folder' of the source to the folder",
            )
        return Path(text)


def _with_clouds(item: pystac.Item) -> pystac.Item:
    """Add the cloud share that the metadata of a Sentinel-2 SAFE folder state, if they can."""
    from skymend.products import safe

    metadata = (Path(a.href) for a in item.assets.values() if _METADATA.search(a.href))
    for path in metadata:
        with suppress(ProductError):
            share = safe.cloud_share(path)
            if share is not None:
                item.properties["eo:cloud_cover"] = round(100 * share, 6)
    return item


def _files(root: Path) -> list[Path]:
    """Return the files below a folder; links that lead out of it are left alone."""
    top = root.resolve()
    return sorted(p for p in root.rglob("*") if p.is_file() and p.resolve().is_relative_to(top))


def _asset(path: Path, root: Path, whole: bool) -> dict[str, Any]:
    inside = path.relative_to(root).as_posix()
    return {
        "href": str(path),
        "roles": ["data"],
        "file:size": path.stat().st_size,
        "file:local_path": f"{root.name}/{inside}" if whole else inside,
    }


def copy_file(source: Path, folder: Path) -> Receipt:
    """Copy a file beside, read it back, move it into place.

    Raises
    ------
    ProductError
        if the copy differs from what was read.
    """
    from skymend.sources.transfer import Receipt

    started = time.monotonic()
    target = folder / source.name
    with store_errors(target):
        folder.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        wanted = hashlib.sha256()
        with source.open("rb") as reader, part.open("wb") as writer:
            while block := reader.read(_BLOCK):
                wanted.update(block)
                writer.write(block)
            writer.flush()
            os.fsync(writer.fileno())
        with part.open("rb") as copy:
            same = hashlib.file_digest(copy, "sha256").digest() == wanted.digest()
        if not same:
            part.unlink()
            raise ProductError(
                where=target,
                expected=f"a true copy of {source}",
                found="other bytes",
                fix="check the disk",
            )
        os.replace(part, target)
    seconds = time.monotonic() - started
    return Receipt(target, target.stat().st_size, "sha256", 0, 0, seconds)
