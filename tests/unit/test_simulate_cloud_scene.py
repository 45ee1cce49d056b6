"""Scenes for cloud masks: geometry to a pixel, spectra as nature has them."""

from dataclasses import replace
from datetime import date
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio

from skymend.core.errors import ConfigError
from skymend.core.grid import Grid
from skymend.products.toa import open_toa
from skymend.simulate import cloud_scene, tiny, write
from skymend.simulate.atmosphere import Air
from skymend.simulate.granule import Granule
from skymend.simulate.msi import BANDS, Swath, angles
from skymend.simulate.relief import cast_shadow, cosine
from skymend.simulate.safe_s2 import numbers
from skymend.simulate.sheets import Sheet
from skymend.simulate.toa_series import scene_granule, toa_granule, write_scene
from skymend.simulate.toa_series_landsat import write_landsat

SIZE = 120


def disc(row, column, radius=6.0):
    rows, columns = np.indices((SIZE, SIZE))
    return (10.0 * (np.hypot(rows - row, columns - column) < radius)).astype(np.float32)


def centroid(image):
    return np.array([np.average(i, weights=image) for i in np.indices(image.shape)])


@pytest.fixture(scope="module")
def winter():
    return cloud_scene(5, size_px=360, snow=True, coast=True, sun_zenith=65.0)


def test_a_shadow_lies_where_the_sun_throws_it():
    # 45 degrees of zenith from the south-east: 300 m of height are 300 m to the north-west.
    sheet = Sheet(disc(60, 60), 400.0)
    ground = np.full((SIZE, SIZE), 100.0, np.float32)
    toward = np.sin(np.radians(135)), np.cos(np.radians(135))
    shadow = sheet.along(*toward, ground)
    moved = centroid(shadow) - centroid(sheet.depth)
    np.testing.assert_allclose(moved, [-30 * np.sin(np.pi / 4)] * 2, atol=0.05)


def test_ground_above_a_cloud_sees_none():
    sheet = Sheet(disc(60, 60), 400.0)
    assert sheet.along(0.0, 0.0, np.full((SIZE, SIZE), 500.0, np.float32)).max() == 0


def test_high_clouds_stand_apart_in_the_bands_of_a_detector():
    swath = Swath((0.0, 0.0))
    ground = np.zeros((SIZE, SIZE), np.float32)
    sheet = Sheet(disc(60, 60), 9000.0)
    for detector, sign in ((8, 1), (9, -1)):
        at = {
            band: swath.tangents(band, 0.0, 0.0, np.array(detector))
            for band in ("B07", "B08", "B8A")
        }
        place = {
            band: centroid(sheet.along(east - at["B08"][0], north - at["B08"][1], ground))
            for band, (east, north) in at.items()
        }
        apart = {b: place[b] - place["B08"] for b in ("B07", "B8A")}
        # 9 km x tan(0.545 degree/s x delay) along the track. Detector 8 looks from behind,
        # which is north, and what stands high is seen farther away from the sensor: south.
        expected = 900 * np.tan(np.radians(0.545 * (2.055 - 0.264)))
        assert np.linalg.norm(apart["B8A"]) == pytest.approx(expected, rel=0.01)
        assert np.linalg.norm(apart["B07"]) < np.linalg.norm(apart["B8A"])
        assert np.sign(apart["B8A"][0]) == sign


def test_real_view_angles_are_reproduced(shared_data):
    (path,) = (shared_data / "s2-safe-metadata-stactools").glob("*L1C*/GRANULE/*/MTD_TL.xml")
    root = ElementTree.parse(path).getroot()
    checked = 0
    for grid in root.iter("Viewing_Incidence_Angles_Grids"):
        band = list(BANDS)[int(grid.get("bandId"))]
        detector = int(grid.get("detectorId"))
        zenith, azimuth = (
            np.array(
                [[float(v) for v in line.text.split()] for line in grid.find(n).iter("VALUES")]
            )
            for n in ("Zenith", "Azimuth")
        )
        seen = np.isfinite(zenith)
        if seen.sum() < 6:
            continue
        slope = np.tan(np.radians(zenith[seen]))
        east, north = (slope * f(np.radians(azimuth[seen])) for f in (np.sin, np.cos))
        heading = np.radians(193.2)
        across = np.arctan(east * np.cos(heading) - north * np.sin(heading)).mean()
        swath = Swath((0.0, 0.0), offset_m=786_000 * float(np.tan(across)))
        modelled = np.array(swath.tangents(band, 0.0, 0.0, np.array(detector)))
        # Half a degree covers orbit height, latitude and yaw, which the model leaves out.
        np.testing.assert_allclose(modelled, [east.mean(), north.mean()], atol=0.009)
        checked += 1
    assert checked == 26


