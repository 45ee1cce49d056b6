"""Hiding pixels under real cloud shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core.encoding import ByteArray
from skymend.fusion.hiding import Donor, Hidden, hide, tiled


def donor(name: str, columns: slice, label: int = 2) -> Donor:
    labels = np.ones((20, 20), np.uint8)
    labels[:, columns] = label
    return Donor(name, name, lambda: labels)


def find(donors: list[Donor], target: str = "t", share: float = 0.3) -> Hidden | None:
    return hide(np.ones((20, 20), bool), donors, target_id=target, share=share, seed=7)


DONORS = [donor(f"d{n}", slice(n, n + 6)) for n in range(8)]


@given(st.permutations(DONORS), st.integers(0, 50))
def test_the_order_of_donors_never_matters(donors: list[Donor], target: int) -> None:
    first, again = find(DONORS, str(target)), find(donors, str(target))
    assert first is not None
    assert again is not None
    assert first.donor.id == again.donor.id
    np.testing.assert_array_equal(first.pixels, again.pixels)


def test_different_targets_borrow_from_different_donors() -> None:
    chosen = {found.donor.id for t in range(30) if (found := find(DONORS, str(t)))}
    assert len(chosen) > 3


@pytest.mark.parametrize("label", [2, 3])
def test_clouds_and_shadows_hide_exactly_their_pixels(label: int) -> None:
    found = find([donor("d", slice(0, 6), label)])
    assert found is not None
    assert found.pixels[:, :6].all()
    assert not found.pixels[:, 6:].any()
    assert found.share == pytest.approx(0.3)


@pytest.mark.parametrize("columns", [slice(0, 0), slice(0, 1), slice(0, 20)])
def test_clear_nearly_clear_and_fully_cloudy_donors_lend_nothing(columns: slice) -> None:
    assert find([donor("d", columns)]) is None


def test_only_clear_pixels_are_hidden() -> None:
    clear = np.zeros((20, 20), bool)
    clear[:10] = True
    found = hide(clear, [donor("d", slice(0, 6))], target_id="t", share=0.3, seed=7)
    assert found is not None
    assert not (found.pixels & ~clear).any()


def test_of_too_many_clouds_some_are_taken_whole() -> None:
    labels = np.ones((40, 40), np.uint8)
    for row in range(0, 40, 10):
        for column in range(0, 40, 10):
            labels[row : row + 9, column : column + 9] = 2
    found = hide(
        np.ones((40, 40), bool),
        [Donor("d", "d", lambda: labels)],
        target_id="t",
        share=0.2,
        seed=7,
    )
    assert found is not None
    assert 0.1 <= found.share <= 0.3
    assert found.pixels.sum() % 81 == 0


def test_shapes_of_another_place_cover_any_grid() -> None:
    rng = np.random.default_rng(0)
    labels: ByteArray = rng.integers(1, 3, (7, 9)).astype(np.uint8)
    wide = tiled(labels, (50, 60), "a")
    assert wide.shape == (50, 60)
    assert set(np.unique(wide)) == {1, 2}
    np.testing.assert_array_equal(wide[:36], wide[14:50])
    assert not np.array_equal(wide, tiled(labels, (50, 60), "b"))
