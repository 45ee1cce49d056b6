"""Choosing clear passes and pairing radar: on made items, and on recorded answers."""

from __future__ import annotations

import csv
import io
import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import pystac
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Polygon, box, mapping, shape

from skymend.core.errors import ConfigError
from skymend.sources.area import Area
from skymend.sources.candidates import gather, needed
from skymend.sources.clear import Cloud, choose, count_classes, stated
from skymend.sources.pairing import PairingRules, pair
from skymend.sources.versions import newest
from tests.gfmap_case import NAMES, load

DAY = datetime(2020, 2, 4, 0, 2, 49, tzinfo=UTC)
AREA = Area.of_bounds(149.8, -35.0, 150.2, -34.6)


def wrapped(west, south, east, north):
    """A box as providers write it, longitudes wrapped one by one."""
    corners = [(west, south), (east, south), (east, north), (west, north)]
    return mapping(Polygon([((x + 180) % 360 - 180, y) for x, y in corners]))


def optical(name, bounds, *, days=0.0, cloud=0.0, orbit=30, tile="55HGB", **more):
    properties = {
        "platform": "sentinel-2b",
        "sat:relative_orbit": orbit,
        "grid:code": f"MGRS-{tile}",
        "eo:cloud_cover": cloud,
        **more,
    }
    return pystac.Item(
        name, wrapped(*bounds), None, DAY + timedelta(days=days), properties,
        collection="sentinel-2-l2a",
    )  # fmt: skip


def radar(name, bounds, *, days=0.0, orbit=147, direction="descending", platform="sentinel-1a"):
    moment = DAY + timedelta(days=days)
    properties = {
        "platform": platform,
        "sat:relative_orbit": orbit,
        "sat:orbit_state": direction,
        "start_datetime": moment.isoformat(),
    }
    return pystac.Item(
        name, wrapped(*bounds), None, moment, properties, collection="sentinel-1-grd"
    )


def reasons(table):
    return {row.id: row.reason for row in table.rows}


def chosen(table):
    return sorted(row.id for row in table.rows if row.chosen)


WHOLE = (149.0, -36.0, 151.0, -34.0)
WEST = (149.0, -36.0, 150.0, -34.0)
EAST = (150.0, -36.0, 151.0, -34.0)


def test_best_is_earliest_latest_or_clearest_of_those_clear_enough():
    items = [
        optical("a", WHOLE, days=0, cloud=6),
        optical("b", WHOLE, days=5, cloud=1),
        optical("c", WHOLE, days=10, cloud=3),
        optical("d", WHOLE, days=15, cloud=99),
    ]
    for best, expected in (("earliest", "a"), ("latest", "c"), ("clearest", "b")):
        found = choose(items, AREA, best=best)
        assert found.best.candidates[0].id == expected
        assert chosen(found.table) == [expected]
        assert len(found.table.rows) == 4
        # 1 % of 4 square degrees is left clear, the area has 0.16 of them
        assert "at least 75 % of the area is cloud" in reasons(found.table)["d"]
    said = reasons(choose(items, AREA, best="earliest").table)
    assert said["b"] == "clear enough, but 2020-02-04 is earlier"
    assert "between 0 % and 100 %" in said["a"], "the area is 4 % of the product"
    with pytest.raises(ConfigError, match="clearest"):
        choose(items, AREA, best="nicest")


def test_a_pass_counts_by_the_union_of_its_tiles():
    half = optical("west", WEST, tile="55HFB")
    other = optical("east", EAST, days=0.0001)
    alone = choose([half], AREA)
    assert alone.best is None
    assert reasons(alone.table)["west"] == "covers 50 % of the area, 99 % wanted"
    both = choose([half, other], AREA)
    assert chosen(both.table) == ["east", "west"]
    assert all(row.coverage == pytest.approx(1) for row in both.table.rows)


def test_two_partial_datatakes_of_one_day_are_no_duplicates_and_no_one_pass():
    morning = optical("morning", WEST, orbit=30)
    other_orbit = optical("noon", EAST, days=0.0001, orbit=73)
    found = choose([morning, other_orbit], AREA)
    assert found.best is None
    assert set(reasons(found.table).values()) == {"covers 50 % of the area, 99 % wanted"}


