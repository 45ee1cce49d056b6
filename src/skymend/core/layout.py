"""What lies where in a store, and the checks of its documents, wherever it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from skymend.core.errors import StoreError
from skymend.core.keys import file_sha256
from skymend.core.record import OutputFile, Record

FORMAT = {"skymend-store": 1}
"""What ``store.json`` says."""

_KEY = re.compile(r"[0-9a-f]{64}")

JOB_FOLDER = re.compile(r"((?:scenes/[^/]+/[^/]+|regional/[^/]+)/[^/]+-[0-9a-f]{8})/")
"""The folder of a job at the start of a path relative to the store."""


def record_name(step: str, key: str) -> str:
    """Return where the record of a job lies, relative to the store."""
    return f"records/{step}/{key}.json"


def content_name(step: str, content_key: str) -> str:
    """Return where the pointer from a content key to a job lies, relative to the store."""
    return f"content/{step}/{content_key}.json"


def parse_record(where: str, text: bytes) -> Record:
    """Read a record.

    Raises
    ------
    StoreError
        if it is none of this version.
    """
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        raise StoreError(
            where=where,
            expected="a record of this version of skymend",
            found=f"{error.error_count()} fields that do not fit",
            fix="remove the file; its job will run again",
        ) from error


def pointed_key(text: bytes) -> str | None:
    """Return the key that a pointer holds; None of a damaged one, whose job simply runs."""
    try:
        key = json.loads(text)["key"]
        return key if _KEY.fullmatch(key) else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def check_marker(where: str, text: bytes) -> None:
    """Make sure that ``store.json`` is of this version.

    Raises
    ------
    StoreError
        if it is not.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if found != FORMAT:
        raise StoreError(
            where=where,
            expected=f"store format {FORMAT}",
            found=text.decode("utf-8", "replace").strip()[:80],
            fix="use the skymend version that made this store",
        )


def no_store(where: str) -> StoreError:
    """Return the error of a place that is no store."""
    return StoreError(
        where=where,
        expected="a skymend store",
        found="no store.json",
        fix="name the folder or s3:// prefix given as --store",
    )


def foreign(where: str, empty: str, found: str) -> StoreError:
    """Return the error of a place that holds something else."""
    return StoreError(
        where=where,
        expected=f"a skymend store or {empty}",
        found=f"{found} and no store.json",
        fix="choose another --store",
    )


def files_of(path: Path) -> list[Path]:
    """Return a file, or the files of a folder in order."""
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def describe_file(root: Path, file: Path) -> OutputFile:
    """Describe a local file below ``root`` for a record."""
    status = file.stat()
    return OutputFile(
        path=file.relative_to(root).as_posix(),
        sha256=file_sha256(file),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
    )


def job_folders(records: Iterable[Record]) -> set[str]:
    """Return the folders of the outputs of jobs, relative to the store."""
    return {str(Path(out.path).parent) for r in records for out in r.outputs.values()}


def marks_of(keys: Iterable[str]) -> set[str]:
    """Return what the names of the folders of jobs share with their keys."""
    return {key[:8] for key in keys}


def has_mark(name: str, marks: Iterable[str]) -> bool:
    """Tell whether the name of a folder or file has one of :func:`marks_of` in it."""
    return any(mark in name for mark in marks)


def local_litter(root: Path) -> list[str]:
    """Return the job folders below a folder, and the working folders of killed jobs."""
    rooms = [root / "scenes", root / "regional"]
    folders = [p for room in rooms for p in room.glob("**/*-????????") if p.is_dir()]
    parts = [p for room in rooms for p in room.glob("**/.*.part")]
    return sorted({p.relative_to(root).as_posix() for p in (*folders, *parts)})
