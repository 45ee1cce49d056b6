"""One block of the map: from the pixels of a pass to backscatter, incidence and state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray, FloatArray
from skymend.core.grid import Grid, Window
from skymend.sar.calibration import NOISE_FLOOR
from skymend.sar.engine import FLATTENED, FLOOR, LAYOVER, SHADOW, Chain
from skymend.sar.flattening import flatten
from skymend.sar.geocoding import measure_incidence, sample_bilinear, sample_nearest
from skymend.sar.geoid import Geoid
from skymend.sar.multilook import multilook
from skymend.sar.nodes import Nodes, illuminated_area, locate_nodes
from skymend.sar.scene import Channel, Slice
from skymend.sar.speckle import filter_speckle, margin
from skymend.sar.speckle.compiled import compiled
from skymend.sar.terrain import MARGIN_M, Terrain

LOOKS = 4.4
"""Equivalent number of looks of IW GRDH (Sentinel-1 Product Definition, S1-RS-MDA-52-7440)."""

_LAYOVER_REACH = 2.0
"""Ground distance over height that layover or shadow reaches in IW: cot 29.1 = 1.8 degrees."""

_BORDER = 3

_METRES_A_PIXEL = 12.5
"""Ground that a radar pixel of a GRD (10 m) covers at most: it may lie aslant to the grid."""


@dataclass(frozen=True, slots=True)
class Block:
    """A finished block.

    Parameters
    ----------
    power : (polarisations, rows, columns) float32, NaN where there is none.
    incidence : (2, rows, columns) float32 degrees: local, ellipsoid; NaN outside the image.
    state : (rows, columns) uint8.
    """

    power: FloatArray
    incidence: FloatArray
    state: ByteArray


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all blocks share.

    Parameters
    ----------
    grid : the grid asked for.
    refine : nodes along one side of its pixels.
    bright : power of point targets by channel, for the Lee sigma filter; empty otherwise.
    """

    slices: tuple[Slice, ...]
    terrain: Terrain
    geoid: Geoid | None
    chain: Chain
    grid: Grid
    refine: int
    bright: tuple[float, ...] = ()


def process_block(recipe: Recipe, window: Window) -> Block:
    """Process one block of the grid.

    Parameters
    ----------
    window : part of ``recipe.grid``.
    """
    n = recipe.refine
    shape = (window.rows * n, window.columns * n)
    part = recipe.grid.crop(window).at_resolution(recipe.grid.resolution / n)
    result = Block(
        np.full((len(recipe.slices[0].channels), *shape), np.nan, np.float32),
        np.full((2, *shape), np.nan, np.float32),
        np.zeros(shape, np.uint8),
    )
    down, across = _padding(recipe, part)
    padded = part.crop(Window(-down, -across, part.shape[0] + 2 * down, part.shape[1] + 2 * across))
    heights = recipe.terrain.heights(padded)
    inner = Window(down, across, *shape)
    for piece in recipe.slices:
        nodes = locate_nodes(
            padded,
            heights,
            piece.image,
            piece.track,
            recipe.geoid,
            piece.window,
            with_area=recipe.chain.convention == FLATTENED,
        )
        if nodes is not None:
            _add_slice(recipe, piece, nodes, heights, inner, result)
    return _coarsen(result, n)


def _reach(chain: Chain) -> int:
    """Return how many radar pixels around a position count for its value."""
    looks = chain.multilook
    # A position lies up to half a cell from the middles of its two cells, each half a cell wide.
    return margin(chain.speckle, chain.speckle_window) + 2 + math.ceil(1.5 * looks) * (looks > 1)


def _padding(recipe: Recipe, part: Grid) -> tuple[int, int]:
    """Return rows and columns of margin: as far as terrain around can be laid over the block.

    What is flattened also needs all the terrain of the radar pixels around its own.
    """
    low, high = recipe.terrain.relief(part.bounds)
    metre = 1.0 if part.resolution > 1e-2 else 1 / 111_320.0
    reach = min(_LAYOVER_REACH * (high - low), MARGIN_M) * metre / part.resolution
    # The radar looks across the track; 6 degrees more for the convergence of the meridians.
    heading = math.radians(recipe.slices[0].heading)
    slack = math.sin(math.radians(6.0))
    down = reach * min(abs(math.sin(heading)) + slack, 1.0)
    across = reach * min(abs(math.cos(heading)) + slack, 1.0)
    border = _BORDER
    if recipe.chain.convention == FLATTENED:
        around = _reach(recipe.chain) + recipe.chain.multilook
        border += math.ceil(_METRES_A_PIXEL * around * metre / part.resolution)
    return border + math.ceil(down), border + math.ceil(across)


