"""Land, seasons and reflectance of the simulation."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from skymend.simulate import Scenario, growing_season, truth
from skymend.simulate.landscape import CONIFER, FIELD, WATER, landscape
from skymend.simulate.seasons import (
    CLEAR_CUT,
    CUT,
    FLOOD,
    HARVEST,
    PLOUGH,
    changes,
    season,
    season_of,
)
from skymend.simulate.series import change_maps
from skymend.simulate.surface import flood_plain, mean_moisture, surface

SCENARIO = growing_season().model_copy(update={"size_px": 256})


def ndvi(image):
    red, infrared = image[SCENARIO.bands.index("B04")], image[SCENARIO.bands.index("B08")]
    return (infrared - red) / (infrared + red)


@pytest.fixture(scope="module")
def season_ndvi():
    days = [SCENARIO.start + timedelta(days=n) for n in range(0, 150, 10)]
    return np.stack([ndvi(truth(SCENARIO, d)) for d in days])


def test_landscape_has_all_covers_and_parcels_of_field_size():
    land = landscape(9, 384)
    counts = np.bincount(land.cover.ravel(), minlength=8)[1:]
    assert (counts > 0).all()
    assert counts[0] > 0.4 * land.cover.size
    hectares = np.bincount(land.parcel[land.cover == FIELD]) / 100
    assert 0.5 < np.median(hectares[hectares > 0.1]) < 10


def test_ndvi_is_plausible(season_ndvi):
    land = landscape(SCENARIO.seed, SCENARIO.size_px)
    fields = season_ndvi[:, land.cover == FIELD]
    assert np.percentile(fields, 1) > 0.05
    assert 0.75 < np.percentile(fields, 99) < 0.93
    assert (season_ndvi[:, land.cover == CONIFER].mean(axis=1) > 0.6).all()
    assert season_ndvi[:, land.cover == WATER].mean() < 0.1
    # Winter crops are green in May and gone in August.
    swing = fields.max(axis=0) - fields.min(axis=0)
    assert np.percentile(swing, 75) > 0.35


def test_reflectance_stays_in_range():
    image = truth(SCENARIO, date(2018, 5, 20))
    assert image.dtype == np.float32
    assert image.shape == (4, 256, 256)
    assert image.min() > 0
    assert image.max() < 0.7


def parcels_of(kind):
    last = SCENARIO.start + timedelta(days=149)
    found = changes(SCENARIO.seed, SCENARIO.size_px, SCENARIO.start, last)
    return [(day, parcels) for day, what, parcels in found if what == kind]


@pytest.mark.parametrize(("kind", "drop"), [(HARVEST, 0.05), (CUT, 0.15)])
def test_harvest_and_mowing_lower_ndvi_overnight(kind, drop):
    land = landscape(SCENARIO.seed, SCENARIO.size_px)
    drops = []
    for day, parcels in parcels_of(kind)[:14]:
        pixels = np.isin(land.parcel, parcels) & (land.cover == FIELD)
        if pixels.sum() < 60:
            continue
        before, after = (ndvi(truth(SCENARIO, day + timedelta(days=n))) for n in (-1, 0))
        drops.append(float((before - after)[pixels].mean()))
    assert len(drops) >= 3
    assert np.median(drops) > drop


def test_nothing_happens_overnight_without_a_change():
    days = [SCENARIO.start + timedelta(days=n) for n in range(60, 75)]
    eventful = {d for d, *_ in changes(SCENARIO.seed, 256, days[0], days[-1])}
    land = landscape(SCENARIO.seed, SCENARIO.size_px)
    quiet = next((d for d in days if d not in eventful), None)
    day = quiet or days[0]
    touched = [p for d, _, p in changes(SCENARIO.seed, 256, day, day)]
    still = ~np.isin(land.parcel, np.concatenate([*touched, np.array([-1])]))
    # A flood comes in one night but recedes over days.
    still &= ~flood_plain(land)
    # Pixels next to a changed parcel mix with it through the point spread.
    from scipy.ndimage import binary_erosion

    still = binary_erosion(still, iterations=3)
    step = truth(SCENARIO, day)[3] - truth(SCENARIO, day - timedelta(days=1))[3]
    # Overnight growth and drying soil change near-infrared by a few percent of its value.
    assert np.abs(step[still]).max() < 0.06


def test_ploughing_darkens_stubble():
    land = landscape(SCENARIO.seed, SCENARIO.size_px)
    ratios = []
    for day, parcels in parcels_of(PLOUGH)[:12]:
        pixels = np.isin(land.parcel, parcels) & (land.cover == FIELD)
        if pixels.sum() > 60:
            before, after = (truth(SCENARIO, day + timedelta(days=n))[2] for n in (-1, 0))
            ratios.append(float(after[pixels].mean() / before[pixels].mean()))
    assert np.median(ratios) < 0.97


def test_flood_covers_the_plain_and_recedes():
    calendar = season(SCENARIO.seed, SCENARIO.size_px, 2018)
    first = date(2018, 1, 1) + timedelta(days=int(calendar.flood[0]))
    land = landscape(SCENARIO.seed, SCENARIO.size_px)
    areas = [surface(SCENARIO, first + timedelta(days=n)).flooded.sum() for n in (-1, 0, 6, 40)]
    assert areas[0] == areas[3] == 0
    assert areas[1] >= areas[2] > 0
    assert areas[1] == flood_plain(land).sum()


def test_change_maps_carry_the_events():
    maps = change_maps(SCENARIO)
    first, last = ((SCENARIO.start + timedelta(days=n) - date(1970, 1, 1)).days for n in (0, 149))
    dates = maps[::2][maps[::2] > 0]
    assert dates.min() >= first
    assert dates.max() <= last
    assert (maps[1] == CLEAR_CUT).any() or len(parcels_of(CLEAR_CUT)) == 0
    assert (maps[1::2] == FLOOD).any()
    both = (maps[0] > 0) & (maps[2] > 0)
    assert (maps[2][both] >= maps[0][both]).all()
    assert 0.3 < np.mean(maps[0] > 0) < 0.95


def test_land_depends_on_the_seed_alone():
    one, other = landscape(1, 128), landscape(2, 128)
    assert np.mean(one.parcel != other.parcel) > 0.9
    scenario = Scenario(size_px=128, seed=1)
    shifted = scenario.model_copy(update={"start": date(2018, 5, 1), "days": 20})
    day = date(2018, 5, 6)
    np.testing.assert_array_equal(truth(scenario, day), truth(shifted, day))


def test_soil_dries_between_rains():
    days = [date(2018, 4, 1) + timedelta(days=n) for n in range(200)]
    moisture = np.array([mean_moisture(9, d) for d in days])
    assert moisture.min() >= 0.08
    assert moisture.max() <= 0.38
    assert moisture.std() > 0.03
    # Drying is gradual, wetting sudden.
    steps = np.diff(moisture)
    assert steps.max() > -steps.min()


def test_season_changes_in_november():
    assert season_of(date(2018, 10, 31)) == 2018
    assert season_of(date(2018, 11, 1)) == 2019
