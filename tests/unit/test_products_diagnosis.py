"""What ``skymend doctor`` says of products."""

import json

import numpy as np
import pytest
import rasterio

from skymend.core.grid import Grid
from skymend.products.diagnosis import diagnose
from skymend.simulate import Scenario, write
from tests.product_case import write_tif

GRD = "S1A_IW_GRDH_1SDV_20200101T000000_20200101T000025_030000_037000_ABCD"


def test_a_readable_raster_is_a_dem(tmp_path):
    grid = Grid("EPSG:32631", (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_800_000.0), (4, 4))
    path = write_tif(tmp_path / "dem.tif", [[1.0] * 4] * 4, grid)
    assert diagnose(path) == (f"{path}: dem", True)
    assert diagnose(tmp_path) == (f"{tmp_path}: dem", True)


def test_a_damaged_raster_is_told(tmp_path):
    (tmp_path / "dem.tif").write_text("no image")
    text, sound = diagnose(tmp_path / "dem.tif")
    assert not sound
    assert "expected a readable" in text


@pytest.mark.parametrize("name", [f"{GRD}.SAFE", f"{GRD}.zip"])
def test_a_damaged_radar_product_is_told(tmp_path, name):
    path = tmp_path / name
    path.mkdir() if name.endswith("SAFE") else path.write_bytes(b"PK\x03\x04broken")
    text, sound = diagnose(path)
    assert not sound
    assert text.startswith("safe-grd: ")
    assert "fetch the product again" in text


@pytest.mark.parametrize(
    ("values", "dtype", "crs", "words"),
    [
        ([[[1, 2], [3, 4]]], "uint16", "EPSG:32631", "holds uint16, heights are signed"),
        ([[[1, 2], [3, 4]]] * 3, "float32", "EPSG:32631", "has 3 bands, heights have one"),
        ([[[1, 2], [3, 4]]], "float32", None, "has no CRS"),
    ],
)
def test_not_every_geotiff_is_a_dem(tmp_path, values, dtype, crs, words):
    stored = np.array(values, dtype)
    shape = {"count": len(stored), "height": 2, "width": 2}
    transform = rasterio.Affine(10, 0, 500_000, 0, -10, 4_800_000)
    with rasterio.open(
        tmp_path / "b.tif", "w", driver="GTiff", dtype=dtype, crs=crs, transform=transform, **shape
    ) as file:
        file.write(stored)
    for path in (tmp_path, tmp_path / "b.tif"):
        text, sound = diagnose(path)
        assert not sound
        assert words in text


def test_a_path_that_is_not_there_is_one_line(tmp_path):
    assert diagnose(tmp_path / "none") == (f"{tmp_path}/none: no such file or folder", False)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SENTINEL2A_20170526-105518-082_L2A_T31UFQ_D_V1-4", "expected at least one band"),
        ("item.json", "found no assets"),
    ],
)
def test_a_product_without_images_is_not_sound(tmp_path, name, words):
    path = tmp_path / name
    item = {
        **{"type": "Feature", "stac_version": "1.0.0", "id": "a", "assets": {}, "links": []},
        **{"geometry": None, "properties": {"datetime": "2020-01-01T00:00:00Z"}},
    }
    path.write_text(json.dumps(item)) if name.endswith("json") else path.mkdir()
    text, sound = diagnose(path)
    assert not sound
    assert words in text


def test_an_image_that_gdal_cannot_open_is_told(tmp_path):
    write(tmp_path, Scenario(size_px=60, days=6, orbits=(), bands=("B02",)), formats=("theia",))
    (product, *_) = sorted(tmp_path.glob("**/SENTINEL2*_V*"))
    assert diagnose(product) == (f"{product}: theia", True)
    (band,) = product.glob("*_FRE_B2.tif")
    band.write_bytes(band.read_bytes()[:4])
    text, sound = diagnose(product)
    assert not sound
    assert band.name in text


def test_each_reader_says_why_not(tmp_path):
    path = tmp_path / "nothing.xyz"
    path.touch()
    text, sound = diagnose(path)
    assert not sound
    assert "  safe-grd: the name is not like S1A_IW_GRDH" in text
