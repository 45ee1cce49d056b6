"""Filter the speckle of one backscatter scene by the other dates of its orbit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from skymend.core.cog import CogWriter
from skymend.core.encoding import BACKSCATTER, FloatArray
from skymend.core.errors import ConfigError, SkipJob
from skymend.core.grid import Grid, Window
from skymend.core.raster import read_on
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

MEMORY_BYTES = 256_000_000
"""What one strip of the stack may take; the filter holds about twice that besides."""

_ROWS = 64


class Inputs(StepInputs):
    """The scene to filter, and the scenes it is filtered with."""

    target: Artifact = Field(description="A backscatter scene of the step radar or backscatter.")
    scenes: tuple[Artifact, ...] = Field(
        (), description="Other dates; those of other orbits or conventions are left out."
    )


class Params(StepParams):
    """Where, what and how wide."""

    grid: GridParams = Field(description="Grid of the scene.")
    polarisations: tuple[str, ...] = Field(
        ("VV", "VH"), min_length=1, description="Channels, in the order written."
    )
    window: int = Field(7, ge=3, le=31, description="Odd side of the window of means, pixels.")


class Outputs(StepOutputs):
    """Backscatter, float32 linear power, NaN where the target has none."""

    backscatter: str = "backscatter.tif"


@step("despeckle", version=1, inputs=Inputs, params=Params, outputs=Outputs)
def run(inputs: Inputs, params: Params, out: Path, context: Context) -> Facts:
    """Filter the speckle of one backscatter scene by the other dates of its orbit.

    Facts: those of the target that describe its backscatter (``convention``,
    ``relative_orbit``, ``direction``, ``valid_share``) and ``dates``, how many scenes the mean
    ratio was taken over, the target included.
    """
    target = inputs.target
    if target.absent is not None:
        raise SkipJob(target.absent)
    if target.facts.get("decibel"):
        raise ConfigError(
            where="despeckle",
            expected="linear power",
            found="decibel",
            fix="make the scenes without decibel; logarithms are for the edges",
        )
    grid = params.grid.grid
    files = [target.file("backscatter"), *companions(inputs)]
    with CogWriter(out / Outputs().backscatter, grid, params.polarisations, BACKSCATTER) as writer:
        for window in _strips(grid, len(files)):
            writer.write(_filter(files, params, grid, window), window)
            context.progress((window.row + window.rows) / grid.shape[0], "filtering dates")
    kept = ("convention", "relative_orbit", "direction", "valid_share")
    described = {name: target.facts[name] for name in kept if name in target.facts}
    return {**described, "dates": len(files)}


def companions(inputs: Inputs) -> list[Path]:
    """Return the backscatter of the other dates to filter with, in order of time.

    Ratios to the local mean are those of one geometry and one convention: scenes of another
    orbit, direction or convention are left out, and so are the target itself and absent ones.
    """
    target = inputs.target
    others = [
        scene
        for scene in inputs.scenes
        if scene.absent is None and scene.key != target.key and _same_geometry(scene, target)
    ]
    return [s.file("backscatter") for s in sorted(others, key=lambda s: (s.time, s.key))]


def _same_geometry(scene: Artifact, target: Artifact) -> bool:
    def say(artifact: Artifact, name: str) -> str | None:
        value = artifact.facts.get(name, artifact.tags.get(name))
        return None if value is None else str(value)

    names = ("relative_orbit", "direction", "convention")
    return all(say(scene, name) == say(target, name) for name in names)


def _filter(files: Sequence[Path], params: Params, grid: Grid, window: Window) -> FloatArray:
    """Return the filtered channels of a strip of the first file."""
    from skymend.sar.quegan import margin, quegan

    reach = margin(params.window)
    top = max(window.row - reach, 0)
    bottom = min(window.row + window.rows + reach, grid.shape[0])
    outer = grid.crop(Window(top, 0, bottom - top, grid.shape[1]))
    channels = []
    for polarisation in params.polarisations:
        stack = np.concatenate([read_on(file, outer, bands=[polarisation]) for file in files])
        filtered = quegan(stack, params.window, dates=[0])[0]
        channels.append(filtered[window.row - top :][: window.rows])
    return np.stack(channels)


def _strips(grid: Grid, dates: int) -> Iterator[Window]:
    """Yield full-width strips whose stack stays within the memory set."""
    rows, columns = grid.shape
    height = max(MEMORY_BYTES // (4 * dates * columns), _ROWS)
    for row in range(0, rows, height):
        yield Window(row, 0, min(height, rows - row), columns)
