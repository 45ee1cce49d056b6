"""Catalogue snapshots: what a search found, frozen so that plans can be extended.

A snapshot lies in the store, one file per region, source and tile. A new search keeps the
products it had; a product whose files changed is reported and taken only with ``refresh``.
Checksums are cached by path, size and modification time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from skymend.core.errors import ProductError
from skymend.core.files import write_json
from skymend.core.keys import file_sha256
from skymend.core.plan import FrozenFile, FrozenProduct
from skymend.core.product import Product, RemoteProduct


@dataclass(frozen=True, slots=True)
class Frozen:
    """Products of a snapshot in order of time, and what changed, in sentences."""

    products: tuple[FrozenProduct, ...]
    notes: tuple[str, ...]


class Snapshot:
    """The frozen answer to one search.

    Parameters
    ----------
    path : the snapshot file, one per question (source, area, bands); it need not exist yet.
    refresh : take changed products instead of keeping the known ones.
    """

    def __init__(self, path: Path, *, refresh: bool = False) -> None:
        self.path = path
        self.refresh = refresh
        self._document: dict[str, Any] = {"products": {}, "checksums": {}}
        if path.exists():
            self._document = json.loads(path.read_text())

    def freeze(
        self, found: Iterable[Product | RemoteProduct], period: tuple[datetime, datetime]
    ) -> Frozen:
        """Freeze the products of a search: known ones as they were, new ones as they are.

        Known products of the period that are no longer found stay, with a note, until
        ``refresh``: their scenes may already be in the store.
        """
        names = set()
        notes = []
        for product in found:
            name = f"{product.kind}/{product.id}"
            names.add(name)
            fresh = self._fresh(product)
            known = self._known(name)
            if known is not None and not self.refresh and _content(known) != _content(fresh):
                notes.append(
                    f"{product.id} has changed since it was first planned; the known version "
                    "is kept (plan with --refresh to take the new one)"
                )
                continue
            self._document["products"][name] = asdict(fresh)
        kept = [self._thaw(d) for n, d in self._document["products"].items() if n not in names]
        gone = [p for p in kept if period[0] <= _time(p) <= period[1]]
        if self.refresh:
            for lost in gone:
                del self._document["products"][f"{lost.kind}/{lost.id}"]
            gone = []
        notes += [f"{p.id} is no longer found; what was made from it is kept" for p in gone]
        products = [self._thaw(self._document["products"][n]) for n in names] + gone
        return Frozen(tuple(sorted(products, key=lambda p: (_time(p), p.id))), tuple(notes))

    def save(self) -> None:
        """Write the snapshot."""
        write_json(self.path, self._document)

    def _fresh(self, product: Product | RemoteProduct) -> FrozenProduct:
        if isinstance(product, RemoteProduct):
            return FrozenProduct.of_remote(product)
        return FrozenProduct.of(product, [self._file(f) for f in product.files])

    def _known(self, name: str) -> FrozenProduct | None:
        document = self._document["products"].get(name)
        return None if document is None else self._thaw(document)

    @staticmethod
    def _thaw(document: dict[str, Any]) -> FrozenProduct:
        files = tuple(FrozenFile(**f) for f in document["files"])
        return FrozenProduct(**{**document, "files": files})

    def _file(self, path: Path) -> FrozenFile:
        try:
            status = path.stat()
        except FileNotFoundError as error:
            raise ProductError(
                where=path,
                expected="a file of the product",
                found="no such file",
                fix="fetch the product again or remove its folder",
            ) from error
        cache = self._document["checksums"]
        known = cache.get(str(path))
        if known is None or known[:2] != [status.st_size, status.st_mtime_ns]:
            known = [status.st_size, status.st_mtime_ns, file_sha256(path)]
            cache[str(path)] = known
        return FrozenFile(str(path), status.st_size, known[2])


def _time(product: FrozenProduct) -> datetime:
    return datetime.fromisoformat(product.tags["datetime"])


def _content(product: FrozenProduct) -> list[str]:
    return sorted(f.checksum for f in product.files)
