"""Gap filling on the real THEIA series 31UFQ, 2015-2018, under its own cloud shapes."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from skymend.core.grid import Grid
from skymend.evaluate.scores import GAP_CLASSES, gap_index
from skymend.fusion import Stack, method
from skymend.fusion.scenes import days, usable
from skymend.products import open_optical
from skymend.sources import search

pytestmark = pytest.mark.real

GRID = Grid("EPSG:32631", (10.0, 0.0, 670540.0, 0.0, -10.0, 5461500.0), (80, 80))
BANDS = ("B02", "B03", "B04", "B8A")
REACH_DAYS = 120.0


@pytest.fixture(scope="module")
def series(shared_data):
    """Return times, reflectance with NaN where not usable, and usable shares."""
    folder = shared_data / "theia-fordead-31UFQ" / "SENTINEL"
    period = (date(2015, 1, 1), date(2018, 12, 31))
    times, values = [], []
    for product in search("theia", folder, grid=GRID, period=period, bands=BANDS).products:
        scene = open_optical(product.path, product.kind)
        good = usable(scene.labels(GRID), snow_is_clear=True)
        if good.any():
            seen = scene.read(BANDS, GRID)
            seen[:, ~good] = np.nan
            times.append(days(product.time))
            values.append(seen)
    optical = np.stack(values)
    return np.array(times), optical, np.isfinite(optical).all(axis=1).mean(axis=(1, 2))


def hidden_cases(series, seed=0):
    """Yield a stack, what is wanted and the truth: every clear date, two widths of gap."""
    times, optical, share = series
    donors = np.flatnonzero((share > 0.15) & (share < 0.85))
    rng = np.random.default_rng(seed)
    for target in np.flatnonzero(share > 0.6):
        shape = ~np.isfinite(optical[rng.choice(donors)]).all(axis=0)
        hidden = shape & np.isfinite(optical[target]).all(axis=0)
        away = np.abs(times - times[target])
        for widen in (0.5, 20.0):
            keep = (away > widen) & (away <= REACH_DAYS)
            seen = np.where(hidden, np.float32(np.nan), optical[target])
            stack = Stack(times[keep], optical[keep], times[target], BANDS, target=seen)
            yield stack, hidden, optical[target]


@pytest.mark.parametrize("name", ["nearest", "linear", "harmonic"])
def test_uncertainty_covers_58_to_78_per_cent_in_every_gap_class(series, name):
    sample = np.random.default_rng(4).random(GRID.shape) < 0.15
    within = [[] for _ in GAP_CLASSES]
    # One draw of cloud shapes puts few dates into a class; three make some forty.
    cases = [case for seed in (0, 3, 5) for case in hidden_cases(series, seed)]
    for stack, hidden, truth in cases:
        fitted = method(name).fit(replace(stack, wanted=sample))
        estimate = fitted.predict(replace(stack, wanted=hidden))
        inside = (np.abs(estimate.mean - truth) <= estimate.sigma)[:, hidden]
        classes = gap_index(estimate.gap_days[hidden])
        for index, shares in enumerate(within):
            shares.append(inside[:, classes == index].ravel())
    found = [np.concatenate(shares) for shares in within]
    shares = {g: round(float(f.mean()), 3) for g, f in zip(GAP_CLASSES, found, strict=True)}
    print(name, shares)
    assert all(0.58 <= share <= 0.78 for share in shares.values()), shares


def test_interpolation_beats_the_nearest_date(series):
    """On a forest the season is smooth: two anchors beat one, a fitted course both."""
    errors = {}
    for name in ("nearest", "linear", "harmonic"):
        parts = []
        for stack, hidden, truth in list(hidden_cases(series))[::3]:
            sample = replace(stack, wanted=np.arange(80 * 80).reshape(80, 80) % 7 == 0)
            estimate = method(name).fit(sample).predict(replace(stack, wanted=hidden))
            parts.append(np.abs(estimate.mean - truth)[:, hidden].ravel())
        errors[name] = float(np.concatenate(parts).mean())
    assert errors["linear"] < errors["nearest"]
    assert errors["harmonic"] < errors["nearest"]
