"""Catalogue snapshots: what a search found, frozen so that plans can be extended.

A snapshot lies in the store, one file per region, source and tile. A new search keeps the
products it had; a product whose files changed is reported and taken only with ``refresh``.
Checksums are cached by path, size and modification time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from pydantic import TypeAdapter, ValidationError

from skymend.core.errors import ProductError, StoreError
from skymend.core.files import write_json
from skymend.core.keys import file_sha256
from skymend.core.plan import FrozenFile, FrozenProduct, first_fault
from skymend.core.product import Product, RemoteProduct

Checksums: TypeAlias = dict[str, tuple[int, int, str]]
"""(size, mtime_ns, sha256) of files by path."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """Products of a snapshot in order of time, and what changed, in sentences."""

    products: tuple[FrozenProduct, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Document:
    """What the file holds: products by kind and name, and the checksums of their files."""

    products: dict[str, FrozenProduct]
    checksums: Checksums


class Snapshot:
    """The frozen answer to one search.

    Parameters
    ----------
    path : the snapshot file, one per question (source, area, bands); it need not exist yet.
    refresh : take changed products instead of keeping the known ones.
    computed : checksums that other snapshots of the plan have computed; those of this one join.
    """

    def __init__(
        self, path: Path, *, refresh: bool = False, computed: Checksums | None = None
    ) -> None:
        self.path = path
        self.refresh = refresh
        self._computed = {} if computed is None else computed
        self._held = _read(path) if path.exists() else _Document({}, {})

    def freeze(
        self, found: Iterable[Product | RemoteProduct], period: tuple[datetime, datetime]
    ) -> Frozen:
        """Freeze the products of a search: known ones as they were, new ones as they are.

        Known products of the period that are no longer found stay, with a note, until
        ``refresh``: their scenes may already be in the store.
        """
        names = set()
        notes = []
        listed = list(found)
        superseding = {} if self.refresh else self._superseding(listed)
        for product in listed:
            name = f"{product.kind}/{product.id}"
            if name in superseding:
                notes.append(_replaced(product.id, superseding[name]))
                continue
            names.add(name)
            fresh = self._fresh(product)
            known = self._held.products.get(name)
            if known is not None and not self.refresh and _content(known) != _content(fresh):
                notes.append(
                    f"{product.id} has changed since it was first planned; the known version "
                    "is kept (plan with --refresh to take the new one)"
                )
                continue
            self._held.products[name] = fresh
        kept = [p for n, p in self._held.products.items() if n not in names]
        gone = [p for p in kept if period[0] <= _time(p) <= period[1]]
        if self.refresh:
            for lost in gone:
                del self._held.products[f"{lost.kind}/{lost.id}"]
            gone = []
        notes += [f"{p.id} is no longer found; what was made from it is kept" for p in gone]
        products = [self._held.products[n] for n in names] + gone
        return Frozen(tuple(sorted(products, key=lambda p: (_time(p), p.id))), tuple(notes))

    def _superseding(self, found: Sequence[Product | RemoteProduct]) -> dict[str, str]:
        """Return new products that are versions of known ones no longer found, by name."""
        names = {f"{p.kind}/{p.id}" for p in found}
        lost = {
            _acquisition(p.kind, p.tags, _time(p)): p.id
            for n, p in self._held.products.items()
            if n not in names
        }
        keys = {f"{p.kind}/{p.id}": _acquisition(p.kind, p.tags, p.time) for p in found}
        return {
            name: lost[key]
            for name, key in keys.items()
            if key is not None and key in lost and name not in self._held.products
        }

    def save(self) -> None:
        """Write the snapshot."""
        write_json(self.path, asdict(self._held))

    def _fresh(self, product: Product | RemoteProduct) -> FrozenProduct:
        if isinstance(product, RemoteProduct):
            return FrozenProduct.of_remote(product)
        return FrozenProduct.of(product, [self._file(f) for f in product.files])

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
        name, state = str(path), (status.st_size, status.st_mtime_ns)
        both = (self._held.checksums.get(name), self._computed.get(name))
        known = next((c for c in both if c is not None and c[:2] == state), None)
        if known is None:
            known = self._computed[name] = (*state, file_sha256(path))
        self._held.checksums[name] = known
        return FrozenFile(name, status.st_size, known[2])


def _read(path: Path) -> _Document:
    try:
        held = TypeAdapter(_Document).validate_json(path.read_bytes())
        for name, product in held.products.items():
            if name != f"{product.kind}/{product.id}" or _time(product).tzinfo is None:
                raise ValueError(f"{name} is not what it should be")
    except (OSError, ValueError, KeyError) as error:
        fault = first_fault(error) if isinstance(error, ValidationError) else str(error)
        raise StoreError(
            where=path,
            expected="the products that an earlier search found",
            found=fault,
            fix="remove the file; then what is found now counts, also where it has changed",
        ) from error
    return held


def _acquisition(kind: str, tags: Mapping[str, str], time: datetime) -> tuple[str, ...] | None:
    """Return what versions of one acquisition share; None of what is placed by no tile or orbit."""
    place = (tags.get("tile", ""), tags.get("relative_orbit", ""))
    if not any(place):
        return None
    return (kind, tags.get("platform", ""), *place, time.isoformat(timespec="seconds"))


def _replaced(new: str, old: str) -> str:
    return (
        f"{new} has replaced {old}, which was planned first and is kept; if it was not fetched "
        "yet and cannot be had any more, its date fails (plan with --refresh to take the new one, "
        "with all else that has changed in the region)"
    )


def _time(product: FrozenProduct) -> datetime:
    return datetime.fromisoformat(product.tags["datetime"])


def _content(product: FrozenProduct) -> list[str]:
    return sorted(f.checksum for f in product.files)


SnapshotOpener: TypeAlias = Callable[[str], Snapshot]
"""Opens the snapshot of a kind of product."""
