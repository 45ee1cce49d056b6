"""The embedded engine on a made pass: what was put in comes out, on the grid asked for."""

import shutil
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from scipy.ndimage import gaussian_filter

from skymend.core.errors import ConfigError, ProductError, SkipJob
from skymend.core.grid import Grid, Window
from skymend.core.raster import describe, read, read_labels
from skymend.products.s1tiling import open_product
from skymend.products.sentinel1 import open_grd
from skymend.sar.door import backscatter
from skymend.sar.embedded import EmbeddedEngine
from skymend.sar.engine import FLOOR, LAYOVER, SHADOW, Chain
from skymend.sar.engines import open_engine
from skymend.simulate.facets import Terrain
from skymend.simulate.terrain_grd import Survey, write_terrain_grd
from tests.sar_case import positions_lonlat, write_dem

GAMMA0 = {"VV": 0.1, "VH": 0.02}
AREA = Grid("EPSG:32631", (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_800_000.0), (200, 200))
WIDE = AREA.crop(Window(-75, -75, 350, 350))
SURVEY = Survey(datetime(2020, 5, 6, 6, 0, 0, tzinfo=UTC), 38.0, "DES", slices=2)

LITTLE = AREA.crop(Window(0, 0, 100, 100))
LITTLE_WIDE = LITTLE.crop(Window(-40, -40, 180, 180))
ENGINE = EmbeddedEngine()
DARK = replace(SURVEY, slices=1, noise={"VV": 10**-2.4})


def hills(shape, relief, seed=4, smooth=14):
    rng = np.random.default_rng(seed)
    heights = gaussian_filter(rng.standard_normal(shape), smooth)
    return (heights - heights.min()) / (heights.max() - heights.min()) * relief


def make(folder, relief=250.0, survey=SURVEY, gamma0=GAMMA0, wide=WIDE, area=AREA, **options):
    """Products of a pass, and the DEM (geoid heights) they were made from."""
    folder.mkdir(exist_ok=True)
    heights = hills(wide.shape, relief) + 100.0
    longitude, latitude = positions_lonlat(wide)
    from skymend.sar.geoid import read_geoid

    undulation = read_geoid().at(longitude, latitude)
    dem = write_dem(folder / "dem.tif", heights, wide)
    terrain = Terrain(wide, heights + undulation)
    options = {"grainless": True} | options
    return write_terrain_grd(folder, area, terrain, gamma0, survey, **options), dem


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("grd"))


def make_little(folder, **options):
    return make(folder, area=LITTLE, wide=LITTLE_WIDE, **options)


def run(products, dem, out, grid=AREA, engine=ENGINE, cpus=1, orbit=None, **chain):
    out.mkdir(exist_ok=True)
    scene = engine.process(
        products, grid, dem, out, chain=Chain(**chain), orbit=orbit, work=out / "work", cpus=cpus
    )
    return scene, read(scene.backscatter), read(scene.incidence), read_labels(scene.state)


@pytest.fixture(scope="module")
def flattened(made, tmp_path_factory):
    return run(*made, tmp_path_factory.mktemp("out"))


def test_flattening_gives_back_the_backscatter_of_the_ground(flattened):
    _, power, _, state = flattened
    good = (state == 0) & np.isfinite(power).all(axis=0)
    assert good.mean() > 0.95
    for index, truth in enumerate(GAMMA0.values()):
        error = 10 * np.log10(power[index][good].mean() / truth)
        # The facets of the simulator are 5 m cubic splines of the DEM that is read bilinearly.
        assert abs(error) < 0.1


def test_flattened_means_do_not_depend_on_the_slope(made, flattened, tmp_path):
    _, power, incidence, state = flattened
    _, sigma0, _, _ = run(*made, tmp_path, convention="sigma0")
    good = (state == 0) & np.isfinite(power).all(axis=0)
    flat, plain = [], []
    for low in range(0, 90, 5):
        inside = good & (incidence[0] >= low) & (incidence[0] < low + 5)
        if inside.sum() >= 1000:
            flat.append(10 * np.log10(power[0][inside].mean()))
            plain.append(10 * np.log10(sigma0[0][inside].mean()))
    assert max(plain) - min(plain) > 3
    assert max(flat) - min(flat) < 0.3


