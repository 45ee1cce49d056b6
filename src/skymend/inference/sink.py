"""Work rasters that survive a kill, and the COGs made of them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skymend.core.cog import CogWriter
from skymend.core.encoding import Encoding
from skymend.core.errors import ProductError
from skymend.core.grid import Grid, Window
from skymend.core.raster import describe
from skymend.inference.cells import Outputs
from skymend.inference.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class OutputRaster:
    """One output of the net as a raster.

    Parameters
    ----------
    name : output of the predictor.
    path : the COG to write.
    bands : one name per channel.
    encoding : how values are stored.
    scale : factor from the output of the net to physical values.
    """

    name: str
    path: Path
    bands: tuple[str, ...]
    encoding: Encoding
    scale: float = 1.0


class Sink:
    """Work rasters and the record of which of their cells are finished."""

    def __init__(
        self,
        outputs: Sequence[OutputRaster],
        grid: Grid,
        work: Path,
        identity: dict[str, object],
        checkpoint_seconds: float,
    ) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self.outputs = tuple(outputs)
        self.grid = grid
        self.works = [work / f"{output.name}.work.tif" for output in self.outputs]
        named = {o.name: [o.bands, o.encoding.name, o.scale] for o in self.outputs}
        self.record = Checkpoint(
            work / "tiler.jsonl", {**identity, "grid": grid.as_json(), "outputs": named}
        )
        self.checkpoint_seconds = checkpoint_seconds
        self.written = 0
        self._pending: list[Window] = []
        self._since = time.monotonic()
        self._writers = [self._writer(o, w) for o, w in zip(self.outputs, self.works, strict=True)]

    def _writer(self, output: OutputRaster, work: Path) -> CogWriter:
        return CogWriter(output.path, self.grid, output.bands, output.encoding, work=work)

    def resume(self) -> frozenset[tuple[int, int]]:
        """Return the finished cells, or begin anew where record and work files disagree."""
        done = self.record.load()
        if done and all(_readable(work) for work in self.works):
            return done
        for work in self.works:
            work.unlink(missing_ok=True)
        self.record.restart()
        return frozenset()

    def write(self, cell: Window, values: Outputs) -> None:
        """Write one cell of every output."""
        for output, writer in zip(self.outputs, self._writers, strict=True):
            bands = np.moveaxis(values[output.name], -1, 0)
            writer.write(bands if output.scale == 1.0 else bands * np.float32(output.scale), cell)
        self.written += 1
        self._pending.append(cell)
        if time.monotonic() - self._since >= self.checkpoint_seconds:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Bring all pixels to disk, then say so in the record."""
        for writer in self._writers:
            writer.close()
        if self._pending:
            for work in self.works:
                _sync(work)
            self.record.append(self._pending)
        self._pending = []
        self._since = time.monotonic()

    def finish(self) -> float:
        """Make the COGs, then drop the work files; return the seconds it took.

        The COGs are made from second names of the work files, so that a kill between two
        of them costs no prediction.
        """
        self.checkpoint()
        start = time.monotonic()
        for output, work in zip(self.outputs, self.works, strict=True):
            self._writer(output, _second_name(work)).finish()
        for path in (self.record.path, *self.works):
            path.unlink(missing_ok=True)
        return time.monotonic() - start


def _readable(work: Path) -> bool:
    """Tell whether a work file can be opened; a kill may have left half a directory."""
    try:
        describe(work)
    except ProductError:
        return False
    return True


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _second_name(work: Path) -> Path:
    """Return a hard link to a work file, or the file itself where links are refused."""
    link = work.with_name(f"{work.stem}.finishing.tif")
    link.unlink(missing_ok=True)
    try:
        os.link(work, link)
    except OSError:
        return work
    return link
