"""Bring the reflectance of one optical product onto the grid of the region."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from skymend.core.cog import CogWriter
from skymend.core.encoding import REFLECTANCE
from skymend.core.errors import SkipJob
from skymend.core.grid import Grid
from skymend.core.step import (
    Artifact,
    Context,
    Facts,
    GridParams,
    StepInputs,
    StepOutputs,
    StepParams,
    step,
)
from skymend.products import OpticalProduct, open_optical
from skymend.products.strips import strips

OUTSIDE = "outside the swath: no valid pixel"


class Inputs(StepInputs):
    """One acquisition."""

    product: Artifact = Field(description="A THEIA, SAFE or STAC product.")


class Params(StepParams):
    """Where and what to read."""

    grid: GridParams = Field(description="Grid of the scene.")
    bands: tuple[str, ...] = Field(
        ("B02", "B03", "B04", "B08"), min_length=1, description="Bands, in the order written."
    )


class Outputs(StepOutputs):
    """Surface reflectance, int16 x 1e-4, nodata -10000."""

    reflectance: str = "reflectance.tif"


@step("optical", version=1, inputs=Inputs, params=Params, outputs=Outputs)
def run(inputs: Inputs, params: Params, out: Path, context: Context) -> Facts:
    """Bring the reflectance of one optical product onto the grid of the region.

    Facts: ``valid_share``, the share of pixels that are valid in every band.
    """
    product = open_optical(inputs.product.product, inputs.product.tags.get("kind"))
    grid = params.grid.grid
    path = out / Outputs().reflectance
    with CogWriter(path, grid, params.bands, REFLECTANCE) as writer:
        valid = _copy(product, params.bands, grid, writer, context)
        if valid == 0:
            raise SkipJob(OUTSIDE)
    return {"valid_share": round(valid / (grid.shape[0] * grid.shape[1]), 6)}


def _copy(
    product: OpticalProduct,
    bands: tuple[str, ...],
    grid: Grid,
    writer: CogWriter,
    context: Context,
) -> int:
    """Copy strip by strip, a band at a time; return the number of pixels valid in all bands."""
    valid = 0
    for window, part in strips(grid):
        stored = np.empty((len(bands), *part.shape), np.int16)
        for index, band in enumerate(bands):
            stored[index] = REFLECTANCE.encode(product.read((band,), part))[0]
        valid += int((stored != REFLECTANCE.nodata).all(axis=0).sum())
        writer.write_stored(stored, window)
        context.progress((window.row + window.rows) / grid.shape[0], "reading bands")
    return valid
