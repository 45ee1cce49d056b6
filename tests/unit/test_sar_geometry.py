"""Orbits, geoid, terrain, lattice, layover and shadow, against oracles and by properties."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from skymend.core.errors import ProductError, ToolMissingError
from skymend.core.grid import Grid, Window
from skymend.products.sentinel1.annotation import GroundRangeRecords, StateVectors
from skymend.sar import geoid as geoid_module
from skymend.sar.doppler import (
    ellipsoid_normal,
    incidence_angle,
    to_earth_fixed,
    zero_doppler,
)
from skymend.sar.engine import LAYOVER, SHADOW
from skymend.sar.flattening import deposit_area, flatten
from skymend.sar.geocoding import locate
from skymend.sar.geoid import find_egm96, read_geoid
from skymend.sar.geolocation import RadarImage, lattice_of
from skymend.sar.orbit import OrbitName, Track, best_orbit_file
from skymend.sar.terrain import Terrain
from skymend.sar.visibility import visibility
from skymend.simulate.s1_orbit import orbit_over
from tests.sar_case import positions_lonlat, write_dem

EPOCH = datetime(2020, 5, 6, 6, tzinfo=UTC)
GRID = Grid("EPSG:32631", (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_800_000.0), (300, 400))


def states(orbit, step=10.0):
    seconds = np.arange(-80, 81, step)
    position, velocity, _ = (np.stack(a) for a in zip(*(orbit.at(t) for t in seconds), strict=True))
    return StateVectors(EPOCH, seconds, position, velocity, "annotation")


@pytest.fixture(scope="module")
def orbit():
    return orbit_over(43.3, 3.0, 38.0, "DES")


@pytest.fixture(scope="module")
def track(orbit):
    return Track.of(states(orbit), EPOCH, -5.0, 5.0)


@pytest.fixture(scope="module")
def image(track):
    """An image whose ground range bends and changes with time, as real ones do."""
    longitude, latitude = positions_lonlat(GRID)
    _, slant, _ = zero_doppler(to_earth_fixed(longitude, latitude, 0.0), track)
    times = np.arange(-3.0, 4.0)
    slope = 1 / np.sin(np.radians(38.0))
    terms = np.stack([[30.0 * np.sin(t), slope + 1e-4 * t, -1.8e-6] for t in times])
    origin = np.full(times.size, float(slant.min()))
    records = GroundRangeRecords(times, origin, terms, np.zeros(times.size), terms)
    return RadarImage(1.5e-3, (20_000, 20_000), 10.0, records, 5.8e-3)


def test_interpolated_orbit_is_the_orbit(orbit, track):
    for t in np.linspace(-30, 30, 61):
        position, velocity = track.at(t)
        expected = orbit.at(t)
        # h^4 / 384 of the fourth derivative: 0.24 mm for 10 s; velocities in proportion.
        assert np.abs(position - expected[0]).max() < 5e-4
        assert np.abs(velocity - expected[1]).max() < 5e-4


def test_epochs_shift_without_loss(orbit):
    moved = states(orbit).at_epoch(EPOCH + timedelta(seconds=3.25))
    np.testing.assert_allclose(moved.seconds, states(orbit).seconds - 3.25)


def test_zero_doppler_solves_its_equation(track):
    rng = np.random.default_rng(0)
    longitude, latitude = 3 + rng.uniform(-1, 1, 200), 43.3 + rng.uniform(-1, 1, 200)
    points = to_earth_fixed(longitude, latitude, rng.uniform(-100, 5000, 200))
    seconds, slant, satellite = zero_doppler(points, track)
    position, velocity = track.at(seconds)
    np.testing.assert_allclose(position, satellite, atol=1e-6)
    along = ((points - position) * velocity).sum(axis=-1) / np.linalg.norm(velocity, axis=-1)
    assert np.abs(along).max() < 1e-5  # metres along the track
    np.testing.assert_allclose(slant, np.linalg.norm(points - position, axis=-1))


def test_earth_fixed_positions_are_those_of_proj():
    from pyproj import Transformer

    rng = np.random.default_rng(1)
    longitude, latitude = rng.uniform(-180, 180, 50), rng.uniform(-90, 90, 50)
    height = rng.uniform(-400, 9000, 50)
    expected = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True).transform(
        longitude, latitude, height
    )
    found = to_earth_fixed(longitude, latitude, height)
    np.testing.assert_allclose(found, np.stack(expected, axis=-1), atol=1e-6)


def test_incidence_under_the_satellite_is_zero():
    normal = ellipsoid_normal(np.array(10.0), np.array(50.0))
    point = to_earth_fixed(np.array(10.0), np.array(50.0), 0.0)
    assert incidence_angle(point, point + 7e5 * normal, normal) == pytest.approx(0, abs=1e-5)


class TestGeoid:
    def test_egm96_is_that_of_proj(self):
        """PROJ's own vertical shift, at random places and across the antimeridian."""
        from pyproj import Transformer

        rng = np.random.default_rng(2)
        longitude = np.r_[rng.uniform(-180, 180, 300), 179.99, -179.99, 180.0]
        latitude = np.r_[rng.uniform(-89, 89, 300), 10.0, 10.0, -40.0]
        pipeline = f"+proj=vgridshift +grids={find_egm96()} +multiplier=1"
        shift = Transformer.from_pipeline(
            f"+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step {pipeline}"
        )
        _, _, up = shift.transform(longitude, latitude, np.zeros(longitude.size))
        np.testing.assert_allclose(read_geoid().at(longitude, latitude), up, atol=1e-3)

    def test_a_geotiff_is_read_as_well(self, tmp_path):
        path = tmp_path / "egm08.tif"
        rows, columns = 181, 361
        latitude = 90 - np.arange(rows)[:, None]
        values = (latitude + 0 * np.arange(columns)).astype(np.float32)
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=rows,
            width=columns,
            count=1,
            dtype="float32",
            crs="EPSG:4326",
            transform=Affine(1, 0, -180.5, 0, -1, 90.5),
        ) as out:
            out.write(values, 1)
        found = read_geoid(path)
        np.testing.assert_allclose(found.at(np.array([3.3]), np.array([43.25])), [43.25])
        assert found.name == "egm08.tif"

    def test_others_are_refused(self, tmp_path):
        path = tmp_path / "no.gtx"
        with pytest.raises(ProductError, match="no such file"):
            read_geoid(path)
        path.write_bytes(b"short")
        with pytest.raises(ProductError, match="geoid grid"):
            read_geoid(path)
        path.write_bytes(find_egm96().read_bytes()[:100_000])
        with pytest.raises(ProductError, match="100000 bytes for 721 x 1440"):
            read_geoid(path)

    def test_without_proj_data_it_says_what_to_do(self, monkeypatch, tmp_path):
        monkeypatch.setattr(geoid_module, "EGM96_FILE", "absent.gtx")
        with pytest.raises(ToolMissingError, match="install proj-data"):
            find_egm96()


