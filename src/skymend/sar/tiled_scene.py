"""From images under S1Tiling's names to the backscatter raster of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skymend.core.cog import CogWriter
from skymend.core.encoding import BACKSCATTER, Encoding
from skymend.core.errors import SkipJob
from skymend.core.grid import Grid
from skymend.products.s1tiling import open_product
from skymend.products.strips import strips

BACKSCATTER_DB = Encoding("backscatter", "float32", 1.0, float("nan"), "dB")


def encoding(*, decibel: bool) -> Encoding:
    """Return how backscatter lies on disk: linear power, or dB."""
    return BACKSCATTER_DB if decibel else BACKSCATTER


def write_tiled(
    image: Path, grid: Grid, channels: Sequence[str], path: Path, *, decibel: bool
) -> None:
    """Write the part of an S1Tiling image that a grid asks for.

    Parameters
    ----------
    image : one polarisation; the others are found beside it.
    channels : polarisations, in the order written.
    decibel : write 10*log10 of power.

    Raises
    ------
    SkipJob
        if no pixel of the grid has a value; nothing is left then.
    """
    product = open_product(image)
    some = False
    with CogWriter(path, grid, channels, encoding(decibel=decibel)) as writer:
        for window, part in strips(grid):
            power = product.read(channels, part)
            some |= bool(np.isfinite(power).any())
            writer.write(10 * np.log10(power) if decibel else power, window)
        if not some:
            writer.close()
            writer.work.unlink(missing_ok=True)
            raise SkipJob("the pass has no pixel in the area")
