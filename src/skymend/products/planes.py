"""Reading many bands of a product by several threads, block by block.

Decoding JPEG 2000 takes most of the time that masking a SAFE needs, and rasterio lets go of the
interpreter while it decodes. So every block of every band is a job of its own, and each thread
holds one block only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.core.grid import Grid, Window
from skymend.products.protocols import Reflective

BLOCK = 1024
"""Rows and columns of a block. Whole JPEG 2000 tiles of the bands of 10 m (1024 pixels) fit in it
at their own pixel size and at any multiple of it, so that none is decoded twice; of the coarser
bands (640 and 192) some are, which costs nothing that could be measured."""

_FINEST_M = 10.0
_BYTES_PER_PIXEL = 7
"""What reading holds of a pixel of the file: stored, physical, and whether it is valid."""

_BUDGET_BYTES = 1_000_000_000


def blocks(grid: Grid) -> Iterator[tuple[Window, Grid]]:
    """Yield each block as a window of ``grid`` and as a grid of its own, row by row."""
    rows, columns = grid.shape
    for row in range(0, rows, BLOCK):
        for column in range(0, columns, BLOCK):
            size = (min(BLOCK, rows - row), min(BLOCK, columns - column))
            window = Window(row, column, *size)
            yield window, grid.crop(window)


def read_planes(
    product: Reflective,
    bands: Sequence[str],
    grid: Grid,
    store: Callable[[FloatArray], npt.NDArray[Any]],
    dtype: npt.DTypeLike,
    *,
    cpus: int = 1,
) -> npt.NDArray[Any]:
    """Read bands on ``grid``, each block stored as soon as it is read.

    Parameters
    ----------
    store : turns float32 reflectance (NaN where nodata) into what is kept.
    dtype : of what is kept.
    cpus : threads; the result is the same for any number.

    Returns
    -------
    (bands, rows, columns) of ``dtype``.

    Raises
    ------
    ProductError
        if a band is missing or a file is damaged: that of the first block in order.
    """
    planes = np.empty((len(bands), *grid.shape), dtype)
    jobs = [(index, *block) for index in range(len(bands)) for block in blocks(grid)]

    def read(job: tuple[int, Window, Grid]) -> None:
        index, window, part = job
        planes[(index, *window.slices)] = store(product.read((bands[index],), part)[0])

    with ThreadPoolExecutor(_threads(grid, cpus)) as pool:
        for _ in pool.map(read, jobs):
            pass
    return planes


def _threads(grid: Grid, cpus: int) -> int:
    """Return how many blocks may be held at once: one of a coarse grid averages many pixels."""
    pixels = (BLOCK * max(1.0, grid.resolution / _FINEST_M)) ** 2
    return max(1, min(cpus, int(_BUDGET_BYTES / (_BYTES_PER_PIXEL * pixels))))
