"""Which cells of an interrupted raster are finished.

One line per checkpoint is appended to a small text file after the pixels of its cells were
flushed to the work rasters. A line is written with one call in append mode; a torn last
line (power cut) does not parse and is ignored, so that its cells are simply done again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from skymend.core.grid import Window


class Checkpoint:
    """The finished cells of one raster job.

    Parameters
    ----------
    path : the record; it belongs to the work rasters beside it.
    identity : anything that changes the pixels; a record of another identity is dropped.
    """

    def __init__(self, path: Path, identity: dict[str, object]) -> None:
        self.path = path
        self.identity = json.dumps(identity, sort_keys=True)

    def load(self) -> frozenset[tuple[int, int]]:
        """Return (row, column) of each finished cell; empty without a record of this job."""
        text = self.path.read_bytes() if self.path.exists() else b""
        lines = text.decode("utf-8", "replace").splitlines()
        if not lines or lines[0] != self.identity:
            return frozenset()
        done: set[tuple[int, int]] = set()
        for line in lines[1:]:
            done.update(_parse(line))
        return frozenset(done)

    def restart(self) -> None:
        """Begin a new record."""
        part = self.path.with_name(f".{self.path.name}.part")
        part.write_text(self.identity + "\n")
        os.replace(part, self.path)

    def append(self, cells: Iterable[Window]) -> None:
        """Record cells whose pixels are safely on disk."""
        line = json.dumps([[cell.row, cell.column] for cell in cells]) + "\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(handle, line.encode())
            os.fsync(handle)
        finally:
            os.close(handle)


def _parse(line: str) -> list[tuple[int, int]]:
    try:
        return [(int(row), int(column)) for row, column in json.loads(line)]
    except (ValueError, TypeError, OverflowError, RecursionError):
        return []