def test_a_tile_that_holds_the_area_makes_its_neighbours_unneeded():
    items = [optical("whole", WHOLE), optical("edge", (149.7, -36, 152, -34), tile="56HKH")]
    found = choose(items, AREA)
    assert chosen(found.table) == ["whole"] or chosen(found.table) == ["edge"]
    assert "cover the area without it" in " ".join(reasons(found.table).values())


def test_the_stated_share_bounds_what_lies_inside():
    (one,), _ = gather([optical("a", WHOLE, cloud=50)], AREA)
    cloud = stated(one.candidates[0], AREA)
    assert (cloud.low, cloud.high) == (0, 1)
    everywhere = Area.of_bounds(*WHOLE)
    (one,), _ = gather([optical("a", WHOLE, cloud=50)], everywhere)
    cloud = stated(one.candidates[0], everywhere)
    assert (cloud.low, cloud.value, cloud.high) == pytest.approx((0.5, 0.5, 0.5))


@given(st.floats(0, 100), st.floats(0.05, 1.9), st.floats(0.05, 1.9))
def test_the_bounds_of_the_cloud_share_hold_for_any_layout(cloud, width, height):
    area = Area.of_bounds(149.0, -36.0, 149.0 + width, -36.0 + height)
    (one,), _ = gather([optical("a", WHOLE, cloud=cloud)], area)
    found = stated(one.candidates[0], area)
    assert 0 <= found.low <= found.value <= found.high <= 1
    candidate = one.candidates[0]
    inside = area.km2 / candidate.km2
    # clouds packed outside the area first, or inside it first
    assert found.low == pytest.approx(max(0, (cloud / 100 - (1 - inside)) / inside), abs=1e-6)
    assert found.high == pytest.approx(min(1, cloud / 100 / inside), abs=1e-6)


def test_counted_clouds_decide_over_stated_ones():
    items = [optical("a", WHOLE, cloud=1), optical("b", WHOLE, days=5, cloud=80)]
    truth = {"a": Cloud(0.9, 0.9, 0.9, 1.0), "b": Cloud(0.0, 0.0, 0.0, 1.0)}
    found = choose(items, AREA, clouds=lambda c, area: truth[c.id])
    assert chosen(found.table) == ["b"]
    assert reasons(found.table)["a"] == "90 % of the area is cloud, 10 % allowed"


def test_a_footprint_without_data_in_it_is_found_out_by_counting():
    half_empty = Cloud(0.0, 0.0, 0.0, 0.5)
    found = choose([optical("a", WHOLE)], AREA, clouds=lambda c, area: half_empty)
    assert found.best is None
    assert reasons(found.table)["a"] == "data in 50 % of the area only, 99 % wanted"


def test_scene_classes_are_counted_inside_the_area_only(tmp_path):
    from skymend.core.cog import write_cog
    from skymend.core.encoding import LABELS
    from skymend.core.grid import Grid

    grid = Grid("EPSG:32756", (20.0, 0.0, 200000.0, 0.0, -20.0, 6200000.0), (600, 500))
    classes = np.full((1, *grid.shape), 4, np.uint8)
    classes[0, :, :250] = 9  # the west is cloud,
    classes[0, :300, 250:] = 0  # the north-east without data
    write_cog(tmp_path / "scl.tif", classes, grid, ("SCL",), LABELS)
    whole = count_classes(tmp_path / "scl.tif", Area.of_grid(grid))
    # half the pixels are cloud, a quarter clear, a quarter unknown
    assert whole.value == pytest.approx(2 / 3, abs=0.005)
    # UTM's scale is 1.0007 at 300 km from the central meridian; the grid's outline has chords
    assert whole.covered == pytest.approx(0.75, abs=0.005)
    east = Area.of_grid(Grid(grid.crs, (20.0, 0, 206000.0, 0, -20.0, 6193000.0), (200, 150)))
    assert count_classes(tmp_path / "scl.tif", east).value == 0
    north_east = Area.of_grid(Grid(grid.crs, (20.0, 0, 206000.0, 0, -20.0, 6199000.0), (99, 99)))
    assert count_classes(tmp_path / "scl.tif", north_east) is None


