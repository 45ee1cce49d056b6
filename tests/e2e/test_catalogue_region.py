"""A region from loopback providers: Copernicus Data Space, and the bucket of its DEM."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from skymend.core.keys import file_sha256
from skymend.simulate import tiny, write
from skymend.sources import cop_dem
from skymend.sources.degree_tiles import Cell, write_heights
from tests.e2e.conftest import rasters, skymend, tally
from tests.servers import cdse
from tests.servers.s3 import serve_s3

pytestmark = pytest.mark.e2e

REGION = """\
name: catalogue
area: {{tiles: [31TCJ], bounds: [350000, 4849060, 350960, 4850020]}}
period: {{start: 2018-06-01, end: 2018-06-16}}
sources:
  s2: {s2}
  s1: {{provider: s1tiling, path: {products}/s1tiling/31TCJ}}
  dem: {{provider: cop-dem-30, endpoints: {{cop-dem-30.s3: "{bucket}"}}}}
mask: {{dilate_m: 20}}
outputs:
  - reconstruct: {{method: regression, bands: [B04, B08], window_days: 20, reach_days: 30}}
"""


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalogue")
    write(folder, tiny(), formats=("safe-l2a", "s1tiling"))
    return folder


@pytest.fixture(scope="module")
def server(products):
    with cdse.serve(products / "safe", page=3, s3=True) as running:
        yield running


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """The one tile of the area, sloping."""
    step = 1 / 100
    transform = (step, 0.0, 1.0 - step / 2, 0.0, -step, 44.0 + step / 2)
    heights = np.linspace(150, 250, 10_000, dtype=np.float32).reshape(100, 100)
    path = tmp_path_factory.mktemp("tile") / "tile.tif"
    content = write_heights(path, heights, transform).path.read_bytes()
    name = cop_dem.tile_name(Cell(43, 1))
    with serve_s3(cop_dem.BUCKET) as server:
        entry = {"Bucket": cop_dem.BUCKET, "Key": f"{name}/{name}.tif", "Body": content}
        server.client().put_object(**entry, ACL="public-read")
        yield server.url


@pytest.fixture
def login(server, tmp_path, monkeypatch):
    """Logins in the environment, a cache of its own."""
    monkeypatch.setenv("SKYMEND_CDSE_USERNAME", server.account.username)
    monkeypatch.setenv("SKYMEND_CDSE_PASSWORD", server.account.password)
    monkeypatch.setenv("SKYMEND_CACHE", str(tmp_path / "cache"))
    return server


@pytest.fixture
def region(tmp_path, products, bucket):
    """Write a region file with a source of Sentinel-2; return its path."""

    def write_region(s2):
        path = tmp_path / "region.yaml"
        path.write_text(REGION.format(products=products, s2=json.dumps(s2), bucket=bucket))
        return path

    return write_region


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


def test_only_provider_and_endpoint_change(products, login, region, stores):
    folder = {"provider": "safe", "path": str(products / "safe")}
    from_disk = run(region(folder), stores / "disk", "prefect")
    remote = {"provider": "cdse", "endpoints": login.endpoints}
    by_prefect = run(region(remote), stores / "a", "prefect")
    by_snakemake = run(region(remote), stores / "b", "snakemake")
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
    texts = {".json", ".log", ".yaml", ".html"}
    written = [p for p in (stores / "a").rglob("*") if p.is_file() and p.suffix in texts]
    assert any(p.suffix == ".json" for p in written)
    for path in written:
        assert login.account.password not in path.read_text(errors="replace")


def test_what_is_published_carries_the_notice_of_the_dem(stores):
    items = list((stores / "a").glob("regional/*/publish-*/items/*.json"))
    assert len(items) >= 3
    for path in items:
        assert json.loads(path.read_text())["properties"]["skymend:notices"] == [
            cop_dem.DERIVED_NOTICE
        ]
