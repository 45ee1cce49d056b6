"""SRTM folders: GDAL's own reader of .hgt as oracle."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import rasterio

from skymend.core.errors import ConfigError, ProductError
from skymend.sources.area import Area
from skymend.sources.protocol import Filters
from skymend.sources.srtm import Srtm, read_hgt
from tests.provider_case import settings


@pytest.fixture
def folder(tmp_path):
    """Two three-second tiles; one has a void in its north-west corner."""
    rng = np.random.default_rng(3)
    tiles = tmp_path / "srtm"
    tiles.mkdir()
    for name in ("N45E006.hgt", "S08W120.SRTMGL3.hgt"):
        heights = rng.integers(-10, 3000, (1201, 1201)).astype(">i2")
        heights[0, 0] = -32768
        heights.tofile(tiles / name)
    return tiles


def test_tiles_read_as_gdal_reads_them(folder):
    ours = read_hgt(folder / "N45E006.hgt")
    with rasterio.open(folder / "N45E006.hgt") as dataset:
        theirs = dataset.read(1, masked=True)
    assert np.isnan(ours[0, 0])
    assert np.array_equal(np.isnan(ours), np.ma.getmaskarray(theirs))
    assert np.array_equal(ours[~np.isnan(ours)], theirs.compressed().astype(np.float32))


def test_search_and_fetch_place_heights_where_gdal_does(tmp_path, folder):
    own = Srtm(settings(tmp_path, {"srtm": str(folder)}))
    (item,) = own.search("srtm", Area.of_bounds(5.5, 45.2, 6.5, 45.4), None, Filters())
    assert item.id == "N45E006"
    assert item.properties["skymend:vertical_datum"] == "EGM96"
    (receipt,) = own.fetch(item, (), tmp_path / "dem")
    with rasterio.open(receipt.path) as ours, rasterio.open(folder / "N45E006.hgt") as theirs:
        assert ours.transform.almost_equals(theirs.transform, precision=1e-9)
        assert ours.crs.to_epsg() == 4326
        assert np.isnan(ours.read(1)[0, 0])
        assert np.array_equal(ours.read(1)[1:], theirs.read(1)[1:])


def test_southern_and_western_names(tmp_path, folder):
    own = Srtm(settings(tmp_path, {"srtm": str(folder)}))
    (item,) = own.search("srtm", Area.of_bounds(-119.9, -7.9, -119.8, -7.8), None, Filters())
    assert item.id == "S08W120"
    assert [f.sentence for f in own.check()] == ["the folder holds 2 SRTM tiles"]


def test_files_of_another_size_are_refused(tmp_path, folder):
    (folder / "N46E006.hgt").write_bytes(b"x" * 100)
    own = Srtm(settings(tmp_path, {"srtm": str(folder)}))
    (item,) = own.search("srtm", Area.of_bounds(6.2, 46.2, 6.4, 46.4), None, Filters())
    with pytest.raises(ProductError, match=r"expected an SRTM tile of .*, found 100 bytes"):
        own.fetch(item, (), tmp_path / "dem")


def test_no_folder_is_named(tmp_path, folder):
    shutil.rmtree(folder)
    own = Srtm(settings(tmp_path, {"srtm": str(folder)}))
    with pytest.raises(ConfigError, match="set the endpoint 'srtm'"):
        own.search("srtm", Area.of_bounds(6, 46, 7, 47), None, Filters())
    assert [f.ok for f in own.check()] == [False]