def test_a_flat_ground_has_the_angles_of_its_orbit(tmp_path):
    products, dem = make_little(tmp_path / "flat", relief=1e-6)
    _, power, incidence, state = run(products, dem, tmp_path / "out", grid=LITTLE)
    assert (state == 0).all()
    assert np.nanmean(incidence[1]) == pytest.approx(38.0, abs=0.1)
    # A level surface on the geoid leans against the ellipsoid by some 1e-4 rad; 0.01 degree steps.
    assert np.nanmax(np.abs(incidence[0] - incidence[1])) < 0.03
    beta0 = run(products, dem, tmp_path / "beta", grid=LITTLE, convention="beta0")[1]
    ratio = power[0] / (beta0[0] * np.tan(np.radians(incidence[1])))
    # gamma0 = beta0 tan(theta) on the level: what the sum over facets must reproduce.
    # Bilinear shares of nodes one pixel apart ripple by up to 2 %.
    assert np.nanmax(np.abs(ratio - 1)) < 0.02
    assert np.nanstd(ratio) < 0.005
    assert np.nanmean(ratio) == pytest.approx(1, abs=0.002)


def test_facts_say_how_it_was_made(flattened):
    facts = flattened[0].facts
    assert facts["convention"] == "gamma0-flattened"
    assert facts["orbit"] == ["annotation"]
    assert facts["geoid"] == "egm96_15.gtx"
    assert facts["ipf"] == ["003.31"]
    assert facts["thermal_noise_removed"] is True
    assert facts["thermal_noise_layout"] == ["range-azimuth"]
    assert facts["relative_orbit"] == 110
    assert facts["direction"] == "descending"
    assert facts["datetime"].endswith("+00:00")
    assert len(facts["products"]) == 2


def test_the_grid_is_exactly_the_one_asked_for(flattened):
    info = describe(flattened[0].backscatter)
    assert info.grid == AREA
    assert info.bands == ("VV", "VH")
    assert describe(flattened[0].incidence).bands == ("local", "ellipsoid")


def test_two_slices_join_without_a_seam(tmp_path, made, flattened):
    whole, dem = make(tmp_path / "one", survey=replace(SURVEY, slices=1))
    assert (len(whole), len(made[0])) == (1, 2)
    power = run(whole, dem, tmp_path / "out")[1]
    joined = flattened[1]
    both = np.isfinite(power) & np.isfinite(joined)
    assert (np.isfinite(power) == np.isfinite(joined)).mean() > 0.9999
    difference = np.abs(10 * np.log10(joined[both] / power[both]))
    # At the seam the nearest line stands for the one interpolated between two.
    assert np.percentile(difference, 99) < 0.05
    assert difference.max() < 1.5


def test_order_of_slices_does_not_matter(made, flattened, tmp_path):
    power = run(made[0][::-1], made[1], tmp_path)[1]
    np.testing.assert_array_equal(power, flattened[1])


def test_two_threads_write_the_same_bytes(made, tmp_path):
    engine = EmbeddedEngine(block=128)
    first = run(*made, tmp_path / "a", engine=engine)[0]
    second = run(*made, tmp_path / "b", engine=engine, cpus=2)[0]
    for name in ("backscatter", "incidence", "state"):
        assert getattr(first, name).read_bytes() == getattr(second, name).read_bytes()


def test_blocks_do_not_show(made, flattened, tmp_path):
    power = run(*made, tmp_path, engine=EmbeddedEngine(block=64))[1]
    both = np.isfinite(power) & np.isfinite(flattened[1])
    difference = np.abs(10 * np.log10(power[both] / flattened[1][both]))
    # Lattices begin at each block: coordinates differ by some thousandths of a pixel.
    assert np.percentile(difference, 99.9) < 0.05


def test_a_zip_gives_what_its_folder_gives(made, flattened, tmp_path):
    packed = []
    for product in made[0]:
        path = tmp_path / f"{product.name.removesuffix('.SAFE')}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(product.rglob("*")):
                archive.write(file, file.relative_to(product.parent))
        packed.append(path)
    power = run(packed, made[1], tmp_path / "out")[1]
    np.testing.assert_array_equal(power, flattened[1])
    assert not list(tmp_path.glob("*.SAFE"))


def test_coarser_pixels_are_means(made, flattened, tmp_path):
    coarse = AREA.at_resolution(40.0)
    _, power, incidence, _ = run(*made, tmp_path, grid=coarse)
    assert describe(tmp_path / "backscatter.tif").grid == coarse
    fine = np.nanmean(flattened[1][0].reshape(50, 4, 50, 4), axis=(1, 3))
    assert np.nanmedian(np.abs(power[0] / fine - 1)) < 0.03
    assert np.isfinite(incidence).mean() > 0.98


