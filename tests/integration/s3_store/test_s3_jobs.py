"""Jobs with a store in a bucket, against moto's server process: run, found, adopted, killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time

import numpy as np
import pytest

from skymend.core import mounts, raster
from skymend.core.cache import verify_store
from skymend.core.errors import RetryableError
from skymend.core.execute import run_job
from skymend.core.keys import file_sha256
from skymend.core.s3objects import Objects
from skymend.core.store import LocalStore, open_store
from tests.s3_case import GRID, RUNS, a_plan, elsewhere, image_of, output, run_all


def test_jobs_run_once_and_read_rasters_by_windows_through_gdal(tmp_path, store, server):
    plan, keys = a_plan(tmp_path)
    assert run_all(plan, store) == ["done"] * 3
    assert run_all(plan, store) == ["cached"] * 3
    total = json.loads(output(store, server, store.record("s3-sum", keys[2]), "total"))
    expected = [float(image_of(s)[:, 1000:1050, 1200:1260].sum()) for s in (1, 2)]
    # the same float32 numbers, summed in another order of blocks
    assert total["sums"] == pytest.approx(expected, rel=1e-5)
    assert total["notes"] == [{"ok": True}] * 2
    assert total["local"] == [False, False], "rasters stay in the bucket"


def test_the_rasters_are_those_of_a_local_store(tmp_path, store, server):
    plan, keys = a_plan(tmp_path)
    run_all(plan, store)
    local = LocalStore(tmp_path / "local")
    local.prepare()
    run_all(plan, local)
    ours, theirs = store.record("s3-make", keys[0]), local.record("s3-make", keys[0])
    assert ours.checksums() == theirs.checksums()
    path = local.root / theirs.outputs["image"].path
    assert output(store, server, ours, "image") == path.read_bytes()


def test_another_machine_finds_everything_done(tmp_path, store, monkeypatch):
    plan, keys = a_plan(tmp_path)
    run_all(plan, store)
    other = elsewhere(store, tmp_path, monkeypatch)
    other.check()
    assert other.root != store.root
    assert run_all(plan, other) == ["cached"] * 3
    assert set(other.known((j.step, j.key) for j in plan.jobs)) == set(keys)
    assert other.damage(other.records()) == {}
    path = other.bring(other.record("s3-make", keys[1]))["image"]
    assert not path.exists()
    assert raster.describe(path).grid == GRID
    assert np.array_equal(raster.read(path), image_of(2))
    assert (
        mounts.content(path).sha256
        == other.record("s3-make", keys[1]).outputs["image"].files[0].sha256
    )


def test_programs_outside_get_a_file(tmp_path, store, server, monkeypatch):
    plan, keys = a_plan(tmp_path)
    run_all(plan, store)
    record = store.record("s3-make", keys[0])
    path = store.bring(record)["image"]
    assert not path.exists()
    assert mounts.local(path) == path
    assert file_sha256(path) == record.outputs["image"].files[0].sha256
    key = store.address.key(record.outputs["image"].path)
    server.client().put_object(Bucket="skymend-test", Key=key, Body=b"other")
    other = elsewhere(store, tmp_path, monkeypatch)
    with pytest.raises(RetryableError, match="the checksum of its record"):
        mounts.local(other.bring(record)["image"])


def test_equal_content_is_adopted_by_a_copy_within_the_bucket(tmp_path, store, server):
    run_all(a_plan(tmp_path)[0], store)
    twin, keys = a_plan(tmp_path, make_label="renamed")
    RUNS.clear()
    # another parameter of the maker: made again, the same bytes; the sum is taken over
    assert run_all(twin, store) == ["done", "done", "adopted"]
    assert RUNS == ["make", "make"]
    record = store.record("s3-sum", keys[2])
    assert record.adopted_from is not None
    assert store.damaged(record, verify=True) is None
    assert record.outputs["total"].path.startswith(twin.job(keys[2]).folder)


def test_the_record_is_written_last(tmp_path, store, server, monkeypatch):
    plan, keys = a_plan(tmp_path)
    written = []
    client = store.objects.client
    real = client.put_object
    monkeypatch.setattr(
        client, "put_object", lambda **k: (written.append(k["Key"]), real(**k))[1], raising=False
    )
    run_job(plan, keys[0], store)
    rooms = [key.split("/")[1] for key in written]
    assert rooms[0] == "locks"
    assert rooms[1:4] == ["scenes", "scenes", "records"]


def test_a_failed_upload_leaves_nothing_that_looks_finished(tmp_path, store, monkeypatch):
    plan, keys = a_plan(tmp_path)

    def broken(self, source, path, sha256):
        raise RetryableError(where=path, expected="an answer", found="none", fix="wait")

    with monkeypatch.context() as patch:
        patch.setattr(Objects, "upload", broken)
        with pytest.raises(RetryableError):
            run_job(plan, keys[0], store)
    assert store.record("s3-make", keys[0]) is None
    assert list(store.records()) == []
    assert run_job(plan, keys[0], store).status == "done"


def test_a_job_killed_in_its_upload_is_taken_up_at_once_on_the_same_machine(tmp_path, store):
    plan, keys = a_plan(tmp_path)
    plan.write(tmp_path / "plan.json")
    child = os.fork()
    if child == 0:  # pragma: no cover - the child dies
        Objects.upload = lambda *_: os.kill(os.getpid(), 9)
        run_job(plan, keys[0], open_store(store.uri))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    assert store.record("s3-make", keys[0]) is None
    begun = time.monotonic()
    assert run_job(plan, keys[0], store).status == "done"
    assert time.monotonic() - begun < 20, "no waiting for the minute after which locks go stale"


def test_kills_at_any_moment_leave_nothing_that_looks_finished(tmp_path, store):
    plan, keys = a_plan(tmp_path)
    random = np.random.default_rng(7)
    killed = 0
    for _ in range(12):
        child = os.fork()
        if child == 0:  # pragma: no cover - the child dies
            other = open_store(store.uri)
            for job in plan.jobs:
                run_job(plan, job.key, other)
            os._exit(0)
        time.sleep(float(random.uniform(0.02, 0.8)))
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        for record in store.records():
            assert store.damaged(record, verify=True) is None
            for path in store.bring(record).values():
                assert path.suffix == ".tif" or path.exists()
    assert killed > 0
    statuses = run_all(plan, store)
    assert set(statuses) <= {"done", "cached"}
    assert verify_store(store.uri)[1]
    assert len(store.known((j.step, j.key) for j in plan.jobs)) == len(keys)
