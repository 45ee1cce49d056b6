"""Normal equations that can leave a date out."""

from __future__ import annotations

import numpy as np
import pytest

from skymend.fusion.grams import FAVOUR, FAVOUR_PIXELS, Grams


def parts(seed: int = 0) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    made = {}
    for date in (-1, 0, 1):
        for fold in (0, 1):
            x = rng.normal(size=(3, 2, 200)).astype(np.float32)
            truth = np.array([0.5, -0.2, 0.1 * (date + 2)])
            error = np.einsum("k,kbp->bp", truth, x) + rng.normal(0, 0.05, (2, 200))
            made[date, fold] = x, error.astype(np.float32)
    return made


def filled(ridge: float = 0.0) -> Grams:
    grams = Grams(2, 3, ridge)
    for part, (features, error) in parts().items():
        grams.add(part, features, error)
    return grams


def test_leaving_a_part_out_is_fitting_the_others() -> None:
    used = [v for k, v in parts().items() if k != (0, 1)]
    found = filled().solve(frozenset({(0, 1)}))
    for band in range(2):
        x = np.concatenate([f[:, band] for f, _ in used], axis=1).T
        y = np.concatenate([e[band] for _, e in used])
        expected = np.linalg.lstsq(x, y, rcond=None)[0]
        # Errors are clipped at their 99 % quantile, which costs the slope some per cent.
        np.testing.assert_allclose(found[band], expected, atol=0.02)


def test_a_favoured_date_pulls_the_fit_towards_its_own() -> None:
    grams = filled()
    third = {date: grams.solve(favoured=date)[0, 2] for date in (-1, 0, 1)}
    assert third[-1] < grams.solve()[0, 2] < third[1]
    share = FAVOUR * 400 / (400 + FAVOUR_PIXELS)
    others = 0.1 * (2 + 3) / 2
    assert third[-1] == pytest.approx(share * 0.1 + (1 - share) * others, abs=0.02)


def test_without_any_part_nothing_is_corrected() -> None:
    grams = Grams(2, 3, 0.02)
    grams.add((0, 0), np.empty((3, 2, 0), np.float32), np.empty((2, 0), np.float32))
    assert not grams.solve().any()


def test_the_ridge_shrinks() -> None:
    assert np.abs(filled(1.0).solve()).sum() < np.abs(filled().solve()).sum()
