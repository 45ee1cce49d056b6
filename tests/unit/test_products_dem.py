"""Elevation from any CRS, against GDAL and an analytic surface."""

import numpy as np
import pytest

from skymend.core.errors import ProductError
from skymend.core.grid import Grid, Window
from skymend.products import read_dem
from tests.product_case import GRID, write_tif


def test_same_lattice_is_copied_and_nodata_masked(tmp_path):
    heights = np.arange(24 * 30, dtype=np.int16).reshape(24, 30)
    path = write_tif(tmp_path / "d.tif", heights, GRID, nodata=-32768)
    np.testing.assert_array_equal(read_dem(path, GRID), heights)
    heights[0] = -32768
    path = write_tif(tmp_path / "d.tif", heights, GRID, nodata=-32768)
    assert np.isnan(read_dem(path, GRID)[0]).all()


def test_a_plane_in_degrees_is_warped_to_metres(tmp_path):
    from pyproj import Transformer

    step = 1 / 3600
    degrees = Grid("EPSG:4326", (step, 0.0, 4.24, 0.0, -step, 44.26), (120, 120))
    longitude = 4.24 + (np.arange(120) + 0.5) * step
    latitude = 44.26 - (np.arange(120) + 0.5) * step
    plane = (1000 * longitude + 2000 * latitude[:, None]).astype(np.float64)
    path = write_tif(tmp_path / "d.tif", plane, degrees)
    found = read_dem(path, GRID)
    x = 600_000 + (np.arange(30) + 0.5) * 10
    y = 4_900_020 - (np.arange(24) + 0.5) * 10
    to_degrees = Transformer.from_crs(GRID.crs, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(*np.meshgrid(x, y))
    # GDAL's warper approximates the projection within an eighth of a pixel (here 0.1 m of
    # height), and float32 carries 0.006 m at 90 km.
    np.testing.assert_allclose(found, 1000 * lon + 2000 * lat, atol=0.15)


def test_files_of_a_folder_fill_each_other(tmp_path):
    left = write_tif(
        tmp_path / "dem" / "a.tif",
        np.ones((24, 12), np.float32),
        GRID.crop(Window(0, 0, 24, 12)),
    )
    write_tif(
        tmp_path / "dem" / "b.tif",
        np.full((24, 20), 2, np.float32),
        GRID.crop(Window(0, 8, 24, 20)),
    )
    found = read_dem(left.parent, GRID)
    assert (found[:, :12] == 1).all()
    assert (found[:, 12:28] == 2).all()
    assert np.isnan(found[:, 28:]).all()


def test_bad_paths_are_named(tmp_path):
    with pytest.raises(ProductError, match="found no such file"):
        read_dem(tmp_path / "none.tif", GRID)
    with pytest.raises(ProductError, match="holds no GeoTIFF"):
        read_dem(tmp_path, GRID)
    bare = write_tif(
        tmp_path / "bare.tif", np.ones((4, 4), np.float32), Grid("", GRID.transform, (4, 4))
    )
    with pytest.raises(ProductError, match="found no CRS"):
        read_dem(bare, GRID)
