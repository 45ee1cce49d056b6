"""Tar archives from outside: flat folders of plain files, everything else refused."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from skymend.core.errors import ProductError
from skymend.core.files import store_errors

MOST_BYTES = 16 * 2**30
MOST_MEMBERS = 1000
_BLOCK = 2**20

_NAME = re.compile(r"(?:\./)?[A-Za-z0-9][\w.+-]{0,200}")


def untar(archive: Path, folder: Path) -> tuple[Path, ...]:
    """Unpack a tar of plain files without folders; all appear at once, in a new folder.

    Raises
    ------
    ProductError
        if a member is a link, a device, in a folder, or outside; or if there is too much.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with store_errors(folder):
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            with tarfile.open(archive, "r:*") as tar:
                for member in _judged(archive, tar):
                    tar.extract(member, beside, filter="data")
                _read_on(archive, tar)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(beside, folder)
        except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk, not the archive
            raise _refused(archive, "a whole tar archive", type(error).__name__) from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return tuple(sorted(folder.iterdir()))


def _judged(archive: Path, tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    total = 0
    for count, member in enumerate(tar, 1):
        total += member.size
        if count > MOST_MEMBERS or total > MOST_BYTES:
            raise _refused(archive, f"at most {MOST_MEMBERS} files and {MOST_BYTES} bytes", "more")
        if not member.isreg() or not _NAME.fullmatch(member.name):
            raise _refused(archive, "plain files without folders", repr(member.name[:80]))
        yield member


def _read_on(archive: Path, tar: tarfile.TarFile) -> None:
    """Read what follows the last member: at its end stands the checksum of the compression."""
    stream, total = tar.fileobj, 0
    while stream is not None and (block := stream.read(_BLOCK)):
        total += len(block)
        if total > MOST_BYTES:
            raise _refused(archive, f"at most {MOST_BYTES} bytes", "more")


def _refused(archive: Path, expected: str, found: str) -> ProductError:
    return ProductError(
        where=archive, expected=expected, found=found, fix="fetch it again; else report it"
    )