def test_items_without_cloud_share_or_footprint_are_told():
    bare = optical("bare", WHOLE)
    del bare.properties["eo:cloud_cover"]
    lost = pystac.Item("lost", None, None, DAY, {}, collection="sentinel-2-l2a")
    away = optical("away", (10, 10, 11, 11))
    found = choose([bare, lost, away], AREA)
    said = reasons(found.table)
    assert said["bare"] == "its cloud share is not stated"
    assert said["lost"].startswith("no usable footprint")
    assert said["away"] == "does not touch the area"


def test_radar_is_nearest_first_then_covers_most():
    items = [
        radar("near", WHOLE, days=-1.2, orbit=1),
        radar("nearer, little", (149, -36, 149.9, -34), days=-0.2, orbit=2),
        radar("far", WHOLE, days=4, orbit=3),
        radar("too far", WHOLE, days=9, orbit=4),
    ]
    found = pair([DAY], items, AREA)
    assert chosen(found.table) == ["near"]
    said = reasons(found.table)
    assert said["nearer, little"] == "it covers 25 % of the area, 99 % wanted"
    assert said["far"] == "orbit 1 is nearer: 1 days in all, here 4"
    assert said["too far"] == "9.0 days from 2020-02-04, the window is 6 days"
    wide = pair([DAY], items[:2], AREA, PairingRules(coverage_min=0.2))
    assert chosen(wide.table) == ["nearer, little"]


def test_on_days_equally_far_the_greater_coverage_wins():
    items = [
        radar("whole", WHOLE, days=0.9, orbit=1),
        radar("most", (149, -36, 150.15, -34), days=0.1, orbit=2),
    ]
    found = pair([DAY], items, AREA, PairingRules(coverage_min=0.5))
    assert chosen(found.table) == ["whole"]
    assert reasons(found.table)["most"] == "orbit 1 covers more: 100 %"


def test_both_dates_get_the_same_orbit():
    later = DAY + timedelta(days=90)
    items = [
        radar("147 before", WHOLE, days=-3),
        radar("147 after", WHOLE, days=93),
        radar("74 before", WHOLE, days=-0.1, orbit=74),
    ]
    found = pair([DAY, later], items, AREA)
    assert [p.id for p in found.passes] == ["147 before", "147 after"]
    assert {p.relative_orbit for p in found.passes} == {147}
    assert "orbit 74 has no pass within the window of 2020-05-04" in reasons(found.table).values()
    gaps = {row.id: row.gap_hours for row in found.table.rows}
    assert gaps["147 before"] == pytest.approx(-72)
    assert gaps["147 after"] == pytest.approx(72)


def test_what_counts_is_the_ground_that_both_dates_see():
    later = DAY + timedelta(days=12)
    items = [radar("a", WEST), radar("b", EAST, days=12)]
    found = pair([DAY, later], items, AREA, PairingRules(coverage_min=0.4))
    assert found.passes == ()
    assert reasons(found.table)["a"].startswith("the passes of all dates see 0 %")


def test_slices_of_one_pass_cover_together():
    items = [
        radar("north", (149, -34.8, 151, -33)),
        radar("south", (149, -37, 151, -34.79), days=25 / 86400),
        radar("far south", (149, -39, 151, -36.9), days=50 / 86400),
    ]
    found = pair([DAY], items, AREA)
    assert chosen(found.table) == ["north", "south"]
    assert found.coverage == pytest.approx(1)
    assert reasons(found.table)["far south"] == "does not touch the area"


def test_one_pass_does_not_serve_two_dates():
    found = pair([DAY, DAY + timedelta(days=1)], [radar("a", WHOLE)], AREA)
    assert found.passes == ()
    assert reasons(found.table)["a"] == "orbit 147 has one pass only for 2 dates"


def test_side_and_direction_are_obeyed():
    items = [
        radar("before", WHOLE, days=-2),
        radar("after", WHOLE, days=1, platform="sentinel-1b"),
        radar("ascending", WHOLE, days=-0.1, orbit=9, direction="ascending"),
    ]
    found = pair([DAY], items, AREA, PairingRules(side="before", direction="descending"))
    assert chosen(found.table) == ["before"]
    said = reasons(found.table)
    assert said["after"] == "after 2020-02-04, only before wanted"
    assert said["ascending"] == "ascending, descending wanted"
    for window in (0, -1, 1000, float("nan")):
        with pytest.raises(ConfigError, match="bounded window"):
            PairingRules(window_days=window)


