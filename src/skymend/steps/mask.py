"""Label clouds, shadows, snow and water of one optical product, and widen the hidden ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from skymend.clouds import Label, Shares, apply_user_mask, dilate
from skymend.clouds.door import labels_on, usual_resolution
from skymend.clouds.masker import open_masker
from skymend.core.cog import write_cog
from skymend.core.encoding import LABELS, ByteArray
from skymend.core.errors import SkipJob
from skymend.core.grid import Grid
from skymend.core.mounts import local
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
from skymend.steps.optical import OUTSIDE


class Inputs(StepInputs):
    """One acquisition, and the user's own mask of it."""

    product: Artifact = Field(description="A THEIA, SAFE, Landsat or STAC product.")
    dem: Artifact | None = Field(None, description="Heights, for the engines that use them.")
    user_mask: Artifact | None = Field(
        None, description="GeoTIFF on the same lattice, non-zero = hidden."
    )


class Params(StepParams):
    """Where to read, who finds the clouds, and how far they reach."""

    grid: GridParams | None = Field(None, description="Grid of the mask; the product's if none.")
    engine: str = Field(
        "product", description="Who finds the clouds: `product`, `fmask`, `s2cloudless`, ..."
    )
    dilate_m: float = Field(
        60.0, ge=0, le=2000, description="Clouds and shadows grow by this distance in metres."
    )
    snow_is_clear: bool = Field(True, description="Snow counts in the fact `clear_share`.")


class Outputs(StepOutputs):
    """Labels: 0 nodata, 1 clear, 2 cloud, 3 shadow, 4 snow, 5 water."""

    mask: str = "mask.tif"


@step("mask", version=3, inputs=Inputs, params=Params, outputs=Outputs)
def run(inputs: Inputs, params: Params, out: Path, context: Context) -> Facts:
    """Label clouds, shadows, snow and water of one optical product, and widen the hidden ones.

    The user's mask is taken as it is: it is applied after the dilation. Facts: ``valid_share``
    of the grid, and of its valid pixels ``clear_share`` (clear, water and, if asked, snow),
    ``cloud_share``, ``shadow_share``, ``snow_share``.
    """
    product = open_optical(inputs.product.product, inputs.product.tags.get("kind"))
    grid = product.grid if params.grid is None else params.grid.grid
    if params.engine == "product":
        labels = _read(product, grid, context)
    else:
        labels = _find(product, params.engine, inputs.dem, grid, context)
    if not (labels != Label.NODATA).any():
        raise SkipJob(OUTSIDE)
    labels = dilate(labels, params.dilate_m, grid.resolution)
    if inputs.user_mask is not None:
        labels = apply_user_mask(labels, inputs.user_mask.file("product"), grid)
    write_cog(out / Outputs().mask, labels[None], grid, ("labels",), LABELS)
    return Shares.of(labels, snow_is_clear=params.snow_is_clear).as_facts()


def _read(product: OpticalProduct, grid: Grid, context: Context) -> ByteArray:
    labels = np.empty(grid.shape, np.uint8)
    for window, part in strips(grid):
        labels[window.slices] = product.labels(part)
        context.progress((window.row + window.rows) / grid.shape[0], "reading masks")
    return labels


def _find(
    product: OpticalProduct, engine: str, dem: Artifact | None, grid: Grid, context: Context
) -> ByteArray:
    """Mask the whole product, as engines judge a scene by all of it, and cut out the grid."""
    mask = open_masker(engine).mask(
        product,
        resolution_m=usual_resolution(product),
        dem=local(dem.file("dem")) if dem is not None and dem.has("dem") else None,
        cpus=context.cpus,
    )
    context.progress(1.0, "masking")
    return labels_on(mask, grid)
