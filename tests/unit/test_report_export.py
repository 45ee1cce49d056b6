"""One date out of a store as GeoTIFF and NetCDF, and the series as xarray."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

import skymend
from skymend.core.cog import write_cog
from skymend.core.encoding import QA, REFLECTANCE, SIGMA
from skymend.core.errors import ConfigError, StoreError
from skymend.core.grid import Grid, Window
from skymend.core.record import Record
from skymend.core.store import LocalStore
from skymend.report.export import export_date

GRID = Grid.from_mgrs("31TCJ").crop(Window(100, 200, 20, 30))


@pytest.fixture
def store(tmp_path):
    made = LocalStore(tmp_path / "store")
    made.prepare()
    for number, day in enumerate(("20180601", "20180606")):
        folder = made.root / "scenes" / day / "reconstruct-1"
        folder.mkdir(parents=True)
        values = np.full((2, *GRID.shape), 0.1 + number / 10, np.float32)
        write_cog(folder / "reflectance.tif", values, GRID, ("B04", "B08"), REFLECTANCE)
        write_cog(folder / "uncertainty.tif", values / 10, GRID, ("B04", "B08"), SIGMA)
        write_cog(folder / "qa.tif", np.full((1, *GRID.shape), 3, np.uint8), GRID, ("qa",), QA)
        outputs = {
            name: made.take(folder / f"{name}.tif") for name in ("reflectance", "uncertainty", "qa")
        }
        time = f"{day[:4]}-{day[4:6]}-{day[6:]}T10:50:00+00:00"
        tags = {"tile": "31TCJ", "date": day, "datetime": time}
        made.write_record(
            Record(
                key=f"{number:064d}",
                step="reconstruct",
                version=1,
                status="done",
                tags=tags,
                outputs=outputs,
            )
        )
    return made.root


def test_the_series_opens_as_xarray(store):
    dataset = skymend.open(store)
    assert dict(dataset.sizes) == {"time": 2, "band": 2, "y": 20, "x": 30}
    assert float(dataset.reflectance.sel(band="B08").isel(time=1).mean()) == pytest.approx(0.2)
    assert float(dataset.x[0]) == GRID.bounds[0] + 5
    assert (dataset.qa == 3).all()


def test_a_window_becomes_a_geotiff(store, tmp_path):
    left, _, _, top = GRID.bounds
    path = tmp_path / "out" / "w.tif"
    text = export_date(store, "20180606", path, bounds=f"{left + 10},{top - 50},{left + 60},{top}")
    assert "5 x 5 pixels" in text
    with rasterio.open(path) as dataset:
        assert dataset.bounds.left == left + 10
        np.testing.assert_array_equal(dataset.read(), np.full((2, 5, 5), 2000))


def test_a_date_becomes_netcdf(store, tmp_path):
    import xarray

    export_date(store, "20180601", tmp_path / "d.nc")
    with xarray.open_dataset(tmp_path / "d.nc", engine="scipy") as dataset:
        assert set(dataset.data_vars) == {"reflectance", "uncertainty", "qa"}
        assert dataset.attrs["crs"] == "EPSG:32631"


def test_wrong_wishes_are_refused(store, tmp_path):
    with pytest.raises(StoreError, match="20200101, found 20180601, 20180606; choose"):
        export_date(store, "20200101", tmp_path / "d.nc")
    with pytest.raises(ConfigError, match=r"ends in \.tif or \.nc"):
        export_date(store, "20180601", tmp_path / "d.png")
    with pytest.raises(ConfigError, match="four numbers"):
        export_date(store, "20180601", tmp_path / "d.tif", bounds="1,2")
    with pytest.raises(StoreError, match="run a region"):
        skymend.open(tmp_path)
