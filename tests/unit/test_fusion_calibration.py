"""The stated uncertainty on series whose noise is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from skymend.fusion import METHODS, method
from skymend.fusion.calibration import _non_negative, _weighted_quantile
from tests.fusion_case import season, stack


@pytest.mark.parametrize("name", sorted(METHODS))
def test_68_per_cent_of_known_errors_lie_within_one_sigma(name: str) -> None:
    inside = []
    for seed in range(6):
        block, truth = season(np.random.default_rng(seed))
        estimate = method(name).fit(block).predict(block)
        inside.append(np.abs(estimate.mean - truth) <= estimate.sigma)
    # 6,912 values of six dates: three standard errors of a date-wise share are about 0.06.
    assert 0.60 < np.mean(inside) < 0.77


@pytest.mark.parametrize("name", ["nearest", "linear"])
def test_long_gaps_are_stated_as_less_certain(name: str) -> None:
    block, truth = season(np.random.default_rng(9), dates=30, cloud=0.2)
    fitted = method(name).fit(block)
    near = fitted.predict(block)
    wide = fitted.predict(block.keep(np.abs(block.times - block.target_time) > 20))
    assert np.median(wide.sigma) > 1.2 * np.median(near.sigma)
    inside = np.abs(wide.mean - truth) <= wide.sigma
    assert 0.5 < inside.mean() < 0.85


def test_without_other_dates_the_prior_stands() -> None:
    block = stack([0], [[0.2, 0.3]], 30)
    sigma = method("linear").fit(block).predict(block).sigma
    # constant + bridge + distance + one-sided terms of the prior at 30 days.
    expected = 0.006 + 0.004 * np.sqrt(1.5) + 0.002 * 1.5 + 0.004 * np.sqrt(1.5)
    np.testing.assert_allclose(sigma, expected, rtol=1e-5)


def test_the_visible_part_of_the_target_is_a_rehearsal() -> None:
    block, truth = season(np.random.default_rng(10), dates=4)
    hazy = truth + np.float32(0.08)
    half = np.arange(truth.shape[2]) < 12
    target = np.where(half, hazy, np.float32(np.nan))
    sigma = [
        np.nanmedian(method("linear").fit(replace(block, target=t)).predict(block).sigma)
        for t in (None, target)
    ]
    assert sigma[1] > 1.5 * sigma[0]


def test_non_negative_least_squares_agrees_with_scipy() -> None:
    from scipy.optimize import nnls

    rng = np.random.default_rng(12)
    for _ in range(20):
        x, y = rng.normal(size=(40, 5)), rng.normal(size=40)
        expected = nnls(x, y)[0]
        # Normal equations square the condition number of a well-behaved design.
        np.testing.assert_allclose(_non_negative(x.T @ x, x.T @ y), expected, atol=1e-8)


def test_weighted_quantile_of_equal_weights_is_the_order_statistic() -> None:
    values = np.arange(100, dtype=np.float32)[::-1].copy()
    assert _weighted_quantile(values, np.ones(100), 0.68) == 67
