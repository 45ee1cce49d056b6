"""Metrics against second formulas, published numbers and hand-made cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skymend.core.errors import GridError
from skymend.evaluate import metrics
from skymend.evaluate.scores import CHANGE_LIMIT


def image(seed: int, bands: int = 3, rows: int = 24, columns: int = 30) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.uniform(0.02, 0.4, (bands, rows, columns)).astype(np.float32)


def test_psnr_of_two_constants_that_differ_by_a_hundredth_is_forty_db():
    truth = np.full((4, 8, 8), 0.20, np.float32)
    # float32 keeps 0.21 - 0.20 to about 1e-8, which is 1e-5 dB
    assert metrics.psnr(truth, truth + np.float32(0.01), data_range=1.0) == pytest.approx(
        40.0, abs=1e-4
    )


def test_psnr_of_a_hundred_digital_numbers_is_forty_db_in_either_unit():
    truth = np.full((1, 8, 8), 2000, np.float32)
    assert metrics.psnr(truth, truth + 100, data_range=10_000) == pytest.approx(40.0, abs=1e-9)


def test_equal_images_have_infinite_psnr_and_full_similarity():
    truth = image(1)
    assert metrics.psnr(truth, truth) == math.inf
    assert metrics.ssim(truth, truth) == pytest.approx(1.0, abs=1e-12)
    assert metrics.mae(truth, truth) == 0.0


def test_mae_and_rmse_agree_with_the_definition_pixel_by_pixel():
    truth, estimate = image(1), image(2)
    truth[1, 3, 4] = np.nan
    estimate[0, 5, 6] = np.nan
    mask = np.random.default_rng(0).random(truth.shape[1:]) < 0.6
    errors = [
        float(estimate[b, r, c]) - float(truth[b, r, c])
        for b in range(3)
        for r in range(24)
        for c in range(30)
        if mask[r, c] and (r, c) not in {(3, 4), (5, 6)}
    ]
    expected_mae = math.fsum(abs(e) for e in errors) / len(errors)
    expected_rmse = math.sqrt(math.fsum(e * e for e in errors) / len(errors))
    # float64 sums of some thousand terms agree to about 1e-13
    assert metrics.mae(truth, estimate, mask) == pytest.approx(expected_mae, rel=1e-12)
    assert metrics.rmse(truth, estimate, mask) == pytest.approx(expected_rmse, rel=1e-12)


def reference_ssim(x: np.ndarray, y: np.ndarray, valid: np.ndarray, data_range: float):
    """Wang et al. (2004), equations 13-16, window by window with explicit weights."""
    rows, columns = x.shape
    out = np.full(x.shape, np.nan)
    for r in range(rows):
        for c in range(columns):
            if not valid[r, c]:
                continue
            weights, xs, ys = [], [], []
            full = 0.0
            for dr in range(-5, 6):
                for dc in range(-5, 6):
                    w = math.exp(-(dr * dr + dc * dc) / (2 * 1.5**2))
                    full += w
                    i, j = r + dr, c + dc
                    if 0 <= i < rows and 0 <= j < columns and valid[i, j]:
                        weights.append(w)
                        xs.append(float(x[i, j]))
                        ys.append(float(y[i, j]))
            if sum(weights) < 0.5 * full:
                continue
            w, a, b = np.array(weights) / sum(weights), np.array(xs), np.array(ys)
            ma, mb = (w * a).sum(), (w * b).sum()
            va, vb = (w * (a - ma) ** 2).sum(), (w * (b - mb) ** 2).sum()
            cov = (w * (a - ma) * (b - mb)).sum()
            c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
            out[r, c] = ((2 * ma * mb + c1) * (2 * cov + c2)) / (
                (ma**2 + mb**2 + c1) * (va + vb + c2)
            )
    return out


@pytest.mark.parametrize("data_range", [0.4, 1.0])
def test_ssim_equals_the_formula_window_by_window_also_at_holes(data_range):
    truth, estimate = image(3, bands=1), image(4, bands=1)
    mask = np.random.default_rng(1).random(truth.shape[1:]) < 0.8
    mask[:6, :6] = False
    found = metrics.ssim_map(truth, estimate, mask, data_range=data_range)
    expected = reference_ssim(truth[0], estimate[0], mask, data_range)
    assert (np.isnan(found) == np.isnan(expected)).all()
    # separable and direct windows differ by rounding only
    np.testing.assert_allclose(found, expected, atol=1e-9, equal_nan=True)


def test_ssim_of_constants_is_the_luminance_term():
    truth = np.full((2, 20, 20), 0.2, np.float32)
    estimate = np.full((2, 20, 20), 0.3, np.float32)
    c1 = (0.01 * 0.4) ** 2
    expected = (2 * 0.2 * 0.3 + c1) / (0.2**2 + 0.3**2 + c1)
    # float32 constants carry 1e-8
    assert metrics.ssim(truth, estimate) == pytest.approx(expected, abs=1e-6)


def test_ssim_does_not_look_at_pixels_outside_the_mask():
    truth, estimate = image(5), image(6)
    mask = np.zeros(truth.shape[1:], bool)
    mask[5:20, 5:20] = True
    flattered = estimate.copy()
    flattered[:, ~mask] = truth[:, ~mask]
    assert metrics.ssim(truth, flattered, mask) == metrics.ssim(truth, estimate, mask)


def test_spectral_angle_of_known_spectra():
    truth = np.array([[[1.0, 1.0, 1.0, 0.0]], [[0.0, 1.0, 2.0, 0.0]]], np.float32)
    other = np.array([[[0.0, 1.0, 2.0, 1.0]], [[1.0, 1.0, 4.0, 1.0]]], np.float32)
    angle = metrics.spectral_angle(truth, other)[0]
    # arccos near 1 turns rounding of 1e-16 into 1e-8 rad
    np.testing.assert_allclose(angle[:3], [math.pi / 2, 0.0, 0.0], atol=5e-8)
    assert math.isnan(angle[3])


@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 5.0))
@settings(max_examples=25, deadline=None)
def test_spectral_angle_does_not_depend_on_brightness(seed, scale):
    truth, other = image(seed, rows=4, columns=4), image(seed + 1, rows=4, columns=4)
    # the scaled image is float32: 1e-7 relative
    np.testing.assert_allclose(
        metrics.spectral_angle(truth, other),
        metrics.spectral_angle(truth, other * np.float32(scale)),
        atol=1e-5,
    )


def test_coverage_of_gaussian_errors_is_sixty_eight_per_cent():
    generator = np.random.default_rng(7)
    truth = np.full((2, 200, 200), 0.2, np.float32)
    sigma = np.full_like(truth, 0.02)
    estimate = truth + generator.normal(0, 0.02, truth.shape).astype(np.float32)
    # erf(1 / sqrt 2) = 0.6827; three standard errors of 80,000 samples are 0.005
    assert metrics.coverage(truth, estimate, sigma) == pytest.approx(0.6827, abs=0.005)


def test_images_of_different_shape_are_refused():
    with pytest.raises(GridError, match="one grid"):
        metrics.mae(image(1), image(1, rows=10))


def test_nothing_to_score_is_nan_not_a_crash():
    truth = np.full((2, 12, 12), np.nan, np.float32)
    assert math.isnan(metrics.mae(truth, truth))
    assert math.isnan(metrics.psnr(truth, truth))
    assert math.isnan(metrics.ssim(truth, truth))


def score(truth, estimate, hidden, gap_days, changed):
    return metrics.score_rows(
        truth,
        estimate,
        np.full_like(truth, 0.05),
        hidden,
        gap_days=gap_days,
        changed=changed,
        bands=("B02", "B03", "B04"),
        date="20230405",
        shape="20230415",
        method="linear",
    )


def test_score_rows_add_up_to_the_metrics_of_the_whole():
    truth, estimate = image(8), image(9)
    truth[0, 2, 2] = np.nan
    generator = np.random.default_rng(3)
    hidden = generator.random(truth.shape[1:]) < 0.7
    gap_days = generator.choice([5.0, 10.0, 15.0, 30.0, 70.0, np.nan, np.inf], hidden.shape)
    changed = generator.random(hidden.shape) < 0.3
    rows = score(truth, estimate, hidden, gap_days, changed)
    assert {r.gap_class for r in rows} == {"0-10", "10-20", "20-40", ">40"}
    pixels = sum(r.pixels for r in rows)
    assert pixels == int(metrics.valid_pixels(truth, estimate, hidden).sum())
    whole = sum(sum(r.abs_sum) for r in rows) / (3 * pixels)
    assert whole == pytest.approx(metrics.mae(truth, estimate, hidden), rel=1e-12)
    squares = sum(sum(r.sq_sum) for r in rows) / (3 * pixels)
    assert squares == pytest.approx(metrics.rmse(truth, estimate, hidden) ** 2, rel=1e-12)
    local = sum(r.ssim_sum for r in rows) / sum(r.ssim_pixels for r in rows)
    assert local == pytest.approx(metrics.ssim(truth, estimate, hidden), rel=1e-12)
    within = sum(sum(r.within) for r in rows) / (3 * pixels)
    sigma = np.full_like(truth, 0.05)
    assert within == pytest.approx(metrics.coverage(truth, estimate, sigma, hidden), rel=1e-12)


def test_a_gap_of_exactly_ten_days_belongs_to_the_shortest_class():
    truth, estimate = image(8, rows=12, columns=12), image(9, rows=12, columns=12)
    hidden = np.ones((12, 12), bool)
    rows = score(truth, estimate, hidden, np.full((12, 12), 10.0), np.zeros((12, 12), bool))
    assert [(r.gap_class, r.stratum, r.pixels) for r in rows] == [("0-10", "stable", 144)]


def test_change_needs_both_observations():
    before = np.array([[[0.1, 0.1, np.nan]], [[0.1, 0.1, 0.1]]], np.float32)
    after = np.array([[[0.1, 0.2, 0.9]], [[0.14, 0.1, 0.1]]], np.float32)
    assert metrics.changed_pixels(before, after, CHANGE_LIMIT).tolist() == [[False, True, False]]
