"""The demo's region file and its simulated season describe the same thing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from skymend.core.resources import path
from skymend.patches.presets import preset
from skymend.pipelines.region import grids, load_region
from skymend.simulate.scenario import demo


@pytest.fixture(scope="module")
def region():
    return load_region(path("config", "demo.yaml"))


def test_area_is_the_scene(region):
    assert grids(region) == {demo().tile: demo().grid}


def test_periods_are_those_of_the_season(region):
    scenario = demo()
    last = scenario.start + timedelta(days=scenario.days - 1)
    for period in (region.period, region.training.period):
        assert (period.start, period.end) == (scenario.start, last)


def test_bands_are_simulated_and_the_layout_exists(region):
    assert set(region.reconstruct.bands) <= set(demo().bands)
    assert preset(region.training.layout).clouding is not None


def test_plan_stays_near_150_jobs():
    """Six jobs per optical date (optical, mask, hide, patch-stats, reconstruct, trial), two
    per pass (radar, patch-stats), and dem, dataset, train, evaluate, report, publish."""
    scenario = demo()
    jobs = 6 * len(scenario.optical_dates()) + 2 * len(scenario.radar_passes()) + 6
    assert jobs <= 150
