"""The terrain of a block as the radar sees it: where each node is imaged, and how brightly lit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray, FloatArray
from skymend.core.grid import Grid, Window
from skymend.sar.flattening import deposit_area
from skymend.sar.geocoding import locate
from skymend.sar.geoid import Geoid
from skymend.sar.geolocation import (
    HEIGHT,
    LINE,
    LOOK,
    SAMPLE,
    WIDTH,
    Lattice,
    RadarImage,
    lattice_of,
)
from skymend.sar.orbit import Track
from skymend.sar.visibility import visibility

_SLACK = 80


@dataclass(frozen=True, slots=True)
class Nodes:
    """Radar coordinates and area of the nodes of a block and its margin.

    Parameters
    ----------
    line, sample : (rows, columns) float32, relative to a window of the image.
    area : (rows, columns) float32, ``A_gamma / A_beta`` of the facet right below each node; empty
        if not asked for.
    lattice : exact geometry they come from.
    """

    line: FloatArray
    sample: FloatArray
    area: FloatArray
    lattice: Lattice

    def state(self, heights: FloatArray) -> ByteArray:
        """Return bits of layover and shadow, (rows, columns) uint8."""
        fields = self.lattice.fields
        middle = fields[:, fields.shape[1] // 2, fields.shape[2] // 2]
        look = middle[LOOK : LOOK + 3]
        return visibility(heights, self.sample, look, float(middle[WIDTH]), float(middle[HEIGHT]))


def locate_nodes(
    grid: Grid,
    heights: FloatArray,
    image: RadarImage,
    track: Track,
    geoid: Geoid | None,
    window: Window,
    *,
    with_area: bool = True,
) -> Nodes | None:
    """Place the nodes of a block in an image.

    Parameters
    ----------
    grid : the block, its nodes at the pixel centres.
    heights : (rows, columns) float32 metres above the geoid, without NaN.
    window : part of the image that coordinates are relative to.
    with_area : compute the area of the facets, too.

    Returns
    -------
    The nodes; None if none of them can lie in the window.
    """
    spread = (float(heights.min()), float(heights.max()))
    lattice = lattice_of(grid, image, track, geoid, spread)
    if not _meets(window, lattice):
        return None
    line, sample = (np.empty(heights.shape, np.float32) for _ in range(2))
    area = np.empty(heights.shape if with_area else (0, 0), np.float32)
    locate(
        heights,
        lattice.fields,
        lattice.step,
        lattice.middle,
        lattice.half,
        float(window.row),
        float(window.column),
        line,
        sample,
        area,
        with_area,
    )
    return Nodes(line, sample, area, lattice)


def _meets(window: Window, lattice: Lattice) -> bool:
    """Tell whether any node of a lattice can lie in a window."""
    limits = ((window.row, window.rows), (window.column, window.columns))
    for first, (start, count) in zip((LINE, SAMPLE), limits, strict=True):
        constant, linear, square = lattice.fields[first : first + 3]
        ends = np.stack([constant + square - linear, constant + square + linear]) - start
        if ends.max() < -_SLACK or ends.min() > count + _SLACK:
            return False
    return True


def illuminated_area(nodes: Nodes, hidden: npt.NDArray[np.bool_], part: Window) -> FloatArray:
    """Return ``A_gamma / A_beta`` of a part of the image, (lines, samples) float32.

    Parameters
    ----------
    hidden : (rows, columns) boolean, nodes in shadow.
    part : relative to the window the nodes refer to.
    """
    # One more pixel on each side receives what belongs to pixels just outside.
    area = np.zeros((part.rows + 2, part.columns + 2), np.float32)
    line = nodes.line - np.float32(part.row - 1)
    sample = nodes.sample - np.float32(part.column - 1)
    deposit_area(line, sample, nodes.area, hidden, area)
    return area[1:-1, 1:-1]
