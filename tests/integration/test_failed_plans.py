"""A plan that fails leaves nothing new: no store, no snapshots; in a folder and in a bucket."""

from __future__ import annotations

import os

import pytest

from skymend.core import mounts
from skymend.core.errors import NoImageError, ProductError, StoreError
from skymend.core.files import write_json
from skymend.core.store import open_store
from skymend.pipelines import door, reconstruct
from tests.servers.s3 import serve_s3

REGION = """\
name: tiny
area: {tiles: [31TCJ], bounds: [350000, 4849060, 350960, 4850020]}
period: {start: 2018-06-01, end: 2018-07-06}
sources:
  s2: {provider: theia, path: products}
outputs:
  - reconstruct: {method: linear, bands: [B04]}
"""


@pytest.fixture
def region(tmp_path):
    (tmp_path / "products").mkdir()
    path = tmp_path / "region.yaml"
    path.write_text(REGION)
    return path


@pytest.fixture
def failing(monkeypatch):
    """Planning that freezes a search, changes a frozen one, then fails."""

    def plan(region, tile, grid, snapshot):
        for question in ("s2", "s1"):
            write_json(snapshot(question).path, {"products": {}, "checksums": {"x": [1, 2, "3"]}})
        raise ProductError(where="a", expected="b", found="c", fix="d")

    monkeypatch.setattr(reconstruct, "plan", plan)


def everything(folder):
    return {p: p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def test_no_images_and_no_store(region, tmp_path):
    before = everything(tmp_path)
    with pytest.raises((NoImageError, ProductError)):
        door.open_region(region, str(tmp_path / "new/deep/store"))
    assert everything(tmp_path) == before


def test_a_new_store_is_withdrawn(region, failing, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    before = everything(tmp_path)
    for store in ("new/deep/store", "empty"):
        with pytest.raises(ProductError):
            door.open_region(region, str(tmp_path / store))
    assert everything(tmp_path) == before


def test_a_store_that_was_there_stays_as_it_was(region, failing, tmp_path):
    store = open_store(tmp_path / "store")
    store.prepare()
    known = store.root / "snapshots/tiny/31TCJ/s2.json"
    known.parent.mkdir(parents=True)
    known.write_text('{"products": {}, "checksums": {}}')
    before = everything(tmp_path)
    with pytest.raises(ProductError):
        door.open_region(region, str(store.root))
    assert everything(tmp_path) == before


def test_a_folder_with_other_files_stays_as_it_was(region, failing, tmp_path):
    with pytest.raises(StoreError, match="other files"):
        door.open_region(region, str(tmp_path))
    assert not (tmp_path / "store.json").exists()


def test_what_another_process_put_there_keeps_the_store(tmp_path):
    store = open_store(tmp_path / "store")
    store.prepare()
    (store.root / "plans").mkdir()
    store.withdraw()
    store.check()


def test_in_a_bucket(region, failing, tmp_path, monkeypatch):
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_VIRTUAL_HOSTING", "AWS_REGION"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SKYMEND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mounts, "_MOUNTS", {})
    with serve_s3("plans") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ProductError):
            door.open_region(region, "s3://plans/new")
        assert server.keys("plans") == []
        open_store("s3://plans/old").prepare()
        with pytest.raises(ProductError):
            door.open_region(region, "s3://plans/old")
        assert server.keys("plans") == ["old/store.json"]
