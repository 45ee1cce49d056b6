"""Going over a grid in full-width strips, so that no whole tile of float32 is ever held."""

from __future__ import annotations

from collections.abc import Iterator

from skymend.core.grid import Grid, Window

STRIP_ROWS = 1024
"""Rows of a strip: a multiple of COG blocks (512) and of JPEG 2000 tiles at 10 m (1024)."""


def strips(grid: Grid) -> Iterator[tuple[Window, Grid]]:
    """Yield each strip as a window of ``grid`` and as a grid of its own, top to bottom.

    Full width suits files stored in lines, which are read once this way.
    """
    rows, columns = grid.shape
    for row in range(0, rows, STRIP_ROWS):
        window = Window(row, 0, min(STRIP_ROWS, rows - row), columns)
        yield window, grid.crop(window)
