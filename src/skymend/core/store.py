"""The store: where scenes, datasets, models and records live (a folder or an S3 prefix)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Protocol

from skymend.core.files import file_lock, held_locks, store_errors, sync_folder, write_json
from skymend.core.keys import file_sha256
from skymend.core.layout import (
    FORMAT,
    check_marker,
    content_name,
    describe_file,
    files_of,
    foreign,
    has_mark,
    job_folders,
    local_litter,
    marks_of,
    no_store,
    parse_record,
    pointed_key,
    record_name,
)
from skymend.core.record import Output, OutputFile, Record


class Store(Protocol):
    """Where jobs find what others left, and leave what they made.

    ``uri`` is how users name it. ``root`` is the folder through which this machine sees it:
    the store itself, or the working folder of a remote one, laid out the same way. All other
    paths are relative to it, with slashes.
    """

    uri: str
    root: Path

    def prepare(self) -> None:
        """Create the store, or check that it is one and can be written."""
        ...

    def withdraw(self) -> None:
        """Take away again what :meth:`prepare` has made, unless something else is there by now."""
        ...

    def check(self) -> None:
        """Make sure that it is a store."""
        ...

    def record(self, step: str, key: str) -> Record | None:
        """Return the record of a job, or None when it has none."""
        ...

    def known(self, jobs: Iterable[tuple[str, str]]) -> dict[str, Record]:
        """Return the records of many jobs, given by step and key, by key."""
        ...

    def records(self) -> Iterator[Record]:
        """Yield every record, by step and key."""
        ...

    def write_record(self, record: Record) -> None:
        """Write a record, and the pointer from its content key."""
        ...

    def forget(self, step: str, key: str) -> None:
        """Remove the record of a job; its outputs stay."""
        ...

    def record_with_content(self, step: str, content_key: str) -> Record | None:
        """Return a finished record with the same content key whose outputs are intact."""
        ...

    def damaged(self, record: Record, *, verify: bool = False) -> str | None:
        """Return what is wrong with a record's outputs, or None."""
        ...

    def damage(self, records: Iterable[Record]) -> dict[str, str]:
        """Return what is wrong with the outputs of many records, by key."""
        ...

    def bring(self, record: Record) -> dict[str, Path]:
        """Make the outputs of a record readable here; return output name -> path."""
        ...

    def take(self, path: Path) -> Output:
        """Take in a finished output (file or folder below ``root``) and describe it."""
        ...

    def adopt(self, twin: Record, folder: str, part: Path) -> dict[str, Output]:
        """Give the outputs of another job to the job of ``folder``; ``part`` is scratch."""
        ...

    def lock(self, key: str) -> AbstractContextManager[None]:
        """Hold the lock of a job; it does not outlive its holder."""
        ...

    def pull(self, folder: str) -> None:
        """Bring side documents (plans, snapshots) of a folder up to date here."""
        ...

    def push(self, path: Path) -> None:
        """Take in a side document written below ``root``."""
        ...

    def where(self, path: str) -> str:
        """Return how a user finds a path."""
        ...

    def litter(self, records: Iterable[Record]) -> list[str]:
        """Return what killed jobs left: names to hand to :meth:`discard`."""
        ...

    def discard(self, names: Iterable[str]) -> None:
        """Remove folders of jobs, and other things that :meth:`litter` named."""
        ...


def open_store(uri: str | Path) -> Store:
    """Open a store by folder or ``s3://bucket/prefix``; nothing is read or made yet.

    Raises
    ------
    ConfigError
        if an address is none.
    """
    text = str(uri)
    if "://" not in text:
        return LocalStore(Path(text))
    from skymend.core.s3store import S3Store

    return S3Store(text)


def folder_uri(uri: str | Path) -> str:
    """Return a store's name that means the same in any working directory."""
    return str(uri) if "://" in str(uri) else str(Path(uri).resolve())


