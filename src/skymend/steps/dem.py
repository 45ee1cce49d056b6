"""Bring a digital elevation model onto the grid of the region."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from skymend.core.encoding import ELEVATION
from skymend.core.errors import SkipJob
from skymend.core.raster import write_cog
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
from skymend.products import read_dem


class Inputs(StepInputs):
    """Elevation files; the first valid one wins where they overlap."""

    products: tuple[Artifact, ...] = Field(description="DEM files, in any CRS.")


class Params(StepParams):
    """Where to read, and what the heights refer to."""

    grid: GridParams = Field(description="Grid of the scene.")
    resampling: Literal["cubic", "bilinear", "nearest"] = Field(
        "cubic", description="How heights are interpolated where CRS or pixel size differ."
    )
    vertical_datum: Literal["geoid", "ellipsoid"] = Field(
        "geoid", description="What the heights of the source refer to; recorded as a fact."
    )


class Outputs(StepOutputs):
    """Heights in metres, float32, NaN where there is none."""

    dem: str = "dem.tif"


@step("dem", version=1, inputs=Inputs, params=Params, outputs=Outputs)
def run(inputs: Inputs, params: Params, out: Path, context: Context) -> Facts:
    """Bring a digital elevation model onto the grid of the region.

    Facts: ``valid_share``, ``lowest_m``, ``highest_m`` and ``vertical_datum``.
    """
    grid = params.grid.grid
    heights = np.full(grid.shape, np.nan, np.float32)
    present = [p for p in inputs.products if p.absent is None]
    for done, product in enumerate(present, start=1):
        holes = np.isnan(heights)
        if holes.any():
            found = read_dem(product.file("product"), grid, resampling=params.resampling)
            np.copyto(heights, found, where=holes)
        context.progress(done / len(present), "reading heights")
    valid = np.isfinite(heights)
    if not valid.any():
        raise SkipJob("no DEM file covers the area")
    write_cog(out / Outputs().dem, heights[None], grid, ("elevation",), ELEVATION)
    return {
        "valid_share": round(float(valid.mean()), 6),
        "lowest_m": round(float(np.nanmin(heights)), 2),
        "highest_m": round(float(np.nanmax(heights)), 2),
        "vertical_datum": params.vertical_datum,
    }
