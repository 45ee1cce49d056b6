"""Bring a digital elevation model onto the grid of the region."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from skymend.core.cog import CogWriter
from skymend.core.encoding import ELEVATION
from skymend.core.errors import SkipJob
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
from skymend.products.dem import read_heights
from skymend.products.strips import strips


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
    files = [p.product for p in inputs.products if p.absent is None]
    valid, lowest, highest = 0, math.inf, -math.inf
    with CogWriter(out / Outputs().dem, grid, ("elevation",), ELEVATION) as writer:
        for window, part in strips(grid):
            heights = read_heights(files, part, resampling=params.resampling)
            found = heights[np.isfinite(heights)]
            valid += found.size
            lowest = min(lowest, float(found.min(initial=np.inf)))
            highest = max(highest, float(found.max(initial=-np.inf)))
            writer.write(heights[None], window)
            context.progress((window.row + window.rows) / grid.shape[0], "reading heights")
        if valid == 0:
            raise SkipJob("no DEM file covers the area")
    return {
        "valid_share": round(valid / (grid.shape[0] * grid.shape[1]), 6),
        "lowest_m": round(lowest, 2),
        "highest_m": round(highest, 2),
        "vertical_datum": params.vertical_datum,
    }
