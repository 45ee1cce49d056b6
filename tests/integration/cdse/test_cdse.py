"""The Copernicus Data Space client against a loopback one that serves simulated SAFE products."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from skymend.products import safe
from skymend.products.toa import open_toa
from skymend.simulate import write
from skymend.sources import versions
from skymend.sources.area import Area
from skymend.sources.fetching import plain
from skymend.sources.protocol import Filters
from skymend.sources.registry import open_source
from tests.cdse_case import L2A, PERIOD, SCENARIO, area, settings_of
from tests.servers import cdse


@pytest.mark.parametrize("provider", ["cdse", "cdse-odata"])
def test_all_pages_are_read_and_the_items_are_in_order(provider, settings, server):
    found = open_source(provider, settings).search(L2A, area(), PERIOD, Filters())
    assert {i.id for i in found} == {p.name.removesuffix(".SAFE") for p in server.products}
    assert len(found) == 6
    times = [i.datetime for i in found]
    assert times == sorted(times)
    assert {i.properties["processing:version"] for i in found} == {"05.00"}
    assert all(i.properties["platform"].startswith("sentinel-2") for i in found)


@pytest.mark.parametrize("provider", ["cdse", "cdse-odata"])
def test_filters_narrow_the_answer(provider, settings):
    source = open_source(provider, settings)
    everything = source.search(L2A, area(), PERIOD, Filters())
    clouds = sorted(i.properties["eo:cloud_cover"] for i in everything)
    for filters, count in (
        (Filters(platform="sentinel-2a"), 3),
        (Filters(tile="31TCJ"), 6),
        (Filters(tile="31UFQ"), 0),
        (Filters(relative_orbit=52), 0),
        (Filters(baseline="04.00"), 0),
        (Filters(cloud_cover_max=clouds[2]), 3),
        (Filters(product_id=everything[1].id + ".SAFE"), 1),
        (Filters(limit=2), 2),
    ):
        assert len(source.search(L2A, area(), PERIOD, filters)) == count, filters


@pytest.mark.parametrize("provider", ["cdse", "cdse-odata"])
def test_area_and_period_are_asked_for(provider, settings):
    source = open_source(provider, settings)
    elsewhere = Area.of_bounds(170, 10, -170, 20)
    assert len(source.search(L2A, elsewhere, PERIOD, Filters())) == 0
    day = (datetime(2020, 4, 9, tzinfo=UTC), datetime(2020, 4, 9, 23, 59, tzinfo=UTC))
    assert len(source.search(L2A, area(), day, Filters())) == 1


@pytest.mark.parametrize("way", ["cdse", "cdse-odata", "cdse-s3"])
def test_bands_of_a_safe_keep_its_structure_and_open(way, server, tmp_path):
    keys = {"access_key": "a-key-for-tests", "secret_key": "a-secret-for-tests"}
    settings = settings_of(server, tmp_path, **(keys if way == "cdse-s3" else {}))
    source = open_source(way, settings)
    (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
    receipts = source.fetch(item, ["B04"], tmp_path / "here")
    product = tmp_path / "here" / f"{item.id}.SAFE"
    (origin,) = [p.path for p in server.products if p.name == product.name]
    opened, truth = safe.open_product(product), safe.open_product(origin)
    assert opened.bands == ("B04",)
    grid = truth.grid
    np.testing.assert_array_equal(opened.read(["B04"], grid), truth.read(["B04"], grid))
    np.testing.assert_array_equal(opened.labels(grid), truth.labels(grid))
    assert {r.verified for r in receipts} == {"sha3-256"}
    for path in (p for p in product.rglob("*") if p.is_file()):
        assert path.read_bytes() == (origin / path.relative_to(product)).read_bytes()
    assert not list(product.rglob("*B02*"))


@pytest.mark.parametrize("way", ["cdse", "cdse-odata", "cdse-s3"])
def test_a_whole_product_is_the_same_tree(way, server, tmp_path):
    keys = {"access_key": "a-key-for-tests", "secret_key": "a-secret-for-tests"}
    settings = settings_of(server, tmp_path, **(keys if way == "cdse-s3" else {}))
    source = open_source(way, settings)
    (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
    receipts = source.fetch(item, (), tmp_path / "here")
    (origin,) = [p.path for p in server.products if p.name == f"{item.id}.SAFE"]
    assert _tree(tmp_path / "here" / f"{item.id}.SAFE") == _tree(origin)
    expected = {"cdse": {"md5"}, "cdse-odata": {"blake3"}, "cdse-s3": {"sha3-256"}}
    assert {r.verified for r in receipts} == expected[way]


def _tree(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_item_survives_a_plan(settings, tmp_path):
    """A plan freezes the item as JSON; what a job reads back fetches the same."""
    import pystac

    source = open_source("cdse", settings)
    (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
    frozen = json.loads(json.dumps(plain(item)))
    receipts = source.fetch(pystac.Item.from_dict(frozen), ["B04_60m"], tmp_path / "here")
    assert any(r.path.name.endswith("B04_60m.jp2") for r in receipts)


def test_bands_of_a_level_1c_product(tmp_path):
    folder = tmp_path / "products"
    scenario = SCENARIO.model_copy(update={"days": 5, "baseline": "03.01"})
    write(folder, scenario, formats=("safe-l1c",))
    with cdse.serve(folder) as server:
        source = open_source("cdse-odata", settings_of(server, tmp_path))
        assert not source.search(L2A, area(), PERIOD, Filters())
        (item,) = source.search("sentinel-2-l1c", area(), PERIOD, Filters())
        receipts = source.fetch(item, ["B02", "B04"], tmp_path / "here")
    product = tmp_path / "here" / f"{item.id}.SAFE"
    images = sorted(p.stem[-3:] for p in product.rglob("*.jp2") if "IMG_DATA" in p.parts)
    assert images == ["B02", "B04"]
    assert (product / "MTD_MSIL1C.xml").is_file()
    opened, whole = open_toa(product), open_toa(folder / "safe" / product.name)
    grid = whole.grid(10)
    np.testing.assert_array_equal(opened.read(["B04"], grid), whole.read(["B04"], grid))
    for mine, theirs in zip(opened.view(grid), whole.view(grid), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert versions.offset_dn(item) == 0
    assert {r.verified for r in receipts} <= {"md5", "sha3-256"}


GRD = "S1A_IW_GRDH_1SDV_20200410T060000_20200410T060025_032000_03B2A1_9550"


def write_grd(folder: Path, name: str) -> Path:
    """Write a product of the GRD's layout; images and annotations are mere placeholders."""
    from skymend.simulate.markup import node, write_xml
    from skymend.simulate.safe_manifest import data_object, entries

    product = folder / f"{name}.SAFE"
    for channel in ("vv", "vh"):
        stem = f"s1a-iw-grd-{channel}-20200410t060000-20200410t060025-032000-03b2a1-001"
        for path, content in {
            f"measurement/{stem}.tiff": b"II*\0" + channel.encode() * 50_000,
            f"annotation/{stem}.xml": b"<?xml version='1.0'?><product/>",
            f"annotation/calibration/calibration-{stem}.xml": b"<?xml version='1.0'?><c/>",
            f"annotation/calibration/noise-{stem}.xml": b"<?xml version='1.0'?><noise/>",
            "preview/quick-look.png": b"png",
        }.items():
            (product / path).parent.mkdir(parents=True, exist_ok=True)
            (product / path).write_bytes(content)
    outline = node("coordinates", "43.7,1.0 43.7,1.3 43.9,1.3 43.9,1.0")
    frame = node("frameSet", outline, node("pass", "DESCENDING"), node("relativeOrbitNumber", "8"))
    section = node("dataObjectSection", *(data_object(e, "MD5") for e in entries(product)))
    write_xml(product / "manifest.safe", node("XFDU", frame, section))
    return product


