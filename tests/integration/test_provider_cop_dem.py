"""Copernicus DEM: tiles in moto's S3 server, sea where there are none."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio

from skymend.core.errors import ConfigError
from skymend.core.grid import Grid
from skymend.products.dem import read_dem
from skymend.sources import cop_dem
from skymend.sources.area import Area
from skymend.sources.cop_dem import DERIVED_NOTICE, NOTICE, CopDem
from skymend.sources.degree_tiles import Cell, write_heights
from skymend.sources.heights import heights_around
from skymend.sources.protocol import Filters
from tests.provider_case import settings
from tests.servers.routes import serve
from tests.servers.s3 import serve_s3

COAST = Area.of_bounds(-2.2, 47.6, -1.9, 47.9)
"""Two cells: N47 W003, which the bucket lacks, and N47 W002."""


def tile(tmp_path, cell: Cell, height: float) -> bytes:
    step = 1 / 100
    transform = (step, 0.0, cell.west - step / 2, 0.0, -step, cell.south + 1 + step / 2)
    heights = np.full((100, 100), height, np.float32)
    return write_heights(tmp_path / "tile.tif", heights, transform).path.read_bytes()


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with serve_s3(cop_dem.BUCKET) as server:
        for cell, height in ((Cell(47, -2), 55.0), (Cell(45, 6), 2000.0)):
            name = cop_dem.tile_name(cell)
            content = tile(tmp_path_factory.mktemp("tiles"), cell, height)
            entry = {"Bucket": cop_dem.BUCKET, "Key": f"{name}/{name}.tif", "Body": content}
            server.client().put_object(**entry, ACL="public-read")
        yield server


@pytest.fixture
def source(tmp_path, s3):
    return CopDem(settings(tmp_path, {"cop-dem-30.s3": s3.url}))


def test_heights_for_a_radar_image_are_fetched_once(tmp_path, s3):
    found = settings(tmp_path, {"cop-dem-30.s3": s3.url})
    grid = Grid("EPSG:32630", (100.0, 0.0, 574_000.0, 0.0, -100.0, 5_284_000.0), (20, 20))
    folder = heights_around(grid, found)
    heights = read_dem(folder, grid)
    # The tile of the bucket, east of 2 degrees west; none west of it: sea.
    assert set(np.unique(heights)) <= {0.0, 55.0}
    (tile,) = folder.glob("*_W002_*.tif")
    before = tile.stat().st_mtime_ns
    heights_around(grid, found)
    assert tile.stat().st_mtime_ns == before


def test_names_are_those_of_the_product():
    assert cop_dem.tile_name(Cell(47, -3)) == "Copernicus_DSM_COG_10_N47_00_W003_00_DEM"
    assert cop_dem.tile_name(Cell(-14, -172)) == "Copernicus_DSM_COG_10_S14_00_W172_00_DEM"


def test_a_coast_is_a_tile_and_the_sea(tmp_path, source):
    found = source.search("cop-dem-glo-30", COAST, None, Filters())
    assert [i.properties.get(cop_dem.SEA, False) for i in found] == [False, True]
    for item in found:
        assert item.properties["skymend:notice"] == NOTICE
        assert item.properties["skymend:derived_notice"] == DERIVED_NOTICE
        assert item.properties["skymend:vertical_datum"] == "EGM2008"
        source.fetch(item, (), tmp_path / "dem")
    for saved in (tmp_path / "dem").glob("*.json"):
        properties = json.loads(saved.read_text())["properties"]
        assert properties["skymend:derived_notice"] == DERIVED_NOTICE
    grid = Grid("EPSG:32630", (100.0, 0.0, 560000.0, 0.0, -100.0, 5300000.0), (100, 250))
    heights = read_dem(tmp_path / "dem", grid, resampling="nearest")
    assert set(np.unique(heights)) == {0.0, 55.0}
    assert not np.isnan(heights).any()
    # The meridian 2 W is near easting 575000 there: sea to the west, land to the east.
    assert heights[50, 0] == 0.0
    assert heights[50, -1] == 55.0


def test_fetched_tiles_are_verified(tmp_path, source):
    (land, _) = source.search("cop-dem-glo-30", COAST, None, Filters())
    (receipt,) = source.fetch(land, (), tmp_path / "dem")
    assert receipt.verified == "md5"


@pytest.mark.parametrize(
    ("south", "columns"),
    # Product Handbook: longitude spacing 1, 1.5, 2, 3, 5 and 10 times that of the equator.
    [(0, 3600), (49, 3600), (50, 2400), (-51, 2400), (-50, 3600), (60, 1800), (70, 1200),
     (80, 720), (85, 360), (-90, 360)],
)  # fmt: skip
def test_sea_tiles_lie_on_the_lattice_of_the_product(tmp_path, south, columns):
    item = cop_dem._item(Cell(south, -172), None)
    (receipt,) = CopDem(settings(tmp_path, {})).fetch(item, (), tmp_path)
    with rasterio.open(receipt.path) as dataset:
        assert (dataset.height, dataset.width) == (3600, columns)
        assert not dataset.read().any()
        a, _, c, _, e, f, *_ = dataset.transform
    assert (a, e) == pytest.approx((1 / columns, -1 / 3600))
    # Centres of pixels on whole degrees: a published tile has the origin -172.000138888888898.
    assert c == pytest.approx(-172 - 0.5 / columns, abs=1e-12)
    assert f == pytest.approx(south + 1 + 0.5 / 3600, abs=1e-12)


def test_absence_where_tiles_are_kept_back_is_not_sea(source):
    with pytest.raises(ConfigError, match="in a region whose tiles are not public"):
        source.search("cop-dem-glo-30", Area.of_bounds(44.4, 40.1, 44.6, 40.3), None, Filters())


def test_check_asks_for_a_tile(source, tmp_path):
    assert [f.ok for f in source.check()] == [True]
    with serve({}) as empty:
        (finding,) = CopDem(settings(tmp_path, {"cop-dem-30.s3": empty.url})).check()
    assert not finding.ok
    assert "lacks its tile N45 E006" in finding.sentence


def test_no_area_is_refused(source):
    with pytest.raises(ConfigError, match="no area"):
        source.search("cop-dem-glo-30", None, None, Filters())
