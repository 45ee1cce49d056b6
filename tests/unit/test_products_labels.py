"""Providers' masks become the one label set."""

import numpy as np
import pytest

from skymend.products.labels import Label, from_maja, from_scl


@pytest.mark.parametrize(
    ("bits", "label"),
    [
        ((), Label.CLEAR),
        ((0,), Label.CLOUD),
        ((0, 1), Label.CLOUD),
        ((0, 1, 2), Label.CLOUD),
        ((0, 1, 3), Label.CLOUD),
        ((4,), Label.CLOUD),
        ((0, 5), Label.SHADOW),
        ((0, 6), Label.SHADOW),
        ((0, 5, 6), Label.SHADOW),
        ((0, 1, 3, 5), Label.CLOUD),
        ((7,), Label.CLOUD),
        ((0, 1, 7), Label.CLOUD),
    ],
)
def test_maja_bits(bits, label):
    clm = np.array([[sum(1 << b for b in bits)]], np.uint8)
    assert from_maja(clm)[0, 0] == label


def test_every_maja_value_is_clear_exactly_when_zero():
    clm = np.arange(256, dtype=np.uint8)[None]
    np.testing.assert_array_equal(from_maja(clm) == Label.CLEAR, clm == 0)


def test_snow_and_water_show_only_on_clear_ground():
    clm = np.array([[0, 0, 0, 3, 33]], np.uint8)
    mg2 = np.array([[1, 4, 5, 4, 1]], np.uint8)
    expected = [[Label.WATER, Label.SNOW, Label.SNOW, Label.CLOUD, Label.SHADOW]]
    np.testing.assert_array_equal(from_maja(clm, mg2), expected)


def test_scene_classes():
    found = from_scl(np.array([[*range(12), 12, 255, 300]], np.uint16))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, [[0, 0, 1, 3, 1, 1, 5, 1, 2, 2, 2, 4, 0, 0, 0]])
