"""Walking a grid by blocks whose size follows from a memory budget."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from skymend.core.grid import Grid, Window

BUDGET_BYTES = 192 * 2**20
"""Of one block's stack in memory; working copies take about as much again."""

SIDES = (1024, 512, 256, 128)

Read = TypeVar("Read")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a grid with its surroundings.

    ``core`` is what is written, ``window`` what is read (clipped at the edges of the grid),
    ``inner`` where the core lies in the window (row and column slices).
    """

    core: Window
    window: Window

    @property
    def inner(self) -> tuple[slice, slice]:
        """Row and column slices of the core in an array of the window."""
        row, column = self.core.row - self.window.row, self.core.column - self.window.column
        return (slice(row, row + self.core.rows), slice(column, column + self.core.columns))


def side_for(layers: int, block_px: int | None = None) -> int:
    """Return the block side for a stack of ``layers`` float32 layers."""
    if block_px is not None:
        return block_px
    for side in SIDES:
        if layers * 4 * side * side <= BUDGET_BYTES:
            return side
    return SIDES[-1]


def blocks(grid: Grid, side: int, margin: int) -> Iterator[Block]:
    """Yield blocks that cover the grid, row by row, with ``margin`` pixels around."""
    rows, columns = grid.shape
    for core in grid.blocks(side):
        top, left = max(core.row - margin, 0), max(core.column - margin, 0)
        bottom = min(core.row + core.rows + margin, rows)
        right = min(core.column + core.columns + margin, columns)
        yield Block(core, Window(top, left, bottom - top, right - left))


def walk(
    parts: Iterator[Block],
    read: Callable[[Block], Read],
    make: Callable[[Block, Read], Made],
    cpus: int,
) -> Iterator[tuple[Block, Made]]:
    """Read here, compute in up to ``cpus`` threads, and yield results in order.

    At most ``cpus + 1`` blocks are in memory. Files are read in the calling thread only.
    """
    if cpus <= 1:
        for block in parts:
            yield block, make(block, read(block))
        return
    waiting: deque[tuple[Block, Future[Made]]] = deque()
    with ThreadPoolExecutor(cpus) as pool:
        for block in parts:
            waiting.append((block, pool.submit(make, block, read(block))))
            if len(waiting) > cpus:
                done, future = waiting.popleft()
                yield done, future.result()
        while waiting:
            done, future = waiting.popleft()
            yield done, future.result()
