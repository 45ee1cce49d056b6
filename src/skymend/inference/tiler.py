"""The tiler: padded windows -> model -> full-extent raster.

Each input window is read once with its margin (reflected at the edge of the image),
predicted in batches of equal windows, cropped and written. For nets of finite reach the
result does not depend on the block size; other nets are blended over the margin and promise
no such thing. What is missing: an input pixel without a value becomes the fill value of its
input, and an output pixel is NaN where none of the inputs that count as evidence has a value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skymend.core.cog import BLOCK
from skymend.core.encoding import FloatArray
from skymend.core.errors import ConfigError, StoreError
from skymend.core.grid import Grid, Window
from skymend.inference.cells import CellPredictor, Outputs
from skymend.inference.predictor import Predictor
from skymend.inference.readers import ArrayReader, Reader
from skymend.inference.sink import OutputRaster, Sink
from skymend.inference.streaming import overlap
from skymend.inference.windows import bounding

_STEP = 128
"""Windows shrink to the wanted pixels in steps of this, so that few shapes occur."""

__all__ = ["OutputRaster", "TilerReport", "predict_arrays", "predict_raster"]


@dataclass(frozen=True, slots=True)
class TilerReport:
    """What a run did: cells in all, cells found finished, and seconds of COG finishing."""

    cells: int
    resumed: int
    finishing_seconds: float = field(compare=False, default=0.0)


def predict_arrays(
    predictor: Predictor,
    inputs: Mapping[str, FloatArray],
    shape: tuple[int, int],
    *,
    block: int = BLOCK,
    evidence: Iterable[str] | None = None,
    wanted: npt.NDArray[np.bool_] | None = None,
) -> Outputs:
    """Predict an image that lies in memory.

    Parameters
    ----------
    inputs : name -> (rows, columns, channels) float32 at the input's own resolution, scaled
        as the net wants it; NaN where nothing is known.
    shape : (rows, columns) of the outputs.
    block : side of a prediction window without its margin.
    evidence : inputs of which at least one must have a value; all when None.
    wanted : (rows, columns) bool, where a result is asked for; windows without any such
        pixel are left out. Everywhere when None.

    Returns
    -------
    name -> (rows, columns, channels) float32; NaN where not wanted or without evidence.
    """
    job = CellPredictor(predictor, ArrayReader(shape, inputs), block, evidence)
    asked = np.ones(shape, np.bool_) if wanted is None else wanted
    image = {n: np.full((*shape, c), np.nan, np.float32) for n, c in predictor.outputs.items()}
    for cell in job.tiling.cells():
        part = bounding(asked[cell.slices], math.lcm(job.tiling.unit, _STEP))
        if part is not None:
            window = Window(cell.row + part.row, cell.column + part.column, part.rows, part.columns)
            predicted = job.predict(window, job.read(window, asked[window.slices]))
            for name, values in predicted.items():
                image[name][window.slices] = values
    return image


def predict_raster(
    predictor: Predictor,
    reader: Reader,
    outputs: Sequence[OutputRaster],
    grid: Grid,
    *,
    work: Path,
    block: int = BLOCK,
    evidence: Iterable[str] | None = None,
    identity: Mapping[str, object] | None = None,
    checkpoint_seconds: float = 5.0,
    progress: Callable[[float, str], None] | None = None,
) -> TilerReport:
    """Predict an image from disk to disk, resuming where an earlier run was stopped.

    Parameters
    ----------
    reader : the inputs; its shape is that of ``grid``.
    outputs : what to write.
    work : private folder that survives a killed run; holds work rasters and the record of
        finished cells.
    block : side of a prediction window without its margin.
    evidence : inputs of which at least one must have a value; all when None.
    identity : anything else that changes the pixels (hash of the bundle, ids of the scenes);
        work of another identity is thrown away.
    checkpoint_seconds : at most so much work is lost by a kill.
    progress : takes the share done, 0..1, and a short text.

    Raises
    ------
    ConfigError
        if the shapes of reader and grid differ or the block does not fit the stride.
    BundleError
        if the net returns another shape than it promises.
    """
    if reader.shape != grid.shape:
        raise ConfigError(
            where="tiler",
            expected=f"inputs of {grid.shape[0]} x {grid.shape[1]} pixels",
            found=f"{reader.shape[0]} x {reader.shape[1]}",
            fix="bring the inputs to the grid of the output",
        )
    job = CellPredictor(predictor, reader, block, evidence)
    sink = Sink(outputs, grid, work, job.identity(identity), checkpoint_seconds)
    done = sink.resume()
    cells = list(job.tiling.cells())
    missing = [cell for cell in cells if (cell.row, cell.column) not in done]

    def write(cell: Window, values: Outputs) -> None:
        sink.write(cell, values)
        if progress is not None:
            progress((len(done) + sink.written) / len(cells), f"{sink.written} windows")

    try:
        overlap(missing, job.read, job.predict, write)
    except Exception:
        with suppress(StoreError):
            sink.checkpoint()
        raise
    return TilerReport(len(cells), len(cells) - len(missing), sink.finish())
