"""Margins of a GRD image for OTB's ResetMargin, which knows rectangles only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skymend.core.grid import Window
from skymend.products.sentinel1 import GrdProduct
from skymend.sar.border import REACH, ZERO_REACH, ZEROED_SINCE, Seams, find_border, parse_ipf
from skymend.sar.passes import Pass

MOST_INVALID = 0.5
"""Share of a line without values from which on the line belongs to the margin."""


@dataclass(frozen=True, slots=True)
class Margins:
    """Lines and samples to clear at the four sides."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    @property
    def any(self) -> bool:
        """Whether there is anything to clear."""
        return bool(self.top or self.bottom or self.left or self.right)


def margins_of(product: GrdProduct, track: Pass) -> Margins:
    """Return the margins of a slice; none at a seam.

    Lines are cleared where most of them has no value. Samples are cleared at the sides before
    IPF 2.9 only, as far in as the border noise of any line reaches; later the samples there are
    0 already, and a rectangle would take more than it has to.
    """
    position = track.slices.index(product)
    seams = Seams(first_line=position > 0, last_line=position < len(track.slices) - 1)
    channel = "VV" if "VV" in product.polarisations else product.polarisations[0]
    shape = product.annotation(channel).shape

    def read(window: Window) -> npt.NDArray[np.uint16]:
        return product.dn(channel, window)

    border = find_border(read, shape, product.ipf, seams=seams)
    lines, samples = shape
    zeroed = parse_ipf(product.ipf) >= ZEROED_SINCE
    reach = ZERO_REACH if zeroed else REACH
    return Margins(
        top=_depth(border.top, min(reach, lines // 2)),
        bottom=_depth(lines - border.bottom, min(reach, lines // 2)),
        left=0 if zeroed else _deepest(border.near, reach),
        right=0 if zeroed else _deepest(samples - border.far, reach),
    )


def _depth(depths: npt.NDArray[np.int32], reach: int) -> int:
    """Return how many lines at a side have most samples without a value."""
    found = int(np.quantile(depths, MOST_INVALID, method="lower"))
    # A column without any value says nothing of its side.
    return 0 if found >= reach else found


def _deepest(depths: npt.NDArray[np.int32], reach: int) -> int:
    """Return the depth of the deepest line that has values at all."""
    seen = depths[depths < reach]
    return int(seen.max()) if seen.size else 0
