"""Searches as a whole: what is refused, what is noted, and what every row says."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pystac
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shapely.geometry import Polygon, box, mapping

from skymend.core.errors import ConfigError
from skymend.report.footprints import draw_footprints
from skymend.sources import clear
from skymend.sources.area import Area
from skymend.sources.candidates import Candidate, Pass, Table, gather
from skymend.sources.clear import Cloud, stated
from skymend.sources.finding import Footprint, Found, Wish, days, find
from skymend.sources.pairing import PairingRules, pair
from skymend.sources.protocol import Filters
from skymend.sources.versions import newest
from tests.gfmap_case import Recorded

DAY = datetime(2020, 2, 4, tzinfo=UTC)
BOX = (149.0, -36.0, 151.0, -34.0)
AREA = Area.of_bounds(149.5, -35.5, 150.5, -34.5)
MONTH = days("2020-02-01/2020-02-29", "period")


def item(name, bounds=BOX, *, after=0.0, collection="sentinel-2-l2a", **properties):
    geometry = mapping(box(*bounds))
    moment = DAY + timedelta(days=after)
    known = {"platform": "sentinel-2a", "sat:relative_orbit": 30, **properties}
    return pystac.Item(name, geometry, None, moment, known, collection=collection)


def radar(name, *, after=0.0, orbit=8, channels=("VV", "VH"), bounds=BOX):
    known = {"platform": "sentinel-1a", "sat:relative_orbit": orbit}
    known |= {"sar:polarizations": list(channels)} if channels else {}
    return item(name, bounds, after=after, collection="sentinel-1-grd", **known)


def reasons(table):
    return {row.id: row.reason for row in table.rows}


def test_the_best_of_a_collection_without_clouds_is_refused():
    wish = Wish("sentinel-1-grd", AREA, (MONTH,), best="clearest")
    with pytest.raises(ConfigError, match="--best: expected a collection with clouds"):
        find(Recorded([]), wish)


def test_scene_classes_without_a_choice_are_refused(tmp_path):
    wish = Wish("sentinel-2-l2a", AREA, (MONTH,))
    with pytest.raises(ConfigError, match="--scene-classes"):
        find(Recorded([]), wish, scene_classes=tmp_path)


def test_radar_that_was_not_looked_for_is_noted():
    wish = Wish("sentinel-2-l2a", AREA, (MONTH,), best="clearest")
    cloudy = Recorded([item("cloudy", **{"eo:cloud_cover": 100.0})])
    found = find(cloudy, wish, radar=Recorded([radar("r")]))
    assert not found.complete
    assert any("no radar was looked for" in note for note in found.notes)


def test_a_search_that_found_nothing_names_its_filters():
    filters = Filters(tile="31TCJ", cloud_cover_max=5, polarisations=("VV", "VH"))
    (note,) = find(Recorded([]), Wish("sentinel-2-l2a", AREA, (MONTH,), filters)).notes
    assert note.endswith("2020-02-29 (cloud cover max 5, tile 31TCJ, polarisations VV VH)")


def test_a_listing_tells_the_cloud_share():
    wish = Wish("sentinel-2-l2a", AREA, (MONTH,))
    listed = Recorded([item("a", **{"eo:cloud_cover": 40.0}), item("b", after=1)])
    shares = {row.id: row.cloud for row in find(listed, wish).table.rows}
    assert shares == {"a": pytest.approx(0.4), "b": None}


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("2020-01-01/9999-12-31", "9999-12-31T23:59:59.999999+00:00"),
        ("2020-01-01", "2020-01-01T23:59:59.999999+00:00"),
    ],
)
def test_both_days_of_a_period_count_to_the_end_of_time(text, last):
    start, end = days(text, "period")
    assert start == datetime(2020, 1, 1, tzinfo=UTC)
    assert end == datetime.fromisoformat(last)


@pytest.mark.parametrize(
    "text", ["2020-01-01T05:00/2020-01-02", "2020-02-30", "/", "", "x", "2020-01-01/2020-01-0"]
)
def test_what_is_no_day_is_refused(text):
    with pytest.raises(ConfigError, match="a day or two"):
        days(text, "period")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found an empty text"),
        ("POINT (1 2)", r"found no polygon in 'POINT \(1 2\)'"),
        ("LINESTRING Z(1 2 3, 3 4 5)", "found no polygon in"),
    ],
)
def test_an_area_that_is_no_polygon_is_told_as_such(text, words):
    with pytest.raises(ConfigError, match=words):
        Area.read(text)


def test_a_folder_as_area_is_told_as_such(tmp_path):
    with pytest.raises(ConfigError, match="found a folder; check"):
        Area.read(tmp_path)


def test_radar_needs_the_polarisations_asked_for():
    items = [
        radar("both", after=2),
        radar("single", after=1, channels=("VV",)),
        radar("unknown", after=0.5, channels=()),
    ]
    found = pair([DAY], items, AREA, PairingRules(polarisations=("VV", "VH")))
    assert [p.id for p in found.passes] == ["both"]
    said = reasons(found.table)
    assert said["single"] == "it has no polarisation VH, only VV"
    assert said["unknown"] == "its polarisations are not stated"


def test_a_farther_pass_of_the_same_orbit_is_not_told_that_its_own_orbit_is_nearer():
    found = pair([DAY], [radar("near", after=1), radar("far", after=4)], AREA)
    assert reasons(found.table)["far"] == "another pass is nearer: 1 days in all, here 4"


def test_many_dates_are_paired_in_bounded_time():
    dates = [DAY + timedelta(days=30 * n) for n in range(24)]
    items = [
        radar(f"r{n:02d}-{k}", after=30 * n + shift)
        for n in range(24)
        for k, shift in enumerate((-5, -1, 2))
    ]
    begun = time.process_time()
    found = pair(dates, items, AREA, PairingRules(window_days=6))
    # 3 ** 24 combinations cannot be tried; the nearest of all must be among those that are
    assert time.process_time() - begun < 60
    assert [p.id for p in found.passes] == [f"r{n:02d}-1" for n in range(24)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.integers(1, 3))
def test_the_bounds_of_a_pass_of_overlapping_tiles_hold(shares, lap):
    """Four strips of ground are cloudy by known shares; two tiles share ``lap`` of them."""
    width = 0.25
    strips = [(149.5 + width * i, -35.5, 149.5 + width * (i + 1), -34.5) for i in range(4)]
    first, second = range(lap), range(4)
    footprints = [shapely.box(*strips[0][:2], *strips[k[-1]][2:]) for k in (first, second)]
    cover = [100 * sum(shares[i] for i in k) / len(k) for k in (first, second)]
    items = [
        item(f"tile{n}", shape.bounds, **{"eo:cloud_cover": c})
        for n, (shape, c) in enumerate(zip(footprints, cover, strict=True))
    ]
    (one,), _ = gather(items, AREA)
    cloud, _ = clear._cloud(one, AREA, stated)
    truth = sum(shares) / 4
    assert cloud.low - 1e-6 <= truth <= cloud.high + 1e-6


def test_a_crossed_footprint_does_not_break_the_choice_of_versions():
    names = [f"S2A_MSIL2A_20200404T105621_N0214_R094_T31TCJ_20200404T14000{n}" for n in range(2)]
    crossed = Polygon([(1, 43), (2, 44), (2, 43), (1, 44), (1, 43)])
    items = [item(name) for name in names]
    for one in items:
        one.geometry = mapping(crossed)
    choice = newest(items)
    assert [i.id for i in choice.kept] == names[1:]


def test_footprints_across_the_antimeridian_are_compared_where_they_lie():
    names = [f"S2A_MSIL2A_20200404T105621_N0214_R094_T01KAB_20200404T14000{n}" for n in range(2)]
    items = [item(name) for name in names]
    # the same ground, once split at the antimeridian and once running across it
    split = Area.of_bounds(179.5, -17, -179.5, -16).shape
    items[0].geometry = mapping(split)
    items[1].geometry = mapping(box(179.5, -17, 180.5, -16))
    assert [i.id for i in newest(items).kept] == names[1:]


def test_labels_of_one_place_stand_below_each_other(tmp_path):
    def ink(*labels):
        shapes = tuple(Footprint(AREA.shape, label, True, False) for label in labels)
        draw_footprints(Found(AREA, (), (), (), Table(()), shapes, ()), tmp_path / "map.png")
        with Image.open(tmp_path / "map.png") as picture:
            inside = np.asarray(picture)[52:300, 60:300].astype(int)
        return int((abs(inside - (0, 121, 107)).sum(axis=2) < 90).sum())

    # as much ink for each label as for the first: none is written over another
    bare = ink("")
    one, two = ink("2020-02-01") - bare, ink("2020-02-01", "2020-02-01") - bare
    assert two == 2 * one > 0


def test_a_picture_of_another_format_is_refused(tmp_path):
    found = Found(AREA, (), (), (), Table(()), (), ())
    with pytest.raises(ConfigError, match=r"ends in \.png"):
        draw_footprints(found, tmp_path / "map.jpg")


def test_a_counted_share_of_a_part_is_taken_as_spread():
    cloud = Cloud(0.3, 0.3, 0.3, 1.0)
    assert clear._of_part(cloud, 0.1) == (0.3, 0.3, 0.3)


def test_a_pass_of_one_product_keeps_its_own_bounds():
    one = Pass((Candidate(item("a", **{"eo:cloud_cover": 50.0}), AREA.shape),))
    cloud, _ = clear._cloud(one, AREA, stated)
    assert (cloud.low, cloud.high) == (pytest.approx(0.5), pytest.approx(0.5))