class TestLattice:
    def exact(self, image, track, heights, grid=GRID):
        longitude, latitude = positions_lonlat(grid)
        up = heights + read_geoid().at(longitude, latitude)
        seconds, slant, _ = zero_doppler(to_earth_fixed(longitude, latitude, up), track)
        return image.line(seconds, slant), image.sample(seconds, slant)

    @pytest.mark.parametrize("relief", [0.0, 500.0, 4000.0])
    def test_every_pixel_lies_where_the_exact_solution_puts_it(self, image, track, relief):
        rng = np.random.default_rng(3)
        heights = (rng.uniform(0, 1, GRID.shape) * relief).astype(np.float32)
        spread = (float(heights.min()), float(heights.max()))
        lattice = lattice_of(GRID, image, track, read_geoid(), spread)
        line, sample, area = (np.empty(GRID.shape, np.float32) for _ in range(3))
        locate(
            heights,
            lattice.fields,
            lattice.step,
            lattice.middle,
            lattice.half,
            0.0,
            0.0,
            line,
            sample,
            area,
            True,
        )
        expected = self.exact(image, track, heights)
        # float32 carries 0.001 pixel of a window of 16,000.
        assert np.abs(line - expected[0]).max() < 0.01
        assert np.abs(sample - expected[1]).max() < 0.02


class TestArea:
    def test_no_area_is_lost(self):
        rng = np.random.default_rng(4)
        rows, columns = 40, 50
        y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
        line = 20 + y + rng.uniform(-2, 2, y.shape).astype(np.float32)
        sample = 30 + x * 1.7 + rng.uniform(-3, 3, y.shape).astype(np.float32)
        area = rng.uniform(0, 2, y.shape).astype(np.float32)
        image = np.zeros((120, 160), np.float32)
        deposit_area(line, sample, area, np.zeros(y.shape, bool), image)
        assert image.sum(dtype=np.float64) == pytest.approx(
            area[:-1, :-1].sum(dtype=np.float64), rel=1e-5
        )

    def test_hidden_facets_and_those_that_face_away_give_nothing(self):
        y, x = np.mgrid[0:5, 0:5].astype(np.float32) + 3
        image = np.zeros((12, 12), np.float32)
        deposit_area(y, x, np.full((5, 5), -1, np.float32), np.zeros((5, 5), bool), image)
        deposit_area(y, x, np.ones((5, 5), np.float32), np.ones((5, 5), bool), image)
        assert (image == 0).all()

    def test_ground_that_is_hardly_lit_has_no_value(self):
        power = np.ones((1, 2), np.float32)
        flatten(power, np.array([[0.01, 2.0]], np.float32))
        assert np.isnan(power[0, 0])
        assert power[0, 1] == 0.5


