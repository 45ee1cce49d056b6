"""Bringing a source raster of another pixel size onto the grid asked for.

Grids must share CRS and lattice: their pixel sizes are integer multiples of one another and
their edges coincide at the finer one. Results do not depend on how the grid is cut into blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.core.errors import GridError
from skymend.core.grid import Grid, Window
from skymend.core.raster import describe, read_stored

IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Decoding:
    """``physical = stored * scale + offset``; the numbers in ``invalid`` mean no data."""

    scale: float = 1.0
    offset: float = 0.0
    invalid: tuple[float, ...] = ()

    def apply(self, stored: npt.NDArray[Any]) -> FloatArray:
        """Return physical float32 values, NaN where invalid."""
        values = stored.astype(np.float32)
        if self.scale != 1.0:
            values *= np.float32(self.scale)
        if self.offset != 0.0:
            values += np.float32(self.offset)
        for number in self.invalid:
            values[stored == number] = np.nan
        return values


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis of the target: pixel centres in source pixels, and which lie inside."""

    centres: npt.NDArray[np.float64]
    size: int

    @property
    def inside(self) -> npt.NDArray[np.bool_]:
        return (self.centres >= 0) & (self.centres < self.size)

    @property
    def nearest(self) -> IntArray:
        return np.clip(np.floor(self.centres), 0, self.size - 1).astype(np.intp)

    def neighbours(self) -> tuple[IntArray, IntArray, FloatArray]:
        """Return the indices of the two nearest centres and the weight of the second."""
        position = self.centres - 0.5
        first = np.floor(position)
        weight = (position - first).astype(np.float32)
        low, high = (np.clip(i, 0, self.size - 1).astype(np.intp) for i in (first, first + 1))
        return low, high, weight


def read_continuous(path: Path, grid: Grid, decoding: Decoding) -> FloatArray:
    """Read the first band of a raster on ``grid`` as physical values.

    Coarser sources are interpolated bilinearly between pixel centres over their valid pixels;
    finer ones are averaged, NaN where less than half of the fine pixels are valid.

    Returns
    -------
    (rows, columns) float32, NaN where the source is invalid or does not reach.

    Raises
    ------
    GridError
        if CRS or lattice differ.
    """
    source = describe(path).grid
    _check_lattice(source, grid, path)
    if source.resolution < grid.resolution * (1 - 1e-9):
        return _read_mean(path, source, grid, decoding)
    rows, columns = _axes(source, grid)
    if not (rows.inside.any() and columns.inside.any()):
        return np.full(grid.shape, np.nan, np.float32)
    if abs(source.resolution - grid.resolution) < 1e-9:
        values = _read_part(path, rows.nearest, columns.nearest, decoding)
    else:
        values = _read_bilinear(path, rows, columns, decoding)
    values[~rows.inside] = np.nan
    values[:, ~columns.inside] = np.nan
    return values


def read_nearest(path: Path, grid: Grid, *, outside: int = 0) -> npt.NDArray[Any]:
    """Read the first band of a class or bit raster on ``grid``, nearest neighbour.

    Returns
    -------
    (rows, columns) of the stored type; ``outside`` where the raster does not reach.
    """
    info = describe(path)
    _check_lattice(info.grid, grid, path)
    rows, columns = _axes(info.grid, grid)
    if not (rows.inside.any() and columns.inside.any()):
        return np.full(grid.shape, outside, info.dtype)
    values = _read_stored_part(path, rows.nearest, columns.nearest)
    values[~rows.inside] = outside
    values[:, ~columns.inside] = outside
    return values


def _check_lattice(source: Grid, grid: Grid, path: Path) -> None:
    coarse, fine = sorted((source.resolution, grid.resolution), reverse=True)
    shifts = (
        coarse / fine,
        (source.transform[2] - grid.transform[2]) / fine,
        (source.transform[5] - grid.transform[5]) / fine,
    )
    if source.crs == grid.crs and all(abs(s - round(s)) < 1e-3 for s in shifts):
        return
    raise GridError(
        where=path,
        expected=f"pixels on the lattice of {_say(grid)}",
        found=_say(source),
        fix="bring all images of the region to one grid first",
    )


