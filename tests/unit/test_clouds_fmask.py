"""Fmask's parts: every spectral rule by its truth table, fill, parallax, geometry, early stops."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from skymend.clouds.fmask import rules
from skymend.clouds.fmask.cirrus import normalise_cirrus
from skymend.clouds.fmask.engine import Options, run_fmask
from skymend.clouds.fmask.fill import LEVELS, fill
from skymend.clouds.fmask.geometry import drift, mean_angles
from skymend.clouds.fmask.parallax import (
    as_interpolated,
    coarsened,
    displacement_index,
    index_around,
)
from skymend.clouds.fmask.potential import CLOUD_LIKE, VALID, WATER
from skymend.clouds.fmask.probability import land_threshold, weights_of
from skymend.clouds.fmask.scene import NODATA, Bands, Scene, absent, to_celsius, to_short
from skymend.clouds.fmask.shade import hollows
from skymend.clouds.fmask.terrain import MOST_DARKENED, SKYLIGHT, levelled, terrain_shadow
from skymend.clouds.fmask.tidy import close_pinholes, drop_specks, grow, spare
from skymend.core.grid import Grid
from skymend.products import Label
from skymend.products.toa import Angles
from skymend.simulate.relief import cosine, mountains

GRID = Grid("EPSG:32631", (20.0, 0.0, 6e5, 0.0, -20.0, 4.9e6), (120, 50))
PLANT = (0.09, 0.08, 0.05, 0.35, 0.18, 0.09)
CLOUD = (0.52, 0.51, 0.50, 0.55, 0.45, 0.35)
SEA = (0.09, 0.06, 0.03, 0.015, 0.01, 0.005)


def scene(spectrum=PLANT, *, celsius=None, heights=None, sun=(40.0, 150.0), **patches):
    """Return a scene of one spectrum; each patch is (slices, spectrum)."""
    planes = np.empty((6, *GRID.shape), np.float32)
    planes[:] = np.asarray(spectrum, np.float32)[:, None, None]
    for where, what in patches.values():
        planes[(slice(None), *where)] = np.asarray(what, np.float32)[:, None, None]
    temperature = absent()
    if celsius is not None:
        temperature = to_celsius(np.full(GRID.shape, celsius + 273.15, np.float32))
    cirrus = to_short(np.full(GRID.shape, 0.001, np.float32))
    sensor = "sentinel-2" if celsius is None else "landsat-8"
    bands = Bands(*(to_short(p) for p in planes), cirrus, temperature)
    return Scene(bands, GRID, sensor, Angles(*sun), Angles(0.0, 0.0), heights=heights)


# Each row makes exactly one condition of its rule fail, or none.
@pytest.mark.parametrize(
    ("ndvi", "ndsi", "swir2", "celsius", "answer"),
    [
        (0.79, 0.79, 0.031, 26.9, True),
        (0.80, 0.79, 0.031, 26.9, False),
        (0.79, 0.80, 0.031, 26.9, False),
        (0.79, 0.79, 0.030, 26.9, False),
        (0.79, 0.79, 0.031, 27.0, False),
    ],
)
def test_basic(ndvi, ndsi, swir2, celsius, answer):
    assert rules.is_basic(ndvi, ndsi, swir2, celsius) == answer


@pytest.mark.parametrize(
    ("spectrum", "celsius", "answer"),
    [
        (CLOUD, -273.0, True),
        (CLOUD, 30.0, False),  # warm
        ((0.52, 0.51, 0.50, 0.55, 0.45, 0.02), -273.0, False),  # black at 2.2 um
        ((0.30, 0.10, 0.05, 0.30, 0.20, 0.15), -273.0, False),  # coloured: whiteness 1.33
        ((0.12, 0.12, 0.12, 0.30, 0.20, 0.15), -273.0, False),  # no haze: 0.06
        ((0.52, 0.51, 0.50, 0.55, 0.74, 0.50), -273.0, False),  # rock: NIR/SWIR 0.743
        ((0.90, 0.90, 0.88, 0.80, 0.09, 0.07), -273.0, False),  # snow: NDSI 0.82
        (PLANT, -273.0, False),
        (SEA, -273.0, False),
    ],
)
def test_cloud_like(spectrum, celsius, answer):
    assert rules.is_cloud_like(*spectrum, celsius) == answer


@pytest.mark.parametrize(
    ("red", "nir", "answer"),
    [
        (0.108, 0.109, True),  # NDVI 0.005, NIR below 0.11
        (0.109, 0.110, False),  # NIR no longer below 0.11
        (0.044, 0.049, True),  # NDVI 0.054, NIR below 0.05
        (0.044, 0.051, False),
        (0.040, 0.049, False),  # NDVI 0.101
    ],
)
def test_water(red, nir, answer):
    assert rules.is_water(red, nir) == answer


# Blue, green, red, NIR, SWIR1.
@pytest.mark.parametrize(
    ("spectrum", "celsius", "answer"),
    [
        ((0.30, 0.30, 0.30, 0.30, 0.20), 0.0, True),  # NDSI 0.2
        ((0.30, 0.30, 0.30, 0.30, 0.23), 0.0, False),  # NDSI 0.13
        ((0.30, 0.30, 0.30, 0.30, 0.20), 3.8, False),  # warm
        ((0.30, 0.30, 0.30, 0.11, 0.20), 0.0, False),  # dark in NIR
        ((0.30, 0.10, 0.30, 0.30, 0.05), 0.0, False),  # dark in green
        ((0.10, 0.20, 0.30, 0.30, 0.05), 0.0, True),  # whatever its colour, if it is cold
        # Without a thermal band NDSI must exceed 0.4, and dim snow must be bluish.
        ((0.31, 0.31, 0.31, 0.30, 0.20), -273.0, False),
        ((0.31, 0.31, 0.31, 0.30, 0.12), -273.0, True),
        ((0.20, 0.31, 0.31, 0.30, 0.12), -273.0, True),  # old snow in the sun
        ((0.20, 0.20, 0.21, 0.20, 0.05), -273.0, True),  # snow in the shade
        ((0.19, 0.22, 0.23, 0.28, 0.04), -273.0, False),  # shoals of 49JGM
    ],
)
def test_snow(spectrum, celsius, answer):
    assert rules.is_snow(*spectrum, celsius) == answer


@pytest.mark.parametrize(
    ("nir", "red", "swir1", "answer"),
    [
        (0.30, 0.28, 0.34, True),
        (0.30, 0.28, 0.29, False),  # NDBI below 0
        (0.30, 0.20, 0.34, False),  # NDVI above NDBI
    ],
)
def test_built(nir, red, swir1, answer):
    assert rules.is_built(nir, red, swir1) == answer


def test_numbers_of_the_rules():
    assert rules.whiteness(0.3, 0.2, 0.1) == pytest.approx(1.0)
    assert rules.haze(0.3, 0.2) == pytest.approx(0.2)
    assert rules.brightness(0.055) == pytest.approx(0.5)
    assert rules.brightness(0.5) == 1.0
    assert rules.variability(0.5, 0.5, 0.5, 0.5, 0.5) == 1.0
    assert rules.variability(0.1, 0.1, 0.1, 0.3, 0.1) == pytest.approx(0.5)
    assert [rules.between(x, 1.0, 3.0) for x in (0.0, 1.5, 4.0)] == [0.0, 0.25, 1.0]
    # The offset of Sentinel-2 can make both bands vanish or turn negative.
    assert rules.normalised_difference(-0.01, 0.005) == 0.0
    assert rules.normalised_difference(0.02, -0.01) == 1.0


def reference_fill(levels, background):
    """Geodesic erosion repeated until nothing changes: the definition, slowly."""
    rim = np.pad(levels, 1, constant_values=0)
    marker = np.full(rim.shape, LEVELS, np.int64)
    marker[0], marker[-1], marker[:, 0], marker[:, -1] = (background,) * 4
    mask = rim.astype(np.int64)
    while True:
        low = marker.copy()
        for axis in (0, 1):
            for turn in (1, -1):
                low = np.minimum(low, np.roll(marker, turn, axis))
        step = np.maximum(low, mask)
        step[0], step[-1], step[:, 0], step[:, -1] = (background,) * 4
        if (step == marker).all():
            return marker[1:-1, 1:-1]
        marker = step


@given(st.integers(0, 10_000), st.integers(0, 60))
def test_fill_is_reconstruction_by_erosion(seed, background):
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 60, (9, 11)).astype(np.uint16)
    filled = levels.copy()
    fill(filled, background)
    np.testing.assert_array_equal(filled, reference_fill(levels, background))


def test_fill_leaves_what_lies_outside():
    levels = np.full((5, 5), 30, np.uint16)
    levels[2, 2] = 10
    levels[:, 4] = 0xFFFF
    fill(levels, 5)
    assert levels[2, 2] == 30
    assert (levels[:, 4] == 0xFFFF).all()


def test_shadows_drift_away_from_the_sun_and_by_the_view():
    """Sun in the south-east at 45 degrees: the shadow lies as far as the cloud is high."""
    made = scene(sun=(45.0, 135.0))
    slide = drift(made, 20.0)
    half = np.sqrt(0.5) / 20
    np.testing.assert_allclose([slide.down.item(), slide.along.item()], [-half, -half], rtol=1e-5)
    # A sensor in the east, at 30 degrees, sees the cloud displaced to the west.
    tilted = drift(Scene(made.bands, GRID, "sentinel-2", made.sun, Angles(30.0, 90.0)), 20.0)
    assert tilted.along.item() - slide.along.item() == pytest.approx(
        np.tan(np.pi / 6) / 20, rel=1e-5
    )
    across_north = mean_angles(Angles(np.array([40.0, 40.0]), np.array([350.0, 10.0])))[1]
    assert np.sin(np.radians(across_north)) == pytest.approx(0.0, abs=1e-5)


def test_what_shifts_between_bands_has_a_negative_index():
    rng = np.random.default_rng(3)
    texture = rng.uniform(0.3, 0.6, (60, 60)).astype(np.float32)
    ground = rng.uniform(0.15, 0.45, (60, 60)).astype(np.float32)

    def index(wide, edge, near):
        return np.median(displacement_index(to_short(wide), to_short(edge), to_short(near)))

    # A cloud moves by a pixel between B08 and B8A and hardly between B07 and B8A.
    assert index(np.roll(texture, 1, 0), texture * 1.01, texture) < -0.5
    # Ground stands still; B07 differs from B8A more than B08 does.
    tone = rng.uniform(0.9, 1.0, ground.shape).astype(np.float32)
    assert index(ground * (0.5 + tone / 2), ground * tone, ground) > 0.0


def test_finer_pixels_are_averaged_before_the_parallax_test():
    """B08 has detail at 10 m that B07 and B8A have not: ground must not seem to move."""
    rng = np.random.default_rng(4)
    fine = rng.uniform(0.2, 0.4, (120, 80))
    own = fine.reshape(60, 2, 40, 2).mean((1, 3))
    tone = rng.uniform(0.9, 1.0, own.shape)
    # As the reader brings 20 m bands to 10 m: linearly between pixel centres.
    coarse, toned = (cv2.resize(band, (80, 120)) for band in (own, own * tone))
    grid = Grid(GRID.crs, (10.0, 0.0, 6e5, 0.0, -10.0, 4.9e6), fine.shape)
    flat = [to_short(np.full(fine.shape, v, np.float32)) for v in PLANT]
    bands = Bands(*flat, absent(), absent())._replace(nir=to_short(coarse.astype(np.float32)))
    made = Scene(
        bands, grid, "sentinel-2", Angles(40.0, 150.0), Angles(0.0, 0.0),
        red_edge=to_short(toned.astype(np.float32)),
        nir_wide=to_short(fine.astype(np.float32)),
    )  # fmt: skip
    index = index_around(made, np.ones(fine.shape, bool), 1)
    assert index.shape == fine.shape
    assert np.median(index) > 0
    edge = np.full((6, 8), 900, np.int16)
    edge[:, 5:] = NODATA
    np.testing.assert_array_equal(as_interpolated(edge), edge)
    odd = coarsened(np.array([[1, 3, 5], [5, 7, NODATA], [9, 11, 4]], np.int16), 2)
    np.testing.assert_array_equal(odd, [[4, NODATA], [10, 4]])


def test_a_wall_shades_the_ground_behind_it():
    """A wall of 200 m, the sun in the south at 45 degrees: 200 m of shade to the north."""
    heights = np.zeros(GRID.shape, np.float32)
    heights[30:33] = 200.0
    shade = terrain_shadow(scene(heights=heights, sun=(45.0, 180.0)))
    # The ray of the tenth pixel grazes the wall.
    assert np.flatnonzero(shade.all(axis=1)).tolist() == list(range(21, 30))
    assert not shade[30:].any()
    assert not terrain_shadow(scene(sun=(45.0, 180.0))).any()
    heights[25] = np.nan
    gap = terrain_shadow(scene(heights=heights, sun=(45.0, 180.0)))
    assert np.flatnonzero(gap.all(axis=1)).tolist() == [21, 22, 23, 24, 26, 27, 28, 29]


@pytest.mark.parametrize("azimuth", [20.0, 95.0, 150.0, 300.0])
def test_shade_of_mountains_is_that_of_rays(azimuth):
    """From every pixel a ray walks towards the sun, a pixel a step, for all of 1200 m."""
    heights, made = massif((60.0, azimuth))
    turn = np.radians(azimuth)
    hidden = np.zeros(heights.shape, bool)
    places = np.indices(heights.shape, float)
    for far in range(1, 220):
        towards = np.array([-np.cos(turn), np.sin(turn)]) * far
        ground = map_coordinates(
            heights, places + towards[:, None, None], order=1, mode="constant", cval=-1e9
        )
        hidden |= ground > heights + 10 * far / np.tan(np.radians(60.0))
    assert hidden.mean() > 0.1
    # Heights between pixels come from two neighbours here and from four there.
    assert (hidden == terrain_shadow(made)).mean() > 0.99


@pytest.mark.parametrize("azimuth", [20.0, 95.0, 150.0, 215.0])
def test_levelled_mountains_are_as_bright_as_flat_ground(azimuth):
    heights, made = massif((50.0, azimuth))
    light = cosine(heights, 50.0, azimuth)
    down, along = np.gradient(heights, 10.0)
    flat = 1 / np.sqrt(1 + down**2 + along**2)
    relief = 3000 * (light + SKYLIGHT) / (flat + SKYLIGHT)
    shown = levelled(made, relief.astype(np.int16))
    gentle = relief < 3000 / MOST_DARKENED
    assert relief[gentle].std() > 600
    np.testing.assert_allclose(shown[gentle], 3000, atol=15)
    # Cliffs that face the sun stay brighter than the plain.
    assert (shown[~gentle] > 2990).all()


def massif(sun):
    """Return mountains at 10 m and a scene of them."""
    heights = mountains(5, 240, 1200.0)
    grid = Grid(GRID.crs, (10.0, 0.0, 6e5, 0.0, -10.0, 4.9e6), heights.shape)
    flat = [to_short(np.full(heights.shape, v, np.float32)) for v in PLANT]
    bands = Bands(*flat, absent(), absent())
    return heights, Scene(
        bands, grid, "sentinel-2", Angles(*sun), Angles(0.0, 0.0), heights=heights
    )


def test_levelling_leaves_what_nobody_knows():
    band = np.full(GRID.shape, 2000, np.int16)
    assert levelled(scene(), band) is band
    heights = np.tile(np.arange(GRID.shape[1], dtype=np.float32) * 8, (GRID.shape[0], 1))
    heights[50] = np.nan
    band[10, 10] = NODATA
    # The slope rises to the east: it faces a sun in the west.
    shown = levelled(scene(heights=heights, sun=(45.0, 270.0)), band)
    assert shown[10, 10] == NODATA
    assert (shown[49:52] == 2000).all()
    assert (shown[20:40] < 1600).all()
    assert (levelled(scene(heights=heights, sun=(45.0, 90.0)), band)[20:40] > 2900).all()


def test_shade_at_the_edge_of_an_image_is_a_hollow():
    """It covers a quarter of the clear land, whose darkest sixth is therefore shade itself."""
    band = np.full((120, 50), 3000, np.int16)
    band[:30] = 1000
    clear, nowhere = np.ones(band.shape, bool), np.zeros(band.shape, bool)
    deep = hollows(band, nowhere, clear, nowhere)
    assert deep[:30].all()
    assert not deep[30:].any()


def test_a_ring_of_water_does_not_make_a_hollow_of_an_island():
    band = np.full((120, 50), 3000, np.int16)
    dark = np.zeros(band.shape, bool)
    band[10:40, 10:40], dark[10:40, 10:40] = 200, True
    band[20:30, 20:30], dark[20:30, 20:30] = 2600, False
    band[30:36, 22:28], dark[30:36, 22:28] = 800, False
    deep = hollows(band, np.zeros(band.shape, bool), ~dark, dark)
    assert not deep[20:30, 20:30].any()
    assert deep[30:36, 22:28].all()


def test_cirrus_over_mountains_is_what_exceeds_their_ground():
    heights = np.tile(np.linspace(0, 3000, GRID.shape[1], dtype=np.float32), (GRID.shape[0], 1))
    big = Grid(GRID.crs, GRID.transform, (320, 400))
    heights = np.kron(heights, np.ones((8, 8), np.float32))
    ground = 0.002 + 0.02 * (heights / 3000) ** 2
    cirrus = ground.copy()
    cirrus[100:110, 300:310] += 0.03
    flat = [to_short(np.full(big.shape, v, np.float32)) for v in PLANT]
    made = Scene(
        Bands(*flat, to_short(cirrus), absent()), big, "sentinel-2",
        Angles(40.0, 150.0), Angles(0.0, 0.0), heights=heights,
    )  # fmt: skip
    found = normalise_cirrus(made).bands.cirrus * 1e-4
    assert found[100:110, 300:310].mean() == pytest.approx(0.03, abs=0.003)
    assert np.delete(found, np.s_[100:110], axis=0).max() < 0.004


def test_an_empty_scene_stops_at_once():
    made = scene()
    empty = Bands(*(np.full_like(b, NODATA) for b in made.bands[:7]), absent())
    mask = run_fmask(Scene(empty, GRID, "sentinel-2", made.sun, made.view))
    assert mask.facts == {"stopped": "no valid pixel"}
    assert (mask.labels == Label.NODATA).all()
    assert np.isnan(mask.probability).all()


def test_clear_and_wholly_cloudy_scenes_stop_early():
    clear = run_fmask(scene())
    assert clear.facts == {"stopped": "no cloud"}
    assert (clear.labels == Label.CLEAR).all()
    assert (clear.probability == 0).all()
    overcast = run_fmask(scene(CLOUD))
    assert overcast.facts == {"stopped": "wholly cloudy"}
    assert (overcast.labels == Label.CLOUD).all()
    assert (overcast.probability == 1).all()
    sea = run_fmask(scene(SEA))
    assert (sea.labels == Label.WATER).all()


def test_one_cloud_and_its_shadow():
    """A cloud at 600 m with the sun at 45 degrees in the south: shade 600 m to the north."""
    dark = tuple(0.35 * v for v in PLANT)
    made = scene(
        celsius=20.0,
        sun=(45.0, 180.0),
        cloud=((slice(62, 68), slice(20, 30)), CLOUD),
        shadow=((slice(32, 38), slice(20, 30)), dark),
        forest=((slice(15, 20), slice(2, 8)), dark),
        river=((slice(40, 42), slice(0, 50)), dark),
    )
    made.bands.celsius[62:68, 20:30] = 1500
    mask = run_fmask(made, Options(cloud_rim_m=0.0))
    assert (mask.labels[62:68, 20:30] == Label.CLOUD).all()
    assert (mask.labels[33:37, 21:29] == Label.SHADOW).all()
    # Dark ground that no cloud stands before is forest.
    assert (mask.labels[15:20, 2:8] == Label.CLEAR).all()
    # A river crosses ground where a cloud's shadow may fall, but is too narrow for one.
    assert (mask.labels[40:42] == Label.CLEAR).all()
    assert mask.facts["median_height_m"] == pytest.approx(600, abs=60)


def test_scarce_clear_land_cannot_raise_the_threshold():
    """A veil over all of a scene: its thinnest parts are no clear land to compare with."""
    percent = np.full((20, 50), 60, np.uint8)
    flags = np.full(percent.shape, VALID | CLOUD_LIKE, np.uint8)
    flags[:4], percent[:4] = VALID, 33
    weights = weights_of("sentinel-2")
    assert land_threshold(flags, percent, weights) == pytest.approx(35)
    # A quarter of clear land is enough to believe it; water is no land.
    flags[4] = VALID
    percent[4] = 33
    assert land_threshold(flags, percent, weights) == pytest.approx(53)
    flags[4] = VALID | WATER
    assert land_threshold(flags, percent, weights) == pytest.approx(35)
    flags[5:17] = VALID | WATER
    assert land_threshold(flags, percent, weights) == pytest.approx(53)
    # Landsat's threshold, made of temperatures, stands.
    flags[5:17] = VALID | CLOUD_LIKE
    assert land_threshold(flags, percent, weights_of("landsat-8")) == pytest.approx(50.5)


def test_sentinel_without_a_cirrus_band_still_runs():
    made = scene(cloud=((slice(10, 20), slice(10, 20)), CLOUD))
    mask = run_fmask(made.with_cirrus(absent()))
    assert (mask.labels[10:20, 10:20] == Label.CLOUD).all()


def test_tidying():
    mask = np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True
    mask[4, 4] = False
    mask[0, 8] = True
    closed = close_pinholes(mask)
    assert closed[4, 4]
    assert not drop_specks(closed, 4)[0, 8]
    assert grow(mask, 0.5) is mask
    assert grow(drop_specks(closed, 4), 1).sum() == 25 + 4 * 5
    thin = np.zeros((20, 20), bool)
    thin[10] = True
    assert not spare(thin, thin, 2).any()
    assert (spare(thin, ~thin, 2) == thin).all()
