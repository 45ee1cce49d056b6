"""Bring the backscatter of one radar pass onto the grid of the region."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from skymend.core.cog import CogWriter
from skymend.core.encoding import BACKSCATTER
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
from skymend.products import open_radar
from skymend.products.strips import strips
from skymend.steps.optical import OUTSIDE


class Inputs(StepInputs):
    """One pass."""

    product: Artifact = Field(description="An S1Tiling image or a STAC item.")


class Params(StepParams):
    """Where and what to read."""

    grid: GridParams = Field(description="Grid of the scene.")
    polarisations: tuple[str, ...] = Field(
        ("VV", "VH"), min_length=1, description="Channels, in the order written."
    )


class Outputs(StepOutputs):
    """Backscatter, float32 linear power, NaN where there is none."""

    backscatter: str = "backscatter.tif"


@step("radar", version=1, inputs=Inputs, params=Params, outputs=Outputs)
def run(inputs: Inputs, params: Params, out: Path, context: Context) -> Facts:
    """Bring the backscatter of one radar pass onto the grid of the region.

    Facts: ``valid_share``, the share of pixels valid in every channel; ``convention``
    (``sigma0``, ``gamma0``, ``gamma0-flattened``, ``beta0`` or ``unknown``);
    ``relative_orbit`` and ``direction``, null where the product does not say.
    """
    product = open_radar(inputs.product.product, inputs.product.tags.get("kind"))
    grid = params.grid.grid
    valid = 0
    path = out / Outputs().backscatter
    with CogWriter(path, grid, params.polarisations, BACKSCATTER) as writer:
        for window, part in strips(grid):
            power = product.read(params.polarisations, part)
            valid += int(np.isfinite(power).all(axis=0).sum())
            writer.write(power, window)
            context.progress((window.row + window.rows) / grid.shape[0], "reading channels")
        if valid == 0:
            raise SkipJob(OUTSIDE)
    return {
        "valid_share": round(valid / (grid.shape[0] * grid.shape[1]), 6),
        "convention": product.convention,
        "relative_orbit": product.relative_orbit,
        "direction": product.direction,
    }
