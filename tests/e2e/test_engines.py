"""One plan under both orchestrators: same bytes, one cache, exact extension."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import rasters, skymend, tally

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return tmp_path_factory.mktemp("stores")


def run(region, store, engine, **options):
    done = skymend("run", region, "--store", store, "--engine", engine, "--json", "-q", **options)
    return tally(done)


def test_prefect_and_snakemake_make_the_same_bytes_and_share_one_cache(region, stores):
    by_prefect = run(region(), stores / "a", "prefect")
    by_snakemake = run(region(), stores / "b", "snakemake")
    assert by_prefect["failed"] == by_snakemake["failed"] == 0
    assert by_prefect["executed"] == by_snakemake["executed"] > 20
    made = rasters(stores / "a")
    assert len(made) > 20
    assert made == rasters(stores / "b")
    again = run(region(), stores / "a", "snakemake")
    assert again["executed"] == 0
    assert again["cached"] + again["skipped"] >= by_prefect["executed"]
    assert run(region(), stores / "b", "prefect")["executed"] == 0


def test_one_more_date_costs_its_neighbours_only_as_the_plan_predicts(region, stores):
    run(region(), stores / "a", "snakemake")
    before = rasters(stores / "a")
    longer = region(end="2018-07-11")
    predicted = json.loads(
        skymend("plan", longer, "--store", stores / "a", "--diff", "--json").stdout
    )
    done = run(longer, stores / "a", "snakemake")
    assert done["executed"] + done["skipped"] == predicted["to_run"]
    assert predicted["by_step"]["optical"] == predicted["by_step"]["mask"] == 1
    # Dates within the reach of 30 days, every 5 days, and the new one itself.
    assert predicted["by_step"]["reconstruct"] <= 7
    assert predicted["by_step"]["report"] == predicted["by_step"]["publish"] == 1
    after = rasters(stores / "a")
    assert before.items() <= after.items(), "an extension overwrites nothing"


def test_a_data_path_is_a_snakemake_target(region, stores, tmp_path):
    import subprocess
    import sys
    from pathlib import Path

    from skymend.adapters.jobs import RunOptions
    from skymend.adapters.snakemake import snakemake_command
    from skymend.core.plan import Plan

    store = tmp_path / "store"
    skymend("plan", region(), "--store", store, "--output", tmp_path / "plan.json")
    plan = Plan.read(tmp_path / "plan.json")
    job = next(j for j in plan.jobs if j.step == "mask")
    path = f"{job.folder}/{job.outputs['mask']}"
    options = RunOptions(tmp_path / "plan.json", str(store), 2, quiet=True)
    command = snakemake_command(options, targets=[path])
    assert Path(command[0]).parent == Path(sys.executable).parent
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (store / path).exists()
    assert len(list((store / "records").glob("*/*.json"))) == 1


def test_why_explains_a_path_and_a_key(region, tmp_path):
    store = tmp_path / "store"
    listed = skymend("plan", region(), "--store", store, "--jobs").stdout.splitlines()
    line = next(x for x in listed if "reconstruct" in x)
    key, folder = line.split()[0], line.split()[-1]
    text = skymend("plan", region(), "--store", store, "--why", f"{folder}/qa.tif").stdout
    assert "needed by: report" in text
    assert text == skymend("plan", region(), "--store", store, "--why", key).stdout
