"""Moto's server process, and a store in its bucket."""

from __future__ import annotations

import os

import pytest

from skymend.core import execute, mounts, task
from skymend.core.store import open_store
from tests.s3_case import RUNS
from tests.servers.s3 import serve_s3


@pytest.fixture(scope="module")
def server():
    with serve_s3("skymend-test") as running:
        yield running


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path, server):
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    # monkeypatch removes afterwards what the store sets for GDAL
    for name in ("AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_VIRTUAL_HOSTING", "AWS_REGION"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SKYMEND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(execute, "load_task", lambda name: task.Task(step=name))
    monkeypatch.setattr(mounts, "_MOUNTS", {})
    RUNS.clear()


@pytest.fixture
def store(tmp_path):
    made = open_store(f"s3://skymend-test/{tmp_path.name}")
    made.prepare()
    return made