def _say(grid: Grid) -> str:
    crs = grid.crs or "no CRS"
    left, top = grid.transform[2], grid.transform[5]
    return f"{crs} at {grid.resolution:g} m with a corner at ({left:g}, {top:g})"


def _axes(source: Grid, grid: Grid) -> tuple[_Axis, _Axis]:
    """Return row and column axis of ``grid`` in pixels of ``source``.

    Rounding makes the weights the same however the grid is cut.
    """
    rows, columns = grid.shape
    step = grid.resolution / source.resolution
    top = (source.transform[5] - grid.transform[5]) / source.resolution
    left = (grid.transform[2] - source.transform[2]) / source.resolution
    return (
        _Axis(np.round(top + (np.arange(rows) + 0.5) * step, 6), source.shape[0]),
        _Axis(np.round(left + (np.arange(columns) + 0.5) * step, 6), source.shape[1]),
    )


def _read_stored_part(path: Path, rows: IntArray, columns: IntArray) -> npt.NDArray[Any]:
    """Read the stored numbers at the given rows and columns (both ascending)."""
    top, left = int(rows[0]), int(columns[0])
    window = Window(top, left, int(rows[-1]) - top + 1, int(columns[-1]) - left + 1)
    stored = read_stored(path, window=window)[0]
    return _take(stored, rows - top, columns - left)


def _take(values: npt.NDArray[Any], rows: IntArray, columns: IntArray) -> npt.NDArray[Any]:
    for axis, wanted in enumerate((rows, columns)):
        if not np.array_equal(wanted, np.arange(values.shape[axis])):
            values = np.take(values, wanted, axis)
    return values


def _read_part(path: Path, rows: IntArray, columns: IntArray, decoding: Decoding) -> FloatArray:
    return decoding.apply(_read_stored_part(path, rows, columns))


def _read_bilinear(path: Path, rows: _Axis, columns: _Axis, decoding: Decoding) -> FloatArray:
    up, down, row_weight = rows.neighbours()
    left, right, column_weight = columns.neighbours()
    all_rows = np.arange(up[0], down[-1] + 1)
    all_columns = np.arange(left[0], right[-1] + 1)
    values = _read_part(path, all_rows, all_columns, decoding)
    valid = np.isfinite(values)
    up, down = up - all_rows[0], down - all_rows[0]
    left, right = left - all_columns[0], right - all_columns[0]

    def interpolate(plane: FloatArray) -> FloatArray:
        tall = _blend(plane, up, down, row_weight, axis=0)
        return _blend(tall, left, right, column_weight, axis=1)

    if valid.all():
        return interpolate(values)
    total = interpolate(np.where(valid, values, np.float32(0)))
    share = interpolate(valid.astype(np.float32))
    here = valid[np.ix_(rows.nearest - all_rows[0], columns.nearest - all_columns[0])]
    return np.divide(total, share, out=np.full_like(total, np.nan), where=here)


def _blend(
    plane: FloatArray, low: IntArray, high: IntArray, weight: FloatArray, *, axis: int
) -> FloatArray:
    first, second = np.take(plane, low, axis), np.take(plane, high, axis)
    second -= first
    second *= weight[:, None] if axis == 0 else weight
    second += first
    return second


def _read_mean(path: Path, source: Grid, grid: Grid, decoding: Decoding) -> FloatArray:
    ratio = round(grid.resolution / source.resolution)
    rows, columns = grid.shape
    fine = grid.crop(Window(0, 0, rows, columns)).at_resolution(source.resolution)
    values = read_continuous(path, fine, decoding)
    blocks = values.reshape(rows, ratio, columns, ratio)
    valid = np.isfinite(blocks)
    count = valid.sum(axis=(1, 3))
    blocks[~valid] = 0
    total = blocks.sum(axis=(1, 3), dtype=np.float64)
    mean = np.full(grid.shape, np.nan, np.float32)
    np.divide(total, count, out=mean, where=2 * count >= ratio**2, casting="unsafe")
    return mean