def test_truth_has_every_class_and_follows_the_rays(winter):
    assert {1, 2, 3, 4, 5} <= set(np.unique(winter.labels))
    cloudy = winter.labels == 2
    water_cloud = winter.depth - winter.ice_depth
    np.testing.assert_array_equal(cloudy, (water_cloud > 0.8) | (winter.ice_depth > 0.35))
    assert (winter.beam[winter.labels == 3] < 0.55).all()
    assert 0.2 < cloudy.mean() < 0.6


def test_spectra_are_those_of_nature(winter):
    band = dict(zip(winter.bands, winter.reflectance, strict=True))
    thick = (winter.depth > 8) & (winter.ice_depth == 0)
    lit = (winter.labels == 4) & ~winter.terrain_shadow & (winter.beam > 0.95)
    lit &= winter.depth < 0.02
    ndsi = (band["B03"] - band["B11"]) / (band["B03"] + band["B11"])
    assert np.median(ndsi[lit]) > 0.6
    assert np.median(ndsi[thick]) < 0.3
    assert np.median(band["B02"][thick]) > 0.35
    clear = (winter.labels == 1) & (winter.depth < 0.02)
    shaded = (winter.labels == 3) & (winter.depth < 0.02) & ~winter.terrain_shadow
    assert np.median(band["B08"][shaded]) < 0.6 * np.median(band["B08"][clear])
    high = winter.ice_depth > 0.8
    assert np.median(band["B10"][high]) > 0.01
    assert np.percentile(band["B10"][clear], 99) < 0.006
    cold = winter.brightness_temperature
    assert np.median(cold[thick]) < np.median(cold[clear]) - 4


def test_scenes_are_reproducible_and_landsat_shows_the_same(winter):
    kwargs = {"size_px": 120, "sun_zenith": 50.0}
    first, second = cloud_scene(2, **kwargs), cloud_scene(2, **kwargs)
    np.testing.assert_array_equal(first.reflectance, second.reflectance)
    landsat = cloud_scene(2, sensor="landsat-8", **kwargs)
    assert landsat.grid.resolution == 30
    assert landsat.reflectance.shape == (8, 40, 40)
    assert landsat.brightness_temperature.shape == (40, 40)


def test_terrain_shadow_of_a_wall():
    # A wall of 100 m throws 100 m x tan(60 degrees) = 17 pixels of shadow away from the sun.
    wall = np.zeros((60, 60), np.float32)
    wall[:, 40] = 100
    hidden = cast_shadow(wall, 60.0, 90.0)
    assert hidden[30].nonzero()[0].tolist() == list(range(23, 40))
    assert cosine(np.zeros((5, 5), np.float32), 60.0, 90.0) == pytest.approx(1.0)


def test_the_air_is_additive_and_absorbs_where_it_must():
    air = Air(40.0)
    for band in BANDS:
        halves = air.transmittance(band, 0, 2000) * air.transmittance(band, 2000, 1e6)
        assert halves == pytest.approx(float(air.transmittance(band, 0, 1e6)), rel=1e-5)
    assert air.transmittance("B10", 0, 1e6) < 1e-3
    assert air.transmittance("B10", 10_000, 1e6) > 0.3
    assert 0.05 < air.path("B02", 0, 1e6) < 0.12
    assert air.path("B02", 0, 1e6) > air.path("B04", 0, 1e6) > air.path("B8A", 0, 1e6)