@st.composite
def skies(draw):
    """Radar items around an area that may lie across the antimeridian or near a pole."""
    west = draw(st.sampled_from([5.0, 179.7, -180.0, -60.3]))
    south = draw(st.sampled_from([-0.2, 45.0, 88.0, -89.5]))
    area = Area.of_shape(Polygon.from_bounds(west, south, west + 0.6, south + 0.5))
    count = draw(st.integers(1, 12))
    items = []
    for number in range(count):
        left = west + draw(st.floats(-0.8, 0.5))
        low = max(south + draw(st.floats(-0.6, 0.4)), -90)
        bounds = (left, low, left + draw(st.floats(0.1, 2)), min(low + draw(st.floats(0.1, 2)), 90))
        days = draw(st.floats(-20, 40))
        orbit = draw(st.sampled_from([8, 110, 37]))
        items.append(radar(f"i{number:02d}", bounds, days=days, orbit=orbit))
    return area, items


@settings(max_examples=60)
@given(skies(), st.floats(1, 12), st.floats(0.05, 1), st.booleans())
def test_whatever_the_sky_a_pairing_keeps_its_promises(sky, window, wanted, two):
    area, items = sky
    dates = [DAY, DAY + timedelta(days=15)][: 1 + two]
    rules = PairingRules(window_days=window, coverage_min=wanted)
    found = pair(dates, items, area, rules)
    rows = found.table.rows
    assert sorted(row.id for row in rows) == sorted(item.id for item in items), "nobody is lost"
    assert all(row.reason for row in rows)
    assert chosen(found.table) == sorted(c.id for p in found.passes for c in p.candidates)
    again = pair(dates, items[::-1], area, rules)
    assert again.table == found.table, "the order of the answer does not matter"
    if found.passes:
        assert len({p.relative_orbit for p in found.passes}) == 1
        assert found.coverage >= wanted
        for one, date in zip(found.passes, dates, strict=True):
            # a pass begins at its first slice; slices follow within minutes
            assert abs(one.time - date) <= timedelta(days=window, minutes=20)
            assert area.coverage(one.footprint) >= found.coverage - 2e-4 * len(items)


@given(skies())
def test_what_is_spared_from_a_pass_was_not_needed(sky):
    area, items = sky
    passes, left = gather(items, area)
    assert sum(len(p.candidates) for p in passes) + len(left) == len(items)
    for one in passes:
        slim, rows = needed(one, area)
        assert len(slim.candidates) + len(rows) == len(one.candidates)
        lost = area.coverage(one.footprint) - area.coverage(slim.footprint)
        assert lost <= 1.01e-4


@given(st.floats(-89, 88), st.floats(0.2, 0.8), st.floats(0.001, 0.1))
def test_overlapping_tiles_at_the_antimeridian_make_one_pass(south, cut, lap):
    area = Area.of_shape(Polygon.from_bounds(179.5, south, 180.5, south + 1))
    middle = 179 + 2 * cut
    one = optical("one", (178, south - 0.5, middle + lap, south + 1.5 if south < 87 else 90))
    two = optical("two", (middle - lap, south - 0.5, 182, south + 1.5 if south < 87 else 90))
    found = choose([one, two], area)
    assert found.best is not None
    assert area.coverage(found.best.footprint) == pytest.approx(1, abs=2e-4)


def test_a_polar_area_is_covered_by_polar_passes():
    ring = [(float(a), -85.0) for a in range(-180, 180, 10)]
    area = Area.of_shape(Polygon(ring))
    cap = pystac.Item(
        "cap", mapping(Polygon([(float(a), -80.0) for a in range(-180, 180, 10)])), None, DAY,
        {"platform": "sentinel-1a", "sat:relative_orbit": 5}, collection="sentinel-1-grd",
    )  # fmt: skip
    wedge = radar("wedge", (0, -90, 90, -80), orbit=6)
    found = pair([DAY], [cap, wedge], area)
    assert chosen(found.table) == ["cap"]
    assert reasons(found.table)["wedge"] == "it covers 25 % of the area, 99 % wanted"


