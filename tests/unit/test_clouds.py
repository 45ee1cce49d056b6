"""Dilation against scipy, shares by hand, the user's own mask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_dilation

from skymend.clouds import Label, Shares, apply_user_mask, dilate, usable
from skymend.clouds import dilation as room
from skymend.core.errors import ConfigError, GridError
from skymend.core.grid import Grid
from tests.product_case import GRID, write_tif


def disc(radius):
    size = int(np.ceil(radius))
    y, x = np.mgrid[-size : size + 1, -size : size + 1]
    return x**2 + y**2 <= radius**2 + 1e-9


@given(
    arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))),
    st.sampled_from([1, 1.5, 2, np.sqrt(5), 3, 6, 12.3]),
)
def test_within_equals_scipy_with_a_disc(mask, radius):
    np.testing.assert_array_equal(room.within(mask, radius), binary_dilation(mask, disc(radius)))


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.integers(0, 5)),
    st.sampled_from([0.0, 5.0, 10.0, 35.0]),
    st.sampled_from([7, 16, 2048]),
)
def test_dilation_follows_its_rules_for_any_block(labels, distance_m, block):
    before, room.BLOCK = room.BLOCK, block
    try:
        found = dilate(labels, distance_m, 10.0)
    finally:
        room.BLOCK = before
    valid = labels != Label.NODATA
    radius = distance_m / 10
    cloud = binary_dilation(labels == Label.CLOUD, disc(radius)) & valid
    shadow = binary_dilation(labels == Label.SHADOW, disc(radius)) & valid & ~cloud
    np.testing.assert_array_equal(found == Label.CLOUD, cloud)
    np.testing.assert_array_equal(found == Label.SHADOW, shadow)
    rest = ~cloud & ~shadow
    np.testing.assert_array_equal(found[rest], labels[rest])


@given(
    arrays(np.uint8, (20, 20), elements=st.integers(0, 5)),
    st.floats(0, 60),
    st.floats(0, 60),
)
def test_more_metres_hide_no_less(labels, first, second):
    small, large = sorted((first, second))
    hidden = [~usable(dilate(labels, d, 10.0)) for d in (small, large)]
    assert not (hidden[0] & ~hidden[1]).any()


def test_metres_are_metres_at_any_pixel_size():
    labels = np.full((41, 41), Label.CLEAR, np.uint8)
    labels[20, 20] = Label.CLOUD
    area_10 = (dilate(labels, 100, 10.0) == Label.CLOUD).sum() * 10**2
    area_20 = (dilate(labels, 100, 20.0) == Label.CLOUD).sum() * 20**2
    # A disc of 100 m has 31,416 m2; on pixels of 20 m its rim is 4 pixels rough.
    assert area_10 == pytest.approx(np.pi * 100**2, rel=0.03)
    assert area_20 == pytest.approx(np.pi * 100**2, rel=0.05)


def test_the_input_stays_as_it_was_and_negative_is_refused():
    labels = np.array([[1, 2, 0]], np.uint8)
    assert dilate(labels, 0, 10.0) is not labels
    dilate(labels, 50, 10.0)
    np.testing.assert_array_equal(labels, [[1, 2, 0]])
    with pytest.raises(ConfigError, match=r"mask\.dilate_m: expected 0 or more, found -1"):
        dilate(labels, -1, 10.0)


def test_usable_and_shares():
    labels = np.array([[0, 1, 2, 3, 4, 5, 1, 0]], np.uint8)
    np.testing.assert_array_equal(usable(labels)[0], [0, 1, 0, 0, 1, 1, 1, 0])
    np.testing.assert_array_equal(usable(labels, snow_is_clear=False)[0], [0, 1, 0, 0, 0, 1, 1, 0])
    found = Shares.of(labels)
    assert found == Shares(0.75, round(4 / 6, 6), round(1 / 6, 6), round(1 / 6, 6), round(1 / 6, 6))
    assert Shares.of(labels, snow_is_clear=False).clear_share == 0.5
    assert Shares.of(np.zeros((2, 2), np.uint8)) == Shares(0.0, 0.0, 0.0, 0.0, 0.0)
    assert set(found.as_facts()) == {
        "valid_share",
        "clear_share",
        "cloud_share",
        "shadow_share",
        "snow_share",
    }


def test_a_users_mask_hides_what_is_not_zero(tmp_path):
    stored = np.zeros(GRID.shape, np.uint8)
    stored[:3], stored[5] = 1, 255
    path = write_tif(tmp_path / "mine.tif", stored, GRID)
    labels = np.full(GRID.shape, Label.WATER, np.uint8)
    labels[0] = Label.NODATA
    found = apply_user_mask(labels, path, GRID)
    assert [int(found[r, 0]) for r in (0, 1, 2, 3, 5)] == [0, 2, 2, 5, 2]


def test_a_users_mask_on_another_grid_is_refused(tmp_path):
    other = Grid("EPSG:32632", GRID.transform, GRID.shape)
    path = write_tif(tmp_path / "mine.tif", np.ones(GRID.shape, np.uint8), other)
    with pytest.raises(GridError, match=r"mine\.tif"):
        apply_user_mask(np.ones(GRID.shape, np.uint8), path, GRID)
