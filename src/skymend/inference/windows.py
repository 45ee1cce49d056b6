"""Geometry of tiled prediction: aligned windows, margins and reflection at the image edge.

All windows start at multiples of the unit (the least common multiple of the stride of the
net and of the resolution ratios of its inputs), so that a strided convolution meets every
pixel in the same phase whatever the block size is (decloud.md, section 12.1).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skymend.core.cog import BLOCK
from skymend.core.encoding import FloatArray
from skymend.core.errors import ConfigError
from skymend.core.grid import Window


def round_up(value: int, unit: int) -> int:
    """Return the smallest multiple of ``unit`` that is not below ``value``."""
    return -(-value // unit) * unit


def reflect(start: int, stop: int, size: int) -> npt.NDArray[np.intp]:
    """Return the pixels of an axis that stand for positions ``start`` to ``stop``.

    Positions outside 0..size-1 are mirrored without repeating the edge pixel, as often as
    needed, so that images smaller than the margin work too.

    Parameters
    ----------
    start, stop : half-open range of positions; may be negative or beyond ``size``.
    size : pixels of the axis, at least 1.

    Returns
    -------
    (stop - start,) indexes in 0..size-1.
    """
    positions = np.arange(start, stop, dtype=np.intp)
    if size == 1:
        return np.zeros_like(positions)
    period = 2 * (size - 1)
    folded = np.mod(positions, period)
    return np.asarray(np.minimum(folded, period - folded), np.intp)


@dataclass(frozen=True, slots=True)
class Axis:
    """Where one padded axis of one input comes from.

    ``start`` and ``stop`` bound the pixels to read (half-open, at the input's resolution);
    ``take`` are indexes into what was read.
    """

    start: int
    stop: int
    take: npt.NDArray[np.intp]


def padded_axis(start: int, stop: int, size: int) -> Axis:
    """Return what to read, and how to mirror it, for positions ``start`` to ``stop``."""
    indexes = reflect(start, stop, size)
    low, high = int(indexes.min()), int(indexes.max()) + 1
    return Axis(low, high, indexes - low)


@dataclass(frozen=True, slots=True)
class Tiling:
    """How an image is cut for a net.

    Parameters
    ----------
    shape : (rows, columns) of the image at output resolution.
    margin : pixels of context on each side, a multiple of ``unit``.
    unit : every window starts and ends at a multiple of it.
    block : side of one prediction window without its margin, a multiple of ``unit``.
    cell : side of what is read and written at once: the smallest multiple of the raster
        block that holds a prediction window, so that no raster block is written twice.
    """

    shape: tuple[int, int]
    margin: int
    unit: int
    block: int
    cell: int

    @classmethod
    def plan(
        cls,
        shape: tuple[int, int],
        *,
        margin: int,
        stride: int,
        ratios: Iterable[int] = (),
        block: int = BLOCK,
    ) -> Tiling:
        """Round margin and block to the stride and lay the cells out.

        Raises
        ------
        ConfigError
            if the block is not a positive multiple of the stride (and of the ratios), or if
            the stride does not divide the raster block.
        """
        unit = math.lcm(stride, *ratios)
        if block <= 0 or block % unit or BLOCK % unit:
            raise ConfigError(
                where="tiler block",
                expected=f"a positive multiple of {unit} (stride and resolution ratios)",
                found=str(block),
                fix=f"use 128, 256 or {BLOCK}",
            )
        return cls(shape, round_up(margin, unit), unit, block, round_up(block, BLOCK))

    def cells(self) -> Iterator[Window]:
        """Yield the cells, row by row, clipped to the image."""
        yield from blocks(Window(0, 0, *self.shape), self.cell)

    def windows(self, cell: Window) -> Iterator[Window]:
        """Yield the prediction windows of a cell without margins, clipped to the image."""
        yield from blocks(cell, self.block)

    def padded(self, window: Window) -> Window:
        """Return a window rounded up to whole units and grown by the margin."""
        rows, columns = round_up(window.rows, self.unit), round_up(window.columns, self.unit)
        return Window(window.row, window.column, rows, columns).padded(self.margin)


def blocks(window: Window, size: int) -> Iterator[Window]:
    """Cut a window into squares of ``size`` pixels, row by row; the last ones are smaller."""
    for row in range(0, window.rows, size):
        for column in range(0, window.columns, size):
            yield Window(
                window.row + row,
                window.column + column,
                min(size, window.rows - row),
                min(size, window.columns - column),
            )


def bounding(wanted: npt.NDArray[np.bool_], unit: int) -> Window | None:
    """Return the smallest window of whole units around all wanted pixels.

    Parameters
    ----------
    wanted : (rows, columns) bool.
    unit : the window starts and ends at multiples of it, or at the edge of the array.

    Returns
    -------
    A window inside the array, or None where nothing is wanted.
    """
    rows, columns = (np.flatnonzero(wanted.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    (top, bottom), (left, right) = (
        (int(found[0]) // unit * unit, min(round_up(int(found[-1]) + 1, unit), size))
        for found, size in zip((rows, columns), wanted.shape, strict=True)
    )
    return Window(top, left, bottom - top, right - left)


def ramp(size: int, margin: int) -> FloatArray:
    """Return the blending weights of one axis of a window.

    The weight rises linearly over the ``2 * margin`` pixels that two neighbours share and
    falls likewise at the end; for windows of at least ``2 * margin`` pixels the weights of
    two neighbours sum to one.

    Parameters
    ----------
    size : pixels of the window without margins.
    margin : pixels of context on each side.

    Returns
    -------
    (size + 2 * margin,) float32, above 0 and at most 1.
    """
    length = size + 2 * margin
    inside = np.arange(length, dtype=np.float32) + 0.5
    nearest = np.minimum(inside, inside[::-1])
    return np.asarray(np.minimum(nearest / max(2 * margin, 0.5), 1.0), np.float32)