def test_the_table_is_csv_and_text():
    found = pair([DAY], [radar("a", WHOLE), radar("b", WEST, orbit=9)], AREA)
    rows = list(csv.DictReader(io.StringIO(found.table.csv())))
    assert [row["id"] for row in rows] == ["a", "b"]
    assert rows[0]["chosen"] == "yes"
    assert float(rows[1]["coverage"]) == pytest.approx(0.5, abs=0.001)
    text = found.table.text(200)
    assert "*" in text.splitlines()[1]
    assert "it covers 50 % of the area" in text


@pytest.mark.parametrize("name", NAMES)
def test_recorded_answers_twins_passes_and_pairs(shared_data, name):
    items = load(shared_data, name)
    choice = newest(items)
    twins = {item.id for item in items if item.properties["title"].endswith("_COG")}
    assert twins
    assert twins <= {dropped.id for dropped in choice.dropped}, "each has its plain GRD here"
    assert len(choice.kept) + len(choice.dropped) == len(items)
    starts = [item.properties["title"][:32] for item in choice.kept]
    assert len(set(starts)) == len(starts), "one product of each acquisition"
    middle = shapely.union_all([shape(item.geometry) for item in choice.kept]).centroid
    area = Area.of_shape(middle.buffer(0.15))
    passes, _ = gather(choice.kept, area)
    for one in passes:
        names = [c.id for c in one.candidates]
        assert len({n[49:55] for n in names}) == 1, "one absolute orbit"
        assert len({n[56:62] for n in names}) == 1, "one datatake"
    orbits = {p.relative_orbit for p in passes}
    assert len(orbits) >= 2
    # the same platform comes back on the same orbit after 12 days, with its twin after 6
    for orbit in orbits:
        times = [p.time for p in passes if p.relative_orbit == orbit]
        for one, two in itertools.pairwise(times):
            assert round((two - one) / timedelta(days=1)) % 6 == 0
    dates = [passes[0].time + timedelta(days=d) for d in (13, 37)]
    found = pair(dates, choice.kept, area, PairingRules(window_days=12))
    assert len(found.passes) == 2
    assert len({p.relative_orbit for p in found.passes}) == 1
    assert found.coverage >= 0.99
    assert len(found.table.rows) == len(choice.kept)
    best = _best_by_hand(passes, dates, area)
    ours = [abs(p.time - d) // timedelta(days=1) for p, d in zip(found.passes, dates, strict=True)]
    assert sum(ours) == best


def _best_by_hand(passes, dates, area):
    """Fewest whole days, by trying every two passes of one orbit with plain shapely."""
    best = None
    for one in passes:
        for two in passes:
            common = one.footprint.intersection(two.footprint)
            same = one.relative_orbit == two.relative_orbit and one is not two
            inside = common.intersection(area.shape).area / area.shape.area >= 0.99
            gaps = [abs(p.time - d) for p, d in zip((one, two), dates, strict=True)]
            if same and inside and max(gaps) <= timedelta(days=12):
                days = sum(gap // timedelta(days=1) for gap in gaps)
                best = days if best is None else min(best, days)
    return best


def test_the_box_helper_wraps():
    assert box(0, 0, 1, 1).equals(Polygon(wrapped(0, 0, 1, 1)["coordinates"][0]))


@settings(max_examples=20)
@given(skies(), st.lists(st.floats(0, 100), min_size=12, max_size=12), st.floats(0.05, 1))
def test_whatever_the_sky_a_choice_keeps_its_promises(sky, clouds, wanted):
    area, radars = sky
    items = []
    for made, cloud in zip(radars, clouds, strict=False):
        made.properties |= {"eo:cloud_cover": cloud, "platform": "sentinel-2a"}
        made.collection_id = "sentinel-2-l2a"
        items.append(made)
    for best in ("earliest", "latest", "clearest"):
        found = choose(items, area, best=best, cloud_max=0.5, coverage_min=wanted)
        rows = found.table.rows
        assert sorted(row.id for row in rows) == sorted(item.id for item in items)
        assert all(row.reason for row in rows)
        again = choose(items[::-1], area, best=best, cloud_max=0.5, coverage_min=wanted)
        assert again.table == found.table
        if found.best is None:
            assert chosen(found.table) == []
            continue
        assert chosen(found.table) == sorted(c.id for c in found.best.candidates)
        # leaving out a tile may cost a ten-thousandth of the area
        assert area.coverage(found.best.footprint) >= wanted - 1e-9
        assert all(row.cloud <= 0.5 for row in rows if row.chosen)
