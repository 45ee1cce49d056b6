"""The embedded engine and its input: orbit files, the antimeridian, and what is refused."""

import shutil
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from skymend.core.errors import ConfigError, ProductError, SkipJob
from skymend.core.grid import Grid, Window
from skymend.products.sentinel1 import open_grd
from skymend.sar.terrain import Terrain
from tests.embedded_case import (
    AREA,
    GAMMA0,
    SURVEY,
    make,
    run,
)
from tests.sar_case import positions_lonlat, write_dem


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("grd"))


@pytest.fixture(scope="module")
def flattened(made, tmp_path_factory):
    return run(*made, tmp_path_factory.mktemp("out"))


def in_degrees(dem, folder, sides):
    """The DEM as tiles of 1 arc second in longitude and latitude, one for each span given."""
    from rasterio.warp import Resampling, reproject

    folder.mkdir()
    step = 1 / 3600
    with rasterio.open(dem) as source:
        for west, east in sides:
            shape = (180, round((east - west) / step))
            profile = {
                "driver": "GTiff",
                "height": shape[0],
                "width": shape[1],
                "count": 1,
                "dtype": "float32",
                "crs": "EPSG:4326",
                "transform": Affine(step, 0, west, 0, -step, 45.14),
                "nodata": -9999,
            }
            with rasterio.open(folder / f"{west}.tif", "w", **profile) as out:
                heights = np.full(shape, -9999, np.float32)
                reproject(
                    rasterio.band(source, 1),
                    heights,
                    dst_transform=profile["transform"],
                    dst_crs="EPSG:4326",
                    dst_nodata=-9999,
                    init_dest_nodata=True,
                    src_nodata=-1.0,
                    resampling=Resampling.cubic,
                )
                out.write(heights, 1)
    return folder


def test_an_antimeridian_scene_is_processed(tmp_path, monkeypatch):
    """UTM zone 60 and 1 meet there: longitudes jump from 180 to -180 inside the grid."""
    area = Grid("EPSG:32601", (10.0, 0.0, 263_200.0, 0.0, -10.0, 5_000_000.0), (120, 120))
    wide = area.crop(Window(-60, -60, 240, 240))
    longitude, _ = positions_lonlat(wide)
    assert longitude.min() < -179
    assert longitude.max() > 179
    from skymend.simulate import terrain_grd

    def unwrapped(grid, outline=terrain_grd.outline):
        """The simulator takes the mean longitude of an area: 180 and -180 must not meet."""
        longitude, latitude = outline(grid)
        return np.where(longitude > 0, longitude - 360, longitude), latitude

    monkeypatch.setattr(terrain_grd, "outline", unwrapped)
    survey = replace(SURVEY, slices=1)
    products, dem = make(tmp_path / "line", survey=survey, wide=wide, area=area)
    dem = in_degrees(dem, tmp_path / "tiles", ((179.9, 180.0), (-180.0, -179.9)))
    _, power, _, state = run(products, dem, tmp_path / "out", grid=area)
    good = np.isfinite(power[0]) & (state == 0)
    assert good.mean() > 0.95
    assert 10 * np.log10(power[0][good].mean() / GAMMA0["VV"]) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("west", [-180.0, 0.0])
@pytest.mark.parametrize("zone", [1, 31, 60])
def test_a_dem_of_the_whole_world_is_near_every_grid(tmp_path, zone, west):
    world = Grid("EPSG:4326", (1.0, 0.0, west, 0.0, -1.0, 90.0), (180, 360))
    dem = write_dem(tmp_path / "world.tif", np.full(world.shape, 70.0), world)
    corner = (10.0, 0.0, 300_000.0, 0.0, -10.0, 5_000_000.0)
    grid = Grid(f"EPSG:326{zone:02d}", corner, (50, 50))
    terrain = Terrain.open(dem, grid)
    np.testing.assert_allclose(terrain.heights(grid), 70.0)


