"""Assembling layers: observed pixels untouched, QA codes, seams, fallbacks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core.encoding import REFLECTANCE
from skymend.fusion import Estimate, Stack
from skymend.fusion.assemble import Fallback, Layers, fallback_of, fill, sensor_sigma
from skymend.fusion.feather import rim, seam
from tests.fusion_case import BANDS

FALLBACK = Fallback(np.array([0.1, 0.3], np.float32), np.array([0.05, 0.06], np.float32))


class Constant:
    """A fitted method that says 0.25 everywhere, with the flags it is given."""

    def __init__(self, **flags: np.ndarray) -> None:
        self.flags = flags

    def predict(self, block: Stack) -> Estimate:
        shape = block.shape
        wanted = np.ones(shape, bool) if block.wanted is None else block.wanted
        mean = np.where(wanted, np.float32(0.25), np.float32(np.nan))
        mean = np.repeat(mean[None], 2, axis=0)
        empty = np.zeros(shape, bool)
        nothing = self.flags.get("nothing", empty)
        mean[:, nothing] = np.nan
        return Estimate(
            mean,
            np.where(np.isnan(mean), np.nan, 0.02).astype(np.float32),
            self.flags.get("outside", empty),
            np.full(shape, 10, np.float32),
            self.flags.get("radar", empty),
            self.flags.get("same_date"),
        )


def rebuild(hidden: np.ndarray, fitted: Constant, **options: object) -> tuple[Layers, np.ndarray]:
    rng = np.random.default_rng(0)
    stored = rng.integers(-50, 9000, (2, *hidden.shape)).astype(np.int16)
    target = np.where(hidden, np.float32(np.nan), REFLECTANCE.decode(stored))
    stack = Stack(
        np.array([0.0]), np.full((1, 2, *hidden.shape), 0.2, np.float32), 5.0, BANDS, target=target
    )
    inside = options.pop("inside", np.ones(hidden.shape, bool))
    settings = {"mode": "fill", "feather_px": 0.0, **options}
    made = fill(stack, inside, stored, fitted, FALLBACK, **settings)  # type: ignore[arg-type]
    return made, stored


@given(seed=st.integers(0, 1000), feather=st.sampled_from([0.0, 1.5, 5.0]))
def test_observed_pixels_keep_their_stored_value(seed: int, feather: float) -> None:
    hidden = np.random.default_rng(seed).random((12, 14)) < 0.4
    made, stored = rebuild(hidden, Constant(), feather_px=feather)
    np.testing.assert_array_equal(made.stored[:, ~hidden], stored[:, ~hidden])
    assert (made.qa[~hidden] == 1).all()
    assert (made.qa[hidden] == 3).all()
    seen = REFLECTANCE.decode(stored)[:, ~hidden]
    np.testing.assert_allclose(made.sigma[:, ~hidden], sensor_sigma(seen))


def test_qa_truth_table() -> None:
    """4 overrides 2 and 3; 5 is radar and the same date; 0 only where no date ever looked."""
    hidden = np.ones((1, 7), bool)
    hidden[0, 0] = False

    def at(*places: int) -> np.ndarray:
        flags = np.zeros((1, 7), bool)
        flags[0, list(places)] = True
        return flags

    fitted = Constant(radar=at(1, 3, 6), outside=at(3), same_date=at(6), nothing=at(4, 5))
    made, _ = rebuild(hidden, fitted, inside=~at(5))
    assert made.qa[0].tolist() == [1, 2, 3, 4, 4, 0, 5]
    assert made.stored[:, 0, 4].tolist() == [1000, 3000]
    assert made.sigma[:, 0, 4].tolist() == pytest.approx([0.05, 0.06])
    assert (made.stored[:, 0, 5] == -10000).all()
    assert np.isnan(made.sigma[:, 0, 5]).all()


def test_full_mode_makes_everything_anew() -> None:
    made, _ = rebuild(np.zeros((3, 3), bool), Constant(), mode="full")
    assert (made.stored == 2500).all()
    assert (made.qa == 3).all()


def test_nothing_hidden_asks_no_method() -> None:
    made, stored = rebuild(np.zeros((3, 3), bool), None)  # type: ignore[arg-type]
    np.testing.assert_array_equal(made.stored, stored)


def test_the_seam_closes_the_step_at_a_straight_rim_and_fades_out() -> None:
    known = np.zeros((21, 60), bool)
    known[:, 20:30] = True
    offset = np.where(known, np.float32(0.04), np.float32(0))[None]
    inside = seam(offset, known, 10.0)[0, 10, 30:]
    assert 0.03 < inside[0] <= 0.04
    assert (np.diff(inside[:10]) < 0).all()
    assert inside[10:] == pytest.approx(0, abs=1e-7)


def test_the_seam_agrees_with_a_gaussian_filter() -> None:
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(1)
    known = rng.random((40, 40)) < 0.5
    offset = rng.normal(0, 0.02, (40, 40)).astype(np.float32) * known
    expected = gaussian_filter(offset, 2.0, mode="constant", truncate=2.0)
    expected /= np.maximum(
        gaussian_filter(known.astype(float), 2.0, mode="constant", truncate=2.0), 0.5
    )
    # float32 sums against float64 ones.
    np.testing.assert_allclose(seam(offset[None], known, 4.0)[0], expected, atol=1e-7)


def test_the_rim_is_visible_and_near() -> None:
    hidden = np.zeros((9, 9), bool)
    hidden[4, 4] = True
    near = rim(hidden, ~hidden, 2.0)
    assert near.sum() == 24
    assert not near[4, 4]


def test_fallback_is_the_median_of_what_was_clear() -> None:
    optical = np.full((2, 2, 1, 3), np.nan, np.float32)
    optical[0, :, 0, :] = [[0.1, 0.2, 0.6], [0.3, 0.3, 0.3]]
    stack = Stack(np.array([0.0, 5.0]), optical, 2.0, BANDS)
    found = fallback_of(stack)
    assert found is not None
    assert found.level.tolist() == pytest.approx([0.2, 0.3])
    assert found.spread[1] == pytest.approx(0.02)
    empty = Stack(np.array([0.0]), np.full((1, 2, 1, 3), np.nan, np.float32), 2.0, BANDS)
    assert fallback_of(empty) is None
