"""The tile planner of computePixels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core.errors import ConfigError
from skymend.core.grid import Grid
from skymend.sources.earth_engine import tiling


@given(
    rows=st.integers(1, 60_000),
    columns=st.integers(1, 60_000),
    size=st.sampled_from([1, 2, 4, 8, 13, 26, 52, 2048, 8192]),
)
def test_windows_cover_once_and_keep_the_limits(rows, columns, size):
    grid = Grid("EPSG:32631", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0), (rows, columns))
    windows = list(tiling.windows(grid, size))
    assert sum(w.rows * w.columns for w in windows) == rows * columns
    for w in windows:
        assert w.rows * w.columns * size <= 48 * 2**20
        assert max(w.rows, w.columns) <= 32_768
        assert w.row >= 0
        assert w.row + w.rows <= rows


def test_too_many_bands_are_refused():
    grid = Grid("EPSG:32631", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0), (10, 10))
    with pytest.raises(ConfigError, match="1 to 1024"):
        list(tiling.windows(grid, 2, 1025))
