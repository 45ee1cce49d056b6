"""Zip archives from outside: refused when hostile, checked, unpacked beside and then moved.

Every entry of an archive is judged before the first byte is unpacked, also when only some
members are asked for. SAFE products bring a manifest with the MD5 or SHA3-256 of their files
(Sentinel Standard Archive Format, XFDU ``dataObject/byteStream/checksum``).
"""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING
from zipfile import BadZipFile, LargeZipFile, ZipFile, ZipInfo

from skymend.core.errors import ProductError
from skymend.core.files import store_errors
from skymend.products.sentinel1.markup import parse_xml
from skymend.sources.archive_rules import (
    LIMITS,
    UnpackLimits,
    bad,
    check_layout,
    judged,
    unsafe_name,
)
from skymend.sources.transfer import digests
from skymend.sources.transfer.digests import Digest

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MANIFEST = "manifest.safe"

_BLOCK = 2**20
_MAX_MANIFEST_BYTES = 20_000_000


def extract(
    archive: Path,
    destination: Path,
    members: Sequence[str] | None = None,
    *,
    limits: UnpackLimits = LIMITS,
) -> tuple[Path, ...]:
    """Unpack an archive, or some members of it.

    Parameters
    ----------
    archive : the zip file.
    destination : a folder; what is unpacked appears in it at once, complete.
    members : names, folders or patterns such as ``*/IMG_DATA/R10m/*_B04_10m.jp2``; None for all.
    limits : what it may unpack to.

    Returns
    -------
    files : those unpacked, in the order of the archive.

    Raises
    ------
    ProductError
        if it is no zip, damaged or hostile, or lacks a member asked for.
    """
    with _opened(archive) as source:
        entries = judged(archive, source, limits)
        wanted = _chosen(archive, entries, members)
        with store_errors(destination):
            destination.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=f".{archive.stem[:60]}.", dir=destination))
            try:
                for entry in wanted:
                    _unpack(archive, source, entry, work)
                _move_into(work, destination)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return tuple(destination / entry.filename for entry in wanted)


def check(archive: Path, *, manifest: bool = False, limits: UnpackLimits = LIMITS) -> str:
    """Read a whole archive against its CRCs, and a SAFE's also against its manifest.

    Returns
    -------
    verified : ``crc``, or ``manifest``.

    Raises
    ------
    ProductError
        if it is no zip, damaged or hostile.
    """
    with _opened(archive) as source:
        entries = judged(archive, source, limits)
        check_layout(archive, entries)
        stated = _manifest_of(archive, source, entries) if manifest else {}
        for entry in entries:
            _check_entry(archive, source, entry, stated.pop(entry.filename, None))
    if stated:
        raise bad(archive, "all files of its manifest", f"no {next(iter(stated))}")
    return "manifest" if manifest else "crc"


def verify_safe(folder: Path, *, partial: bool = False) -> int:
    """Check the files of an unpacked SAFE against the digests in its manifest.

    Parameters
    ----------
    folder : the SAFE folder.
    partial : whether files may be absent, because only some were asked for.

    Returns
    -------
    count : files that were checked.

    Raises
    ------
    ProductError
        if a file differs or, unless ``partial``, is absent.
    """
    stated = manifest_digests(folder / MANIFEST)
    checked = 0
    for name, digest in stated.items():
        path = folder / name
        if not path.is_file():
            if partial:
                continue
            raise bad(folder, "all files of its manifest", f"no {name}")
        with path.open("rb") as stream:
            _compare(folder, name, stream, digest)
        checked += 1
    return checked


def manifest_digests(manifest: Path) -> dict[str, Digest]:
    """Return file -> digest of a SAFE's manifest; names are relative to the SAFE folder."""
    try:
        if manifest.stat().st_size > _MAX_MANIFEST_BYTES:
            raise bad(manifest, f"at most {_MAX_MANIFEST_BYTES} bytes", "more")
        return _parse_manifest(manifest, manifest.read_bytes())
    except FileNotFoundError:
        raise bad(manifest.parent, f"a {MANIFEST}", "none") from None


def _parse_manifest(where: Path, raw: bytes) -> dict[str, Digest]:
    found = {}
    for stream in parse_xml(raw, str(where)).element.iter("byteStream"):
        location, checksum = stream.find("fileLocation"), stream.find("checksum")
        if location is None or checksum is None or not digests.known(_name(checksum)):
            continue
        name = location.get("href", "").removeprefix("./")
        problem = unsafe_name(name)
        if problem:
            raise bad(where, "paths inside the product", f"{problem} ({name[:80]!r})")
        found[name] = Digest(_name(checksum), checksum.text or "")
    return found


