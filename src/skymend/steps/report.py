"""Write the report: one HTML page with scores, time-lines and a before/after slider per date."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from skymend.core.errors import SkipJob
from skymend.core.step import Artifact, Context, Facts, StepInputs, StepOutputs, StepParams, step
from skymend.evaluate.scores import ScoreRow, read_scores
from skymend.evaluate.table import Table
from skymend.report.page import render_page
from skymend.report.picture import write_before_after
from skymend.report.series import read_series


class Inputs(StepInputs):
    """Reconstructed dates and what they came from; members of lists may be absent."""

    reconstructions: tuple[Artifact, ...]
    optical: tuple[Artifact, ...] = ()
    radar: tuple[Artifact, ...] = ()
    trials: tuple[Artifact, ...] = ()
    table: Artifact | None = None


class Params(StepParams):
    """How the page looks."""

    title: str = Field("", description="Name of the region; its tiles when empty.")
    note: str = Field("", description="Remark shown below the headline.")
    max_px: int = Field(512, ge=64, le=2048, description="Longest side of a picture, pixels.")


class Outputs(StepOutputs):
    """The page, which needs no other file and no network; and a picture of one date."""

    page: str = "index.html"
    picture: str | None = "before-after.jpg"


@step("report", version=2, inputs=Inputs, params=Params, outputs=Outputs)
def run(inputs: Inputs, params: Params, out: Path, context: Context) -> Facts:
    """Write the report: one HTML page with scores, time-lines and a slider per date."""
    if all(made.absent is not None for made in inputs.reconstructions):
        raise SkipJob("no date was reconstructed, so there is nothing to report")
    context.progress(0.05, "reading the series")
    series = read_series(inputs.reconstructions, inputs.optical, inputs.radar)
    context.progress(0.4, "drawing the pictures")
    page = render_page(
        series,
        _table(inputs.table),
        trials=_trials(inputs.trials),
        title=params.title,
        notes=(params.note,) if params.note else (),
        max_px=params.max_px,
    )
    (out / "index.html").write_text(page, encoding="utf-8")
    write_before_after(series, out / "before-after.jpg")
    return {"dates": len(series.days), "skipped": len(series.skipped), "bytes": len(page)}


def _table(artifact: Artifact | None) -> Table | None:
    if artifact is None or artifact.absent is not None:
        return None
    return Table.model_validate_json(artifact.file("table").read_text(encoding="utf-8"))


def _trials(artifacts: tuple[Artifact, ...]) -> list[ScoreRow]:
    present = (a for a in artifacts if a.absent is None and a.has("scores"))
    return [row for artifact in present for row in read_scores(artifact.file("scores"))]
