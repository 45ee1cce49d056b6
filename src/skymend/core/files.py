"""Small file operations that never leave something half-written."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skymend.core.errors import StoreError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_NO_WRITE = {errno.EROFS, errno.EACCES, errno.EPERM}


def machine_cache() -> Path:
    """Return the folder shared by all processes of this user on this machine.

    ``SKYMEND_CACHE`` if set, else ``$XDG_CACHE_HOME/skymend``, else ``~/.cache/skymend``.
    """
    own = os.environ.get("SKYMEND_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "skymend"


def write_text(path: Path, text: str) -> None:
    """Write a text file at once: beside, synced, then moved into place."""
    with store_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with part.open("w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(part, path)
        except OSError:
            part.unlink(missing_ok=True)
            raise


def write_json(path: Path, document: Any, *, indent: int | None = 1) -> None:
    """Write a JSON document at once, keys sorted."""
    write_text(path, json.dumps(document, sort_keys=True, indent=indent, ensure_ascii=False) + "\n")


def sync_folder(folder: Path) -> None:
    """Flush the files of a folder, then the folder itself, to the disk."""
    for path in sorted(folder.rglob("*")):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def file_lock(path: Path, *, mode: int = 0o666) -> Iterator[None]:
    """Hold a lock file among the processes of this machine; the kernel frees it when we die.

    Parameters
    ----------
    mode : of the file when it is made, less the umask.
    """
    with store_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, mode)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def held_locks(folder: Path) -> set[str]:
    """Return the stems of the lock files of a folder that a living process holds."""
    return {path.stem for path in folder.glob("*.lock") if _is_held(path)}


def _is_held(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def store_errors(where: Path) -> Iterator[None]:
    """Turn a full or read-only disk into a :class:`StoreError` that says so."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise StoreError(
                where=error.filename or where,
                expected="room on the disk",
                found="a full disk",
                fix="free some space or choose another --store, then run again",
            ) from error
        if error.errno in _NO_WRITE:
            raise StoreError(
                where=error.filename or where,
                expected="a store that can be written",
                found=os.strerror(error.errno or 0).lower(),
                fix="mount it writable or choose another --store",
            ) from error
        raise
