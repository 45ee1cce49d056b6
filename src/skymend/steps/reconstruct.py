"""Rebuild what clouds hide on one date, with a quality flag and an uncertainty per pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from skymend.core.cog import CogWriter
from skymend.core.encoding import QA, REFLECTANCE, SIGMA
from skymend.core.errors import ConfigError, InternalError, SkipJob
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
from skymend.fusion.assemble import Fallback, Layers, fallback_of, fill
from skymend.fusion.blocks import Block, blocks, side_for, walk
from skymend.fusion.feather import reach
from skymend.fusion.methods import method as pixel_method
from skymend.fusion.sampling import sample
from skymend.fusion.scenes import Choice, Optical, SceneReader, days, pair, passes
from skymend.fusion.stack import BoolArray, Method, Stack

MethodName = Literal["nearest", "linear", "harmonic", "regression", "network"]

HARMONIC_WINDOWS = 2.0

CLEAR_DATE = 0.5
"""Share of usable pixels from which a date counts as clear in the facts."""


class Inputs(StepInputs):
    """The target date (none for a virtual one) and what lies in the window around it."""

    target_optical: Artifact | None = None
    target_mask: Artifact | None = None
    candidates_optical: tuple[Artifact, ...] = ()
    candidates_mask: tuple[Artifact, ...] = ()
    radar: tuple[Artifact, ...] = ()
    dem: Artifact | None = None
    bundle: Artifact | None = None


class Params(StepParams):
    """What to rebuild and how."""

    grid: GridParams
    bands: tuple[str, ...] = Field(min_length=1, description="Bands to rebuild.")
    method: MethodName = Field("linear", description="Filling method.")
    window_days: float = Field(60.0, gt=0, description="The method's own window.")
    max_gap_hours: float = Field(72.0, gt=0, description="Sentinel-1 within this of a date.")
    mode: Literal["fill", "full"] = Field("fill", description="Keep observed pixels, or not.")
    feather_m: float = Field(50.0, ge=0, description="Width of the seam blended inside the gap.")
    snow_is_clear: bool = Field(True, description="Snow counts as an observation.")
    synthesize_missing: bool = Field(False, description="Rebuild dates outside the swath too.")
    target_datetime: str | None = Field(None, description="Time of a virtual date, ISO 8601.")
    block_px: int | None = Field(None, ge=64, description="Block side; by memory when unset.")


class Outputs(StepOutputs):
    """Three separate layers on one grid."""

    reflectance: str = "reflectance.tif"
    qa: str = "qa.tif"
    uncertainty: str = "uncertainty.tif"


@step("reconstruct", version=1, inputs=Inputs, params=Params, outputs=Outputs)
def run(inputs: Inputs, params: Params, out: Path, context: Context) -> Facts:
    """Rebuild what clouds hide on one date.

    Observed pixels keep their stored value bit by bit (unless ``mode`` is ``full``); hidden
    ones come from the method, blended inside the gap. Pixels without an observation in the
    method's window take what the inputs offer farther away (QA 4), those no date saw clear
    the median of the clear scene with its spread (QA 4); only pixels no date ever covered
    stay nodata.
    """
    target, time = target_of(inputs, params.target_datetime, params.synthesize_missing)
    method = named_method(
        params.method,
        window_days=params.window_days,
        max_gap_hours=params.max_gap_hours,
        inputs=inputs,
        cpus=context.cpus,
    )
    candidates, absent = pair(inputs.candidates_optical, inputs.candidates_mask)
    dem = None if inputs.dem is None else inputs.dem.files.get("dem")
    with SceneReader(
        params.grid.grid,
        params.bands,
        time,
        snow_is_clear=params.snow_is_clear,
        target=target,
        dem=dem if method.name == "network" else None,
    ) as reader:
        choices = [*reader.choose(candidates), *absent]
        reader.radar = passes(inputs.radar) if method.needs_radar else []
        work = _Work(reader, method, params, out, context)
        counts = work.rebuild()
        return _facts(reader, method, params, choices, counts)


def target_of(
    inputs: Any, target_datetime: str | None, synthesize_missing: bool
) -> tuple[Optical | None, float]:
    """Return the target scene (None for a virtual or missing one) and its time in days.

    Raises
    ------
    SkipJob
        if the date lies outside the swath and is not to be synthesised.
    """
    scene, mask = inputs.target_optical, inputs.target_mask
    if scene is not None and scene.absent is None and mask is not None and mask.absent is None:
        found, _ = pair([scene], [mask])
        if found:
            return found[0], found[0].time
    for one in (scene, mask):
        if one is not None and one.absent is not None and not synthesize_missing:
            raise SkipJob(one.absent)
    if target_datetime is not None:
        return None, days(datetime.fromisoformat(target_datetime))
    if scene is None and mask is None:
        if synthesize_missing:
            raise InternalError(
                where="reconstruct.target_datetime",
                expected="a time",
                found="neither a target scene nor a time",
                fix="give target_datetime for dates without a scene",
            )
        raise SkipJob("the target date has no image of the area")
    return None, days((scene or mask).time)


def named_method(
    name: str, *, window_days: float, max_gap_hours: float, inputs: Any, cpus: int
) -> Method:
    """Return a method by name with the region's window; ``network`` opens the bundle.

    Raises
    ------
    ConfigError
        if the name is unknown, or ``network`` comes without a bundle.
    """
    if name == "network":
        folder = bundle_folder(inputs.bundle)
        if folder is None:
            raise ConfigError(
                where="reconstruct.model",
                expected="a bundle for the method network",
                found="none",
                fix="name a bundle, add a training block, or choose another method",
            )
        from skymend.inference.network import NetworkMethod

        return NetworkMethod(folder, cpus, radar_convention=convention(inputs.radar))
    if name == "harmonic":
        # A seasonal course needs a longer window than two anchors do.
        return pixel_method(name, window_days=HARMONIC_WINDOWS * window_days)
    if name == "regression":
        return pixel_method(name, window_days=window_days, max_gap_hours=max_gap_hours)
    return pixel_method(name, window_days=window_days)


def bundle_folder(bundle: Artifact | None) -> Path | None:
    """Return the folder of a bundle, made by a job or given as a product."""
    if bundle is None or bundle.absent is not None:
        return None
    return bundle.files.get("bundle") or bundle.files.get("product")


def convention(radar: tuple[Artifact, ...]) -> str | None:
    """Return the backscatter convention that the radar scenes state, if any."""
    for artifact in radar:
        stated = artifact.facts.get("convention")
        if artifact.absent is None and stated:
            return str(stated)
    return None


def margin_of(method: Method, feather_px: float = 0.0) -> int:
    """Return the pixels to read around a block, a multiple of the method's stride."""
    stride = int(getattr(method, "stride", 1))
    return math.ceil((method.margin + reach(feather_px)) / stride) * stride