@pytest.mark.parametrize("way", ["cdse", "cdse-odata", "cdse-s3"])
def test_one_polarisation_of_a_radar_product_without_its_twin(way, tmp_path):
    folder = tmp_path / "products"
    origin = write_grd(folder, GRD)
    write_grd(folder, f"{GRD[:-4]}A1B2_COG")
    keys = {"access_key": "a-key-for-tests", "secret_key": "a-secret-for-tests"}
    with cdse.serve(folder, s3=way == "cdse-s3") as server:
        settings = settings_of(server, tmp_path, **(keys if way == "cdse-s3" else {}))
        source = open_source(way, settings)
        filters = Filters(polarisations=("VV", "VH"), orbit_direction="descending")
        found = source.search("sentinel-1-grd", area(), PERIOD, filters)
        assert len(found) == 2
        (item,) = versions.newest(found).kept
        assert item.id == GRD
        assert item.properties["sar:polarizations"] == ["VV", "VH"]
        source.fetch(item, ["VV"], tmp_path / "here")
        assert not source.search("sentinel-1-grd", area(), PERIOD, Filters(polarisations=("HH",)))
    fetched = _tree(tmp_path / "here" / f"{GRD}.SAFE")
    assert len(fetched) == 5
    assert all("-vv-" in p.name or p.name == "manifest.safe" for p in fetched)
    assert all(content == (origin / p).read_bytes() for p, content in fetched.items())


def test_a_simulated_radar_pass_is_found_fetched_and_opened(tmp_path):
    """Both slices of a pass stay, though their names differ by less than their seconds."""
    from skymend.products.sentinel1 import open_grd
    from skymend.simulate.scenario import ORBITS

    folder = tmp_path / "products"
    scenario = SCENARIO.model_copy(update={"orbits": ORBITS[:1], "days": 12})
    write(folder, scenario, formats=("safe-grd",))
    with cdse.serve(folder) as server:
        source = open_source("cdse", settings_of(server, tmp_path))
        filters = Filters(polarisations=("VV",), orbit_direction="descending", relative_orbit=110)
        found = versions.newest(source.search("sentinel-1-grd", area(), PERIOD, filters)).kept
        assert len(found) == len(server.products) == 2
        for item in found:
            source.fetch(item, ["VV"], tmp_path / "here")
    for item in found:
        opened = open_grd(tmp_path / "here" / f"{item.id}.SAFE")
        assert opened.polarisations == ("VV",)
        assert opened.relative_orbit == item.properties["sat:relative_orbit"] == 110