@pytest.fixture(scope="module")
def dark(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dark")
    return make_little(folder, survey=DARK, gamma0={"VV": 0.0}, grainless=False)


def test_noise_of_a_dark_ground_averages_to_nothing(dark):
    """A null field: what is left after the noise has mean zero, before any floor."""
    products, _ = dark
    product = open_grd(products[0])
    from skymend.sar.calibration import Radiometry

    shape = product.annotation("VV").shape
    window = Window(0, 0, *shape)
    dn = product.dn("VV", window)
    table = product.calibration("VV").tables["beta0"]
    power = Radiometry(table, product.noise("VV")).power(dn, window)
    valid = np.isfinite(power)
    noise = Radiometry(table, None).power(dn, window)[valid].mean()
    # Speckle is correlated over some 2 x 2 pixels, so there are four times fewer looks; rounding
    # DN adds a twelfth of a DN^2.
    error = 2 * power[valid].std() / np.sqrt(valid.sum()) + 1 / 12 / table.values[0][0] ** 2
    assert abs(power[valid].mean()) < 4 * error
    assert abs(power[valid].mean()) < 0.01 * noise


def test_power_below_the_noise_becomes_a_flagged_floor(dark, tmp_path):
    _, power, _, state = run(*dark, tmp_path / "out", grid=LITTLE, convention="sigma0")
    low = (state & FLOOR) > 0
    assert 0.2 < low.mean() < 0.8
    assert (power[0][low] == np.float32(1e-5)).all()
    assert (power[0][np.isfinite(power[0])] > 0).all()


def test_noise_can_stay_in(made, tmp_path):
    clean = run(*made, tmp_path / "a", convention="sigma0")[1]
    noisy = run(*made, tmp_path / "b", convention="sigma0", remove_thermal_noise=False)
    assert (np.nanmean(noisy[1], axis=(1, 2)) > np.nanmean(clean, axis=(1, 2))).all()
    assert noisy[0].facts["thermal_noise_removed"] is False


def test_noise_before_ipf_290_is_removed_too(tmp_path):
    products, dem = make_little(tmp_path / "old", survey=replace(SURVEY, ipf="002.84"))
    scene, power, _, _ = run(
        products, dem, tmp_path / "out", grid=LITTLE, remove_border_noise=False
    )
    assert scene.facts["thermal_noise_layout"] == ["range"]
    assert 10 * np.log10(np.nanmedian(power[1]) / GAMMA0["VH"]) == pytest.approx(0, abs=0.1)


def test_missing_noise_vectors_warn_and_are_recorded(made, tmp_path, caplog):
    product = tmp_path / made[0][0].name
    shutil.copytree(made[0][0], product)
    for path in product.glob("annotation/calibration/noise-*"):
        path.unlink()
    scene = run([product], made[1], tmp_path / "out")[0]
    assert scene.facts["thermal_noise_removed"] is False
    assert "no vectors of thermal noise for VV" in caplog.text


def test_steep_ground_is_marked_and_left_out(tmp_path):
    products, dem = make_little(tmp_path / "steep", relief=700.0)
    _, power, _, state = run(products, dem, tmp_path / "out", grid=LITTLE)
    hidden = (state & (LAYOVER | SHADOW)) > 0
    assert ((state & LAYOVER) > 0).mean() > 0.05
    assert np.isnan(power[:, hidden]).all()
    _, sigma0, _, _ = run(products, dem, tmp_path / "sigma", grid=LITTLE, convention="sigma0")
    # The ring of terrain around so small an area leaves parts of the image without ground.
    assert np.isfinite(sigma0[0][hidden]).mean() > 0.8


@pytest.fixture(scope="module")
def grained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grain")
    survey = replace(SURVEY, slices=1, noise={"VV": 10**-2.4})
    products, dem = make_little(folder, survey=survey, gamma0={"VV": 0.1}, grainless=False)
    return products, dem, run(products, dem, folder / "raw", grid=LITTLE)[1]


@pytest.mark.parametrize("name", ["boxcar", "lee", "refined-lee", "lee-sigma", "gamma-map"])
def test_speckle_filters_keep_the_mean_and_calm(grained, tmp_path, name):
    products, dem, raw = grained
    calm = run(products, dem, tmp_path / "calm", grid=LITTLE, speckle=name)[1]
    assert np.nanstd(calm[0]) < 0.75 * np.nanstd(raw[0])
    assert 10 * np.log10(np.nanmean(calm[0]) / np.nanmean(raw[0])) == pytest.approx(0, abs=0.4)


def test_multilook_and_decibels(made, flattened, tmp_path):
    _, power, _, _ = run(*made, tmp_path, multilook=2, decibel=True, polarisations=("VH",))
    assert power.shape[0] == 1
    assert np.nanmedian(power) == pytest.approx(10 * np.log10(GAMMA0["VH"]), abs=0.1)


def test_nearest_takes_radar_pixels_as_they_are(made, tmp_path):
    _, power, _, _ = run(
        *made,
        tmp_path,
        convention="beta0",
        resampling="nearest",
        remove_thermal_noise=False,
        remove_border_noise=False,
        polarisations=("VV",),
    )
    found = []
    for path in made[0]:
        product = open_grd(path)
        dn = product.dn("VV", Window(0, 0, *product.annotation("VV").shape)).astype(np.float64)
        a = product.calibration("VV").tables["beta0"].values[0][0]
        found.append(((dn / a) ** 2).astype(np.float32).ravel())
    known = np.unique(np.concatenate(found))
    values = power[np.isfinite(power)]
    near = known[np.clip(np.searchsorted(known, values), 0, known.size - 1)]
    assert np.isclose(values, near, rtol=1e-6).mean() > 0.99


def test_the_door_writes_a_scene_and_s1tiling_names(made, tmp_path):
    tile = Grid.mgrs_at(3.02, 43.35)
    scene = backscatter(
        made[0],
        tmp_path / "door",
        dem=made[1],
        epsg=32631,
        bounds=(500_500.0, 4_798_600.0, 501_495.0, 4_799_600.0),
    )
    assert describe(scene.backscatter).grid.shape == (100, 100)
    assert (tmp_path / "door" / "backscatter.json").is_file()
    assert not list((tmp_path / "door").glob(".work*"))
    assert scene.state == tmp_path / "door" / "state.tif"
    with pytest.raises(ProductError):
        backscatter(made[0], tmp_path / "none", dem=tmp_path / "no.tif", grid="31TDH")
    assert not (tmp_path / "none").exists()
    from skymend.sar.door import write_s1tiling

    paths = write_s1tiling(scene, made[0], Chain(), tmp_path / "door", tile)
    assert [p.name for p in paths] == [
        f"s1a_{tile}_{p}_DES_110_20200506txxxxxx_GammaNaughtRTC.tif" for p in ("vv", "vh")
    ]
    product = open_product(paths[0])
    assert product.convention == "gamma0-flattened"
    grid = describe(scene.backscatter).grid
    np.testing.assert_array_equal(product.read(("VV", "VH"), grid), read(scene.backscatter))


def test_the_door_refuses_contradictions(made, tmp_path):
    def door(**options):
        return backscatter(made[0], tmp_path, dem=made[1], **options)

    with pytest.raises(ConfigError, match="either a tile or an EPSG code, found both"):
        door(grid="31TDH", epsg=32631, bounds=(0, 0, 1, 1))
    with pytest.raises(ConfigError, match="bounds"):
        door(epsg=32631)
    with pytest.raises(ConfigError, match="an EPSG code beside the bounds"):
        door(bounds=(0, 0, 1, 1))
    for wrong, sentence in (
        ({"epsg": 32631, "bounds": (0, 0, 1, 1)}, "a tile"),
        ({"grid": "31TDH", "chain": Chain(decibel=True)}, "linear power"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            door(s1tiling_names=True, **wrong)
    with pytest.raises(ConfigError, match="left < right"):
        door(epsg=32631, bounds=(1, 0, 0, 1))
    with pytest.raises(ConfigError, match="an EPSG code, found 1"):
        door(epsg=1, bounds=(0, 0, 1, 1))
    with pytest.raises(ConfigError, match="embedded needs no other install"):
        door(epsg=32631, bounds=(500_500, 4_798_000, 501_000, 4_799_000), engine="gamma")


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


def test_the_step_gives_what_reconstruct_reads(made, tmp_path):
    from skymend.core.step import Artifact, Context, GridParams
    from skymend.steps.backscatter import Inputs, Params
    from skymend.steps.backscatter import run as run_step

    products = tuple(
        Artifact(key=str(n), step="product", files={"product": p}) for n, p in enumerate(made[0])
    )
    dem = Artifact(key="d", step="dem", files={"dem": made[1]})
    out = tmp_path / "out"
    out.mkdir()
    context = Context(cpus=1, work=tmp_path / "work", final=out)
    params = Params(grid=GridParams.of(AREA))
    facts = run_step(Inputs(products=products, dem=dem), params, out, context)
    assert {p.name for p in out.iterdir()} == {"backscatter.tif", "incidence.tif", "state.tif"}
    assert facts["valid_share"] > 0.95
    assert (facts["convention"], facts["direction"]) == ("gamma0-flattened", "descending")
    with pytest.raises(ConfigError, match="a DEM: radar images are placed with one"):
        run_step(Inputs(products=products), params, out, context)
    gone = Artifact(key="0", step="fetch", absent="quota")
    with pytest.raises(SkipJob, match="no radar product"):
        run_step(Inputs(products=(gone,), dem=dem), params, out, context)


def test_an_unknown_engine_is_refused():
    with pytest.raises(ConfigError, match="one of embedded"):
        open_engine("gamma")


def test_chains_are_checked():
    with pytest.raises(ConfigError, match="odd number"):
        Chain(speckle_window=4)
    with pytest.raises(ConfigError, match="channels out of"):
        Chain(polarisations=("XX",))
    with pytest.raises(ConfigError, match="from 1 to 64"):
        Chain(multilook=0)