def draw(reader: SceneReader, *, radar: bool) -> tuple[Stack, Fallback]:
    """Draw the sample of a job, and what stands in for pixels that no date saw clear.

    Raises
    ------
    SkipJob
        if no date of the window has one clear pixel.
    """
    seen = sample(reader, radar=radar)
    fallback = fallback_of(seen) or _search_clear(reader)
    if fallback is None:
        raise SkipJob("no clear observation in the window, on any date")
    return seen, fallback


def _search_clear(reader: SceneReader) -> Fallback | None:
    for window in reader.grid.blocks(512):
        found = fallback_of(reader.stack(window, radar=False)[0])
        if found is not None:
            return found
    return None


@dataclass(frozen=True)
class _Work:
    """One run over all blocks."""

    reader: SceneReader
    method: Method
    params: Params
    out: Path
    context: Context

    def rebuild(self) -> dict[int, int]:
        """Write the three layers and return how many pixels have each QA code."""
        seen, fallback = draw(self.reader, radar=self.method.needs_radar)
        fitted = self.method.fit(seen)
        grid, params = self.reader.grid, self.params
        feather_px = params.feather_m / grid.resolution if params.mode == "fill" else 0.0
        layers = len(self.reader.candidates) * len(params.bands) + 2 * len(self.reader.radar)
        side = side_for(layers + 8, params.block_px)
        parts = blocks(grid, side, margin_of(self.method, feather_px))

        def make(block: Block, read: tuple[Stack, BoolArray, Any]) -> Layers:
            stack, inside, observed = read
            return fill(
                stack,
                inside,
                observed,
                fitted,
                fallback,
                mode=params.mode,
                feather_px=feather_px,
            )

        counts = np.zeros(6, np.int64)
        total = grid.shape[0] * grid.shape[1]
        with (
            self._writer("reflectance.tif", params.bands, REFLECTANCE) as values,
            self._writer("qa.tif", ("QA",), QA) as qa,
            self._writer("uncertainty.tif", params.bands, SIGMA) as sigma,
        ):
            # A network has its own threads; two of its blocks at once would only cost memory.
            cpus = 1 if self.method.name == "network" else self.context.cpus
            for block, made in walk(parts, self._read, make, cpus):
                rows, columns = block.inner
                values.write_stored(made.stored[:, rows, columns], block.core)
                qa.write_stored(made.qa[None, rows, columns], block.core)
                sigma.write(made.sigma[:, rows, columns], block.core)
                counts += np.bincount(made.qa[rows, columns].ravel(), minlength=6)
                self.context.progress(float(counts.sum()) / total, "rebuilding")
        return {code: int(count) for code, count in enumerate(counts)}

    def _writer(self, name: str, bands: tuple[str, ...], encoding: Any) -> CogWriter:
        work = self.context.work / f"{name}.work.tif"
        # Blocks are written anew: a work file of a killed run is not trusted.
        work.unlink(missing_ok=True)
        return CogWriter(self.out / name, self.reader.grid, bands, encoding, work=work)

    def _read(self, block: Block) -> tuple[Stack, BoolArray, Any]:
        """Read a block; only the target where nothing is hidden."""
        reader, target = self.reader, self.reader.target
        observed = None
        if target is not None:
            observed = reader.stored(target.reflectance, block.window, self.params.bands)
            seen, _ = reader.seen(target, block.window)
            if self.params.mode == "fill" and seen is not None and bool(np.isfinite(seen).all()):
                nothing = np.empty((0, *seen.shape), np.float32)
                stack = Stack(np.empty(0), nothing, reader.target_time, reader.bands, target=seen)
                return stack, np.ones(stack.shape, bool), observed
        stack, inside = reader.stack(block.window, radar=self.method.needs_radar)
        return stack, inside, observed