class TestVisibility:
    """A radar in the east looks west down at 40 degrees; nodes every 10 m."""

    LOOK = np.array([np.sin(np.radians(40)), 0.0, np.cos(np.radians(40))])

    def state(self, heights, look=LOOK):
        rows, columns = heights.shape
        east = np.arange(columns) * 10.0
        north = -np.arange(rows)[:, None] * 10.0
        # Slant range of a far sensor: the way along the line of sight.
        away = -(look[0] * east + look[1] * north + look[2] * heights)
        return visibility(
            heights.astype(np.float32), (away / 6.4).astype(np.float32), look, 10.0, 10.0
        )

    def by_rays(self, heights, look=LOOK):
        """Shadow node by node: does the line to the sensor meet the ground?"""
        from scipy.ndimage import map_coordinates

        rows, columns = np.mgrid[0 : heights.shape[0], 0 : heights.shape[1]].astype(float)
        flat = np.hypot(look[0], look[1])
        shadow = np.zeros(heights.shape, bool)
        for metres in np.arange(10, 1500, 5.0):
            r = rows - look[1] / flat * metres / 10
            c = columns + look[0] / flat * metres / 10
            ground = map_coordinates(heights, [r, c], order=1, mode="constant", cval=-1e9)
            shadow |= ground > heights + metres * look[2] / flat + 0.05
        return shadow

    def test_a_plain_is_seen(self):
        assert (self.state(np.zeros((20, 30))) == 0).all()

    def test_a_wall_casts_a_shadow_of_its_height_and_is_laid_over(self):
        heights = np.zeros((9, 100))
        heights[:, 60:63] = 100.0
        state = self.state(heights)[4]
        length = 100 * np.tan(np.radians(40)) / 10
        shadow = np.flatnonzero(state & SHADOW)
        assert shadow.max() == 59
        assert abs(shadow.size - length) <= 1
        # Its top comes before ground 100 / tan(40) metres nearer to the radar.
        reach = 100 / np.tan(np.radians(40)) / 10
        layover = np.flatnonzero(state & LAYOVER)
        assert abs(layover.max() - (60 + reach)) <= 2.5

    @pytest.mark.parametrize("azimuth", [80, 100, 260, 280, 10, 190])
    def test_shadow_is_what_rays_find(self, azimuth):
        from scipy.ndimage import gaussian_filter

        heights = gaussian_filter(np.random.default_rng(5).standard_normal((150, 150)), 5)
        heights = heights / heights.std() * 90
        bearing = np.radians(azimuth)
        flat = np.sin(np.radians(60))
        look = np.array([flat * np.sin(bearing), flat * np.cos(bearing), np.cos(np.radians(60))])
        found = (self.state(heights, look) & SHADOW) > 0
        expected = self.by_rays(heights, look)
        assert expected.mean() > 0.1
        inner = (slice(20, -20), slice(20, -20))
        # The sweep interpolates from column to column, rays from node to sensor.
        assert (found == expected)[inner].mean() > 0.97

    def test_layover_is_found_where_slant_range_turns_back(self):
        rng = np.random.default_rng(6)
        heights = np.repeat(np.cumsum(rng.normal(0, 6, (1, 200)), axis=1), 5, axis=0)
        state = self.state(heights)[2]
        away = -(self.LOOK[0] * np.arange(200) * 10.0 + self.LOOK[2] * heights[2]) / 6.4
        away = away.astype(np.float32)
        expected = [
            (away[k + 1 :] > away[k] + 0.01).any() or (away[:k] < away[k] - 0.01).any()
            for k in range(200)
        ]
        assert ((state & LAYOVER) > 0).tolist() == expected
        assert 0.05 < np.mean(expected) < 0.95


