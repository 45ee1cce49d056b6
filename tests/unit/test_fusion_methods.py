"""Nearest, linear, harmonic and regression filling on hand-made series and against oracles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core.errors import ConfigError, InternalError
from skymend.fusion import METHODS, Stack, method
from skymend.fusion.compositing import composite
from skymend.fusion.harmonic import basis
from skymend.fusion.pixels import anchors, flatten
from skymend.fusion.radar import RadarSeries, boxcar, step_before
from skymend.fusion.temporal import Linear
from tests.fusion_case import BANDS, season, stack

NAN = float("nan")


def predicted(name: str, block: Stack, **options: float) -> np.ndarray:
    return method(name, **options).fit(block).predict(block).mean[0, 0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.1, 0.2, 0.4, 0.5], 0.2),  # day 8 is closer than day 14
        ([0.1, NAN, 0.4, 0.5], 0.4),  # cloud on day 8: then day 14 (4 days) before day 0
        ([0.1, NAN, NAN, NAN], 0.1),
        ([NAN, NAN, NAN, NAN], NAN),
    ],
)
def test_nearest_takes_the_closest_usable_date(values: list[float], expected: float) -> None:
    block = stack([0, 8, 14, 20], [[v] for v in values], 10)
    assert predicted("nearest", block)[0] == pytest.approx(expected, nan_ok=True)


def test_nearest_prefers_the_earlier_of_two_equally_close_dates() -> None:
    assert predicted("nearest", stack([0, 10], [[0.1], [0.3]], 5))[0] == pytest.approx(0.1)


def test_linear_agrees_with_numpy_interp_whatever_is_hidden() -> None:
    rng = np.random.default_rng(1)
    times = np.sort(rng.uniform(0, 80, 9))
    values = rng.uniform(0, 0.6, (9, 50)).astype(np.float32)
    values[rng.random(values.shape) < 0.4] = np.nan
    mean = predicted("linear", stack(list(times), values.tolist(), 40.0), window_days=100)
    for pixel in range(50):
        good = np.isfinite(values[:, pixel])
        expected = np.interp(40.0, times[good], values[good, pixel]) if good.any() else np.nan
        # float32 weights against float64 ones: a few units of the seventh digit.
        assert mean[pixel] == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_linear_leaves_farther_dates_alone_unless_there_is_nothing_else() -> None:
    block = stack([0, 90, 130], [[0.1, 0.1], [0.3, NAN], [0.5, 0.5]], 100)
    estimate = method("linear", window_days=60).fit(block).predict(block)
    assert estimate.mean[0, 0] == pytest.approx([0.3 + 0.2 * 10 / 40, 0.5])
    assert not estimate.outside.any()
    far = stack([0, 200], [[0.1], [0.3]], 100)
    estimate = method("linear", window_days=60).fit(far).predict(far)
    assert estimate.outside.all()
    assert estimate.mean[0, 0, 0] == pytest.approx(0.2)


def test_gap_days_are_those_between_the_usable_observations() -> None:
    block = stack([0, 10, 30], [[0.1, 0.1, NAN], [0.1, NAN, NAN], [0.1, 0.1, 0.1]], 20)
    estimate = method("linear").fit(block).predict(block)
    assert estimate.gap_days[0].tolist() == [20, 30, np.inf]


def test_harmonic_without_penalty_is_the_least_squares_fit() -> None:
    rng = np.random.default_rng(2)
    times = np.arange(0, 360, 12.0)
    phase = 2 * np.pi * (times - 180) / 365.2425
    course = 0.3 + 0.1 * np.cos(phase) + 0.05 * np.sin(2 * phase)
    values = course + rng.normal(0, 0.005, times.size)
    block = stack(list(times), [[v] for v in values], 180.0)
    fitted = method("harmonic", window_days=181, ridge=(0, 0, 0), closeness_days=1e6, outlier=1e6)
    mean = fitted.fit(block).predict(block).mean[0, 0, 0]
    design = basis(times - 180.0, 181)
    expected = np.linalg.lstsq(design, values, rcond=None)[0]
    # The level carries a penalty of 1e-6 of the weight; float32 coefficients.
    assert mean == pytest.approx(expected[0] + expected[2] + expected[4], abs=2e-4)


def test_harmonic_drops_an_overlooked_cloud() -> None:
    times = np.arange(0, 200, 10.0)
    clean = np.repeat((0.2 + 0.05 * np.cos(times / 58))[:, None], 60, axis=1)
    clean += np.random.default_rng(3).normal(0, 0.003, clean.shape)
    cloudy = clean.copy()
    cloudy[10, 0] = 0.8
    keep = times != 110
    fit = method("harmonic", window_days=180).fit
    made = []
    for values in (clean, cloudy):
        block = stack(list(times[keep]), values[keep].tolist(), 110.0)
        made.append(fit(block).predict(block).mean[0, 0, 0])
    # Half a per cent of reflectance; the cloud alone would pull by several.
    assert abs(made[1] - made[0]) < 0.006


def test_few_dates_make_harmonic_linear() -> None:
    block = stack([0, 20], [[0.1], [0.3]], 5)
    assert predicted("harmonic", block)[0] == pytest.approx(0.15)


def test_regression_without_radar_is_linear() -> None:
    block, _ = season(np.random.default_rng(4))
    estimate = method("regression").fit(block).predict(block)
    np.testing.assert_array_equal(estimate.mean, Linear().fit(block).predict(block).mean)
    assert not estimate.used_radar.any()


def harvest(seed: int, side: int = 32) -> tuple[Stack, np.ndarray]:
    """Fields cut on different days: NIR falls at once, VH with it; the target in a gap."""
    rng = np.random.default_rng(seed)
    field = rng.integers(0, 64, (side // 4, side // 4)).repeat(4, 0).repeat(4, 1)
    day = rng.uniform(0, 90, 64)[field]
    times = np.array([0, 6, 12, 30, 36, 42, 54, 60, 78, 84, 90.0])
    done = times[:, None, None] > day
    red, nir = np.where(done, 0.15, 0.05), np.where(done, 0.2, 0.4)
    optical = np.stack([red, nir], axis=1) + rng.normal(0, 0.005, (len(times), 2, side, side))
    passes = np.arange(0, 91, 6.0)
    db = np.where(passes[:, None, None] > day, -19.0, -14.0)
    power = np.stack([10 ** ((db + 6) / 10), 10 ** (db / 10)], axis=1)
    power *= rng.gamma(4.4, 1 / 4.4, power.shape)
    target = 48.0
    truth = np.stack([np.where(target > day, 0.15, 0.05), np.where(target > day, 0.2, 0.4)])
    near = np.abs(times - target) > 10
    return (
        Stack(
            times[near],
            optical[near].astype(np.float32),
            target,
            BANDS,
            passes,
            power.astype(np.float32),
        ),
        truth,
    )


def test_radar_tells_when_a_field_was_cut() -> None:
    block, truth = harvest(5)
    error = {
        name: np.abs(method(name).fit(block).predict(block).mean - truth).mean()
        for name in ("linear", "regression")
    }
    assert error["regression"] < 0.6 * error["linear"]


def test_a_step_between_passes_is_found() -> None:
    times = np.arange(0, 61, 6.0)
    db = np.where(times < 27, 0.0, -5.0).astype(np.float32)[:, None, None].repeat(2, 1)
    series = RadarSeries(times, np.zeros(len(times), np.int64), db)
    noise = np.ones(2, np.float32)
    before, evidence = step_before(series, 0, 40, 60, noise)
    assert before[0] > 0.99
    assert evidence[0] > 0.9
    assert step_before(series, 0, 15, 60, noise)[0][0] < 0.01


def test_boxcar_agrees_with_scipy_and_ignores_nan() -> None:
    from scipy.ndimage import uniform_filter

    rng = np.random.default_rng(6)
    image = rng.random((20, 30)).astype(np.float32)
    inner = boxcar(image, 2)[2:-2, 2:-2]
    # Sums of 25 float32 numbers in another order.
    np.testing.assert_allclose(inner, uniform_filter(image, 5)[2:-2, 2:-2], rtol=2e-6)
    image[10, 10] = np.nan
    assert np.isnan(boxcar(image, 2)[10, 10])
    assert np.isfinite(boxcar(image, 2)[10, 11])


@pytest.mark.parametrize("name", sorted(METHODS))
@given(seed=st.integers(0, 10_000))
def test_estimates_are_physical_and_independent_of_the_order_of_pixels(
    name: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    block, _ = season(rng, dates=8, side=6, noise=0.2, cloud=0.6)
    fitted = method(name).fit(block)
    estimate = fitted.predict(block)
    finite = np.isfinite(estimate.mean)
    assert ((estimate.mean[finite] >= 0) & (estimate.mean[finite] <= 1)).all()
    assert (estimate.sigma[finite] > 0).all()
    seen = np.isfinite(block.optical).all(axis=1).any(axis=0)
    np.testing.assert_array_equal(finite.all(axis=0), seen)
    flipped = replace(block, optical=block.optical[:, :, ::-1])
    np.testing.assert_array_equal(fitted.predict(flipped).mean[:, ::-1], estimate.mean)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_date_without_any_candidate_gives_no_estimate_and_no_crash(name: str) -> None:
    lonely = Stack(
        times=np.empty(0),
        optical=np.empty((0, len(BANDS), 4, 5), np.float32),
        target_time=100.0,
        bands=BANDS,
        target=np.full((len(BANDS), 4, 5), 0.2, np.float32),
    )
    found = method(name, window_days=30.0).fit(lonely).predict(lonely)
    assert found.mean.shape == (len(BANDS), 4, 5)
    assert np.isnan(found.mean).all()
    assert not np.isfinite(found.gap_days).any()


def test_only_wanted_pixels_are_estimated() -> None:
    block, _ = season(np.random.default_rng(8))
    wanted = np.zeros(block.shape, bool)
    wanted[3, 4] = True
    full = method("linear").fit(block).predict(block).mean
    part = method("linear").fit(block).predict(replace(block, wanted=wanted)).mean
    assert np.isfinite(part).sum() == 2
    np.testing.assert_array_equal(part[:, 3, 4], full[:, 3, 4])


def test_anchor_at_the_target_time_counts_as_before() -> None:
    found = anchors(flatten(stack([0, 5, 9], [[0.1], [0.2], [0.3]], 5)), 60)
    assert found.days_before[0] == 0
    assert found.days_after[0] == 4


def test_composites_prefer_clear_then_close() -> None:
    block = stack(
        [0, 10, 20, 30, 40],
        [[0.1, 0.1, NAN], [0.2, NAN, NAN], [0.3, 0.3, NAN], [0.4, NAN, NAN], [0.5, 0.5, NAN]],
        25,
    )
    values, age = composite(block, "before", 60)
    assert values[0, 0].tolist() == pytest.approx([0.3, 0.3, NAN], nan_ok=True)
    assert age[0].tolist() == pytest.approx([5, 5, NAN], nan_ok=True)
    values, age = composite(block, "after", 60)
    assert values[0, 0].tolist() == pytest.approx([0.4, 0.5, NAN], nan_ok=True)
    assert age[0].tolist() == pytest.approx([5, 15, NAN], nan_ok=True)


@pytest.mark.parametrize(("window", "taken"), [(15.0, True), (14.9, False)])
def test_the_limit_of_a_composite_window_is_inside(window: float, taken: bool) -> None:
    values, _ = composite(stack([10], [[0.2]], 25), "before", window)
    assert np.isfinite(values).all() == taken


def test_errors_name_what_was_expected() -> None:
    with pytest.raises(ConfigError, match="expected one of harmonic, linear, nearest, regression"):
        method("cubic")
    with pytest.raises(ConfigError, match="before or after"):
        composite(stack([0], [[0.1]], 1), "both", 9)  # type: ignore[arg-type]
    with pytest.raises(InternalError, match="ascending"):
        stack([5, 1], [[0.1], [0.2]], 3)
