"""Simulated Sentinel-1 GRD: geometry, facets, speckle, and what independent readers make of it."""

from datetime import UTC, datetime

import numpy as np
import pytest

from skymend.core.grid import Grid
from skymend.simulate.facets import Terrain, beta0, facets_of, finer
from skymend.simulate.s1_frame import frame_over
from skymend.simulate.s1_orbit import (
    earth_fixed,
    geodetic,
    is_right,
    normal_of,
    orbit_over,
    zero_doppler,
)
from skymend.simulate.s1_signal import digital_numbers, speckle

EPOCH = datetime(2018, 6, 2, 6, 0, 8, tzinfo=UTC)
GRID = Grid("EPSG:32631", (10.0, 0.0, 350_000.0, 0.0, -10.0, 4_850_000.0), (240, 240))


def corners(grid=GRID, heights=(0.0, 0.0), inset=0.0):
    from rasterio.warp import transform

    left, bottom, right, top = grid.bounds
    x = [left + inset, right - inset, right - inset, left + inset]
    y = [top - inset, top - inset, bottom + inset, bottom + inset]
    longitude, latitude = (np.array(a) for a in transform(grid.crs, "EPSG:4326", x, y)[:2])
    points = [earth_fixed(longitude, latitude, np.full(4, h)) for h in heights]
    return np.concatenate(points), float(longitude.mean()), float(latitude.mean())


def frame_on(grid=GRID, incidence=38.0, direction="DES", heights=(0.0, 0.0)):
    points, longitude, latitude = corners(grid, heights, inset=450.0)
    orbit = orbit_over(latitude, longitude, incidence, direction)
    return frame_over(orbit, EPOCH, points, margin_m=0.0)


@pytest.mark.parametrize("direction", ["ASC", "DES"])
@pytest.mark.parametrize("latitude", [-55.0, 0.0, 43.6, 74.0])
def test_the_orbit_sees_the_place_as_asked(latitude, direction):
    orbit = orbit_over(latitude, 179.9, 36.0, direction)
    target = earth_fixed(np.array(179.9), np.array(latitude), np.array(0.0))
    position, velocity, acceleration = orbit.at(0.0)
    look = position - target
    assert abs(look @ velocity) / np.linalg.norm(velocity) < 1e-3
    cosine = look @ normal_of(np.array(179.9), np.array(latitude)) / np.linalg.norm(look)
    assert np.degrees(np.arccos(cosine)) == pytest.approx(36.0, abs=1e-6)
    assert is_right(orbit, target)
    assert (velocity[2] > 0) == (direction == "ASC")
    assert 685_000 < geodetic(position)[2] < 725_000
    step = 1e-2
    ahead, behind = orbit.at(step), orbit.at(-step)
    # Central differences err by h^2/6 of the third derivative, some 1e-9 m/s, and rounding.
    np.testing.assert_allclose((ahead[0] - behind[0]) / (2 * step), velocity, atol=1e-5)
    np.testing.assert_allclose((ahead[1] - behind[1]) / (2 * step), acceleration, atol=1e-7)


def test_geodetic_coordinates_return():
    rng = np.random.default_rng(1)
    longitude, latitude = rng.uniform(-180, 180, 99), rng.uniform(-89, 89, 99)
    height = rng.uniform(-400, 9000, 99)
    back = geodetic(earth_fixed(longitude, latitude, height))
    np.testing.assert_allclose(back[0], longitude, atol=1e-11)
    np.testing.assert_allclose(back[1], latitude, atol=1e-11)
    np.testing.assert_allclose(back[2], height, atol=1e-6)


def test_pixels_and_places_are_inverse():
    frame = frame_on()
    rng = np.random.default_rng(2)
    line, sample = rng.uniform(0, 150, 50), rng.uniform(0, 150, 50)
    points = frame.locate(line, sample, 300.0)
    np.testing.assert_allclose(geodetic(points)[2], 300.0, atol=1e-5)
    seconds = zero_doppler(frame.orbit, points)
    slant = np.linalg.norm(points - frame.orbit.at(seconds)[0], axis=-1)
    found = frame.pixel(seconds, slant)
    # The two polynomials of ground range are fitted apart: they agree to a tenth of a millimetre.
    np.testing.assert_allclose(found, (line, sample), atol=1e-5)


