"""Tuple search against a hand-made case and an independent brute-force search."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skymend.patches.counting import count_sets, unrank, weight
from skymend.patches.index import CellIndex, Series, build_index
from skymend.patches.layout import Layout
from skymend.patches.presets import preset
from skymend.patches.search import TupleSearch, draw_ranks
from skymend.patches.stats import SceneStats

DAY = 86400.0
START = datetime(2020, 6, 1, 10, 30, tzinfo=UTC)


def _series(days, valid, cloud, **kwargs) -> Series:
    valid, cloud = np.asarray(valid, bool), np.asarray(cloud, np.float32)
    count = len(days)
    return Series(
        scenes=tuple(f"scene{i}" for i in range(count)),
        times=np.asarray(days, np.float64) * DAY,
        valid=valid,
        cloud=cloud,
        hidden=kwargs.get("hidden", np.zeros_like(cloud)),
        relative_orbits=kwargs.get("orbits", (None,) * count),
        directions=kwargs.get("directions", (None,) * count),
    )


def _radar(days, valid, **kwargs) -> Series:
    return _series(days, valid, np.zeros(np.shape(valid)), **kwargs)


def _index(optical: Series, radar: Series) -> CellIndex:
    return CellIndex((1, optical.valid.shape[1]), 64, optical, radar)


def _listed(search: TupleSearch) -> set[tuple]:
    found = search.everything(np.random.default_rng(0))
    assert len(found) == search.total
    listed = {
        (int(c), int(r), tuple(o.tolist()), tuple(s.tolist()))
        for c, r, o, s in zip(found.cell, found.reference, found.optical, found.radar, strict=True)
    }
    assert len(listed) == len(found), "a sample came twice"
    return listed


def _brute_force(index: CellIndex, layout: Layout) -> set[tuple]:
    """List samples as the specification words them, one image after the other."""
    optical, radar, names = index.optical, index.radar, layout.names

    def nearest(cell, image, query):
        best = None
        for j, when in enumerate(radar.times):
            if not radar.valid[j, cell]:
                continue
            if query.orbit and radar.directions[j] != query.orbit:
                continue
            if query.relative_orbits and radar.relative_orbits[j] not in query.relative_orbits:
                continue
            gap = abs(when - optical.times[image])
            if best is None or gap < best[1]:
                best = (j, gap)
        return best

    def fits(cell, reference, image, name):
        spec = layout.acquisitions[name]
        if spec.timeframe_origin and image != reference:
            return None
        start, end = spec.window_hours
        offset = optical.times[image] - optical.times[reference]
        if not spec.timeframe_origin and not start * 3600 <= offset <= end * 3600:
            return None
        cloud = optical.cloud[image, cell]
        query = spec.acquisition.s2
        if not optical.valid[image, cell]:
            return None
        if not query.min_cloud_percent <= cloud <= query.max_cloud_percent:
            return None
        if spec.acquisition.s1 is None:
            return -1
        found = nearest(cell, image, spec.acquisition.s1)
        if found is None or found[1] > spec.max_s1s2_gap_hours * 3600:
            return None
        return found[0]

    listed = set()
    images = range(len(optical))
    for cell, reference in itertools.product(range(index.cells), images):
        choices = [
            [(i, s) for i in images if (s := fits(cell, reference, i, name)) is not None]
            for name in names
        ]
        for combination in itertools.product(*choices):
            twice = any(
                combination[a][0] == combination[b][0] and not layout.may_share(names[a], names[b])
                for a, b in itertools.combinations(range(len(names)), 2)
            )
            if not twice:
                optics, radars = zip(*combination, strict=True)
                listed.add((cell, reference, optics, radars))
    return listed


def _document(windows: dict, gap: float | None = None, clouds: dict | None = None) -> dict:
    clouds = clouds or {}
    document = {}
    for name, window in windows.items():
        low, high = clouds.get(name, (0, 100))
        spec = {"acquisition": {"S2": {"min_cloud_percent": low, "max_cloud_percent": high}}}
        if gap:
            spec["acquisition"]["S1"] = {}
            spec["max_s1s2_gap_hours"] = gap
        if window is None:
            spec["timeframe_origin"] = True
        else:
            spec["timeframe_start_hours"], spec["timeframe_end_hours"] = window
        document[name] = spec
    return document


# Six dates, one cell. Day:      0    10    20    30    40    45
# cloud %                        0    60     0   100     0     0
# a SAR pass 3 days after day    0    10    20    30    --    --  (day 40: 7 days from 33)
SIX_DAYS = [0, 10, 20, 30, 40, 45]
SIX_CLOUD = [[0], [60], [0], [100], [0], [0]]
SIX_PASSES = [3, 13, 23, 33]


def _six(passes=SIX_PASSES) -> CellIndex:
    optical = _series(SIX_DAYS, np.ones((6, 1)), SIX_CLOUD)
    return _index(optical, _radar(passes, np.ones((len(passes), 1))))


def test_six_dates_have_the_samples_found_by_hand() -> None:
    layout = preset("crga-os2-occitanie")
    # order of acquisitions: tm1, t, target, tp1. References must be cloudy with SAR within 72 h:
    #   day 10: tm1 needs a date 10..30 days before = day 0; its window's edge is included.
    #           target clear within +-10 days: day 0 (taken by tm1: no) or day 20.
    #           tp1 10..30 days after with SAR: day 20 (taken by the target: no), day 30; day 40
    #           has no SAR within 72 h.
    #   day 30: tm1 0, 10 or 20; target day 20 or 40; tp1 day 40, 45: no SAR -> nothing.
    # Two passes are exactly 72 h away: the limit is included.
    found = _listed(TupleSearch(_six(), layout))
    assert found == {(0, 1, (0, 1, 2, 3), (0, 1, -1, 3))}


def test_a_gap_of_one_second_more_is_too_much() -> None:
    late = [day + 1 / DAY for day in SIX_PASSES]
    assert TupleSearch(_six(late), preset("crga-os2-occitanie")).total == 0


def test_six_dates_with_sar_everywhere() -> None:
    # day 38 is 2 days from 40, and 47 2 days from 45. Now also reference day 10 with tp1 day 40,
    # and reference day 30: tm1 in {0, 10, 20}, target in {20, 40}, tp1 in {40, 45}, all distinct:
    # tm1 0 or 10: target 20 -> tp1 40, 45; target 40 -> tp1 45: 3 each; tm1 20: only the last: 1.
    search = TupleSearch(_six([*SIX_PASSES, 38, 47]), preset("crga-os2-occitanie"))
    assert search.total == 2 + 3 + 3 + 1
    assert search.counts[0].tolist() == [0, 2, 0, 7, 0, 0]


def test_reference_must_satisfy_its_own_range() -> None:
    layout = Layout.from_json(_document({"t": None}, clouds={"t": (50, 70)}))
    assert _listed(TupleSearch(_six(), layout)) == {(0, 1, (1,), (-1,))}


def test_siblings_may_share_one_image() -> None:
    windows = {"t": None, "target": (-1, 1)}
    assert TupleSearch(_six(), Layout.from_json(_document(windows))).total == 0
    shared = _document(windows) | {"options": {"siblings": [["t", "target"]]}}
    assert TupleSearch(_six(), Layout.from_json(shared)).total == 6


def test_no_valid_sar_is_no_sample_and_no_crash() -> None:
    layout = preset("crga-os1")
    optical = _series(SIX_DAYS, np.ones((6, 2)), np.zeros((6, 2)))
    passes = np.ones((4, 2))
    passes[:, 1] = 0
    search = TupleSearch(_index(optical, _radar(SIX_PASSES, passes)), layout)
    assert search.counts[0].sum() > 0
    assert search.counts[1].sum() == 0
    assert TupleSearch(_index(optical, _radar([], np.zeros((0, 2)))), layout).total == 0


def test_orbit_filter_takes_the_nearest_of_that_orbit() -> None:
    document = _document({"t": None}, gap=240)
    document["t"]["acquisition"]["S1"] = {"orbit": "descending"}
    optical = _series([10.0], [[1]], [[0]])
    radar = _radar([9, 12], [[1], [1]], directions=("ascending", "descending"), orbits=(8, 37))
    index = _index(optical, radar)
    assert _listed(TupleSearch(index, Layout.from_json(document))) == {(0, 0, (0,), (1,))}
    document["t"]["acquisition"]["S1"] = {"relative_orbits": [8]}
    assert _listed(TupleSearch(index, Layout.from_json(document))) == {(0, 0, (0,), (0,))}


def test_clouds_are_lent_by_another_cloudy_date_but_not_by_hidden_pixels() -> None:
    document = _document({"t": None}, clouds={"t": (0, 5)})
    document["options"] = {"clouding": {"min_cloud_percent": 10}}
    hidden = np.array([[0], [60], [0], [0], [0], [0]], np.float32)  # day 10: only hidden pixels
    optical = _series(SIX_DAYS, np.ones((6, 1)), SIX_CLOUD, hidden=hidden)
    search = TupleSearch(_index(optical, _radar([], np.zeros((0, 1)))), Layout.from_json(document))
    found = search.everything(np.random.default_rng(1))
    assert found.reference.tolist() == [0, 2, 4, 5]
    assert found.donor.tolist() == [3, 3, 3, 3]


def test_no_cloud_to_lend_is_no_sample() -> None:
    document = _document({"t": None}, clouds={"t": (0, 5)}) | {"options": {"clouding": {}}}
    optical = _series([0, 5], np.ones((2, 1)), np.zeros((2, 1)))
    search = TupleSearch(_index(optical, _radar([], np.zeros((0, 1)))), Layout.from_json(document))
    assert search.total == 0
    assert len(search.sample(5, np.random.default_rng(0))) == 0


def test_random_ranges_are_drawn_per_query_and_seeded() -> None:
    spec = {"min_cloud_percent": {"min": 0, "max": 9}, "max_cloud_percent": 100}
    document = {"t": {"acquisition": {"S2": spec}, "timeframe_origin": True}}
    cells = 20_000
    optical = _series([0.0], np.ones((1, cells)), np.full((1, cells), 4.5))
    layout, index = Layout.from_json(document), _index(optical, _radar([], np.zeros((0, cells))))
    one, again, other = (TupleSearch(index, layout, seed=s).counts for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    # a limit of 0..4 (5 of 10 values) lets 4.5 % through; 4 sigma of a binomial draw
    assert abs(one.sum() - cells / 2) < 4 * np.sqrt(cells / 4)


@st.composite
def cases(draw) -> tuple[CellIndex, Layout]:
    count, passes, cells = draw(st.integers(1, 6)), draw(st.integers(0, 4)), draw(st.integers(1, 2))
    whole = st.integers(0, 12)

    def flags(rows):
        size = rows * cells
        values = draw(st.lists(st.booleans(), min_size=size, max_size=size))
        return np.array(values, bool).reshape(rows, cells)

    size = count * cells
    cloud = draw(st.lists(st.sampled_from([0, 1, 50, 100]), min_size=size, max_size=size))
    days = sorted(draw(st.lists(whole, min_size=count, max_size=count)))
    pass_days = sorted(draw(st.lists(whole, min_size=passes, max_size=passes, unique=True)))
    optical = _series(days, flags(count), np.reshape(cloud, (count, cells)))
    names = ["a", "b", "c", "d"][: draw(st.integers(0, 4))]
    hours = st.integers(-6, 6).map(lambda d: 24 * d)
    windows = {"t": None} | {name: (draw(hours), draw(hours)) for name in names}
    ranges = {n: draw(st.sampled_from([(0, 0), (0, 100), (1, 50), (100, 100)])) for n in windows}
    document = _document(windows, draw(st.sampled_from([None, 24, 48])), ranges)
    if draw(st.booleans()):
        document["options"] = {"siblings": [[n for n in windows if draw(st.booleans())]]}
    return _index(optical, _radar(pass_days, flags(passes))), Layout.from_json(document)


@settings(max_examples=250, deadline=None)
@given(cases())
def test_search_agrees_with_brute_force(case) -> None:
    index, layout = case
    assert _listed(TupleSearch(index, layout)) == _brute_force(index, layout)


@given(
    st.lists(st.frozensets(st.integers(0, 4)), max_size=4),
    st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3))),
)
def test_ranks_list_every_assignment_once(choices, pairs) -> None:
    size = len(choices)
    masks = [0] * size
    for i, j in pairs:
        if i != j and max(i, j) < size:
            masks[i] |= 1 << j
            masks[j] |= 1 << i
    expected = [
        taken
        for taken in itertools.product(*map(sorted, choices))
        if not any(
            masks[i] >> j & 1 and taken[i] == taken[j] for i in range(size) for j in range(i)
        )
    ]
    total = count_sets(choices, tuple(masks))
    assert [unrank(r, choices, tuple(masks)) for r in range(total)] == expected


def test_weights_of_a_complete_group_are_signed_factorials() -> None:
    # Moebius function of the partition lattice: (-1)**(n-1) * (n-1)!
    for size, expected in [(1, 1), (2, -1), (3, 2), (4, -6), (5, 24)]:
        everyone = (1 << size) - 1
        assert weight(everyone, tuple(everyone ^ (1 << i) for i in range(size))) == expected


def test_samples_are_seeded_distinct_and_uniform() -> None:
    layout = Layout.from_json(_document({"t": None, "a": (-2400, 2400), "b": (-2400, 2400)}))
    search = TupleSearch(_six(), layout)
    assert search.total == 6 * 5 * 4
    seen = np.zeros((6, 6))
    for seed in range(300):
        drawn = search.sample(20, np.random.default_rng(seed))
        assert len({tuple(row) for row in drawn.optical.tolist()}) == 20
        np.add.at(seen, (drawn.optical[:, 0], drawn.reference), 1)
    same = search.sample(20, np.random.default_rng(4)).optical
    np.testing.assert_array_equal(same, search.sample(20, np.random.default_rng(4)).optical)
    off = seen[~np.eye(6, dtype=bool)]
    # 30 (image, reference) pairs share 6000 draws evenly: 200 each, 5 sigma of a Poisson count
    assert np.abs(off - 200).max() < 5 * np.sqrt(200)


def test_a_cap_per_cell_is_kept() -> None:
    optical = _series(SIX_DAYS, np.ones((6, 3)), np.zeros((6, 3)))
    layout = Layout.from_json(_document({"t": None, "a": (-2400, 2400)}))
    search = TupleSearch(_index(optical, _radar([], np.zeros((0, 3)))), layout)
    drawn = search.sample(100, np.random.default_rng(0), max_per_cell=4)
    assert np.bincount(drawn.cell).tolist() == [4, 4, 4]


@given(st.integers(0, 10**12), st.integers(0, 50), st.integers(0, 5))
def test_ranks_are_distinct_and_inside(total: int, number: int, seed: int) -> None:
    ranks = (
        draw_ranks(total, number, np.random.default_rng(seed))
        if total > 10**5
        else (draw_ranks(total % 60, number, np.random.default_rng(seed)))
    )
    limit = total if total > 10**5 else total % 60
    assert len(ranks) == min(number, limit) == len(set(ranks.tolist()))
    assert all(0 <= r < limit for r in ranks.tolist())


def test_cells_are_valid_only_with_all_their_blocks() -> None:
    valid = np.ones((4, 5), np.float32)
    valid[0, 0] -= 1 / 4096
    cloud = np.zeros((4, 5), np.float32)
    cloud[2:, 2] = 0.5
    stats = SceneStats("x", "optical", START, valid, cloud, cloud * 0)
    index = build_index([stats], 128)
    assert index.shape == (2, 2)
    assert index.optical.valid.tolist() == [[False, True, True, True]]
    assert index.optical.cloud.tolist() == [[0, 0, 0, 25]]
    assert build_index([stats], 128, invalid_tolerance=0.001).optical.valid.all()


@pytest.mark.parametrize("size", [100, 0, 512])
def test_patch_sizes_that_do_not_fit_are_refused(size: int) -> None:
    from skymend.core.errors import ConfigError

    stats = SceneStats("x", "optical", START, *(np.ones((4, 5), np.float32),) * 3)
    with pytest.raises(ConfigError, match="patch_size"):
        build_index([stats], size)


def test_a_tile_of_seventy_dates_is_searched_in_seconds() -> None:
    rng = np.random.default_rng(3)
    shape, stats = (171, 171), []
    for i in range(70):
        cloud = np.clip(rng.normal(0.4, 0.5, shape), 0, 1).astype(np.float32)
        when = START + timedelta(days=5 * i)
        stats.append(
            SceneStats(f"o{i}", "optical", when, np.ones(shape, np.float32), cloud, cloud * 0)
        )
    for i in range(60):
        ones = np.ones(shape, np.float32)
        when = START + timedelta(days=6 * i, hours=-5)
        stats.append(SceneStats(f"r{i}", "radar", when, ones, ones * 0, ones * 0))
    begin = time.perf_counter()
    search = TupleSearch(build_index(stats, 64), preset("crga-os2"))
    drawn = search.sample(2000, rng)
    took = time.perf_counter() - begin
    assert search.total > 1_000_000
    assert len(drawn) == 2000
    assert took < 20  # about 3 s on an idle core; shared and slower machines get room


def test_restricted_to_a_period_uses_no_image_outside() -> None:
    index = _six([*SIX_PASSES, 38, 47]).between(10 * DAY, 47 * DAY)
    found = TupleSearch(index, preset("crga-os2")).everything(np.random.default_rng(0))
    assert len(found) == 4
    assert found.optical.min() >= 1
    assert index.radar.times[found.radar[found.radar >= 0]].min() >= 10 * DAY
