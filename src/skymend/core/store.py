"""The store: where scenes, datasets, models and records live (a local folder)."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from skymend.core.errors import StoreError
from skymend.core.files import store_errors, write_json
from skymend.core.keys import file_sha256
from skymend.core.record import Output, OutputFile, Record

FORMAT = {"skymend-store": 1}


class LocalStore:
    """A store in a local folder.

    Parameters
    ----------
    root : the folder; made by :meth:`prepare`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Create the store, or check that the folder is one.

        Raises
        ------
        StoreError
            if the folder cannot be written or holds something else.
        """
        marker = self.root / "store.json"
        if marker.exists():
            self._check_marker(marker)
            self._check_writable()
            return
        if self.root.exists() and any(self.root.iterdir()):
            raise StoreError(
                where=self.root,
                expected="a skymend store or an empty folder",
                found="a folder with other files and no store.json",
                fix="choose another --store",
            )
        write_json(marker, FORMAT)

    def _check_marker(self, marker: Path) -> None:
        if json.loads(marker.read_text()) != FORMAT:
            raise StoreError(
                where=marker,
                expected=f"store format {FORMAT}",
                found=marker.read_text().strip()[:80],
                fix="use the skymend version that made this store",
            )

    def _check_writable(self) -> None:
        probe = self.root / f".probe-{os.getpid()}"
        with store_errors(self.root):
            probe.write_bytes(b"")
            probe.unlink()

    def record_path(self, step: str, key: str) -> Path:
        """Return where the record of a job lies or will lie."""
        return self.root / "records" / step / f"{key}.json"

    def record(self, step: str, key: str) -> Record | None:
        """Return the record of a job, or None when it has none."""
        path = self.record_path(step, key)
        try:
            return Record.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise StoreError(
                where=path,
                expected="a record of this version of skymend",
                found=f"{error.error_count()} fields that do not fit",
                fix="remove the file; its job will run again",
            ) from error

    def write_record(self, record: Record) -> None:
        """Write a record, and the pointer from its content key."""
        write_json(self.record_path(record.step, record.key), record.model_dump(mode="json"))
        if record.status == "done" and record.content_key and record.adopted_from is None:
            write_json(self._content_path(record.step, record.content_key), {"key": record.key})

    def record_with_content(self, step: str, content_key: str) -> Record | None:
        """Return a finished record with the same content key whose outputs are intact."""
        try:
            key = json.loads(self._content_path(step, content_key).read_text())["key"]
        except FileNotFoundError:
            return None
        record = self.record(step, key)
        if record is None or record.status != "done" or self.damaged(record):
            return None
        return record

    def _content_path(self, step: str, content_key: str) -> Path:
        return self.root / "content" / step / f"{content_key}.json"

    def damaged(self, record: Record, *, verify: bool = False) -> str | None:
        """Return what is wrong with a record's outputs, or None.

        Size and modification time are trusted; the checksum is computed when they differ,
        or always with ``verify``.
        """
        for output in record.outputs.values():
            for file in output.files:
                problem = self._damage(file, verify)
                if problem:
                    return problem
        return None

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

    def describe_output(self, name: str, path: Path) -> Output:
        """Describe a finished output (file or folder) for a record."""
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        described = []
        for file in files:
            status = file.stat()
            described.append(
                OutputFile(
                    path=file.relative_to(self.root).as_posix(),
                    sha256=file_sha256(file),
                    size=status.st_size,
                    mtime_ns=status.st_mtime_ns,
                )
            )
        return Output(path=path.relative_to(self.root).as_posix(), files=tuple(described))

    def records(self) -> Iterator[Record]:
        """Yield every record, by step and key."""
        for path in sorted((self.root / "records").glob("*/*.json")):
            record = self.record(path.parent.name, path.stem)
            if record is not None:
                yield record

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold the lock of a job; freed by the kernel when the holder dies."""
        path = self.root / "locks" / f"{key}.lock"
        with store_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
