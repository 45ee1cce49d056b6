"""What makes a zip archive hostile, and what its headers must agree on."""

from __future__ import annotations

import os
import re
import stat
import struct
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from zipfile import ZipFile, ZipInfo

from skymend.core.errors import ProductError

_LOCAL_HEADER = struct.Struct("<4sHHHHHIIIHH")
_LONGEST_END = 22 + 0xFFFF
_HAS_DESCRIPTOR = 0x8
_ENCRYPTED = 0x1
_STORED, _DEFLATED = 0, 8
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """What an archive may unpack to.

    Parameters
    ----------
    ratio : unpacked to packed bytes, of the whole archive and of each member.
    always_allowed : bytes below which the ratio does not matter (blank images pack well).
    total_bytes : unpacked, in all.
    members : number of entries.
    """

    ratio: float = 200.0
    always_allowed: int = 64 * 2**20
    total_bytes: int = 64 * 2**30
    members: int = 100_000


LIMITS = UnpackLimits()


def judged(archive: Path, source: ZipFile, limits: UnpackLimits) -> list[ZipInfo]:
    """Return the entries of an archive in which none is hostile.

    Raises
    ------
    ProductError
        naming the first entry that is.
    """
    entries = source.infolist()
    if len(entries) > limits.members:
        raise bad(archive, f"at most {limits.members} members", str(len(entries)))
    seen: set[str] = set()
    files: set[str] = set()
    for entry in entries:
        problem = unsafe_name(entry.orig_filename) or _unsafe_entry(entry)
        if problem is None and entry.filename.rstrip("/") in seen:
            problem = "the same name twice"
        if problem:
            raise bad(archive, "plain members", f"{problem} ({entry.orig_filename[:80]!r})")
        seen.add(entry.filename.rstrip("/"))
        if not entry.is_dir():
            files.add(entry.filename)
    _check_nesting(archive, files)
    _check_bomb(archive, entries, limits)
    return entries


def unsafe_name(name: str) -> str | None:
    """Say what is dangerous in a path; None if it stays inside the folder it is put in."""
    parts = name.rstrip("/").split("/")
    rules = {
        "a name that cannot be printed": not name or _CONTROL.search(name),
        "an absolute path": name.startswith("/") or re.match(r"[A-Za-z]:", name),
        "a path with backslashes": "\\" in name,
        "a path that leads out of the folder": ".." in parts,
        "a path with empty parts": "" in parts or "." in parts,
        "a name of more than 255 bytes": any(len(part.encode()) > 255 for part in parts),
    }
    return next((words for words, broken in rules.items() if broken), None)


def _unsafe_entry(entry: ZipInfo) -> str | None:
    """Say what is dangerous in an entry besides its name."""
    kind = stat.S_IFMT(entry.external_attr >> 16) if entry.create_system == 3 else 0
    if kind == stat.S_IFLNK:
        return "a symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a special file"
    if entry.flag_bits & _ENCRYPTED:
        return "an encrypted member"
    if entry.compress_type not in (_STORED, _DEFLATED):
        return f"compression method {entry.compress_type}"
    return None


def _check_nesting(archive: Path, files: set[str]) -> None:
    for name in files:
        for parent in PurePosixPath(name).parents:
            if str(parent) in files:
                raise bad(archive, "plain members", f"a file that is also a folder ({parent})")


def _check_bomb(archive: Path, entries: list[ZipInfo], limits: UnpackLimits) -> None:
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > limits.total_bytes:
        found = f"{unpacked / 1e9:.1f} GB unpacked"
        raise bad(archive, f"at most {limits.total_bytes / 1e9:.1f} GB", found)
    packed = max(1, archive.stat().st_size)
    ratios = [unpacked / packed]
    ratios += [
        entry.file_size / max(1, entry.compress_size)
        for entry in entries
        if entry.file_size > limits.always_allowed
    ]
    if unpacked > limits.always_allowed and max(ratios) > limits.ratio:
        found = f"{max(ratios):.0f} times (an archive made to fill the disk)"
        raise bad(archive, f"a size that grows at most {limits.ratio:.0f} times", found)
    _check_overlap(archive, entries)


def _check_overlap(archive: Path, entries: list[ZipInfo]) -> None:
    """Refuse members that share bytes: the trick behind bombs of small ratios."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise bad(archive, "members one after the other", "members that share bytes")
        end = entry.header_offset + _LOCAL_HEADER.size + entry.compress_size


def check_layout(archive: Path, entries: list[ZipInfo]) -> None:
    """Compare each local header with the directory, so that damage between members is seen.

    Raises
    ------
    ProductError
        if one contradicts it.
    """
    with archive.open("rb") as stream:
        _check_count(archive, stream, len(entries))
        for entry in entries:
            stream.seek(entry.header_offset)
            raw = stream.read(_LOCAL_HEADER.size)
            if len(raw) < _LOCAL_HEADER.size or not _same_header(raw, entry):
                found = f"a header that contradicts the directory ({entry.filename[:80]!r})"
                raise bad(archive, "an intact zip archive", found)


def _check_count(archive: Path, stream: IO[bytes], count: int) -> None:
    """Compare the entries with the number in the end record (APPNOTE, section 4.3.16).

    A damaged size of the directory would otherwise hide members.
    """
    stream.seek(-min(archive.stat().st_size, _LONGEST_END), os.SEEK_END)
    tail = stream.read()
    (stated,) = struct.unpack_from("<H", tail, tail.rindex(b"PK\x05\x06") + 10)
    if stated not in (count & 0xFFFF, 0xFFFF):
        raise bad(archive, f"{stated} members as its end record says", str(count))


def _same_header(raw: bytes, entry: ZipInfo) -> bool:
    """Compare what good writers never let differ; versions and flags some do."""
    (signature, _, flags, method, clock, day, crc, packed, unpacked, _, _) = _LOCAL_HEADER.unpack(
        raw
    )
    year, month, date, hour, minute, second = entry.date_time
    same = (signature, method) == (b"PK\x03\x04", entry.compress_type)
    time = (day, clock) == (
        (year - 1980) << 9 | month << 5 | date,
        hour << 11 | minute << 5 | second // 2,
    )
    if flags & _HAS_DESCRIPTOR:
        return same and time
    long = 0xFFFFFFFF
    sizes = packed in (entry.compress_size, long) and unpacked in (entry.file_size, long)
    return same and time and crc == entry.CRC and sizes


def bad(where: Path, expected: str, found: str) -> ProductError:
    """Return the error of an archive that is not used."""
    return ProductError(
        where=where, expected=expected, found=found, fix="fetch it again, or leave this product out"
    )
