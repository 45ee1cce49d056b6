"""Rasters against rasterio, and broken files against their sentences."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.errors import NotGeoreferencedWarning

from skymend.core import cog, raster
from skymend.core.encoding import BACKSCATTER, REFLECTANCE, SIGMA
from skymend.core.errors import GridError, ProductError
from skymend.core.grid import Grid, Window

GRID = Grid("EPSG:32631", (10, 0, 600000, 0, -10, 5500020), (66, 64))


def scene(seed=1):
    values = np.random.default_rng(seed).uniform(0, 1, (3, *GRID.shape)).astype(np.float32)
    values[1, :5] = np.nan
    return values


def test_a_cog_read_by_rasterio_has_names_scale_nodata_and_values(tmp_path):
    path, values = tmp_path / "scene.tif", scene()
    cog.write_cog(path, values, GRID, ["B02", "B03", "B04"], REFLECTANCE)
    with rasterio.open(path) as dataset:
        assert dataset.descriptions == ("B02", "B03", "B04")
        assert dataset.scales == (1e-4,) * 3
        assert dataset.nodata == -10000
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        stored = dataset.read()
    assert (stored[1, :5] == -10000).all()
    # half of one stored unit
    np.testing.assert_allclose(stored[0] * 1e-4, values[0], atol=0.5001e-4)


def test_bands_are_read_by_name_and_windows_by_position(tmp_path):
    path, values = tmp_path / "scene.tif", scene()
    cog.write_cog(path, values, GRID, ["B02", "B03", "B04"], BACKSCATTER)
    part = raster.read(path, bands=["B04", "B02"], window=Window(10, 20, 5, 6))
    np.testing.assert_array_equal(part, values[[2, 0], 10:15, 20:26])


def test_read_on_pads_with_nan(tmp_path):
    path, values = tmp_path / "scene.tif", scene()
    cog.write_cog(path, values, GRID, ["a", "b", "c"], BACKSCATTER)
    around = GRID.crop(Window(-2, -3, 10, 10))
    part = raster.read_on(path, around)
    assert np.isnan(part[:, :2]).all()
    assert np.isnan(part[:, :, :3]).all()
    np.testing.assert_array_equal(part[0, 2:, 3:], values[0, :8, :7])


def test_windows_written_one_by_one_give_the_same_bytes(tmp_path):
    values = scene()
    cog.write_cog(tmp_path / "a.tif", values, GRID, ["a", "b", "c"], REFLECTANCE)
    with cog.CogWriter(tmp_path / "b.tif", GRID, ["a", "b", "c"], REFLECTANCE) as writer:
        for window in GRID.blocks(32):
            writer.write(values[(slice(None), *window.slices)], window)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "b.tif"]


_COUNT_THREADS = """
import os, sys
from pathlib import Path
import numpy as np
from skymend.core import cog
from skymend.core.encoding import BACKSCATTER
from skymend.core.grid import Grid

grid = Grid.from_mgrs("31TCJ")
grid = Grid(grid.crs, grid.transform, (1200, 1200))
values = np.random.default_rng(1).random((2, 1200, 1200), dtype=np.float32)
before = len(os.listdir("/proc/self/task"))
cog.write_cog(Path(sys.argv[1]), values, grid, ["a", "b"], BACKSCATTER)
raise SystemExit(len(os.listdir("/proc/self/task")) - before)
"""


def test_gdal_starts_no_threads_of_its_own(tmp_path):
    """Its pool, which lives on once started, can lock up under several waiting threads."""
    command = [sys.executable, "-c", _COUNT_THREADS, str(tmp_path / "a.tif")]
    environment = {**os.environ, "GDAL_NUM_THREADS": "2"}
    assert subprocess.run(command, env=environment, check=False).returncode == 0


def test_a_failed_write_leaves_no_final_file(tmp_path):
    def fail():
        with cog.CogWriter(tmp_path / "a.tif", GRID, ["a"], REFLECTANCE) as writer:
            writer.write(scene()[:1], Window(0, 0, *GRID.shape))
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fail()
    assert not (tmp_path / "a.tif").exists()


def test_truncated_missing_and_foreign_files_get_one_sentence(tmp_path):
    path = tmp_path / "scene.tif"
    cog.write_cog(path, scene(), GRID, ["a", "b", "c"], REFLECTANCE)
    path.write_bytes(path.read_bytes()[:6000])
    with pytest.raises(ProductError, match=r"scene\.tif: expected a readable GeoTIFF") as caught:
        raster.read(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ProductError, match="no such file"):
        raster.read(tmp_path / "missing.tif")
    (tmp_path / "x.vrt").write_text("<VRTDataset/>")
    with pytest.raises(ProductError, match="first bytes"):
        raster.read(tmp_path / "x.vrt")


def test_a_raster_without_a_place_on_earth_is_opened_without_a_warning(tmp_path):
    path = tmp_path / "plain.tif"
    profile = {"driver": "GTiff", "height": 4, "width": 5, "count": 1, "dtype": "uint8"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile) as dataset:
            dataset.write(np.ones((1, 4, 5), np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(NotGeoreferencedWarning):
            rasterio.open(path)
        assert raster.describe(path).grid.crs == ""
        assert raster.read_labels(path).all()


def test_an_unknown_band_names_those_that_are_there(tmp_path):
    cog.write_cog(tmp_path / "s.tif", scene(), GRID, ["B02", "B03", "B04"], REFLECTANCE)
    with pytest.raises(ProductError, match="a band named B08, found B02, B03, B04"):
        raster.read(tmp_path / "s.tif", bands=["B08"])
    with pytest.raises(GridError, match="inside 66 x 64"):
        raster.read(tmp_path / "s.tif", window=Window(60, 0, 10, 10))


@given(hnp.arrays(np.float32, (4, 5), elements=st.floats(-5, 9, width=32) | st.just(np.nan)))
def test_encoding_never_turns_a_value_into_nodata(values):
    for encoding in (REFLECTANCE, SIGMA):
        back = encoding.decode(encoding.encode(values))
        np.testing.assert_array_equal(np.isnan(back), np.isnan(values))
        inside = np.clip(values, -0.9999 if encoding is REFLECTANCE else 0, 3.2767)
        keep = ~np.isnan(values) & (values == inside)
        np.testing.assert_allclose(back[keep], values[keep], atol=0.51e-4)
