"""Compare the methods on all hidden pixels of a region."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from skymend.core.step import Artifact, Context, Facts, StepInputs, StepOutputs, StepParams, step
from skymend.evaluate.scores import read_scores
from skymend.evaluate.table import Missing, Table, build_table


class Inputs(StepInputs):
    """Trials of all dates; a trial that was skipped is named in the table."""

    trials: tuple[Artifact, ...] = ()


class Params(StepParams):
    """How the table is made."""

    draws: int = Field(1000, ge=100, le=100_000, description="Bootstrap draws.")
    seed: int = Field(0, ge=0, description="Seed of the bootstrap draws.")
    note: str = Field("", description="Remark shown with the table, such as how a model was made.")


class Outputs(StepOutputs):
    """The table as JSON (all of it) and CSV (one line per row)."""

    table: str = "table.json"
    csv: str = "table.csv"


@step("evaluate", version=1, inputs=Inputs, params=Params, outputs=Outputs)
def run(inputs: Inputs, params: Params, out: Path, context: Context) -> Facts:
    """Compare the methods on all hidden pixels of a region."""
    present = [trial for trial in inputs.trials if trial.absent is None]
    rows = [row for trial in present for row in read_scores(trial.file("scores"))]
    table = build_table(
        rows,
        draws=params.draws,
        seed=params.seed,
        notes=(params.note,) if params.note else (),
        missing=[_missing(trial) for trial in inputs.trials if trial.absent is not None],
    )
    (out / "table.json").write_text(table.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (out / "table.csv").write_text(table.as_csv(), encoding="utf-8")
    context.log.info("scored %d units with %d methods", table.units, len(table.methods))
    return _facts(table)


def _missing(trial: Artifact) -> Missing:
    name = trial.tags.get("id") or trial.tags.get("datetime", "")[:10] or trial.key[:8]
    return Missing(id=name, reason=trial.absent or "")


def _facts(table: Table) -> Facts:
    overall = [row for row in table.rows if (row.gap_class, row.stratum) == ("all", "all")]
    return {
        "units": table.units,
        "pixels": max((row.pixels for row in overall), default=0),
        "mae": {row.method: row.mae.value for row in overall},
        "coverage": {row.method: row.coverage.value for row in overall},
    }
