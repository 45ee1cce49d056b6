"""Simulated products served by different archives arrive as products that the readers open."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from skymend.products import open_optical
from skymend.products.sentinel1 import open_grd
from skymend.simulate import tiny
from skymend.simulate.optical import observe
from skymend.simulate.radar_series import write_pass_grd
from skymend.simulate.safe_s2 import write_l2a
from skymend.simulate.safe_series import surface_granule
from skymend.simulate.scenario import BANDS, Scenario
from skymend.sources.protocol import Filters
from skymend.sources.registry import open_source
from tests.provider_case import settings, zip_of
from tests.servers.asf import TOKEN, AsfServer, scene
from tests.servers.routes import serve
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY, serve_s3
from tests.servers.sara import LOGIN, SaraServer, record

DAY = date(2018, 6, 4)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return Scenario.model_validate({**tiny().model_dump(), "bands": BANDS})


@pytest.fixture(scope="module")
def optical(tmp_path_factory, scenario) -> Path:
    return write_l2a(tmp_path_factory.mktemp("l2a"), surface_granule(scenario, DAY))


@pytest.fixture(scope="module")
def radar(tmp_path_factory, scenario) -> Path:
    folder = tmp_path_factory.mktemp("grd")
    return write_pass_grd(folder, scenario, scenario.radar_passes()[0], grainless=True)[0]


def packed(product: Path) -> bytes:
    files = sorted(p for p in product.rglob("*") if p.is_file())
    inside = {p.relative_to(product.parent).as_posix(): p.read_bytes() for p in files}
    return zip_of(inside)


def check_optical(product: Path, scenario: Scenario) -> None:
    values = open_optical(product).read(("B04",), scenario.grid)[0]
    wanted = observe(scenario, DAY).reflectance[BANDS.index("B04")]
    # Numbers are rounded to 1e-4; float32 adds a few units in the eighth digit.
    np.testing.assert_allclose(values, wanted, atol=0.5001e-4)


def test_level_2a_from_sara(tmp_path, optical, scenario):
    content = packed(optical)
    title = optical.name.removesuffix(".SAFE")
    own = {"startDate": "2018-06-04T10:50:31.024Z", "mgrs": None}
    state = SaraServer(
        [record(title, content, day="2018-06-04", kind="S2MSI2A", **own)], {title: content}
    )
    with serve(state.routes()) as server:
        state.loopback = server
        source = open_source("sara", settings(tmp_path, {"sara": f"{server.url}/api"}, sara=LOGIN))
        (item,) = source.search("sentinel-2-l2a", None, None, Filters())
        (receipt,) = source.fetch(item, ["B04"], tmp_path / "got")
    assert receipt.path == tmp_path / "got" / optical.name
    check_optical(receipt.path, scenario)


def test_one_band_of_level_2a_from_a_bucket(tmp_path, optical, scenario):
    with serve_s3("mirror") as s3:
        for path in (p for p in optical.rglob("*") if p.is_file()):
            key = f"s2/{path.relative_to(optical.parent).as_posix()}"
            s3.client().put_object(Bucket="mirror", Key=key, Body=path.read_bytes())
        login = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
        endpoints = {"s3": "s3://mirror/s2", "s3.s3": s3.url}
        source = open_source("s3", settings(tmp_path, endpoints, s3=login))
        (item,) = source.search("sentinel-2-l2a", None, None, Filters())
        receipts = source.fetch(item, ["B04", "SCL"], tmp_path / "got")
    names = {r.path.name for r in receipts}
    assert any("_B04_" in n for n in names)
    assert not any("_B08_" in n for n in names)
    check_optical(tmp_path / "got" / optical.name, scenario)


def test_level_2a_from_a_folder(tmp_path, optical, scenario):
    source = open_source("folder", settings(tmp_path, {"folder": str(optical.parent)}))
    (item,) = source.search("sentinel-2-l2a", None, None, Filters())
    source.fetch(item, (), tmp_path / "got")
    check_optical(tmp_path / "got" / optical.name, scenario)


def test_ground_range_products_from_asf(tmp_path, radar):
    content = packed(radar)
    title = radar.name.removesuffix(".SAFE")
    state = AsfServer([scene(title, content)], {title: content})
    with serve(state.routes()) as server:
        state.loopback = server
        endpoints = {"asf": f"{server.url}/search"}
        source = open_source("asf", settings(tmp_path, endpoints, asf={"token": TOKEN}))
        (item,) = source.search("sentinel-1-grd", None, None, Filters())
        (receipt,) = source.fetch(item, (), tmp_path / "got")
    ours, theirs = open_grd(receipt.path), open_grd(radar)
    assert (ours.id, ours.polarisations) == (theirs.id, theirs.polarisations)
    assert item.properties["sar:polarizations"] == list(ours.polarisations)
    assert ours.annotation("VV").first_line == theirs.annotation("VV").first_line