@pytest.mark.parametrize("baseline", ["02.07", "05.00"])
def test_level_1c_in_safe(tmp_path, baseline):
    scene = cloud_scene(3, size_px=180, sun_zenith=65.0)
    granule = scene_granule(scene, baseline=baseline)
    product = write_scene(tmp_path, scene, baseline=baseline)
    with rasterio.open(tmp_path / "labels.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), scene.labels)
    for resolution in (10, 20, 60):
        name = f"SENTINEL2_L1C:{product / 'MTD_MSIL1C.xml'}:{resolution}m:EPSG_32631"
        with rasterio.open(name) as dataset:
            names = [d.split(",")[0] for d in dataset.descriptions]
            stack = dataset.read()
        for band, image in granule.reflectance.items():
            if BANDS[band].resolution_m == resolution:
                stored = stack[names.index(band.replace("B0", "B"))]
                np.testing.assert_array_equal(stored, numbers(image, granule.offset))
    tile = ElementTree.parse(next(product.glob("GRANULE/*/MTD_TL.xml"))).getroot()
    assert float(tile.find(".//Mean_Sun_Angle/ZENITH_ANGLE").text) == pytest.approx(65.0)
    offsets = [e for e in tile.iter() if "OFFSET" in e.tag]
    assert offsets == []
    text = (product / "MTD_MSIL1C.xml").read_text()
    assert text.count("<RADIO_ADD_OFFSET ") == (13 if baseline == "05.00" else 0)


def test_a_scenario_at_the_top_of_the_atmosphere(tmp_path):
    scenario = replace_days(tiny(), 12)
    write(tmp_path, scenario, formats=("safe-l1c",))
    assert len(list((tmp_path / "safe").iterdir())) == len(scenario.optical_dates())
    day = date(2018, 6, 4)
    granule = toa_granule(scenario, day)
    assert set(granule.reflectance) == set(BANDS)
    assert granule.labels.shape == granule.grid.shape


def replace_days(scenario, days):
    return scenario.model_copy(update={"days": days})


def test_bands_of_another_size_are_refused():
    scene = cloud_scene(3, size_px=60)
    granule = scene_granule(scene)
    assert isinstance(granule, Granule)
    wrong = {"B02": granule.reflectance["B01"]}
    with pytest.raises(Exception, match="each band at its own resolution"):
        replace(granule, reflectance=wrong)
    with pytest.raises(Exception, match="multiple of 6"):
        cloud_scene(3, size_px=100)


def test_angles_of_tangents():
    zenith, azimuth = angles(np.array([-1.0]), np.array([0.0]))
    assert (zenith.item(), azimuth.item()) == (45.0, 270.0)
    grid = Grid("EPSG:32631", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0), (6, 6))
    assert Swath((30.0, -30.0)).detectors(grid).shape == (6, 6)


@pytest.mark.parametrize("satellite", [8, 9])
def test_landsat_folders_give_back_what_was_put_in(tmp_path, satellite):
    scene = cloud_scene(3, size_px=180, sun_zenith=50.0, sensor="landsat-8")
    product = open_toa(write_landsat(tmp_path, scene, satellite=satellite))
    assert product.sensor == f"landsat-{satellite}"
    assert product.time == scene.time
    grid = product.grid()
    assert grid == scene.grid
    for band, plane in zip(scene.bands, scene.reflectance, strict=True):
        read = product.read((f"B{int(band[1:])}",), grid)[0]
        # Half a stored step of 2e-5, divided by the sine of the sun's elevation.
        np.testing.assert_allclose(read, plane, atol=1.1e-5 / np.cos(np.radians(50)))
    kelvin = product.brightness_temperature(grid)
    np.testing.assert_allclose(kelvin, scene.brightness_temperature, atol=5e-3)
    angles = (*product.sun(grid), *product.view(grid))
    assert angles == pytest.approx((50.0, 150.0, 0.0, 0.0))
    np.testing.assert_array_equal(product.labels(grid), scene.labels)


def test_only_landsat_scenes_become_landsat_folders(tmp_path):
    with pytest.raises(ConfigError, match="expected a scene of landsat-8, found sentinel-2"):
        write_landsat(tmp_path, cloud_scene(3, size_px=60))
