"""GRD and level-1C SAFE products in, embedded SAR and Fmask, reconstruct: under both engines.

All of them come from a loopback Copernicus Data Space: level 1C by S3, GRD by OData.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from skymend.simulate import tiny, write
from tests.e2e.conftest import rasters, skymend, tally
from tests.servers import cdse

pytestmark = pytest.mark.e2e

REGION = """\
name: road
area: {{tiles: [31TCJ], bounds: [350000, 4849060, 350960, 4850020]}}
period: {{start: 2018-06-01, end: 2018-06-10}}
sources:
  s2: {{provider: cdse-s3, level: L1C, endpoints: {endpoints}}}
  s1: {{provider: cdse-odata, speckle: boxcar, endpoints: {endpoints}}}
  dem: {{provider: dem, path: {products}/dem/wide.tif}}
mask: {{engine: fmask, dilate_m: 20}}
outputs:
  - reconstruct: {{method: linear, bands: [B04, B08], window_days: 20, reach_days: 30}}
"""


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    folder = tmp_path_factory.mktemp("road")
    write(folder, tiny(days=10), formats=("safe-l1c", "safe-grd"))
    return folder


@pytest.fixture
def endpoints(products, tmp_path, monkeypatch):
    """A running Data Space, with logins in the environment."""
    with cdse.serve(products / "safe", s3=True) as running:
        login = {
            "SKYMEND_CDSE_USERNAME": running.account.username,
            "SKYMEND_CDSE_PASSWORD": running.account.password,
            "SKYMEND_CDSE_ACCESS_KEY": "key",
            "SKYMEND_CDSE_SECRET_KEY": "secret",
            "SKYMEND_CACHE": str(tmp_path / "cache"),
        }
        for name, value in login.items():
            monkeypatch.setenv(name, value)
        yield running.endpoints


def test_both_engines_make_the_same_rasters(products, endpoints, tmp_path):
    region = tmp_path / "region.yaml"
    region.write_text(REGION.format(products=products, endpoints=json.dumps(endpoints)))
    for engine in ("prefect", "snakemake"):
        done = skymend(
            "run", region, "--store", tmp_path / engine, "--engine", engine, "--json", "-q"
        )
        assert tally(done)["failed"] == 0
    made = rasters(tmp_path / "prefect")
    assert made == rasters(tmp_path / "snakemake")
    names = {Path(path).name for path in made}
    assert names >= {"backscatter.tif", "incidence.tif", "state.tif", "mask.tif", "qa.tif"}
    facts = list(_facts(tmp_path / "prefect", "backscatter"))
    assert len(facts) == 2, "two passes, each of two slices"
    for one in facts:
        assert one["convention"] == "gamma0-flattened"
        assert one["valid_share"] > 0.99
    assert len(list(_facts(tmp_path / "prefect", "fetch"))) == 6, "2 of Sentinel-2, 4 slices"
    clouds = [one["cloud_share"] for one in _facts(tmp_path / "prefect", "mask")]
    assert max(clouds) > 0.05, "Fmask found the clouds of the cloudy date"


def _facts(store, step):
    for path in (store / "records" / step).glob("*.json"):
        yield json.loads(path.read_text())["facts"]
