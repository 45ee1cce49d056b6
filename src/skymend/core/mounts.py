"""Files that lie elsewhere: the working folder of a remote store, as its readers see it.

Steps get paths of one folder, laid out as the store is, so that they and their relative links
do not know where the store lies. A raster that is not there is read from the remote place by
windows, through GDAL's own driver; everything else was brought before the step began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from skymend.core.keys import file_sha256
from skymend.core.record import OutputFile

RASTERS = {".tif": "GTiff", ".jp2": "JP2OpenJPEG"}
"""Suffixes of what is read by windows, and the one GDAL driver that may open it."""


@dataclass(frozen=True, slots=True)
class Content:
    """Size in bytes and sha256 of a file."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Mount:
    """A working folder and where GDAL finds what is not in it.

    Parameters
    ----------
    root : the folder.
    remote : the same place for GDAL, such as ``/vsis3/bucket/prefix``.
    fetch : brings a file, by its path relative to the folder, verified with its content.
    known : contents of remote files by their path relative to the folder.
    """

    root: Path
    remote: str
    fetch: Callable[[str, Content], None]
    known: dict[str, Content] = field(default_factory=dict)

    def expect(self, files: Iterable[OutputFile]) -> None:
        """Take note of files that a record describes."""
        self.known.update({f.path: Content(f.size, f.sha256) for f in files})


_MOUNTS: dict[Path, Mount] = {}


def mount(root: Path, remote: str, fetch: Callable[[str, Content], None]) -> Mount:
    """Make a folder the local side of a remote place, for this process; return the mount."""
    made = _MOUNTS.get(root)
    if made is None or made.remote != remote:
        made = _MOUNTS[root] = Mount(root, remote, fetch)
    return made


def remote_raster(path: Path) -> str | None:
    """Return GDAL's name of a raster that is not here but in a mounted place, else None."""
    if not _MOUNTS or path.suffix not in RASTERS or path.exists():
        return None
    found = _find(path)
    return None if found is None else f"{found[0].remote}/{found[1]}"


def local(path: Path) -> Path:
    """Return a raster as a file of this machine, for programs that know no mounts.

    One that lies in a mounted place is brought, verified against its record, and stays.
    """
    found = None if path.exists() else _find(path)
    if found is not None and found[1] in found[0].known:
        found[0].fetch(found[1], found[0].known[found[1]])
    return path


def content(path: Path) -> Content:
    """Return size and checksum of a file, from its record where it is not here.

    Raises
    ------
    FileNotFoundError
        if it is neither here nor in a record that was read.
    """
    found = None if path.exists() else _find(path)
    if found is not None and found[1] in found[0].known:
        return found[0].known[found[1]]
    return Content(path.stat().st_size, file_sha256(path))


def _find(path: Path) -> tuple[Mount, str] | None:
    for root, mounted in _MOUNTS.items():
        if path.is_relative_to(root):
            return mounted, path.relative_to(root).as_posix()
    return None
