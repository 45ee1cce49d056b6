"""Splits keep their distance, in land or in time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from skymend.core.errors import ConfigError
from skymend.patches.split import DAY_S, check_shares, no_split, split_by_space, split_by_time

SHARES = {"train": 0.6, "valid": 0.2, "test": 0.2}


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(st.integers(1, 14), st.integers(1, 14)),
    st.integers(1, 4),
    st.floats(0, 2000),
    st.integers(0, 10_000),
)
def test_cells_of_different_splits_are_a_buffer_apart(shape, side, buffer_m, seed) -> None:
    rng = np.random.default_rng(seed)
    try:
        parts = split_by_space(shape, 640, SHARES, block_m=640 * side, buffer_m=buffer_m, rng=rng)
    except ConfigError:
        assume(False)
    cells = [
        (name, *divmod(int(cell), shape[1]))
        for name, part in parts.items()
        for cell in np.flatnonzero(part.area)
    ]
    assert len({c[1:] for c in cells}) == len(cells)
    for name, row, column in cells:
        for other, r, c in cells:
            if name != other:
                gaps = [max(abs(row - r) - 1, 0) * 640, max(abs(column - c) - 1, 0) * 640]
                assert max(gaps) >= buffer_m


def test_shares_are_followed_and_seeded() -> None:
    shape = (171, 171)
    parts, again, other = (
        split_by_space(
            shape, 640, SHARES, block_m=2560, buffer_m=0, rng=np.random.default_rng(seed)
        )
        for seed in (7, 7, 8)
    )
    for name, share in SHARES.items():
        # 43 x 43 blocks, those at the rim smaller
        assert parts[name].area.mean() == pytest.approx(share, abs=0.01)
        np.testing.assert_array_equal(parts[name].area, again[name].area)
    assert (parts["train"].area != other["train"].area).any()


def test_an_area_too_small_says_what_to_change() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="smaller block_m or buffer_m"):
        split_by_space((2, 2), 640, SHARES, block_m=640, buffer_m=5000, rng=rng)


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 30), st.lists(st.floats(0, 400), min_size=2, max_size=40, unique=True))
def test_periods_are_a_buffer_apart(buffer_days, days) -> None:
    times = np.array(sorted(days)) * DAY_S
    try:
        parts = split_by_time(times, 4, SHARES, buffer_days=buffer_days)
    except ConfigError:
        assert times[-1] - times[0] <= 2 * buffer_days * DAY_S
        return
    inside = {n: times[(times >= p.start) & (times <= p.end)] for n, p in parts.items()}
    for name, mine in inside.items():
        for other, theirs in inside.items():
            if name != other and mine.size and theirs.size:
                gap = np.abs(mine[:, None] - theirs[None]).min()
                # the ends are sums of floats near 1e7 s: a microsecond is rounding
                assert gap >= buffer_days * DAY_S - 1e-6


def test_all_of_the_period_is_used_without_a_buffer() -> None:
    times = np.arange(100) * DAY_S
    parts = split_by_time(times, 1, {"train": 1, "test": 1}, buffer_days=0)
    assert list(parts) == ["train", "test"]
    assert parts["train"].start == times[0]
    assert parts["test"].end == times[-1]


@pytest.mark.parametrize(
    "shares", [{}, {"dev": 1.0}, {"train": 0}, {"train": 1, "test": -0.1}, {"train": float("nan")}]
)
def test_shares_that_make_no_sense_are_refused(shares) -> None:
    with pytest.raises(ConfigError, match="split shares"):
        check_shares(shares)


def test_a_split_with_no_share_is_left_out() -> None:
    rng = np.random.default_rng(0)
    parts = split_by_space((9, 9), 640, {"train": 3, "valid": 1}, block_m=640, buffer_m=0, rng=rng)
    assert set(parts) == {"train", "valid"}
    assert no_split(4)["train"].area.all()
