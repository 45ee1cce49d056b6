"""A small sample of a job's stack, drawn the same way whatever the blocks are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.core.grid import Grid, Window
from skymend.fusion.scenes import SceneReader
from skymend.fusion.stack import BoolArray, Stack

PATCHES = 64
PATCH_PX = 6
"""64 patches of 6 x 6 pixels: 2,304 pixels of up to 64 fields."""

SEED = 7


def sample(reader: SceneReader, *, radar: bool, margin: int) -> Stack:
    """Read patches at seeded places and lay them side by side.

    Parameters
    ----------
    margin : pixels around each patch that the method looks at.

    Returns
    -------
    Stack of (rows, columns) = (patch, patches * patch) with margins; ``wanted`` is False on
    margins. Small grids are read whole, with as many pixels wanted.
    """
    windows, wanted = _places(reader.grid, margin)
    # A date seen in one patch only must still be in all of them: read without dropping.
    parts = [_full(reader, window, radar) for window in windows]
    return replace(
        parts[0],
        optical=np.concatenate([p.optical for p in parts], axis=3),
        radar=_joined([p.radar for p in parts]),
        target=_joined([p.target for p in parts]),
        dem=_joined([p.dem for p in parts]),
        wanted=np.concatenate(wanted, axis=1),
    )


def _joined(parts: list[FloatArray | None]) -> FloatArray | None:
    """Join patches along columns; None where the first has none."""
    there = [p for p in parts if p is not None]
    return np.concatenate(there, axis=-1) if there else None


def _places(grid: Grid, margin: int) -> tuple[list[Window], list[BoolArray]]:
    rng = np.random.default_rng(SEED)
    rows, columns = grid.shape
    side = PATCH_PX + 2 * margin
    if rows * columns <= 4 * PATCHES * side * side or min(rows, columns) < side:
        wanted = np.zeros(rows * columns, bool)
        count = min(rows * columns, PATCHES * PATCH_PX**2)
        wanted[rng.permutation(rows * columns)[:count]] = True
        return [Window(0, 0, rows, columns)], [wanted.reshape(rows, columns)]
    top = rng.integers(0, rows - side + 1, PATCHES)
    left = rng.integers(0, columns - side + 1, PATCHES)
    places = sorted(zip(top.tolist(), left.tolist(), strict=True))
    core = np.zeros((side, side), bool)
    core[margin : side - margin, margin : side - margin] = True
    return [Window(r, c, side, side) for r, c in places], [core] * PATCHES


def _full(reader: SceneReader, window: Window, radar: bool) -> Stack:
    stack, _ = reader.stack(window, radar=radar)
    times = np.array([c.time for c in reader.candidates], np.float64)
    if len(stack.times) == len(times):
        return stack
    optical = np.full((len(times), *stack.optical.shape[1:]), np.nan, np.float32)
    # Equal times keep their order, so that each date lands in its own row.
    place, taken = 0, stack.times
    for row, time in enumerate(times):
        if place < len(taken) and taken[place] == time:
            optical[row] = stack.optical[place]
            place += 1
    return replace(stack, times=times, optical=optical)
