"""A region whose Sentinel-2 products come from a loopback Copernicus Data Space."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from skymend.core.keys import file_sha256
from skymend.simulate import tiny, write
from tests.e2e.conftest import rasters, skymend, tally
from tests.servers import cdse

pytestmark = pytest.mark.e2e

REGION = """\
name: catalogue
area: {{tiles: [31TCJ], bounds: [350000, 4849060, 350960, 4850020]}}
period: {{start: 2018-06-01, end: 2018-06-16}}
sources:
  s2: {s2}
  s1: {{provider: s1tiling, path: {products}/s1tiling/31TCJ}}
  dem: {{provider: dem, path: {products}/dem}}
mask: {{dilate_m: 20}}
outputs:
  - reconstruct: {{method: regression, bands: [B04, B08], window_days: 20, reach_days: 30}}
"""


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalogue")
    write(folder, tiny(), formats=("safe-l2a", "s1tiling", "dem"))
    return folder


@pytest.fixture(scope="module")
def server(products):
    with cdse.serve(products / "safe", page=3, s3=True) as running:
        yield running


@pytest.fixture
def login(server, tmp_path, monkeypatch):
    """Logins in the environment, a cache of its own."""
    monkeypatch.setenv("SKYMEND_CDSE_USERNAME", server.account.username)
    monkeypatch.setenv("SKYMEND_CDSE_PASSWORD", server.account.password)
    monkeypatch.setenv("SKYMEND_CACHE", str(tmp_path / "cache"))
    return server


def region(tmp_path, products, s2):
    path = tmp_path / "region.yaml"
    path.write_text(REGION.format(products=products, s2=json.dumps(s2)))
    return path


def run(path, store, engine):
    done = skymend("run", path, "--store", store, "--engine", engine, "--json", "-q")
    return tally(done)


def final(store):
    """Return date and name -> checksum of every reconstructed raster."""
    found = Path(store).glob("scenes/*/*/reconstruct-*/*.tif")
    return {(p.parent.parent.name, p.name): file_sha256(p) for p in found}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return tmp_path_factory.mktemp("stores")


def test_only_provider_and_endpoint_change(products, login, tmp_path, stores):
    folder = {"provider": "safe", "path": str(products / "safe")}
    from_disk = run(region(tmp_path, products, folder), stores / "disk", "prefect")
    remote = {"provider": "cdse", "endpoints": login.endpoints}
    by_prefect = run(region(tmp_path, products, remote), stores / "a", "prefect")
    by_snakemake = run(region(tmp_path, products, remote), stores / "b", "snakemake")
    assert from_disk["failed"] == by_prefect["failed"] == by_snakemake["failed"] == 0
    assert len(final(stores / "disk")) >= 9
    assert final(stores / "a") == final(stores / "disk"), "the same pixels by another road"
    assert rasters(stores / "a") == rasters(stores / "b")
    assert login.account.sessions <= 2, "two stores shared one chain of tokens"


def test_every_fetched_file_says_how_it_was_verified(stores):
    records = list((stores / "a" / "records" / "fetch").glob("*.json"))
    facts = [json.loads(path.read_text())["facts"] for path in records]
    assert len(facts) >= 3
    verified = {f["verified"] for one in facts for f in one["files"].values()}
    assert verified <= {"md5", "sha256", "sha3-256", "blake3", "manifest"}


def test_no_login_stands_in_what_a_run_leaves(stores, login):
    for path in (stores / "a").rglob("*"):
        if path.is_file() and path.suffix in {".json", ".log", ".yaml", ".html"}:
            assert login.account.password not in path.read_text(errors="replace")