def _add_slice(
    recipe: Recipe,
    piece: Slice,
    nodes: Nodes,
    heights: FloatArray,
    inner: Window,
    result: Block,
) -> None:
    line, sample = nodes.line[inner.slices], nodes.sample[inner.slices]
    rows, columns = piece.image.shape
    top, left = piece.window.row, piece.window.column
    inside = (line >= -0.5 - top) & (line < rows - 0.5 - top)
    inside &= (sample >= -0.5 - left) & (sample < columns - 0.5 - left)
    if not inside.any():
        return
    state = nodes.state(heights)
    part = _radar_window(piece, line, sample, inside, recipe.chain)
    flattened = recipe.chain.convention == FLATTENED
    area = illuminated_area(nodes, (state & SHADOW) > 0, part) if flattened else None
    seen, fresh = state[inner.slices], inside & np.isnan(result.incidence[1])
    unfit = LAYOVER | SHADOW if flattened else 0
    for index, channel in enumerate(piece.channels):
        power = _radar_power(recipe, piece, channel, index, part, area)
        values = _to_map(recipe.chain, power, line - part.row, sample - part.column)
        lay_down(values, seen, fresh, unfit, result.power[index], result.state)
    lattice = nodes.lattice
    measure_incidence(
        heights,
        lattice.fields,
        lattice.step,
        lattice.middle,
        lattice.half,
        result.incidence[0],
        result.incidence[1],
        fresh,
        inner.row,
        inner.column,
    )


@compiled
def lay_down(
    values: FloatArray,
    seen: ByteArray,
    fresh: npt.NDArray[np.bool_],
    unfit: int,
    power: FloatArray,
    state: ByteArray,
) -> None:
    """Put one channel of a slice where no slice before has put anything.

    Parameters
    ----------
    values : (rows, columns) float32 power; at or below the floor it becomes the floor, flagged.
    seen : (rows, columns) uint8, layover and shadow.
    unfit : bits of ``seen`` with which a pixel becomes NaN.
    power, state : (rows, columns), written.
    """
    floor = np.float32(NOISE_FLOOR)
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            if not fresh[i, j]:
                continue
            value = values[i, j]
            state[i, j] |= seen[i, j]
            if value <= floor:
                value = floor
                state[i, j] |= FLOOR
            power[i, j] = np.nan if seen[i, j] & unfit else value


def _radar_window(
    piece: Slice,
    line: FloatArray,
    sample: FloatArray,
    inside: npt.NDArray[np.bool_],
    chain: Chain,
) -> Window:
    """Return the part of the loaded window that a block needs, relative to it."""
    if not inside.all():
        line, sample = line[inside], sample[inside]
    looks, reach = chain.multilook, _reach(chain)
    window = piece.window
    top, rows = _span(line, reach, looks, window.row, window.rows)
    left, columns = _span(sample, reach, looks, window.column, window.columns)
    return Window(top, left, rows, columns)


def _span(at: FloatArray, reach: int, looks: int, start: int, count: int) -> tuple[int, int]:
    """Return first pixel and number of pixels that hold positions and what is around them.

    The first one is a multiple of ``looks`` in the image, so that every block averages the same
    pixels together.
    """
    first = int(np.floor(at.min())) - reach
    first = max(first - (first + start) % looks, 0)
    last = min(int(np.ceil(at.max())) + reach + 1, count)
    return first, last - first


def _radar_power(
    recipe: Recipe,
    piece: Slice,
    channel: Channel,
    index: int,
    part: Window,
    area: FloatArray | None,
) -> FloatArray:
    """Calibrate, flatten and filter a part of a channel, (lines, samples) float32."""
    chain = recipe.chain
    whole = Window(
        part.row + piece.window.row, part.column + piece.window.column, part.rows, part.columns
    )
    power = channel.radiometry.power(channel.dn[part.slices], whole)
    if piece.border is not None and piece.border.touches(whole):
        power[piece.border.invalid(whole)] = np.nan
    if area is not None:
        flatten(power, area)
    if chain.speckle != "none":
        with np.errstate(invalid="ignore"):
            power[power < NOISE_FLOOR] = NOISE_FLOOR
        bright = recipe.bright[index] if recipe.bright else None
        power = filter_speckle(
            chain.speckle, power, looks=LOOKS, window=chain.speckle_window, bright=bright
        )
    return power


def _to_map(chain: Chain, power: FloatArray, line: FloatArray, sample: FloatArray) -> FloatArray:
    """Resample a radar image at map nodes, (rows, columns) float32."""
    values = np.empty(line.shape, np.float32)
    edge = 0.5
    if chain.multilook > 1:
        looks = chain.multilook
        power = multilook(power, looks)
        line = (line + np.float32(0.5)) / np.float32(looks) - np.float32(0.5)
        sample = (sample + np.float32(0.5)) / np.float32(looks) - np.float32(0.5)
    function = sample_nearest if chain.resampling == "nearest" else sample_bilinear
    function(power, line, sample, edge, values)
    return values


def _coarsen(block: Block, looks: int) -> Block:
    """Average the nodes of each pixel; its state has every bit any of them has."""
    if looks == 1:
        return block
    rows, columns = (n // looks for n in block.state.shape)
    cells = block.state.reshape(rows, looks, columns, looks)
    state = np.bitwise_or.reduce(np.bitwise_or.reduce(cells, axis=3), axis=1)
    return Block(multilook(block.power, looks), multilook(block.incidence, looks), state)


def channel_samples(piece: Slice, channel: Channel, step: int) -> Sequence[FloatArray]:
    """Return every ``step``-th line and sample of a channel, calibrated, for statistics."""
    window = piece.window
    rows = range(0, window.rows, step)
    places = [Window(window.row + r, window.column, 1, window.columns) for r in rows]
    lines = [channel.dn[r : r + 1] for r in rows]
    return [
        channel.radiometry.power(dn, place)[0, ::step]
        for dn, place in zip(lines, places, strict=True)
    ]
