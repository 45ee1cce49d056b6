"""Turn the GRD slices of one Sentinel-1 pass into backscatter on the grid of the region."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from skymend.core.errors import ConfigError, SkipJob
from skymend.core.mounts import local
from skymend.core.raster import read
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
from skymend.products.strips import strips
from skymend.sar.engine import Calibration, Chain, Resampling, Speckle
from skymend.sar.engines import open_engine
from skymend.sar.passes import open_pass


class Inputs(StepInputs):
    """One pass, heights, and the orbit file if there is one."""

    products: tuple[Artifact, ...] = Field(description="IW GRD SAFE, folders or zips, of one pass.")
    dem: Artifact | None = Field(None, description="Heights above the geoid, 20 km around.")
    orbit: Artifact | None = Field(None, description="EOF orbit file; else the annotation's.")
    geoid: Artifact | None = Field(None, description="Undulation grid; EGM96 of PROJ if none.")


class Params(StepParams):
    """Where, with which engine, and what is done to the pixels."""

    grid: GridParams = Field(description="Grid of the scene.")
    engine: Literal["embedded", "snap", "s1tiling", "otb"] = Field(
        "embedded", description="Who does it; `embedded` needs no other install."
    )
    convention: Calibration = Field(
        "gamma0-flattened", description="What the backscatter is normalised to."
    )
    remove_thermal_noise: bool = Field(True, description="Subtract the annotated noise.")
    remove_border_noise: bool = Field(True, description="Mask the samples outside the swath.")
    speckle: Speckle = Field("none", description="Filter in radar geometry.")
    speckle_window: int = Field(7, ge=3, le=31, description="Side of its window, odd, pixels.")
    multilook: int = Field(1, ge=1, le=64, description="Radar pixels averaged, along each side.")
    decibel: bool = Field(False, description="Write 10*log10 of power.")
    polarisations: tuple[str, ...] = Field(
        ("VV", "VH"), description="Channels, in the order written; all of the product if empty."
    )
    resampling: Resampling = Field("bilinear", description="From radar pixels to the grid.")


class Outputs(StepOutputs):
    """Backscatter, incidence (local, ellipsoid; degrees), state (1 layover, 2 shadow, 4 floor)."""

    backscatter: str = "backscatter.tif"
    incidence: str | None = "incidence.tif"
    state: str | None = "state.tif"


@step("backscatter", version=2, inputs=Inputs, params=Params, outputs=Outputs)
def run(inputs: Inputs, params: Params, out: Path, context: Context) -> Facts:
    """Turn the GRD slices of one Sentinel-1 pass into backscatter on the grid of the region.

    Facts: those of the step ``radar`` (``valid_share``, ``convention``, ``relative_orbit``,
    ``direction``) and how the engine worked: orbit, geoid, IPF, noise.
    """
    products = [p.product for p in inputs.products if p.absent is None]
    if not products:
        raise SkipJob("no radar product of the pass is there")
    if inputs.dem is None or inputs.dem.absent is not None:
        raise ConfigError(
            where="sources.dem",
            expected="a DEM: radar images are placed with one",
            found=inputs.dem.absent or "none" if inputs.dem else "none",
            fix="add a DEM source that covers the area and 20 km around",
        )
    scene = open_engine(params.engine).process(
        products,
        params.grid.grid,
        _path(inputs.dem) or Path(),
        out,
        chain=chain_of(params),
        orbit=_path(inputs.orbit),
        geoid=_path(inputs.geoid),
        work=context.work,
        cpus=context.cpus,
    )
    first = open_pass(products, ()).first
    facts: dict[str, Any] = {"relative_orbit": first.relative_orbit, "direction": first.direction}
    facts |= dict(scene.facts)
    facts.setdefault("valid_share", _valid_share(scene.backscatter, params))
    return facts


def chain_of(params: Params) -> Chain:
    """Return the chain of a job's parameters."""
    return Chain(**params.model_dump(exclude={"grid", "engine"}))


def _path(artifact: Artifact | None) -> Path | None:
    """Return the file of an input: a product, or the heights an earlier step made."""
    if artifact is None or artifact.absent is not None:
        return None
    # Engines outside this process open the file themselves.
    return local(artifact.file("dem")) if artifact.has("dem") else artifact.product


def _valid_share(path: Path, params: Params) -> float:
    grid = params.grid.grid
    valid = 0
    for window, _ in strips(grid):
        valid += int(np.isfinite(read(path, window=window)).all(axis=0).sum())
    return round(valid / (grid.shape[0] * grid.shape[1]), 6)
