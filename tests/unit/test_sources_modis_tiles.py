"""The sinusoidal tile grid against PROJ."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer
from shapely.geometry import Point

from skymend.core.errors import ConfigError
from skymend.sources.area import Area
from skymend.sources.earthdata import tiles

TO_GRID = Transformer.from_crs(
    "EPSG:4326", "+proj=sinu +R=6371007.181 +units=m +no_defs", always_xy=True
)
SIDE_M = 1111950.5196666666


@given(st.floats(-179.9, 179.9), st.floats(-89.0, 89.0))
def test_a_point_lies_in_the_tile_that_proj_says(longitude, latitude):
    x, y = TO_GRID.transform(longitude, latitude)
    column, row = (x + 18 * SIDE_M) / SIDE_M, (9 * SIDE_M - y) / SIDE_M
    near = [v - int(v) for v in (column, row)]
    if min(near) < 1e-3 or max(near) > 1 - 1e-3:
        return  # on an edge, where straight steps of half a degree decide otherwise
    tile = tiles.Tile(int(column), int(row))
    assert tiles.outline(tile).buffer(0.02).contains(Point(longitude, latitude))
    box = Area.of_bounds(longitude - 1e-4, latitude - 1e-4, longitude + 1e-4, latitude + 1e-4)
    assert tile in tiles.touched(box)


@pytest.mark.parametrize("text", ["31TFL", "h36v00", "h00v18", "h1v4", ""])
def test_other_tiles_are_refused(text):
    with pytest.raises(ConfigError, match="h18v04"):
        tiles.parse(text)


def test_names_and_codes():
    tile = tiles.of_name("VNP21A1D.A2023001.h18v04.002.2023002093645")
    assert tile == tiles.parse("H18V04")
    assert tile is not None
    assert (str(tile), tile.code) == ("h18v04", "MSIN-1804")
    assert tiles.of_name("AST_08_00301012023") is None
