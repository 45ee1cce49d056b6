"""Sun, clouds and shadows of simulated dates."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.warp import transform_bounds

from skymend.simulate import Scenario, growing_season, tiny
from skymend.simulate.clouds import shadow_shift_px, sky, spell, weather
from skymend.simulate.optical import observe, swath_edge, true_labels
from skymend.simulate.spectra import sun


def test_sun_at_solar_noon_of_the_solstice():
    # At solar noon the zenith is latitude minus declination (23.44 degrees). The equation of
    # time is -1.8 minutes on 21 June, so at 1.16 E noon falls at about 11:57 UTC.
    scenario = growing_season()
    left, bottom, right, top = transform_bounds(
        scenario.grid.crs, "EPSG:4326", *scenario.grid.bounds
    )
    minutes = 12 * 60 + 1.8 - (left + right) / 2 * 4
    noon = datetime(2018, 6, 21, tzinfo=UTC) + timedelta(minutes=minutes)
    zenith, azimuth = sun(scenario, noon)
    assert zenith == pytest.approx((bottom + top) / 2 - 23.44, abs=0.1)
    # Half a minute of time is 0.3 degree of azimuth this high in the sky.
    assert azimuth == pytest.approx(180, abs=0.5)


@given(height=st.floats(100, 3000), day=st.integers(0, 364))
@settings(max_examples=30, deadline=None)
def test_shadow_lies_height_times_tangent_away_from_the_sun(height, day):
    scenario = tiny()
    when = date(2018, 1, 1) + timedelta(days=day)
    zenith, azimuth = sun(scenario, scenario.optical_time(when))
    south, east = shadow_shift_px(scenario, when, height)
    assert np.hypot(south, east) * 10 == pytest.approx(height * np.tan(np.radians(zenith)))
    away = np.degrees(np.arctan2(east, -south)) % 360
    assert away == pytest.approx((azimuth + 180) % 360)


def test_shadow_map_is_the_displaced_cloud_map():
    scenario = Scenario(size_px=256, seed=9, spells=False, cloudiness=0.6)
    days = [d for d in scenario.optical_dates() if 0.1 < weather(scenario, d).cover < 0.5]
    above = sky(scenario, days[0])
    cloud = np.fft.rfft2(above.thick - above.thick.mean())
    shade = np.fft.rfft2(above.shadow - above.shadow.mean())
    match = np.fft.irfft2(np.conj(cloud) * shade, s=above.thick.shape)
    peak = np.unravel_index(match.argmax(), match.shape)
    offset = [p - n if p > n / 2 else p for p, n in zip(peak, match.shape, strict=True)]
    # One pixel: the shift is fractional and the field is cut by the image's edges.
    np.testing.assert_allclose(offset, above.shift_px, atol=1.0)


def test_spells_last_20_to_34_days():
    scenario = growing_season()
    days = [date(2018, 1, 1) + timedelta(days=n) for n in range(730)]
    inside = [spell(scenario, d) for d in days]
    whole = [n for n in set(inside) if n >= 0 and n not in (inside[0], inside[-1])]
    assert len(whole) >= 8
    assert all(20 <= inside.count(n) <= 34 for n in whole)


def test_a_season_leaves_gaps_of_20_to_45_days():
    scenario = growing_season()
    hidden = []
    last = np.full(scenario.shape, np.nan)
    for day in scenario.optical_dates():
        labels = true_labels(sky(scenario, day), np.zeros(scenario.shape, bool))
        usable = (labels == 1) & ~swath_edge(scenario, day)
        hidden.append(np.where(usable, day.toordinal() - last, np.nan))
        last[usable] = day.toordinal()
    longest = np.nanmax(np.stack(hidden), axis=0)
    assert np.mean(longest >= 20) > 0.5
    assert np.mean(longest <= 45) > 0.9


def test_a_season_has_clear_partly_cloudy_hidden_and_missed_dates():
    scenario = growing_season()
    covers = [weather(scenario, d).cover for d in scenario.optical_dates()]
    assert sum(c < 0.03 for c in covers) >= 5
    assert sum(0.05 < c < 0.95 for c in covers) >= 5
    assert sum(c == 1 for c in covers) >= 3
    edges = [swath_edge(scenario, d).mean() for d in scenario.optical_dates()]
    assert any(0 < e < 1 for e in edges)


def test_no_cloudiness_means_no_cloud():
    scenario = tiny().model_copy(update={"cloudiness": 0.0, "partial_swath_share": 0.0})
    for day in scenario.optical_dates():
        image = observe(scenario, day)
        assert set(np.unique(image.labels)) <= {1, 5}
        assert not image.clm.any()


def test_cloudiness_raises_cover():
    def cover(cloudiness):
        scenario = growing_season().model_copy(update={"cloudiness": cloudiness})
        return np.mean([weather(scenario, d).cover for d in scenario.optical_dates()])

    assert cover(0.0) < cover(0.3) < cover(0.5) < cover(0.9)


def test_clm_bits_agree_with_the_truth_unless_errors_are_asked_for():
    scenario = growing_season()
    day = next(d for d in scenario.optical_dates() if 0.2 < weather(scenario, d).cover < 0.7)
    image = observe(scenario, day)
    np.testing.assert_array_equal((image.clm & 2) > 0, image.labels == 2)
    np.testing.assert_array_equal((image.clm & 1) > 0, np.isin(image.labels, (2, 3)))
    assert ((image.clm & (32 | 64)) > 0)[image.labels == 3].all()
    flawed = observe(scenario.model_copy(update={"mask_errors": True}), day)
    np.testing.assert_array_equal(flawed.reflectance, image.reflectance)
    wrong = np.mean(flawed.clm != image.clm)
    assert 0.0005 < wrong < 0.08


def test_clouds_are_bright_and_shadows_dark():
    scenario = growing_season()
    day = next(d for d in scenario.optical_dates() if 0.2 < weather(scenario, d).cover < 0.7)
    image = observe(scenario, day)
    near_infrared = image.reflectance[scenario.bands.index("B08")]
    blue = image.reflectance[scenario.bands.index("B02")]
    assert np.median(blue[image.labels == 2]) > 3 * np.median(blue[image.labels == 1])
    assert near_infrared[image.labels == 3].mean() < 0.8 * near_infrared[image.labels == 1].mean()


def test_clear_pixels_are_the_truth_within_sensor_and_haze_errors():
    from skymend.simulate import truth

    scenario = growing_season()
    day = next(d for d in scenario.optical_dates() if 0.005 < weather(scenario, d).cover < 0.2)
    image = observe(scenario, day)
    clear = image.labels == 1
    error = (image.reflectance - truth(scenario, day))[:, clear]
    # 1 % gain, 0.1 % noise and a haze of 0.006 in the blue stay well below 0.02; the
    # thinnest cloud edges (opacity below 2 %) add up to 0.013.
    assert np.abs(error).mean() < 0.012
    assert np.percentile(np.abs(error), 99) < 0.04