def _name(checksum: Element) -> str:
    return checksum.get("checksumName", "")


@contextmanager
def _opened(archive: Path) -> Iterator[ZipFile]:
    try:
        source = ZipFile(archive)
    except (
        *(BadZipFile, LargeZipFile, NotImplementedError),
        *(ValueError, OSError, struct.error),
    ) as error:
        raise bad(archive, "a zip archive", str(error) or type(error).__name__) from None
    with source:
        yield source


def _chosen(archive: Path, entries: list[ZipInfo], members: Sequence[str] | None) -> list[ZipInfo]:
    files = [entry for entry in entries if not entry.is_dir()]
    if members is None:
        return files
    wanted = set()
    for member in members:
        folder = member.rstrip("/") + "/"
        matches = {
            entry.filename
            for entry in files
            if fnmatchcase(entry.filename, member) or entry.filename.startswith(folder)
        }
        if not matches:
            raise bad(archive, f"a member {member}", f"none among {len(files)} files")
        wanted |= matches
    return [entry for entry in files if entry.filename in wanted]


def _unpack(archive: Path, source: ZipFile, entry: ZipInfo, work: Path) -> None:
    target = work / entry.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out, _member(archive, source, entry) as stream:
        for block in _blocks(archive, entry, stream):
            out.write(block)
        out.flush()
        os.fsync(out.fileno())


@contextmanager
def _member(archive: Path, source: ZipFile, entry: ZipInfo) -> Iterator[IO[bytes]]:
    try:
        stream = source.open(entry)
    except (BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise _damaged(archive, entry, str(error)) from None
    with stream:
        yield stream


def _blocks(archive: Path, entry: ZipInfo, stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the content of a member; its length and CRC are checked at the end."""
    count = 0
    while True:
        try:
            block = stream.read(_BLOCK)
        except (BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
            raise _damaged(archive, entry, str(error) or "it ends early") from None
        if not block:
            break
        count += len(block)
        yield block
    if count != entry.file_size:
        raise _damaged(archive, entry, f"{count} bytes instead of {entry.file_size}")


def _check_entry(archive: Path, source: ZipFile, entry: ZipInfo, digest: Digest | None) -> None:
    with _member(archive, source, entry) as stream:
        hasher = digests.start(digest.algorithm) if digest else None
        for block in _blocks(archive, entry, stream):
            if hasher is not None:
                hasher.update(memoryview(block))
    if hasher is not None and digest is not None and hasher.hexdigest() != digest.value:
        raise bad(archive, f"{entry.filename} as its manifest states it", "another content")


def _manifest_of(archive: Path, source: ZipFile, entries: list[ZipInfo]) -> dict[str, Digest]:
    """Return member -> digest, from the manifest beside the members."""
    found = [entry for entry in entries if PurePosixPath(entry.filename).name == MANIFEST]
    if len(found) != 1 or found[0].file_size > _MAX_MANIFEST_BYTES:
        raise bad(archive, f"one {MANIFEST}", f"{len(found)} of usual size")
    with _member(archive, source, found[0]) as stream:
        raw = b"".join(_blocks(archive, found[0], stream))
    folder = PurePosixPath(found[0].filename).parent
    return {str(folder / name): digest for name, digest in _parse_manifest(archive, raw).items()}


def _compare(folder: Path, name: str, stream: IO[bytes], digest: Digest) -> None:
    hasher = digests.start(digest.algorithm)
    while block := stream.read(_BLOCK):
        hasher.update(memoryview(block))
    if hasher.hexdigest() != digest.value:
        raise bad(folder, f"{name} as its manifest states it", "another content")


def _move_into(work: Path, destination: Path) -> None:
    """Move what was unpacked into place: whole trees where nothing is yet, else file by file."""
    for path in sorted(work.iterdir()):
        target = destination / path.name
        if path.is_dir() and target.is_dir() and not target.is_symlink():
            _move_into(path, target)
        else:
            os.replace(path, target)


def _damaged(archive: Path, entry: ZipInfo, words: str) -> ProductError:
    return bad(archive, "an intact zip archive", f"{entry.filename[:80]!r} damaged: {words[:160]}")
