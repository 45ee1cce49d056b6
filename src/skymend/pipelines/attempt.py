"""What a plan that fails leaves behind: the checksums it computed, and nothing else.

Folders of products may hold hundreds of GB, so checksums stay in the cache of the machine until a
plan of the region succeeds. Plans of one region in one store are made one after the other, and a
new store goes only if nobody else on this machine is planning in it. Where that cache cannot be
written, there is neither.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from skymend.core.errors import SkymendError, StoreError
from skymend.core.files import file_lock, held_locks, machine_cache, write_json
from skymend.core.keys import digest
from skymend.core.store import Store
from skymend.pipelines.snapshot import Checksums


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to plan a region.

    Parameters
    ----------
    store : where its plans go.
    region : its name.
    """

    store: Store
    region: str

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other process of this machine plans the region in this store."""
        if self.region in _held(self._folder):
            logging.getLogger(__name__).warning(
                "%s is being planned by another process; waiting for it", self.region
            )
        with _locked(self._folder / f"{self.region}.lock"):
            yield

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Make the store if need be; withdraw one that was made for a plan which fails."""
        try:
            with _locked(self._gate):
                self.store.prepare()
            yield
        except BaseException:
            with _locked(self._gate), suppress(SkymendError):
                if _held(self._folder) <= {self.region}:
                    self.store.withdraw()
            raise

    @contextmanager
    def checksums(self) -> Iterator[Checksums]:
        """Lend what failed attempts have computed; keep it, and more, if this one fails too."""
        path = self._folder / f"{self.region}.json"
        known = _read(path)
        try:
            yield known
        except BaseException:
            if known:
                with suppress(SkymendError, OSError):
                    write_json(path, known)
            raise
        with suppress(OSError):
            path.unlink(missing_ok=True)

    @property
    def _folder(self) -> Path:
        return machine_cache() / "plans" / digest(self.store.uri)[:16]

    @property
    def _gate(self) -> Path:
        """The lock under which the store comes and goes."""
        return self._folder.with_suffix(".lock")


@contextmanager
def restored(folder: Path) -> Iterator[None]:
    """Give a folder of snapshots back its files as they were if a plan fails."""
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*.json"))}
    try:
        yield
    except BaseException:
        for path in folder.rglob("*.json"):
            if path not in before:
                path.unlink()
            elif path.read_bytes() != before[path]:
                path.write_bytes(before[path])
        _remove_empty(folder)
        raise


def _remove_empty(folder: Path) -> None:
    """Remove the empty folders below a folder, then it and the one above if nothing is left."""
    below = sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True)
    for path in (*below, folder, folder.parent):
        with suppress(OSError):  # absent, or not empty
            path.rmdir()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with ExitStack() as stack:
        with suppress(StoreError):
            stack.enter_context(file_lock(path))
        yield


def _held(folder: Path) -> set[str]:
    """Return the regions that somebody plans; none can be seen in a cache of others."""
    try:
        return held_locks(folder)
    except OSError:
        return set()


def _read(path: Path) -> Checksums:
    try:
        return TypeAdapter(Checksums).validate_json(path.read_bytes())
    except (OSError, ValueError):
        return {}  # absent or damaged: all is computed anew
