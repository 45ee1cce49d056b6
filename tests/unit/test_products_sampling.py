"""Sampling against rasterio's warper and a second formula."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from skymend.core.errors import GridError, ProductError
from skymend.core.grid import Grid, Window
from skymend.products.sampling import Decoding, read_continuous, read_nearest
from tests.product_case import GRID, write_tif

RNG = np.random.default_rng(3)
DECODING = Decoding(1e-4, -0.1, (0.0,))


@pytest.fixture(scope="module")
def coarse(tmp_path_factory):
    values = RNG.integers(1, 9000, (12, 15)).astype(np.uint16)
    values[3:6, 4:9] = 0
    path = write_tif(tmp_path_factory.mktemp("c") / "c.tif", values, GRID.at_resolution(20))
    return path, values


def test_decoding_scales_shifts_and_masks():
    values = Decoding(0.5, 1.0, (0.0, 9.0)).apply(np.array([0, 2, 9], np.uint16))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, [np.nan, 2.0, np.nan])


def test_same_grid_is_copied(tmp_path):
    values = RNG.integers(0, 9000, GRID.shape).astype(np.uint16)
    path = write_tif(tmp_path / "a.tif", values, GRID)
    expected = np.where(values == 0, np.nan, values * np.float32(1e-4) - np.float32(0.1))
    # One rounding of float32 at most, reflectance is near 1.
    np.testing.assert_allclose(read_continuous(path, GRID, DECODING), expected, atol=1e-7)


def test_bilinear_matches_scipy_where_all_is_valid(tmp_path):
    values = RNG.integers(1, 9000, (12, 15)).astype(np.float32)
    path = write_tif(tmp_path / "f.tif", values, GRID.at_resolution(20))
    rows, columns = (np.arange(n) / 2 - 0.25 for n in GRID.shape)
    where = np.meshgrid(rows, columns, indexing="ij")
    expected = map_coordinates(values, where, order=1, mode="nearest")
    # float32 with values up to 9000 carries about 5e-4.
    np.testing.assert_allclose(read_continuous(path, GRID, Decoding()), expected, atol=2e-3)


def test_bilinear_matches_gdal_away_from_nodata(coarse):
    import rasterio
    from rasterio.transform import Affine
    from rasterio.warp import Resampling, reproject

    path, values = coarse
    expected = np.full(GRID.shape, np.nan, np.float32)
    source = np.where(values == 0, np.nan, values).astype(np.float32)
    with rasterio.open(path) as dataset:
        reproject(
            source,
            expected,
            src_transform=dataset.transform,
            src_crs=dataset.crs,
            dst_transform=Affine(*GRID.transform),
            dst_crs=GRID.crs,
            src_nodata=np.nan,
            dst_nodata=np.nan,
            resampling=Resampling.bilinear,
        )
    found = read_continuous(path, GRID, Decoding(invalid=(0.0,)))
    far = np.kron(values, np.ones((2, 2))) > 0
    far[4:14, 6:20] = False
    inner = np.zeros_like(far)
    inner[2:-2, 2:-2] = True
    # GDAL computes weights in double; ours carry float32 of values up to 9000.
    np.testing.assert_allclose(found[far & inner], expected[far & inner], atol=2e-3)


def test_nodata_neither_bleeds_nor_grows(coarse):
    path, values = coarse
    found = read_continuous(path, GRID, Decoding(invalid=(0.0,)))
    np.testing.assert_array_equal(np.isnan(found), np.kron(values == 0, np.ones((2, 2))) > 0)
    assert np.nanmin(found) >= values[values > 0].min()
    assert np.nanmax(found) <= values.max() * (1 + 1e-6)


@given(
    st.integers(-6, 20),
    st.integers(-6, 24),
    st.integers(1, 18),
    st.integers(1, 18),
)
def test_any_window_equals_the_part_of_the_whole(coarse, row, column, rows, columns):
    path, _ = coarse
    window = Window(row, column, rows, columns)
    part = read_continuous(path, GRID.crop(window), DECODING)
    whole = np.full((60, 70), np.nan, np.float32)
    whole[10:34, 10:40] = read_continuous(path, GRID, DECODING)
    expected = whole[row + 10 : row + 10 + rows, column + 10 : column + 10 + columns]
    np.testing.assert_array_equal(part, expected)


@given(st.integers(-6, 20), st.integers(-6, 24), st.integers(1, 18), st.integers(1, 18))
def test_any_window_of_labels_equals_the_part_of_the_whole(coarse, row, column, rows, columns):
    path, values = coarse
    part = read_nearest(path, GRID.crop(Window(row, column, rows, columns)))
    whole = np.zeros((60, 70), np.uint16)
    whole[10:34, 10:40] = np.kron(values, np.ones((2, 2), np.uint16))
    expected = whole[row + 10 : row + 10 + rows, column + 10 : column + 10 + columns]
    np.testing.assert_array_equal(part, expected)


def test_finer_source_is_averaged_over_valid_pixels(tmp_path):
    values = np.array([[1, 3, 0, 0], [5, 7, 0, 4]], np.uint16)
    fine = Grid("EPSG:32631", (10.0, 0.0, 0.0, 0.0, -10.0, 100.0), (2, 4))
    path = write_tif(tmp_path / "f.tif", values, fine)
    found = read_continuous(path, fine.at_resolution(20), Decoding(invalid=(0.0,)))
    np.testing.assert_array_equal(found, [[4.0, np.nan]])


def test_sixty_metre_band_lands_on_ten_metre_grid(tmp_path):
    values = np.arange(20, dtype=np.float32).reshape(4, 5)
    path = write_tif(tmp_path / "s.tif", values, GRID.at_resolution(60))
    found = read_continuous(path, GRID, Decoding())
    rows, columns = ((np.arange(n) + 0.5) / 6 - 0.5 for n in GRID.shape)
    where = np.meshgrid(rows, columns, indexing="ij")
    expected = map_coordinates(values, where, order=1, mode="nearest")
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    "grid",
    [
        Grid("EPSG:32632", GRID.transform, GRID.shape),
        Grid("EPSG:32631", (10.0, 0.0, 600_003.0, 0.0, -10.0, 4_900_020.0), GRID.shape),
        Grid("EPSG:32631", (15.0, 0.0, 600_000.0, 0.0, -15.0, 4_900_020.0), GRID.shape),
    ],
)
def test_other_lattices_are_refused_in_one_sentence(tmp_path, grid):
    path = write_tif(tmp_path / "other.tif", np.ones(GRID.shape, np.uint8), grid)
    with pytest.raises(
        GridError, match=r"other\.tif: expected pixels on the lattice of EPSG:32631"
    ):
        read_nearest(path, GRID)


def test_truncated_file_is_named(tmp_path):
    values = RNG.integers(1, 60000, (400, 400)).astype(np.uint16)
    path = write_tif(tmp_path / "cut.tif", values, GRID.crop(Window(0, 0, 400, 400)))
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(ProductError, match=r"cut\.tif.*fetch or write the file again"):
        read_continuous(path, GRID.crop(Window(0, 0, 400, 400)), Decoding())
