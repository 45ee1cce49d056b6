"""A folder as provider: what the local searchers find, and what names tell."""

from __future__ import annotations

import numpy as np
import pytest

from skymend.core.errors import ConfigError
from skymend.products import safe
from skymend.sources.area import Area
from skymend.sources.folder_source import FolderSource
from skymend.sources.protocol import Filters
from skymend.sources.registry import open_source
from tests.product_case import SAFE, safe_folder, safe_metadata
from tests.provider_case import AREA, SPRING, safe_zip, settings

GRD = "S1A_IW_GRDH_1SDV_20230401T054013_20230401T054038_047905_05C1B4_6B5A.SAFE"
LANDSAT = "LC09_L1TP_196029_20230411_20230413_02_T1"


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "products"
    files = {
        f"{GRD}/manifest.safe": b"<a/>",
        f"{GRD}/measurement/s1a-iw-grd-vv.tiff": b"v" * 3_000_000,
        f"deep/{LANDSAT}/{LANDSAT}_B4.TIF": b"4",
        f"deep/{LANDSAT}/{LANDSAT}_B5.TIF": b"5",
        f"deep/{LANDSAT}/{LANDSAT}_MTL.xml": b"<m/>",
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / GRD / "escape.xml").symlink_to("/etc/hostname")
    return root


def test_products_by_name(tmp_path, folder):
    own = open_source("folder", settings(tmp_path, {"folder": str(folder)}))
    assert isinstance(own, FolderSource)
    (radar,) = own.search("sentinel-1-grd", AREA, SPRING, Filters(platform="sentinel-1a"))
    assert radar.properties["sar:polarizations"] == ["VV", "VH"]
    assert set(radar.assets) == {"manifest.safe", "measurement/s1a-iw-grd-vv.tiff"}
    receipts = own.fetch(radar, (), tmp_path / "got")
    for receipt in receipts:
        original = folder / receipt.path.relative_to(tmp_path / "got")
        assert receipt.path.read_bytes() == original.read_bytes()
        assert receipt.verified == "sha256"
    (scene,) = own.search("landsat-c2-l1", None, SPRING, Filters())
    names = {r.path.name for r in own.fetch(scene, ["B4"], tmp_path / "bands")}
    assert names == {f"{LANDSAT}_B4.TIF", f"{LANDSAT}_MTL.xml"}


def test_no_folder_is_named(tmp_path):
    own = FolderSource(settings(tmp_path, {"folder": str(tmp_path / "none")}))
    with pytest.raises(ConfigError, match="set the endpoint 'folder'"):
        own.search("sentinel-1-grd", None, None, Filters())
    assert [f.ok for f in own.check()] == [False]


def test_safe_products_through_the_local_searcher(tmp_path):
    """A small L2A product; a second one lacks its images and is no product."""
    root = tmp_path / "products"
    images = {
        ("B04", 10): np.full((24, 30), 500, np.uint16),
        ("SCL", 20): np.full((12, 15), 4, "u1"),
    }
    safe_folder(root, images=images, metadata=safe_metadata("04.00", {3: -1000}))
    safe_folder(root, SAFE.replace("0615", "0616"), images={}, metadata="<a/>")
    own = FolderSource(settings(tmp_path, {"folder": str(root)}))
    (item,) = own.search("sentinel-2-l2a", None, None, Filters(tile="31TFJ", baseline="04.00"))
    assert item.properties["sat:relative_orbit"] == 51
    assert item.bbox == pytest.approx([4.2, 43.2, 5.6, 44.3], abs=0.2), "the tile's outline"
    receipts = own.fetch(item, ["B04"], tmp_path / "got")
    assert len(receipts) == 2
    assert safe.refusal(tmp_path / "got" / SAFE) is None
    own.fetch(item, (), tmp_path / "got")
    assert safe.open_product(tmp_path / "got" / SAFE).files(("B04",))


@pytest.mark.parametrize(
    ("stated", "percent"), [("37.25", 37.25), ("much", None), ("137", None), (None, None)]
)
def test_the_cloud_share_of_the_metadata_is_the_items(tmp_path, stated, percent):
    images = {
        ("B04", 10): np.full((24, 30), 500, np.uint16),
        ("SCL", 20): np.full((12, 15), 4, "u1"),
    }
    element = f"<Cloud_Coverage_Assessment>{stated}</Cloud_Coverage_Assessment>" if stated else ""
    head, tail = safe_metadata("04.00", {3: -1000}).rsplit("</", 1)
    metadata = f"{head}{element}</{tail}"
    safe_folder(tmp_path / "products", images=images, metadata=metadata)
    own = FolderSource(settings(tmp_path, {"folder": str(tmp_path / "products")}))
    (item,) = own.search("sentinel-2-l2a", None, None, Filters())
    assert item.properties.get("eo:cloud_cover") == percent
    for most, count in ((37, 0), (38, 1 if percent else 0)):
        found = own.search("sentinel-2-l2a", None, None, Filters(cloud_cover_max=most))
        assert len(found) == count


def test_archives_are_unpacked(tmp_path):
    name = GRD.removesuffix(".SAFE")
    (tmp_path / "zips").mkdir()
    (tmp_path / "zips" / f"{name}.zip").write_bytes(safe_zip(name, {"annotation/a.xml": b"<a/>"}))
    own = FolderSource(settings(tmp_path, {"folder": str(tmp_path / "zips")}))
    (item,) = own.search("sentinel-1-grd", None, SPRING, Filters())
    (receipt,) = own.fetch(item, (), tmp_path / "got")
    assert receipt.path == tmp_path / "got" / GRD
    assert (receipt.path / "annotation" / "a.xml").read_bytes() == b"<a/>"


def test_real_theia_series(tmp_path, shared_data):
    """106 dates of tile 31UFQ; one spring of them, only where the tile lies."""
    from datetime import UTC, datetime

    own = FolderSource(settings(tmp_path, {"folder": str(shared_data / "theia-fordead-31UFQ")}))
    spring = (datetime(2017, 4, 1, tzinfo=UTC), datetime(2017, 6, 1, tzinfo=UTC))
    here = own.search(
        "sentinel-2-l2a-maja", Area.of_bounds(4.6, 49.3, 4.7, 49.4), spring, Filters()
    )
    assert here.items
    assert all(spring[0] <= i.datetime <= spring[1] for i in here)
    assert {i.properties["grid:code"] for i in here} == {"MGRS-31UFQ"}
    assert own.search("sentinel-2-l2a-maja", AREA, spring, Filters()).items == []
    receipts = own.fetch(here.items[0], ["FRE_B2"], tmp_path / "got")
    assert any(r.path.name.endswith("_FRE_B2.tif") for r in receipts)