class TestBadInput:
    """One clear sentence each, and nothing half-written."""

    def refused(self, products, dem, out, error=ProductError, grid=AREA, **options):
        with pytest.raises(error) as caught:
            run(products, dem, out, grid=grid, **options)
        assert not list(out.rglob("*.tif"))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def copy(self, made, folder):
        shutil.copytree(made[0][0], folder / made[0][0].name)
        return folder / made[0][0].name

    def test_a_missing_measurement(self, made, tmp_path):
        product = self.copy(made, tmp_path)
        next(product.glob("measurement/*vh*")).unlink()
        message = self.refused([product], made[1], tmp_path / "out")
        assert "expected the measurement of VH" in message

    def test_a_truncated_measurement(self, made, tmp_path):
        product = self.copy(made, tmp_path)
        path = next(product.glob("measurement/*vv*"))
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        message = self.refused([product], made[1], tmp_path / "out")
        assert "damaged or truncated" in message

    def test_an_orbit_file_that_is_not_there(self, made, tmp_path):
        orbit = tmp_path / "no.EOF"
        message = self.refused(made[0], made[1], tmp_path / "out", orbit=orbit)
        assert "expected an orbit file, found no such file" in message

    def test_a_folder_without_the_orbit_falls_back(self, made, tmp_path, caplog):
        (tmp_path / "orbits").mkdir()
        scene = run(*made, tmp_path / "out", orbit=tmp_path / "orbits")[0]
        assert scene.facts["orbit"] == ["annotation"]
        assert "no orbit file of it" in caplog.text

    def test_a_dem_elsewhere(self, made, tmp_path):
        far = Grid("EPSG:32631", (30.0, 0.0, 700_000.0, 0.0, -30.0, 4_000_000.0), (50, 50))
        dem = write_dem(tmp_path / "far.tif", np.zeros(far.shape), far)
        message = self.refused(made[0], dem, tmp_path / "out")
        assert "heights elsewhere only" in message

    def test_a_dem_that_ends_on_land(self, made, tmp_path):
        half = AREA.crop(Window(0, 0, 200, 100))
        dem = write_dem(tmp_path / "half.tif", np.full(half.shape, 300.0), half)
        message = self.refused(made[0], dem, tmp_path / "out")
        assert "it ends 300 m high, on land" in message

    def test_a_dem_that_ends_at_the_shore(self, made, tmp_path):
        half = AREA.crop(Window(0, 0, 200, 100))
        dem = write_dem(tmp_path / "half.tif", np.full(half.shape, 2.0), half)
        scene = run(made[0], dem, tmp_path / "out")[0]
        assert scene.facts["sea_without_dem_share"] == pytest.approx(0.5, abs=0.1)

    def test_another_polarisation(self, made, tmp_path):
        message = self.refused(*made, tmp_path / "out", polarisations=("HH",))
        assert "expected the polarisation HH" in message

    def test_a_grid_elsewhere_is_skipped(self, made, tmp_path):
        far = AREA.crop(Window(5000, 5000, 100, 100))
        dem = write_dem(tmp_path / "far.tif", np.full(far.shape, 2.0), far)
        message = self.refused(made[0], dem, tmp_path / "out", error=SkipJob, grid=far)
        assert "does not touch" in message

    def test_the_same_slice_twice(self, made, tmp_path):
        twice = [made[0][0], self.copy(made, tmp_path)]
        message = self.refused(twice, made[1], tmp_path / "out")
        assert "expected slices that follow one another" in message

    def test_no_product(self, made, tmp_path):
        self.refused([], made[1], tmp_path / "out", error=ConfigError)

    def test_an_image_of_another_shape(self, made, tmp_path):
        product = self.copy(made, tmp_path)
        path = next(product.glob("measurement/*vv*"))
        with rasterio.open(
            path, "w", driver="GTiff", width=8, height=8, count=1, dtype="uint16"
        ) as out:
            out.write(np.ones((1, 8, 8), np.uint16))
        message = self.refused([product], made[1], tmp_path / "out")
        assert "uint16 as annotated" in message


def write_eof(folder, product, kind="POEORB"):
    """The annotation's orbit as an EOF file with 10 s spacing."""
    states = open_grd(product).annotation("VV").orbit
    stamps = [states.epoch + timedelta(seconds=float(t)) for t in states.seconds]
    vectors = "".join(
        f"<OSV><TAI>TAI={t + timedelta(seconds=37):%Y-%m-%dT%H:%M:%S.%f}</TAI>"
        f"<UTC>UTC={t:%Y-%m-%dT%H:%M:%S.%f}</UTC>"
        + "".join(f"<{a}>{x:.6f}</{a}>" for a, x in zip("XYZ", p, strict=True))
        + "".join(f"<V{a}>{x:.6f}</V{a}>" for a, x in zip("XYZ", v, strict=True))
        + "</OSV>"
        for t, p, v in zip(stamps, states.position, states.velocity, strict=True)
    )
    first, last = (f"{t:%Y%m%dT%H%M%S}" for t in (stamps[0], stamps[-1]))
    path = folder / f"S1A_OPER_AUX_{kind}_OPOD_20200526T120000_V{first}_{last}.EOF"
    path.write_text(
        "<Earth_Explorer_File><Earth_Explorer_Header><Fixed_Header>"
        f"<File_Type>AUX_{kind}</File_Type></Fixed_Header><Variable_Header>"
        "<Ref_Frame>EARTH_FIXED</Ref_Frame><Time_Reference>UTC</Time_Reference>"
        "</Variable_Header></Earth_Explorer_Header><Data_Block><List_of_OSVs>"
        f"{vectors}</List_of_OSVs></Data_Block></Earth_Explorer_File>"
    )
    return path


def test_an_orbit_file_is_applied_and_recorded(made, flattened, tmp_path):
    write_eof(tmp_path, made[0][0], "RESORB")
    path = write_eof(tmp_path, made[0][0])
    scene, power, _, _ = run(*made, tmp_path / "out", orbit=tmp_path)
    assert scene.facts["orbit"] == ["POEORB"]
    assert scene.facts["orbit_file"] == [path.name]
    both = np.isfinite(power) & np.isfinite(flattened[1])
    # The same states, rounded to a micrometre.
    np.testing.assert_allclose(power[both], flattened[1][both], rtol=1e-3)
