"""Splits without leakage: by blocks of land or by periods, with a buffer between them.

Neighbouring patches look alike, and so do dates a few days apart: a split that ignores this
measures memory, not skill (decloud's defect 17).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from skymend.core.errors import ConfigError
from skymend.patches.card import SPLITS
from skymend.patches.stats import BoolArray

DAY_S = 86_400.0
_DRAWS = 24


@dataclass(frozen=True, slots=True)
class Part:
    """What belongs to one split.

    Parameters
    ----------
    area : (cells,) bool.
    start, end : UTC seconds since 1970, both included; every image of a sample lies between.
    """

    area: BoolArray
    start: float = -math.inf
    end: float = math.inf


def check_shares(shares: Mapping[str, float]) -> dict[str, float]:
    """Return shares of ``train``, ``valid`` and ``test`` scaled to a sum of 1.

    Raises
    ------
    ConfigError
        for an unknown name, a negative share, or no training share.
    """
    known = {name: float(shares.get(name, 0.0)) for name in SPLITS}
    good = not set(shares) - set(SPLITS) and min(known.values()) >= 0 and known["train"] > 0
    if not good or not math.isfinite(sum(known.values())):
        raise ConfigError(
            where="split shares",
            expected="shares of train, valid and test, none negative and train above 0",
            found=str(dict(shares)),
            fix="take train 0.7, valid 0.15, test 0.15",
        )
    return {name: share / sum(known.values()) for name, share in known.items()}


def split_by_space(
    shape: tuple[int, int],
    cell_m: float,
    shares: Mapping[str, float],
    *,
    block_m: float,
    buffer_m: float,
    rng: np.random.Generator,
    weights: npt.NDArray[Any] | None = None,
) -> dict[str, Part]:
    """Give blocks of land to the splits and leave a buffer between them.

    Cells too near to another split fall away: from ``train`` next to ``valid`` and ``test``,
    from ``valid`` next to ``test``. Of several draws the one is taken that leaves every split
    nearest to its share: in a small area many draws leave a split next to nothing.

    Parameters
    ----------
    shape : (cell rows, cell columns).
    cell_m : side of a cell in metres.
    shares : of ``train``, ``valid``, ``test``; a split with share 0 is left out.
    block_m : side of a block in metres, rounded to whole cells.
    buffer_m : smallest distance, edge to edge, between cells of different splits.
    rng : the source of chance.
    weights : (cells,) how much a cell counts, such as its number of samples; all alike if None.

    Raises
    ------
    ConfigError
        if a split would stay empty.
    """
    wanted = {name: share for name, share in check_shares(shares).items() if share > 0}
    worth = np.ones(shape[0] * shape[1]) if weights is None else np.asarray(weights, np.float64)
    side = max(round(block_m / cell_m), 1)
    reach = math.ceil(buffer_m / cell_m)
    draws = [_draw_areas(shape, side, reach, wanted, rng) for _ in range(_DRAWS)]
    best = max(draws, key=lambda areas: min(worth[areas[n]].sum() / s for n, s in wanted.items()))
    return _checked({name: Part(best[name]) for name in wanted}, "block_m or buffer_m")


def _draw_areas(
    shape: tuple[int, int],
    side: int,
    reach: int,
    wanted: Mapping[str, float],
    rng: np.random.Generator,
) -> dict[str, BoolArray]:
    """Draw an owner per block, then clear the buffers; return (cells,) bool per split."""
    blocks = tuple(-(-n // side) for n in shape)
    drawn = _draw_blocks(blocks[0] * blocks[1], wanted, rng).reshape(blocks)
    owner = drawn.repeat(side, axis=0).repeat(side, axis=1)[: shape[0], : shape[1]]
    free = np.ones(shape, bool)
    areas: dict[str, BoolArray] = {}
    for number in reversed(range(len(SPLITS))):
        mine = (owner == number) & free
        areas[SPLITS[number]] = mine.ravel()
        free &= ~_grown(mine, reach)
    return areas


def _draw_blocks(
    count: int, shares: Mapping[str, float], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return a split number per block: counts follow the shares, at least one block each."""
    numbers = {name: max(round(count * shares[name]), 1) for name in SPLITS[1:] if name in shares}
    drawn = np.zeros(count, np.int64)
    order = rng.permutation(count)
    start = 0
    for name, number in numbers.items():
        drawn[order[start : start + number]] = SPLITS.index(name)
        start += number
    return drawn


def _grown(flags: BoolArray, reach: int) -> BoolArray:
    """Return where a set cell lies within ``reach`` rows and columns."""
    grown = flags
    for axis in (0, 1):
        along = np.zeros_like(grown)
        for shift in range(-reach, reach + 1):
            along |= _shifted(grown, shift, axis)
        grown = along
    return grown


def _shifted(flags: BoolArray, shift: int, axis: int) -> BoolArray:
    moved = np.zeros_like(flags)
    size = flags.shape[axis]
    if abs(shift) >= size:
        return moved
    source = [slice(None), slice(None)]
    goal = [slice(None), slice(None)]
    source[axis] = slice(max(-shift, 0), size - max(shift, 0))
    goal[axis] = slice(max(shift, 0), size - max(-shift, 0))
    moved[tuple(goal)] = flags[tuple(source)]
    return moved


def split_by_time(
    times: npt.NDArray[np.float64],
    cells: int,
    shares: Mapping[str, float],
    *,
    buffer_days: float,
) -> dict[str, Part]:
    """Cut the period into one stretch per split, train first, with a buffer between them.

    Every image of a sample must lie in its stretch, so that images of different splits are at
    least ``buffer_days`` apart.

    Parameters
    ----------
    times : (scenes,) UTC seconds since 1970.
    cells : number of cells.
    shares, buffer_days : see :func:`split_by_space`.

    Raises
    ------
    ConfigError
        if the buffers leave nothing of the period.
    """
    wanted = {name: share for name, share in check_shares(shares).items() if share > 0}
    first, last = float(times.min()), float(times.max())
    buffer = buffer_days * DAY_S
    left = last - first - buffer * (len(wanted) - 1)
    if left <= 0 and len(wanted) > 1:
        raise ConfigError(
            where="split by time",
            expected=f"a period longer than {len(wanted) - 1} buffers of {buffer_days:g} days",
            found=f"{(last - first) / DAY_S:.0f} days",
            fix="split by space, or choose a shorter buffer",
        )
    parts: dict[str, Part] = {}
    start = first
    everywhere = np.ones(cells, bool)
    for name, share in wanted.items():
        end = last if name == list(wanted)[-1] else start + share * left
        parts[name] = Part(everywhere, start, end)
        start = end + buffer
    return parts


def no_split(cells: int) -> dict[str, Part]:
    """Give everything to ``train``."""
    return {"train": Part(np.ones(cells, bool))}


SplitBy = Literal["space", "time", "none"]


def _checked(parts: dict[str, Part], knob: str) -> dict[str, Part]:
    empty = [name for name, part in parts.items() if not part.area.any()]
    if empty:
        raise ConfigError(
            where="split",
            expected="land for every split that has a share",
            found=f"none for {', '.join(empty)}",
            fix=f"choose a smaller {knob}, or a larger area",
        )
    return parts