class LocalStore:
    """A store in a local folder.

    Parameters
    ----------
    root : the folder; made by :meth:`prepare`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = str(root)
        self._made: tuple[Path, ...] = ()

    def prepare(self) -> None:
        """Create the store, or check that the folder is one.

        Raises
        ------
        StoreError
            if the folder cannot be written or holds something else.
        """
        marker = self.root / "store.json"
        if marker.exists():
            check_marker(str(marker), marker.read_bytes())
            self._check_writable()
            return
        if self.root.exists() and self._holds_others():
            raise foreign(str(self.root), "an empty folder", "a folder with other files")
        folders = (path for path in (self.root, *self.root.parents) if not path.exists())
        self._made = (marker, *folders)
        write_json(marker, FORMAT)

    def withdraw(self) -> None:
        """Take away again what :meth:`prepare` has made, unless something else is there by now."""
        with suppress(OSError):
            if all(path in self._made for path in self.root.iterdir()):
                for path in self._made:
                    path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        self._made = ()

    def _holds_others(self) -> bool:
        """Tell whether other things than a store that is just being made lie in the folder."""
        others = [p for p in self.root.iterdir() if not p.name.startswith(".store.json.")]
        return bool(others) and not (self.root / "store.json").exists()

    def check(self) -> None:
        """Make sure that the folder is a store.

        Raises
        ------
        StoreError
            if it is none.
        """
        if not (self.root / "store.json").exists():
            raise no_store(str(self.root))

    def _check_writable(self) -> None:
        probe = self.root / f".probe-{os.getpid()}"
        with store_errors(self.root):
            probe.write_bytes(b"")
            probe.unlink()

    def record_path(self, step: str, key: str) -> Path:
        """Return where the record of a job lies or will lie."""
        return self.root / record_name(step, key)

    def record(self, step: str, key: str) -> Record | None:
        """Return the record of a job, or None when it has none."""
        path = self.record_path(step, key)
        try:
            return parse_record(str(path), path.read_bytes())
        except FileNotFoundError:
            return None

    def known(self, jobs: Iterable[tuple[str, str]]) -> dict[str, Record]:
        """Return the records of many jobs, given by step and key, by key."""
        found = ((key, self.record(step, key)) for step, key in jobs)
        return {key: record for key, record in found if record is not None}

    def write_record(self, record: Record) -> None:
        """Write a record, and the pointer from its content key."""
        write_json(self.record_path(record.step, record.key), record.model_dump(mode="json"))
        if record.status == "done" and record.content_key and record.adopted_from is None:
            path = self.root / content_name(record.step, record.content_key)
            write_json(path, {"key": record.key})

    def forget(self, step: str, key: str) -> None:
        """Remove the record of a job; its outputs stay."""
        self.record_path(step, key).unlink(missing_ok=True)

    def record_with_content(self, step: str, content_key: str) -> Record | None:
        """Return a finished record with the same content key whose outputs are intact."""
        try:
            key = pointed_key((self.root / content_name(step, content_key)).read_bytes())
        except FileNotFoundError:
            return None
        record = None if key is None else self.record(step, key)
        if record is None or record.status != "done" or self.damaged(record):
            return None
        return record

    def damaged(self, record: Record, *, verify: bool = False) -> str | None:
        """Return what is wrong with a record's outputs, or None.

        Size and modification time are trusted; the checksum is computed when they differ,
        or always with ``verify``.
        """
        problems = (self._damage(file, verify) for file in record.files())
        return next((problem for problem in problems if problem), None)

    def damage(self, records: Iterable[Record]) -> dict[str, str]:
        """Return what is wrong with the outputs of many records, by key."""
        found = ((record.key, self.damaged(record)) for record in records)
        return {key: problem for key, problem in found if problem is not None}

    def _damage(self, file: OutputFile, verify: bool) -> str | None:
        path = self.root / file.path
        try:
            status = path.stat()
        except FileNotFoundError:
            return f"{file.path} is missing"
        if status.st_size != file.size:
            return f"{file.path} has {status.st_size} bytes instead of {file.size}"
        if (verify or status.st_mtime_ns != file.mtime_ns) and file_sha256(path) != file.sha256:
            return f"{file.path} has another checksum than its record"
        return None

    def bring(self, record: Record) -> dict[str, Path]:
        """Return output name -> path."""
        return {name: self.root / output.path for name, output in record.outputs.items()}

    def take(self, path: Path) -> Output:
        """Describe a finished output (file or folder) for a record."""
        described = tuple(describe_file(self.root, file) for file in files_of(path))
        return Output(path=path.relative_to(self.root).as_posix(), files=described)

    def adopt(self, twin: Record, folder: str, part: Path) -> dict[str, Output]:
        """Link or copy the outputs of another job into the folder of this one."""
        final = self.root / folder
        source = self.root / next(iter(twin.outputs.values())).path
        out = part / "out"
        with store_errors(part):
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(source.parent, out, copy_function=_link_or_copy)
            sync_folder(out)
            if final.exists():
                shutil.rmtree(final)
            out.replace(final)
        paths = {name: final / Path(output.path).name for name, output in twin.outputs.items()}
        return {name: self.take(path) for name, path in paths.items()}

    def records(self) -> Iterator[Record]:
        """Yield every record, by step and key."""
        for path in sorted((self.root / "records").glob("*/*.json")):
            record = self.record(path.parent.name, path.stem)
            if record is not None:
                yield record

    def lock(self, key: str) -> AbstractContextManager[None]:
        """Hold the lock of a job; freed by the kernel when the holder dies."""
        return file_lock(self.root / "locks" / f"{key}.lock")

    def pull(self, folder: str) -> None:
        """Do nothing: everything is here."""

    def push(self, path: Path) -> None:
        """Do nothing: it is there already."""

    def where(self, path: str) -> str:
        """Return the path on this machine."""
        return str(self.root / path)

    def litter(self, records: Iterable[Record]) -> list[str]:
        """Return the folders of jobs without record, and the working folders of killed ones.

        What belongs to a running job is no litter, nor to one that ended since ``records`` were
        read: folders are listed first, then locks, then records, the way a job ends.
        """
        found = local_litter(self.root)
        live = marks_of(held_locks(self.root / "locks"))
        known = job_folders((*records, *self.records()))
        return [n for n in found if n not in known and not has_mark(n, live)]

    def discard(self, names: Iterable[str]) -> None:
        """Remove folders of jobs."""
        for name in names:
            shutil.rmtree(self.root / name, ignore_errors=True)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
