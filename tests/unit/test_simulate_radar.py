"""Simulated backscatter against formulas and published magnitudes."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skymend.simulate import growing_season
from skymend.simulate.landscape import BROADLEAF, TOWN, WATER, landscape
from skymend.simulate.radar import backscatter, incidence, soil, speckle, water_cloud
from skymend.simulate.scenario import Pass
from skymend.simulate.seasons import season, season_of

SCENARIO = growing_season().model_copy(update={"size_px": 256, "partial_swath_share": 0.0})


def db(power):
    return 10 * np.log10(power)


def test_speckle_has_the_looks_asked_for():
    field = speckle((600, 600), 4.4, np.random.default_rng(1))
    # Correlation over 3 x 3 pixels leaves about 360000 / 2.2 independent samples, and the
    # relative error of a variance of gamma noise is below 2 % / sqrt(n / 1e4): 2 %.
    assert field.mean() == pytest.approx(1, abs=0.005)
    assert 1 / field.var() == pytest.approx(4.4, rel=0.02)


def test_neighbouring_speckle_is_slightly_correlated():
    field = speckle((500, 500), 4.4, np.random.default_rng(2))
    near = np.corrcoef(field[:, 1:].ravel(), field[:, :-1].ravel())[0, 1]
    far = np.corrcoef(field[:, 4:].ravel(), field[:, :-4].ravel())[0, 1]
    # Autocorrelation of the kernel (0.12, 0.76, 0.12) at one pixel: 0.1824 / 0.6064.
    assert near == pytest.approx(0.3008, abs=0.01)
    assert abs(far) < 0.01


def test_equivalent_looks_over_water_of_a_whole_image():
    scenario = SCENARIO.model_copy(update={"looks": 4.4})
    acquisition = scenario.radar_passes()[3]
    cover = landscape(scenario.seed, scenario.size_px).cover
    image = backscatter(scenario, acquisition)
    from scipy.ndimage import binary_erosion

    calm = binary_erosion(cover == WATER, iterations=2)
    assert calm.sum() > 100
    looks = image[0, calm].mean() ** 2 / image[0, calm].var()
    # A few hundred correlated pixels: relative error of the variance about 20 %.
    assert looks == pytest.approx(4.4, rel=0.4)


def test_bare_soil_equals_the_logarithmic_form_of_the_model():
    theta, moisture, roughness = np.radians(39.0), 0.2, 1.1
    k = 2 * np.pi / 5.547
    vv = (
        -11.38
        + 15.28 * np.log10(np.cos(theta))
        + 0.08 * 100 * moisture / np.tan(theta)
        + 7.1 * np.sin(theta) * np.log10(k * roughness)
    )
    ours = soil("VV", np.float32(theta), np.float32(moisture), np.float32(roughness))
    assert db(ours) == pytest.approx(vv, abs=1e-3)
    # Sentinel-1 over moist bare fields: VV about -10 dB, VH about -20 dB.
    assert vv == pytest.approx(-10.5, abs=1)
    vh = db(soil("VH", np.float32(theta), np.float32(moisture), np.float32(roughness)))
    assert vh == pytest.approx(-20.2, abs=1)


def test_water_cloud_limits():
    theta, ground = np.float32(0.68), np.float32(0.08)
    assert water_cloud("VV", theta, np.float32(0), ground) == pytest.approx(0.08)
    dense = water_cloud("VH", theta, np.float32(20), ground)
    assert dense == pytest.approx(0.0386 * np.cos(0.68), rel=1e-3)


@given(
    canopy=st.floats(0.0, 0.85),
    more=st.floats(0.05, 0.15),
    theta=st.floats(0.55, 0.78),
    moisture=st.floats(0.08, 0.35),
)
@settings(max_examples=60)
def test_cross_ratio_rises_with_biomass(canopy, more, theta, moisture):
    # Vreugdenhil et al. 2018: VH/VV follows vegetation water content.
    def ratio(v):
        angle, wet, rough = np.float32(theta), np.float32(moisture), np.float32(1.2)
        parts = (water_cloud(p, angle, np.float32(v), soil(p, angle, wet, rough)) for p in PAIR)
        return np.divide(*parts)

    assert ratio(canopy + more) > ratio(canopy)


PAIR = ("VH", "VV")


def test_covers_have_literature_magnitudes():
    image = np.mean([backscatter(SCENARIO, p) for p in SCENARIO.radar_passes()[:6]], axis=0)
    cover = landscape(SCENARIO.seed, SCENARIO.size_px).cover
    means = {c: db(image[:, cover == c].mean(axis=1)) for c in (BROADLEAF, WATER, TOWN)}
    np.testing.assert_allclose(means[BROADLEAF], (-9.2, -14.6), atol=1.2)
    assert means[WATER][0] < -15
    assert means[TOWN][0] > -8
    assert means[TOWN][1] - means[BROADLEAF][1] > 0


def test_ascending_and_descending_see_slopes_the_other_way_round():
    land = landscape(SCENARIO.seed, SCENARIO.size_px)
    tilt = [incidence(SCENARIO, o, land) for o in SCENARIO.orbits]
    difference = [local - flat for flat, local in tilt]
    _, east = land.slopes
    # DES looks west: ground rising eastwards turns away from ... the sensor in the east.
    signs = [np.corrcoef(d.ravel(), east.ravel())[0, 1] for d in difference]
    assert signs[0] * signs[1] < 0
    # Ascending passes look east, so ground that rises to the east faces the sensor.
    assert signs[1] < -0.8


def test_harvest_lowers_vh_and_rain_confuses_vv():
    scenario = growing_season()
    calendar = season(scenario.seed, scenario.size_px, 2018)
    land = landscape(scenario.seed, scenario.size_px)
    sizes = np.bincount(land.parcel[land.cover == 1], minlength=land.parcels)
    orbit = scenario.orbits[0]
    drops = []
    large = np.nonzero((sizes > 150) & (calendar.crop == 5))[0]
    for parcel in large[:6]:
        cut = calendar.harvest[0, parcel]
        pixels = (land.parcel == parcel) & (land.cover == 1)
        origin = scenario.start.replace(month=1, day=1)
        days = [origin + timedelta(days=int(cut) + n) for n in (-2, 1)]
        assert all(season_of(d) == 2018 for d in days)
        before, after = (backscatter(scenario, Pass(d, orbit))[1, pixels] for d in days)
        drops.append(float(db(np.nanmean(after)) - db(np.nanmean(before))))
    assert np.median(drops) < -1.5
    assert min(drops) > -8


def test_edges_of_the_swath_are_nodata():
    scenario = SCENARIO.model_copy(update={"partial_swath_share": 1.0})
    image = backscatter(scenario, scenario.radar_passes()[0])
    gone = np.isnan(image)
    assert 0.1 < gone.mean() < 0.9
    np.testing.assert_array_equal(gone[0], gone[1])
