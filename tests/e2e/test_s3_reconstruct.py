"""A whole region in a store on S3: killed, finished by the other engine, the same bytes as here."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.e2e.conftest import rasters, skymend, tally
from tests.servers.s3 import SECRET_KEY, serve_s3

pytestmark = pytest.mark.e2e

BUCKET = "skymend-e2e"
STORE = f"s3://{BUCKET}/series/tiny"


@pytest.fixture(scope="module")
def server():
    with serve_s3(BUCKET) as running:
        yield running


@pytest.fixture
def machine(server, monkeypatch, tmp_path):
    """Become a machine with its own working folder; further calls become others."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)

    def become(name):
        monkeypatch.setenv("SKYMEND_CACHE", str(tmp_path / name))

    become("first machine")
    return become


def run(region, engine, store=STORE):
    return tally(
        skymend("run", region, "--store", store, "--engine", engine, "--json", "-q", "--cores", "2")
    )


def bucket_rasters(server):
    prefix = STORE.removeprefix(f"s3://{BUCKET}/") + "/"
    keys = [k for k in server.keys(BUCKET, prefix) if k.endswith(".tif")]
    read = {k.removeprefix(prefix): server.read(BUCKET, k) for k in keys}
    return {path: hashlib.sha256(data).hexdigest() for path, data in sorted(read.items())}


def count_records(server):
    return len(server.keys(BUCKET, "series/tiny/records/"))


def kill_in_the_middle(region, server, least):
    """Start a run and kill its whole process group once some jobs are done."""
    command = [sys.executable, "-m", "skymend", "run", str(region), "--store", STORE]
    started = subprocess.Popen(
        [*command, "--engine", "snakemake", "-q"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while count_records(server) < least and time.monotonic() < deadline:
        assert started.poll() is None, "the run ended before it could be killed"
        time.sleep(0.1)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()


def test_a_region_on_s3_survives_a_kill_and_equals_a_local_run(region, server, machine, tmp_path):
    path = region(end="2018-06-21")
    kill_in_the_middle(path, server, least=5)
    done = count_records(server)
    assert done >= 5
    verified = skymend("cache", "verify", STORE)
    assert "0 damaged jobs" in verified.stdout, "what has a record is whole"
    planned = json.loads(skymend("plan", path, "--store", STORE, "--diff", "--json").stdout)
    assert planned["done"] == done

    finished = run(path, "prefect")
    assert finished["failed"] == 0
    assert finished["store"] == STORE
    assert finished["cached"] == done
    assert finished["executed"] + finished["skipped"] == planned["to_run"]

    machine("second machine")
    again = run(path, "snakemake")
    assert again["executed"] == again["failed"] == 0
    assert again["cached"] == planned["jobs"]

    local = tmp_path / "local"
    run(path, "snakemake", store=local)
    made = bucket_rasters(server)
    assert len(made) > 12
    assert made == rasters(local)
    assert "0 leftovers" in skymend("cache", "gc", STORE).stdout

    listed = json.loads(skymend("cache", "list", STORE, "--json").stdout)
    assert listed["reconstruct"]["done"] > 0
    date = next(p.split("/")[2] for p in made if "/reconstruct-" in p)
    skymend("export", STORE, date, tmp_path / "s3.tif")
    skymend("export", local, date, tmp_path / "local.tif")
    assert (tmp_path / "s3.tif").read_bytes() == (tmp_path / "local.tif").read_bytes()

    for document in server.keys(BUCKET):
        assert SECRET_KEY.encode() not in server.read(BUCKET, document)


def test_a_data_path_on_s3_is_a_snakemake_target(region, machine, tmp_path):
    from skymend.adapters.jobs import RunOptions
    from skymend.adapters.snakemake import snakemake_command
    from skymend.core.plan import Plan
    from skymend.core.store import open_store

    uri = f"s3://{BUCKET}/target"
    skymend("plan", region(), "--store", uri, "--output", tmp_path / "plan.json")
    plan = Plan.read(tmp_path / "plan.json")
    job = next(j for j in plan.jobs if j.step == "mask")
    path = f"{job.folder}/{job.outputs['mask']}"
    options = RunOptions(tmp_path / "plan.json", uri, 2, quiet=True)
    command = snakemake_command(options, targets=[path])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    store = open_store(uri)
    record = store.record(job.step, job.key)
    brought = (store.root / path).read_bytes()
    assert hashlib.sha256(brought).hexdigest() == record.outputs["mask"].files[0].sha256


def test_python_opens_a_store_on_s3(region, server, machine, monkeypatch):
    import skymend as library
    from skymend.core import mounts

    for name in ("AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_VIRTUAL_HOSTING", "AWS_REGION"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(mounts, "_MOUNTS", {})
    # a store of its own would cost another minute; the first test left this one
    series = library.open(STORE)
    assert series.reflectance.dims == ("time", "band", "y", "x")
    assert series.sizes["time"] >= 3
    assert float(series.reflectance.isnull().mean()) < 0.2
