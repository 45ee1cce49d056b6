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

MARGIN_PX = 2
"""Around each patch, for the speckle filter."""

WHOLE_PX = 512 * 512
"""Grids up to this size are read at once."""

SEED = 7


def sample(reader: SceneReader, *, radar: bool) -> Stack:
    """Read patches at seeded places and lay them side by side.

    Returns
    -------
    Stack of (rows, columns) = (side, patches * side) with a margin of 2 pixels around each
    patch, where ``wanted`` is False. Tiny grids are taken whole, with as many pixels wanted.
    """
    places, wanted = _places(reader.grid)
    rows, columns = reader.grid.shape
    if rows * columns <= WHOLE_PX:
        # One read instead of hundreds of small ones.
        whole = _full(reader, Window(0, 0, rows, columns), radar)
        parts = [_cut(whole, place) for place in places]
    else:
        parts = [_full(reader, place, radar) for place in places]
    return replace(
        parts[0],
        optical=np.concatenate([p.optical for p in parts], axis=3),
        radar=_joined([p.radar for p in parts]),
        target=_joined([p.target for p in parts]),
        dem=_joined([p.dem for p in parts]),
        wanted=np.concatenate(wanted, axis=1),
    )


def _cut(stack: Stack, place: Window) -> Stack:
    rows, columns = place.slices

    def part(values: FloatArray | None) -> FloatArray | None:
        return None if values is None else values[..., rows, columns]

    return replace(
        stack,
        optical=stack.optical[..., rows, columns],
        radar=part(stack.radar),
        target=part(stack.target),
        dem=part(stack.dem),
    )


def _joined(parts: list[FloatArray | None]) -> FloatArray | None:
    """Join patches along columns; None where the first has none."""
    there = [p for p in parts if p is not None]
    return np.concatenate(there, axis=-1) if there else None


def _places(grid: Grid) -> tuple[list[Window], list[BoolArray]]:
    rng = np.random.default_rng(SEED)
    rows, columns = grid.shape
    side = PATCH_PX + 2 * MARGIN_PX
    if rows * columns <= 2 * PATCHES * side * side or min(rows, columns) < side:
        wanted = np.zeros(rows * columns, bool)
        count = min(rows * columns, PATCHES * PATCH_PX**2)
        wanted[rng.permutation(rows * columns)[:count]] = True
        return [Window(0, 0, rows, columns)], [wanted.reshape(rows, columns)]
    top = rng.integers(0, rows - side + 1, PATCHES)
    left = rng.integers(0, columns - side + 1, PATCHES)
    places = sorted(zip(top.tolist(), left.tolist(), strict=True))
    core = np.zeros((side, side), bool)
    core[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX] = True
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
