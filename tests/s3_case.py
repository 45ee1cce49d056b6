"""Small jobs for stores in a bucket: rasters are made, and read by windows."""

from __future__ import annotations

import json

import numpy as np

from skymend.core import cog, raster
from skymend.core.encoding import BACKSCATTER
from skymend.core.execute import run_job
from skymend.core.grid import Grid, Window
from skymend.core.keys import file_sha256
from skymend.core.plan import FrozenFile, FrozenProduct, PlanBuilder
from skymend.core.step import Artifact, StepInputs, StepOutputs, StepParams, step
from skymend.core.store import open_store

GRID = Grid("EPSG:32631", (10.0, 0.0, 300000.0, 0.0, -10.0, 4800000.0), (1100, 1300))
RUNS: list[str] = []


class MakeInputs(StepInputs):
    product: Artifact


class MakeParams(StepParams):
    label: str = ""


class MakeOutputs(StepOutputs):
    image: str = "image.tif"
    notes: str = "notes/"


@step("s3-make", version=1, inputs=MakeInputs, params=MakeParams, outputs=MakeOutputs)
def make(inputs, params, out, context):
    RUNS.append("make")
    values = image_of(int(inputs.product.file("product").read_text()))
    cog.write_cog(out / "image.tif", values, GRID, ("VV",), BACKSCATTER)
    (out / "notes").mkdir()
    (out / "notes" / "a.json").write_text('{"ok": true}')
    return {}


class SumInputs(StepInputs):
    images: tuple[Artifact, ...]


class SumParams(StepParams):
    label: str = ""


class SumOutputs(StepOutputs):
    total: str = "total.json"


@step("s3-sum", version=1, inputs=SumInputs, params=SumParams, outputs=SumOutputs)
def add(inputs, params, out, context):
    RUNS.append("sum")
    window = Window(1000, 1200, 50, 60)
    paths = [a.file("image") for a in inputs.images]
    sums = [float(raster.read(p, window=window).sum()) for p in paths]
    notes = [json.loads((a.file("notes") / "a.json").read_text()) for a in inputs.images]
    text = {"sums": sums, "notes": notes, "local": [p.exists() for p in paths]}
    (out / "total.json").write_text(json.dumps(text))
    return {}


def image_of(seed):
    return np.random.default_rng(seed).random((1, *GRID.shape), np.float32)


def a_plan(tmp_path, *, make_label="", sum_label="", seeds=(1, 2)):
    builder = PlanBuilder()
    made = []
    for seed in seeds:
        path = tmp_path / f"p{seed}.txt"
        path.write_text(str(seed))
        frozen = FrozenFile(str(path), path.stat().st_size, file_sha256(path))
        tags = {"id": f"p{seed}", "datetime": "2020-01-01T00:00:00+00:00"}
        ref = builder.product(FrozenProduct(f"p{seed}", "text", str(path), tags, (frozen,)))
        tags = {"tile": "31TCJ", "date": f"2020010{seed}"}
        made.append(builder.add("s3-make", {"label": make_label}, {"product": ref}, tags))
    last = builder.add("s3-sum", {"label": sum_label}, {"images": made}, {"tile": "31TCJ"})
    return builder.build("test", "small", [last]), (*made, last)


def run_all(plan, store):
    return [run_job(plan, job.key, store).status for job in plan.jobs]


def output(store, server, record, name):
    key = store.address.key(record.outputs[name].files[0].path)
    return server.read("skymend-test", key)


def elsewhere(store, tmp_path, monkeypatch):
    """The same store as another machine sees it."""
    monkeypatch.setenv("SKYMEND_CACHE", str(tmp_path / "other machine"))
    return open_store(store.uri)
