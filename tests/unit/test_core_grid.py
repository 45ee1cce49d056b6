"""Grids against recorded Sentinel-2 products and against pyproj."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core.errors import ConfigError, GridError
from skymend.core.grid import Grid, Window

# (tile, EPSG, left, top) as recorded in products of both hemispheres.
RECORDED = [
    ("31TCJ", 32631, 300000, 4900020),
    ("31TDH", 32631, 399960, 4800000),
    ("33XWJ", 32633, 499980, 8900040),
    ("46RER", 32646, 499980, 3100020),
    ("01KAB", 32701, 99960, 8200000),
]


@pytest.mark.parametrize(("tile", "epsg", "left", "top"), RECORDED)
def test_tile_corner_is_that_of_recorded_products(tile, epsg, left, top):
    grid = Grid.from_mgrs(tile)
    assert grid.crs == f"EPSG:{epsg}"
    assert (grid.bounds[0], grid.bounds[3]) == (left, top)
    assert grid.shape == (10980, 10980)
    assert Grid.from_mgrs(tile, 20).bounds == grid.bounds


@pytest.mark.parametrize("tile", ["31TC", "61TCJ", "31ICJ", "32TCJ", "31TCW", ""])
def test_impossible_tiles_are_refused(tile):
    with pytest.raises(ConfigError, match="MGRS tile"):
        Grid.from_mgrs(tile)


@given(longitude=st.floats(-179.9, 179.9), latitude=st.floats(-79, 83))
def test_the_tile_at_a_point_contains_the_point(longitude, latitude):
    from pyproj import Transformer

    tile = Grid.mgrs_at(longitude, latitude)
    grid = Grid.from_mgrs(tile)
    to_grid = Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True)
    x, y = to_grid.transform(longitude, latitude)
    left, bottom, right, top = grid.bounds
    assert left <= x <= right
    assert bottom <= y <= top


def test_clip_is_a_window_with_the_same_edges():
    tile = Grid.from_mgrs("31UFS")
    area = tile.clip((643265.0, 5675820.0, 643900.0, 5676480.0))
    assert area.transform[2] == 643260
    assert area.window_in(tile) == Window(2352, 4326, 66, 64)


def test_clip_outside_the_tile_says_so():
    with pytest.raises(ConfigError, match="an area inside"):
        Grid.from_mgrs("31UFS").clip((0, 0, 10, 10))


def test_shifted_and_foreign_grids_are_refused():
    grid = Grid("EPSG:32631", (10, 0, 600000, 0, -10, 5500020), (10, 10))
    shifted = Grid("EPSG:32631", (10, 0, 600004, 0, -10, 5500020), (10, 10))
    with pytest.raises(GridError, match=r"shift of \(0\.400, 0\.000\)"):
        shifted.window_in(grid)
    with pytest.raises(GridError, match="EPSG:32632"):
        Grid("EPSG:32632", grid.transform, (10, 10)).window_in(grid)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(7, 300))
def test_blocks_cover_every_pixel_once(rows, columns, size):
    import numpy as np

    seen = np.zeros((rows, columns), np.uint8)
    for block in Grid("EPSG:32631", (10, 0, 0, 0, -10, 0), (rows, columns)).blocks(size):
        seen[block.slices] += 1
    assert (seen == 1).all()


def test_a_grid_survives_json():
    grid = Grid.from_mgrs("31TCJ").crop(Window(3, 4, 50, 60))
    assert Grid.from_json(grid.as_json()) == grid


def test_a_square_is_named_also_off_its_zone():
    """33TTG reaches west of 12 degrees east, where a longitude would say zone 32."""
    assert Grid.mgrs_in("EPSG:32633", 229_980.0, 4_650_040.0) == "33TTG"
    assert Grid.mgrs_in("EPSG:32733", 350_000.0, 6_250_000.0) == Grid.mgrs_at(13.4, -33.87)
    for crs, easting in [("EPSG:2154", 300_000.0), ("EPSG:32631", 99_000.0)]:
        with pytest.raises(ConfigError, match="a UTM zone such as EPSG:32631"):
            Grid.mgrs_in(crs, easting, 5_000_000.0)
