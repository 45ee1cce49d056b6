"""Calendars and names of a simulated series."""

from __future__ import annotations

import re
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skymend.core.errors import ConfigError
from skymend.core.grid import Grid
from skymend.simulate import Scenario, growing_season, tiny

# The patterns that decloud's and S1Tiling's users rely on (decloud.md, section 1).
THEIA = re.compile(r"SENTINEL2[AB]_\d{8}-\d{6}-\d{3}_L2A_T\d{2}[A-Z]{3}_[CD]_V\d-\d")
S1TILING = re.compile(r"s1[abc]_\d{2}[A-Z]{3}_(vv|vh)_(ASC|DES)_\d{3}_\d{8}t\d{6}\.tif")


def test_names_are_those_of_the_providers():
    scenario = growing_season()
    for day in scenario.optical_dates():
        name = scenario.product_name(day)
        assert THEIA.fullmatch(name)
        assert name.split("_")[1][:8] == f"{day:%Y%m%d}"
        assert name.split("_")[1][9:12] == "105"  # 31TCJ is passed at about 10:55 UTC
    for acquisition in scenario.radar_passes():
        assert S1TILING.fullmatch(acquisition.file_name(scenario.tile, "vv"))


def test_a_growing_season_is_30_optical_and_25_radar_dates():
    scenario = growing_season()
    assert len(scenario.optical_dates()) == 30
    assert len(scenario.radar_passes()) == 25
    assert {p.orbit.direction for p in scenario.radar_passes()} == {"ASC", "DES"}


def test_tiny_is_small():
    scenario = tiny()
    assert scenario.size_px == 96
    assert len(scenario.optical_dates()) == 8


def test_platforms_take_turns():
    scenario = growing_season()
    names = [scenario.product_name(d)[:10] for d in scenario.optical_dates()]
    assert all(a != b for a, b in pairwise(names))


@given(days=st.integers(1, 200), more=st.integers(1, 60), start=st.dates(date(2016, 1, 1)))
@settings(max_examples=40)
def test_a_longer_period_only_appends(days, more, start):
    # The last century of the calendar would overflow the end of the longer period.
    start = start.replace(year=2016 + start.year % 10)
    short = Scenario(start=start, days=days)
    longer = Scenario(start=start, days=days + more)
    for dates in (Scenario.optical_dates, Scenario.radar_passes):
        assert dates(longer)[: len(dates(short))] == dates(short)


def test_each_orbit_repeats_every_twelve_days():
    passes = growing_season().radar_passes()
    for orbit in growing_season().orbits:
        days = [p.day for p in passes if p.orbit == orbit]
        assert {(b - a).days for a, b in pairwise(days)} == {12}


def test_grid_is_a_window_of_the_tile():
    scenario = growing_season()
    window = scenario.grid.window_in(Grid.from_mgrs("31TCJ"))
    assert (window.row, window.column) == (scenario.row_px, scenario.column_px)


def test_unknown_band_is_refused_in_one_sentence():
    with pytest.raises(ConfigError, match=r"expected different bands out of B02.*found B02, B99"):
        Scenario(bands=("B02", "B99"))
