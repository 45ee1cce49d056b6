"""A SAFE product on disk, folder or zip, read in place.

Names are checked before anything is opened: no absolute path, no ``..``, no link, no member
larger than it says. Nothing is ever unpacked to the disk.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from skymend.core.errors import ProductError

MAX_XML_BYTES = 64_000_000
"""Largest metadata file that is read; real ones are below 3 MB."""

MAX_MEMBERS = 10_000
MANIFEST = "manifest.safe"
_MAX_RATIO = 2_000


@dataclass(frozen=True, slots=True)
class SafeArchive:
    """Access to the files of one SAFE product.

    Parameters
    ----------
    path : the folder or the zip.
    root : folder inside the zip that holds the manifest; empty for a folder on disk.
    members : sizes in bytes by name below ``root``, for a zip; None for a folder.
    stored : members of the zip that are not compressed.
    """

    path: Path
    root: str = ""
    members: dict[str, int] | None = None
    stored: frozenset[str] = frozenset()

    @property
    def zipped(self) -> bool:
        """Whether the product is a zip."""
        return self.members is not None

    def has(self, name: str) -> bool:
        """Tell whether a file is there."""
        check_name(self.path, name)
        return name in self.members if self.members is not None else (self.path / name).is_file()

    def size(self, name: str) -> int:
        """Return the size of a file in bytes."""
        self._demand(name)
        if self.members is not None:
            return self.members[name]
        return (self.path / name).stat().st_size

    def read(self, name: str, limit: int = MAX_XML_BYTES) -> bytes:
        """Read a small file whole.

        Raises
        ------
        ProductError
            if it is missing, larger than ``limit`` or damaged.
        """
        size = self.size(name)
        if size > limit:
            raise self.error(name, f"at most {limit} bytes", f"{size} bytes")
        if self.members is None:
            return (self.path / name).read_bytes()
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self._inside(name)) as stream:
                content = stream.read(size + 1)
        except (zipfile.BadZipFile, OSError, EOFError, zlib.error, ValueError) as error:
            raise self.error(name, "a readable member of the zip", str(error)) from error
        except (RuntimeError, NotImplementedError) as error:  # encrypted, or odd compression
            raise self.error(name, "a plain member of the zip", str(error)) from error
        if len(content) != size:
            raise self.error(name, f"{size} bytes as the zip says", f"{len(content)} bytes")
        return content

    def gdal_path(self, name: str) -> str:
        """Return the path under which GDAL reads a file in place."""
        self._demand(name)
        if self.members is None:
            return str(self.path / name)
        return f"/vsizip/{{{self.path.resolve()}}}/{self._inside(name)}"

    def error(self, name: str, expected: str, found: str) -> ProductError:
        """Return an error about one file of the product."""
        return ProductError(
            where=f"{self.path.name}/{name}",
            expected=expected,
            found=found,
            fix="fetch the product again",
        )

    def _inside(self, name: str) -> str:
        return f"{self.root}/{name}" if self.root else name

    def _demand(self, name: str) -> None:
        if not self.has(name):
            raise self.error(name, "the file that the manifest lists", "no such file")


def open_archive(path: Path) -> SafeArchive:
    """Open a SAFE folder or zip.

    Raises
    ------
    ProductError
        if it is neither, holds no manifest, or its table of contents cannot be trusted.
    """
    if path.is_dir():
        if not (path / MANIFEST).is_file():
            raise _refuse(path, f"a {MANIFEST} in the folder", "none")
        return SafeArchive(path)
    if not path.is_file():
        raise _refuse(path, "a SAFE folder or zip", "no such file")
    if not zipfile.is_zipfile(path):
        raise _refuse(path, "a SAFE folder or zip", "a file that is not a zip, or a truncated one")
    return _open_zip(path)


def _open_zip(path: Path) -> SafeArchive:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [i for i in archive.infolist() if not i.filename.endswith("/")]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise _refuse(path, "a readable zip", str(error)) from error
    if len(infos) > MAX_MEMBERS:
        raise _refuse(path, f"at most {MAX_MEMBERS} files", f"{len(infos)}")
    for info in infos:
        _check_member(path, info)
    roots = [i.filename for i in infos if PurePosixPath(i.filename).name == MANIFEST]
    if len(roots) != 1:
        raise _refuse(path, f"one {MANIFEST} in the zip", f"{len(roots)}")
    root = roots[0].removesuffix(MANIFEST).rstrip("/")
    inside = [i for i in infos if not root or i.filename.startswith(f"{root}/")]
    names = [i.filename[len(root) + 1 :] if root else i.filename for i in inside]
    if len(set(names)) != len(names):
        raise _refuse(path, "each file once in the zip", "the same name twice")
    stored = (n for n, i in zip(names, inside, strict=True) if i.compress_type == 0)
    sizes = {n: i.file_size for n, i in zip(names, inside, strict=True)}
    return SafeArchive(path, root, sizes, frozenset(stored))


def _check_member(path: Path, info: zipfile.ZipInfo) -> None:
    check_name(path, info.filename)
    if info.external_attr >> 16 & 0o170000 == 0o120000:
        raise _refuse(path, "plain files in the zip", f"a link named {info.filename}")
    if info.flag_bits & 1:
        raise _refuse(path, "a zip without password", f"{info.filename} is encrypted")
    if info.file_size > _MAX_RATIO * max(info.compress_size, 1):
        raise _refuse(
            path,
            "plausible sizes in the zip",
            f"{info.filename} says {info.file_size} bytes from {info.compress_size}",
        )


def check_name(path: Path, name: str) -> None:
    """Refuse a name that could reach outside the product.

    Raises
    ------
    ProductError
        if the name is absolute, climbs, or holds a control character or brace.
    """
    parts = PurePosixPath(name).parts
    odd = any(ord(c) < 32 or c in "\\{}" for c in name)
    if not parts or odd or name.startswith("/") or ".." in parts or ":" in parts[0]:
        raise _refuse(path, "plain relative names inside the product", repr(name[:120]))


def _refuse(path: Path, expected: str, found: str) -> ProductError:
    return ProductError(
        where=path, expected=expected, found=found, fix="fetch the product again, as it was made"
    )
