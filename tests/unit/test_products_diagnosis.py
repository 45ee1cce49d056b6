"""What ``skymend doctor`` says of products."""

import pytest

from skymend.core.grid import Grid
from skymend.products.diagnosis import diagnose
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


def test_each_reader_says_why_not(tmp_path):
    text, sound = diagnose(tmp_path / "nothing.xyz")
    assert not sound
    assert "  safe-grd: the name is not like S1A_IW_GRDH" in text