def _facts(
    reader: SceneReader,
    method: Method,
    params: Params,
    choices: list[Choice],
    counts: dict[int, int],
) -> Facts:
    total = sum(counts.values())
    target = reader.target
    clear = 0.0 if target is None else reader.usable_share(target)
    near = [
        abs(c.time - reader.target_time)
        for c in reader.candidates
        if next(k.clear_share or 0 for k in choices if k.id == c.id) >= CLEAR_DATE
    ]
    radar, notes = _radar_fact(reader, method, params)
    if target is None:
        notes.append("no observation on this date: everything is rebuilt")
    if not reader.candidates:
        notes.append("no candidate date has a usable pixel")
    return {
        "clear_share": round(clear, 6),
        "valid_share": round(1 - counts[0] / total, 6),
        "nearest_clear_days": round(min(near), 3) if near else None,
        "radar": radar,
        "candidates": [c.as_fact() for c in sorted(choices, key=lambda c: (c.date, c.id))],
        "qa_shares": {str(k): round(n / total, 6) for k, n in counts.items() if n},
        "method": method.name,
        "notes": notes,
    }


def _radar_fact(
    reader: SceneReader, method: Method, params: Params
) -> tuple[dict[str, Any] | None, list[str]]:
    if not method.needs_radar:
        return None, [f"method {method.name} uses time alone"]
    if not reader.radar:
        return None, ["no Sentinel-1 image in the window: rebuilt from time alone"]
    nearest = min(reader.radar, key=lambda r: (abs(r.time - reader.target_time), r.id))
    hours = abs(nearest.time - reader.target_time) * 24
    if hours > params.max_gap_hours:
        return None, [
            f"the nearest Sentinel-1 image is {hours:.0f} h away, "
            f"more than {params.max_gap_hours:g} h"
        ]
    return {"id": nearest.id, "gap_hours": round(hours, 2)}, []
