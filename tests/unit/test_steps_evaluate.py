"""The evaluate step on hand-made trials."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from skymend.core.step import REGISTRY, Artifact, Context
from skymend.evaluate.scores import ScoreRow, write_scores
from skymend.evaluate.table import Table
from skymend.steps.evaluate import Inputs, Params, run


def trial(folder: Path, date: str, error: float) -> Artifact:
    folder.mkdir()
    row = ScoreRow(
        date=date,
        shape="20230101",
        method="linear",
        gap_class="0-10",
        stratum="stable",
        bands=("B04",),
        pixels=10,
        abs_sum=(10 * error,),
        sq_sum=(10 * error**2,),
        err_sum=(0.0,),
        within=(7.0,),
        sam_sum=0.1,
        ssim_sum=9.0,
        ssim_pixels=10,
    )
    write_scores(folder / "scores.json", [row])
    files = {"scores": folder / "scores.json"}
    return Artifact(key=date, step="trial", tags={"id": date}, files=files)


def context(folder: Path) -> Context:
    return Context(cpus=1, work=folder, final=folder, log=logging.getLogger("test"))


def test_present_trials_are_scored_and_absent_ones_named(tmp_path):
    trials = (
        trial(tmp_path / "a", "20230405", 0.01),
        Artifact(key="b", step="trial", tags={"id": "20230410"}, absent="not clear enough"),
        trial(tmp_path / "c", "20230415", 0.03),
    )
    out = tmp_path / "out"
    out.mkdir()
    facts = run(Inputs(trials=trials), Params(note="remark"), out, context(tmp_path))
    table = Table.model_validate_json((out / "table.json").read_text())
    assert facts["mae"] == {"linear": 0.02}
    assert facts["units"] == 2
    assert table.notes == ("remark",)
    assert [m.id for m in table.missing] == ["20230410"]
    assert sorted(p.name for p in out.iterdir()) == ["table.csv", "table.json"]


def test_no_trial_at_all_gives_an_empty_table(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    absent = Artifact(key="b", step="trial", absent="cloudy")
    facts = run(Inputs(trials=(absent,)), Params(), out, context(tmp_path))
    assert facts["units"] == 0
    assert json.loads((out / "table.json").read_text())["rows"] == []
    assert (out / "table.csv").read_text().count("\n") == 1


def test_order_of_trials_does_not_change_a_byte(tmp_path):
    trials = [trial(tmp_path / str(i), f"202304{i:02d}", 0.01 * i) for i in range(1, 6)]
    written = []
    for name, order in (("x", trials), ("y", trials[::-1])):
        out = tmp_path / name
        out.mkdir()
        run(Inputs(trials=tuple(order)), Params(), out, context(tmp_path))
        written.append((out / "table.json").read_bytes())
    assert written[0] == written[1]


def test_the_step_is_registered():
    assert REGISTRY.get("evaluate").outputs.names() == {"table": "table.json", "csv": "table.csv"}
