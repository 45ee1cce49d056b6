"""Geometry of tiled prediction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core.errors import ConfigError
from skymend.core.grid import Window
from skymend.inference.windows import Tiling, bounding, padded_axis, ramp, reflect


@given(st.integers(1, 30), st.integers(0, 70), st.integers(0, 70))
def test_reflect_is_what_numpy_pads(size, before, after):
    expected = np.pad(np.arange(size), (before, after), mode="reflect")
    np.testing.assert_array_equal(reflect(-before, size + after, size), expected)


@given(st.integers(1, 90), st.integers(0, 10), st.integers(1, 12), st.integers(0, 40))
def test_padded_axis_reads_inside_and_restores_the_mirror(size, first, length, margin):
    start = min(4 * first, size - 1) - margin
    stop = start + length + 2 * margin
    axis = padded_axis(start, stop, size)
    assert 0 <= axis.start < axis.stop <= size
    np.testing.assert_array_equal(
        np.arange(size)[axis.start : axis.stop][axis.take], reflect(start, stop, size)
    )


@given(st.integers(1, 1300), st.integers(1, 1300), st.sampled_from([128, 256, 384, 512, 640]))
def test_windows_cover_every_pixel_once_in_phase(rows, columns, block):
    tiling = Tiling.plan((rows, columns), margin=10, stride=4, ratios=(1, 2), block=block)
    seen = np.zeros((rows, columns), np.uint8)
    for cell in tiling.cells():
        for window in tiling.windows(cell):
            seen[window.slices] += 1
            padded = tiling.padded(window)
            assert padded.row % 4 == padded.column % 4 == padded.rows % 4 == 0
    assert seen.min() == seen.max() == 1
    assert tiling.margin == 12


def test_block_must_fit_the_stride():
    with pytest.raises(ConfigError, match="multiple of 32"):
        Tiling.plan((100, 100), margin=66, stride=32, block=100)


@given(st.integers(2, 60), st.integers(0, 30))
def test_ramps_of_neighbours_sum_to_one(size, margin):
    size = max(size, 2 * margin, 1)
    weights = ramp(size, margin)
    shared = weights[size : size + 2 * margin] + weights[: 2 * margin]
    assert weights.min() > 0
    # Sums of two float32 numbers below one.
    np.testing.assert_allclose(shared, 1.0, atol=1e-6)


def test_bounding_covers_whole_units_inside_the_image():
    wanted = np.zeros((50, 70), bool)
    assert bounding(wanted, 8) is None
    wanted[13, 41] = wanted[20, 66] = True
    assert bounding(wanted, 8) == Window(8, 40, 16, 30)
