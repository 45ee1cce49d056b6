"""Score methods on pixels of one date that were hidden under a real cloud shape."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from skymend.core.encoding import FloatArray
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
from skymend.evaluate.metrics import changed_pixels, score_rows
from skymend.evaluate.scores import CHANGE_LIMIT, ScoreRow, write_scores
from skymend.fusion.blocks import Block, blocks, side_for, walk
from skymend.fusion.compositing import composite
from skymend.fusion.scenes import Optical, SceneReader, pair, passes
from skymend.fusion.stack import BoolArray, Estimate, Stack
from skymend.steps.reconstruct import MethodName, draw, margin_of, named_method


class Inputs(StepInputs):
    """The inputs of ``reconstruct`` and the pixels hidden for evaluation."""

    target_optical: Artifact
    target_mask: Artifact
    hidden: Artifact
    candidates_optical: tuple[Artifact, ...] = ()
    candidates_mask: tuple[Artifact, ...] = ()
    radar: tuple[Artifact, ...] = ()
    dem: Artifact | None = None
    bundle: Artifact | None = None


class Params(StepParams):
    """Which methods to score and how long to make the gaps."""

    grid: GridParams
    bands: tuple[str, ...] = Field(min_length=1, description="Bands to score.")
    methods: tuple[MethodName, ...] = Field(min_length=1, description="Methods to compare.")
    widen_days: tuple[float, ...] = Field(
        (0.0, 10.0, 20.0), min_length=1, description="Neighbours this close lose the pixels too."
    )
    window_days: float = Field(60.0, gt=0, description="The methods' own window.")
    max_gap_hours: float = Field(72.0, gt=0, description="Sentinel-1 within this of a date.")
    snow_is_clear: bool = Field(True, description="Snow counts as an observation.")
    withhold_date: bool = Field(
        False, description="Hide the rest of the target date too, as if it were all cloud."
    )
    block_px: int | None = Field(None, ge=64, description="Block side; by memory when unset.")


class Outputs(StepOutputs):
    """Score rows: sums per method, gap class and stratum."""

    scores: str = "scores.json"


@step("trial", version=1, inputs=Inputs, params=Params, outputs=Outputs)
def run(inputs: Inputs, params: Params, out: Path, context: Context) -> Facts:
    """Rebuild hidden pixels of a date with several methods and compare with what was seen.

    The hidden pixels are taken from the target and from every candidate within
    ``widen_days`` before anything is fitted, so that long gaps are scored too.
    Seams are not feathered: the rim of a shape laid over a clear image is cleaner than that
    of a real cloud, and would flatter every method.
    """
    targets, _ = pair([inputs.target_optical], [inputs.target_mask])
    if not targets:
        raise SkipJob("the target date is absent")
    candidates, _ = pair(inputs.candidates_optical, inputs.candidates_mask)
    if not candidates:
        raise SkipJob("no candidate date in the window")
    rows: list[ScoreRow] = []
    kept: list[float] = []
    before: tuple[str, ...] | None = None
    for widen in sorted(set(params.widen_days)):
        hiding = _Hiding(inputs, params, targets[0], widen)
        near = hiding.emptied(candidates)
        # The same dates lose the pixels: the same gaps, which would count twice.
        if near == before:
            continue
        before = near
        found = _score(hiding, candidates, context)
        if found:
            kept.append(widen)
            rows.extend(found)
    if not rows:
        raise SkipJob("no hidden pixel can be rebuilt: no clear observation in the window")
    merged = merge(rows)
    write_scores(out / "scores.json", merged)
    return {
        "rows": len(merged),
        "pixels": sum(r.pixels for r in merged if r.method == params.methods[0]),
        "widen_days": kept,
        "donor_date": _donor(inputs.hidden),
        "methods": list(params.methods),
    }


def merge(rows: Iterable[ScoreRow]) -> list[ScoreRow]:
    """Add up rows of the same date, shape, method, gap class and stratum."""
    sums: dict[tuple[str, ...], ScoreRow] = {}
    for row in rows:
        key = (row.date, row.shape, row.method, row.gap_class, row.stratum)
        sums[key] = row if key not in sums else _add(sums[key], row)
    return [sums[key] for key in sorted(sums)]


def _add(a: ScoreRow, b: ScoreRow) -> ScoreRow:
    names = ("abs_sum", "sq_sum", "err_sum", "within")
    tuples = {
        n: tuple(x + y for x, y in zip(getattr(a, n), getattr(b, n), strict=True)) for n in names
    }
    numbers = {
        n: getattr(a, n) + getattr(b, n) for n in ("pixels", "sam_sum", "ssim_sum", "ssim_pixels")
    }
    return a.model_copy(update={**tuples, **numbers})


class _Hiding:
    """A reader that does not see the hidden pixels on the target and on near candidates."""

    def __init__(self, inputs: Inputs, params: Params, target: Optical, widen: float) -> None:
        self.inputs, self.params, self.target = inputs, params, target
        self.widen = widen

    def emptied(self, candidates: list[Optical]) -> tuple[str, ...]:
        """Return the ids of the candidates that lose the hidden pixels."""
        # A second product of the same day would give the truth away.
        near = max(self.widen, 0.5)
        return tuple(c.id for c in candidates if abs(c.time - self.target.time) <= near)

    def open(self, candidates: list[Optical]) -> SceneReader:
        """Return a reader of all scenes, blind where pixels are hidden."""
        dem = self.inputs.dem
        blind = {self.target.id, *self.emptied(candidates)}
        return SceneReader(
            self.params.grid.grid,
            self.params.bands,
            self.target.time,
            snow_is_clear=self.params.snow_is_clear,
            target=None if self.params.withhold_date else self.target,
            dem=None if dem is None else dem.files.get("dem"),
            hidden=self.inputs.hidden.file("hidden"),
            blind=frozenset(blind),
        )


def _score(hiding: _Hiding, candidates: list[Optical], context: Context) -> list[ScoreRow]:
    """Score every method for one width of the gap, all on the same blocks."""
    params = hiding.params
    methods = [
        named_method(
            name,
            window_days=params.window_days,
            max_gap_hours=params.max_gap_hours,
            inputs=hiding.inputs,
            cpus=context.cpus,
        )
        for name in params.methods
    ]
    radar = any(m.needs_radar for m in methods)
    with hiding.open(candidates) as reader:
        reader.choose(candidates)
        reader.radar = passes(hiding.inputs.radar) if radar else []
        try:
            seen, _ = draw(reader, radar=radar)
        except SkipJob:
            return []
        fitted = {m.name: m.fit(seen) for m in methods}
        layers = len(reader.candidates) * len(params.bands) + 2 * len(reader.radar)
        margin = max(margin_of(m) for m in methods)
        parts = blocks(reader.grid, side_for(layers + 16, params.block_px), margin)

        def read(block: Block) -> _Part | None:
            return _read(hiding, reader, block, radar)

        def make(block: Block, part: _Part | None) -> list[ScoreRow]:
            if part is None:
                return []
            predicted = {name: one.predict(part.stack) for name, one in fitted.items()}
            return [r for name, e in predicted.items() for r in _rows(part, e, block, name, hiding)]

        cpus = 1 if "network" in fitted else context.cpus
        return [row for _, rows in walk(parts, read, make, cpus) for row in rows]


class _Part:
    """One block of a trial: the stack with the hidden pixels wanted, and the truth."""

    def __init__(self, stack: Stack, truth: FloatArray, hidden: BoolArray) -> None:
        self.stack = replace(stack, wanted=hidden)
        self.truth, self.hidden = truth, hidden


def _read(hiding: _Hiding, reader: SceneReader, block: Block, radar: bool) -> _Part | None:
    hidden = reader.hidden_pixels(block.window)
    core = np.zeros_like(hidden)
    core[block.inner] = True
    hidden &= core
    if not hidden.any():
        return None
    truth = reader.truth(hiding.target, block.window)
    hidden &= np.isfinite(truth).all(axis=0)
    stack, _ = reader.stack(block.window, radar=radar)
    return _Part(stack, truth, hidden)


def _rows(
    part: _Part, estimate: Estimate, block: Block, name: str, hiding: _Hiding
) -> list[ScoreRow]:
    """Score one block; gap and stratum are those of the pixel, the same for all methods."""
    window = hiding.params.window_days
    before, age_before = composite(part.stack, "before", window)
    after, age_after = composite(part.stack, "after", window)
    cut: Any = (slice(None), *block.inner)
    flat: Any = block.inner
    return score_rows(
        part.truth[cut],
        estimate.mean[cut],
        estimate.sigma[cut],
        part.hidden[flat],
        gap_days=(age_before + age_after)[flat],
        changed=changed_pixels(before, after, CHANGE_LIMIT)[flat],
        bands=hiding.params.bands,
        date=hiding.inputs.target_optical.date,
        shape=_donor(hiding.inputs.hidden),
        method=name,
    )


def _donor(hidden: Artifact) -> str:
    return str(hidden.facts.get("donor_date", "unknown"))