class TestTerrain:
    def test_a_dem_of_points_is_not_half_a_pixel_off(self, tmp_path):
        """GLO-30 ties whole degrees to pixel centres (AREA_OR_POINT=Point)."""
        path = tmp_path / "glo30.tif"
        step = 1 / 3600
        rows = columns = 400
        west, north = 3.0, 43.35
        longitude = west + np.arange(columns) * step
        latitude = north - np.arange(rows) * step
        heights = 1000 * (longitude[None, :] - 3) + 2000 * (latitude[:, None] - 43)
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=rows,
            width=columns,
            count=1,
            dtype="float32",
            crs="EPSG:4326",
            transform=Affine(step, 0, west - step / 2, 0, -step, north + step / 2),
        ) as out:
            out.update_tags(AREA_OR_POINT="Point")
            out.write(heights.astype(np.float32), 1)
        grid = Grid("EPSG:32631", (10.0, 0.0, 501_000.0, 0.0, -10.0, 4_798_000.0), (60, 60))
        found = Terrain.open(path, grid).heights(grid)
        x, y = positions_lonlat(grid)
        # A plane is interpolated exactly; half a pixel would be 0.28 m.
        np.testing.assert_allclose(found, 1000 * (x - 3) + 2000 * (y - 43), atol=0.03)

    def test_heights_in_memory_are_those_gdal_warps(self, tmp_path):
        """Two files in degrees, the second filling what the first lacks."""
        from skymend.products.dem import read_heights
        from skymend.sar.sheets import open_sheets, read_sheets

        rng = np.random.default_rng(7)
        files = []
        for name, west in (("a", 3.0), ("b", 3.02)):
            files.append(tmp_path / f"{name}.tif")
            heights = rng.uniform(0, 500, (120, 72)).astype(np.float32)
            with rasterio.open(
                files[-1],
                "w",
                driver="GTiff",
                height=120,
                width=72,
                count=1,
                dtype="float32",
                crs="EPSG:4326",
                transform=Affine(1 / 3600, 0, west, 0, -1 / 3600, 43.34),
            ) as out:
                out.write(heights, 1)
        grid = Grid("EPSG:32631", (10.0, 0.0, 500_200.0, 0.0, -10.0, 4_798_500.0), (150, 250))
        sheets = open_sheets(files, grid, 10.0)
        assert sheets is not None
        ours, gdal = read_sheets(sheets, grid), read_heights(files, grid, resampling="bilinear")
        both = np.isfinite(ours) & np.isfinite(gdal)
        assert both.mean() > 0.9
        assert (np.isfinite(ours) == np.isfinite(gdal)).mean() > 0.99
        # GDAL's transformer may err by an eighth of a pixel: of noise of 500 m, some metres.
        assert np.median(np.abs(ours - gdal)[both]) < 0.5
        assert open_sheets(files, grid, 100.0) is None

    @pytest.mark.parametrize(("edge", "beyond"), [(7.0, 0.0), (70.0, 70.0)])
    def test_gaps_are_sea_beyond_a_shore_else_the_nearest_height(self, tmp_path, edge, beyond):
        heights = np.full(GRID.shape, edge)
        heights[:, 200:] = np.nan
        path = write_dem(tmp_path / "dem.tif", heights, GRID)
        found = Terrain.open(path, GRID).heights(GRID.crop(Window(-5, -5, 310, 410)))
        assert (found[100, 10:200] == edge).all()
        assert (found[100, 210:] == beyond).all()

    def test_relief_reaches_twenty_kilometres_around(self, tmp_path):
        wide = Grid("EPSG:32631", (100.0, 0.0, 470_000.0, 0.0, -100.0, 4_830_000.0), (600, 600))
        heights = np.zeros(wide.shape)
        heights[295:305, 140:150] = 900.0  # 15 km west of the grid
        path = write_dem(tmp_path / "dem.tif", heights, wide)
        low, high = Terrain.open(path, GRID).relief(GRID.bounds)
        assert low == pytest.approx(-20)
        assert high == pytest.approx(950)


class TestOrbitFiles:
    def name(self, kind, made, start, stop, letter="A"):
        return f"S1{letter}_OPER_AUX_{kind}_OPOD_{made}_V{start}_{stop}.EOF"

    def test_precise_beats_restituted_and_young_beats_old(self, tmp_path):
        day = ("20200505T225942", "20200507T005942")
        hours = ("20200506T045000", "20200506T080000")
        best = self.name("POEORB", "20200527T120000", *day)
        for name in (
            self.name("RESORB", "20200506T090000", *hours),
            self.name("POEORB", "20200526T120000", *day),
            best,
            self.name("POEORB", "20200528T120000", *day, letter="B"),
            self.name("POEORB", "20210528T120000", "20210505T225942", "20210507T005942"),
            "S1A_OPER_AUX_POEORB_OPOD_nonsense.EOF",
        ):
            (tmp_path / name).touch()
        found = best_orbit_file(tmp_path, "sentinel-1a", EPOCH, EPOCH + timedelta(seconds=25))
        assert found is not None
        assert found.name == best
        assert best_orbit_file(tmp_path, "sentinel-1c", EPOCH, EPOCH) is None

    def test_names_with_impossible_times_are_none(self):
        day = ("20200505T225942", "20200507T005942")
        assert OrbitName.parse(self.name("POEORB", "20201327T120000", *day)) is None