def test_flat_ground_scatters_gamma0_over_tangent():
    frame = frame_on()
    facets = facets_of(finer(Terrain(GRID, np.zeros(GRID.shape))), frame)
    image = beta0(frame, facets, 0.2)
    theta = np.arccos(facets.ellipsoid_cosine.mean())
    inner = image[20:-20, 20:-20]
    # Facets of 5 m in cells of 10 m leave a ripple of some 0.2 %.
    assert inner.mean() == pytest.approx(0.2 / np.tan(theta), rel=1e-3)
    assert inner.std() / inner.mean() < 0.005
    assert facets.visible.all()


def test_a_plane_towards_the_radar_scatters_by_its_local_angle():
    # A descending pass looks west-north-west; the plane rises that way, away from the radar.
    frame = frame_on(heights=(-250.0, 250.0))
    columns, rows = np.meshgrid(np.arange(240) - 120, np.arange(240) - 120)
    heading = np.radians(192.3)
    away = -columns * 10 * np.cos(heading - np.pi) + rows * 10 * np.sin(heading - np.pi) * -1
    terrain = finer(Terrain(GRID, 0.15 * away))
    facets = facets_of(terrain, frame)
    image = beta0(frame, facets, 0.2)
    local = np.arccos(np.median(facets.cosine))
    flat = np.arccos(facets.ellipsoid_cosine.mean())
    assert np.degrees(flat - local) == pytest.approx(np.degrees(np.arctan(0.15)), abs=0.3)
    middle = image[image.shape[0] // 2 - 15 :, :][:30]
    inner = middle[:, 70:-70]
    assert inner.mean() == pytest.approx(0.2 / np.tan(local), rel=0.01)


def test_steep_ground_folds_over_and_hides():
    frame = frame_on(heights=(0.0, 400.0))
    rows, columns = np.indices(GRID.shape)
    hill = 400 * np.exp(-(((columns - 120) / 16) ** 2) - ((rows - 120) / 40) ** 2)
    facets = facets_of(finer(Terrain(GRID, hill)), frame)
    image = beta0(frame, facets, 0.2)
    assert not facets.visible.all()
    assert ((facets.cosine > 0) & ~facets.visible).any()
    flat = 0.2 / np.tan(np.arccos(facets.ellipsoid_cosine.mean()))
    assert image.max() > 4 * flat
    inside = image[10:-10, 10:-10]
    assert (inside < 0.02 * flat).any()
    power = (0.2 * facets.cosine * facets.area)[facets.visible]
    held = (facets.line > 1) & (facets.line < image.shape[0] - 2)
    held &= (facets.sample > 1) & (facets.sample < image.shape[1] - 2)
    lost = 1 - (0.2 * facets.cosine * facets.area)[facets.visible & held].sum() / power.sum()
    assert 0 < lost < 0.6


def test_speckle_has_the_sensors_looks_and_correlation():
    grain = speckle((700, 700), 3, "test").astype(np.float64)
    assert grain.mean() == pytest.approx(1, abs=0.01)
    # 700^2 pixels hold some 1e5 independent ones: the variance is known to a per cent.
    assert 1 / grain.var() == pytest.approx(4.4, rel=0.04)
    centred = grain - grain.mean()
    for axis, resolution in ((0, 2.2), (1, 2.05)):
        near = (centred * np.roll(centred, 1, axis)).mean() / grain.var()
        far = (centred * np.roll(centred, 4, axis)).mean() / grain.var()
        expected = correlation_at_one_pixel(resolution)
        assert near == pytest.approx(expected, abs=0.03)
        assert abs(far) < 0.03
    single = speckle((300, 300), 3, "single", looks=1.0)
    assert single.var() == pytest.approx(1, rel=0.1)


def correlation_at_one_pixel(resolution):
    """Squared autocorrelation of an impulse response with that width, by quadrature."""
    half = 0.886 * 1.18 / resolution / 2
    frequency = np.linspace(-half, half, 4001)
    power = (0.7 + 0.3 * np.cos(np.pi * frequency / half)) ** 2
    return (np.sum(power * np.cos(2 * np.pi * frequency)) / power.sum()) ** 2


def test_numbers_follow_the_formula():
    values = np.array([[np.nan, 0.0, 0.25]], np.float32)
    stored = digital_numbers(values, 400.0, 900.0, 1.0)
    assert stored.tolist() == [[0, 30, round(np.sqrt(0.25 * 400**2 + 900))]]
