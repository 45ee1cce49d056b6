"""Filling the dark hollows of a band: where shadow can lie at all.

A morphological reconstruction by erosion (the flood-fill of Soille & Ansoult 1990, used by Zhu &
Woodcock 2012, section 3.2.1), by priority-flood with one bucket a level: each pixel is visited
once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

LevelArray = npt.NDArray[np.uint16]

STEP = 10
"""Reflectance x 10000 of one level: fine against the 0.02 that make a hollow a shadow."""

OUTSIDE = 0xFFFF
SEEN = 0x8000
LEVELS = 800
"""Brighter pixels are walls whatever they hold."""


def to_levels(stored: npt.NDArray[np.int16], invalid: npt.NDArray[np.bool_]) -> LevelArray:
    """Return a band, reflectance x 10000, as levels; ``OUTSIDE`` where invalid."""
    levels = np.clip(stored // STEP, 0, LEVELS - 1).astype(np.uint16)
    levels[invalid] = OUTSIDE
    return levels


@njit(cache=True, nogil=True)
def fill(levels: npt.NDArray[np.uint16], background: int) -> None:
    """Fill hollows in place, with four neighbours.

    Water stands in each hollow up to its lowest rim. Outside the image and the swath it
    stands at ``background``, so that a shadow cut by the edge is filled too.

    Parameters
    ----------
    levels : (rows, columns) uint16 below ``LEVELS``; ``OUTSIDE`` is left as it is.
    """
    columns = levels.shape[1]
    head = np.full(LEVELS, -1, np.int32)
    follower = np.empty(levels.size, np.int32)
    _seed(levels, background, head, follower)
    for height in range(LEVELS):
        while head[height] >= 0:
            place = head[height]
            head[height] = follower[place]
            row = place // columns
            _spread(levels, row, place - row * columns, height, head, follower)
    for row in range(levels.shape[0]):
        for column in range(columns):
            if levels[row, column] != OUTSIDE:
                levels[row, column] &= SEEN - 1


@njit(cache=True, nogil=True)
def _seed(
    levels: npt.NDArray[np.uint16],
    background: int,
    head: npt.NDArray[np.int32],
    follower: npt.NDArray[np.int32],
) -> None:
    """Put the pixels at the rim of the image and of the swath into the buckets."""
    rows, columns = levels.shape
    for row in range(rows):
        for column in range(columns):
            level = levels[row, column]
            if level == OUTSIDE:
                continue
            rim = row == 0 or column == 0 or row == rows - 1 or column == columns - 1
            if not rim:
                rim = (
                    levels[row - 1, column] == OUTSIDE
                    or levels[row + 1, column] == OUTSIDE
                    or levels[row, column - 1] == OUTSIDE
                    or levels[row, column + 1] == OUTSIDE
                )
            if rim:
                height = max(level, background)
                levels[row, column] = height | SEEN
                place = row * columns + column
                follower[place] = head[height]
                head[height] = place


@njit(cache=True, nogil=True, inline="always")
def _spread(
    levels: npt.NDArray[np.uint16],
    row: int,
    column: int,
    height: int,
    head: npt.NDArray[np.int32],
    follower: npt.NDArray[np.int32],
) -> None:
    """Let the water of one pixel run to its four neighbours."""
    rows, columns = levels.shape
    for side in range(4):
        r = row + (side == 1) - (side == 0)
        c = column + (side == 3) - (side == 2)
        if r < 0 or c < 0 or r >= rows or c >= columns:
            continue
        level = levels[r, c]
        if level == OUTSIDE or level & SEEN:
            continue
        reached = max(level, height)
        levels[r, c] = reached | SEEN
        place = r * columns + c
        follower[place] = head[reached]
        head[reached] = place
