"""Which container a job becomes: image, store, reach."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from skymend.adapters import jobs, run
from skymend.core.errors import ToolMissingError
from skymend.core.plan import Job
from skymend.core.store import Store, open_store


def job_of(step: str) -> Job:
    return Job("1a2b3c4d" * 8, step, 1, {}, {}, {}, "scenes/x", {})


class Replaced(Exception):
    """Stands for the process that would have taken this one's place."""


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The command line that took the place of this process."""
    argv: list[str] = []

    def execv(path: str, command: list[str]) -> None:
        argv[:] = command
        raise Replaced

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setenv("SKYMEND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very secret")
    return argv


def become(store: Store, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = SimpleNamespace(job=lambda key: job_of(step), products={})
    monkeypatch.setattr(jobs.Plan, "read", lambda path: plan)
    store.root.mkdir(parents=True)
    os.chown(store.root, 4242, 4242)
    with pytest.raises(Replaced):
        jobs.become_container(store.root / "plans" / "p.json", "1a2b", store, 1, "skymend-core")


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another's store")


@needs_root
def test_a_job_of_a_store_in_a_bucket_reaches_it(replaced, monkeypatch, tmp_path):
    store = open_store("s3://bucket/series")
    become(store, "mask", monkeypatch)
    assert replaced[replaced.index("--store") + 1] == "s3://bucket/series"
    assert replaced[replaced.index("--network") + 1] == "host"
    assert f"SKYMEND_STORE_FOLDER={store.root}" in replaced
    assert "AWS_ENDPOINT_URL" in replaced
    assert not any("very secret" in part for part in replaced)
    monkeypatch.setenv("SKYMEND_STORE_FOLDER", str(store.root))
    monkeypatch.setenv("SKYMEND_CACHE", str(store.root / "cache"))
    assert open_store("s3://bucket/series").root == store.root


@needs_root
@pytest.mark.parametrize(
    ("step", "network", "image"),
    [("mask", "none", "skymend-core"), ("fetch", "host", "skymend-sources")],
)
def test_a_job_of_a_store_in_a_folder_reaches_what_its_task_does(
    replaced, monkeypatch, tmp_path, step, network, image
):
    become(open_store(tmp_path / "store"), step, monkeypatch)
    assert replaced[replaced.index("--network") + 1] == network
    assert image in replaced


def test_every_image_of_a_plan_must_be_there(monkeypatch, tmp_path):
    asked = []

    def check(image):
        asked.append(image)
        if image == "skymend-sources":
            raise ToolMissingError(where="x", expected="y", found="z", fix="w")

    monkeypatch.setattr(run, "check_ready", check)
    store = open_store(tmp_path / "store")
    plan = SimpleNamespace(jobs=[job_of("mask"), job_of("fetch")], name="p", digest="1" * 64)
    with pytest.raises(ToolMissingError):
        run.run_plan(plan, store, engine="prefect", cores=1, image="mine")
    assert asked == ["mine", "skymend-sources"]
    assert not (tmp_path / "store").exists()
