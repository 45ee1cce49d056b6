"""Region files, calendars, snapshots and the shape of the reconstruct plan."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from skymend.core.errors import ConfigError
from skymend.core.grid import Grid, Window
from skymend.core.plan import FrozenFile, FrozenProduct
from skymend.core.product import Product
from skymend.pipelines import explain
from skymend.pipelines.calendar import regular_dates
from skymend.pipelines.reconstruct import _Planner
from skymend.pipelines.region import Period, load_region, parse_region
from skymend.pipelines.search import Catalogue
from skymend.pipelines.snapshot import Snapshot
from skymend.steps import load_all

ROOT = Path(__file__).resolve().parents[2]
GRID = Grid.from_mgrs("31TCJ").crop(Window(0, 0, 64, 64))


def region(**changes):
    document = {
        "name": "test",
        "area": {"tiles": ["31TCJ"]},
        "period": {"start": "2018-01-01", "end": "2018-12-31"},
        "sources": {"s2": {"provider": "theia", "path": "s2"}},
        "outputs": [
            {"reconstruct": {"window_days": 20, "reach_days": 30}},
            {"evaluate": {"donor_days": 30, "methods": ["linear", "regression"]}},
        ],
    }
    return parse_region({**document, **changes}, Path("/base"))


def product(day, kind="theia"):
    time = datetime(2018, 1, 1, 10, 50, tzinfo=UTC) + timedelta(days=day)
    name = f"{kind}-{day:03d}"
    tags = {"id": name, "kind": kind, "datetime": time.isoformat()}
    file = FrozenFile(f"/data/{name}", 1, f"{hash_of(name):064x}")
    return FrozenProduct(name, kind, f"/data/{name}", tags, (file,))


def hash_of(text):
    return sum(ord(c) * 257**i for i, c in enumerate(text)) % 2**200


def plan(days, radar=(), **changes):
    load_all()
    optical = tuple(product(d) for d in days)
    passes = tuple(product(d, "s1tiling") for d in radar)
    catalogue = Catalogue(optical, passes, (), (), ())
    return _Planner(region(**changes), "31TCJ", GRID, catalogue).plan()


def keys(made, step):
    return {job.key for job in made.jobs if job.step == step}


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda p: p.name)
def test_every_region_file_of_config_is_valid(path):
    assert load_region(path).name


def test_relative_paths_are_those_of_the_region_file():
    assert region().sources.s2.path == Path("/base/s2")
    assert region(store="s").store == "/base/s"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"period": {"start": "2018-02-01", "end": "2018-01-01"}}, "period"),
        ({"area": {}}, "area"),
        ({"area": {"tiles": ["31TCJ"], "bbox": [0, 0, 1, 1], "geojson": "a"}}, "area"),
        ({"outputs": []}, "outputs"),
        ({"outputs": [{"reconstruct": {"every": "5 weeks"}}]}, "every"),
        ({"outputs": [{"reconstruct": {"method": "network"}}]}, "region"),
        ({"outputs": [{"reconstruct": {"window_days": 90, "reach_days": 30}}]}, "reconstruct"),
        ({"sourcess": {}}, "sourcess"),
    ],
)
def test_a_wrong_region_names_the_field(changes, field):
    with pytest.raises(ConfigError, match=field) as caught:
        region(**changes)
    assert "\n" not in str(caught.value)


def test_regular_dates_do_not_move_when_the_period_grows():
    short = Period(start=date(2018, 3, 3), end=date(2018, 4, 30))
    long = Period(start=date(2018, 1, 1), end=date(2018, 12, 31))
    for every in ("5 days", "10 days", "month"):
        assert set(regular_dates(every, short)) <= set(regular_dates(every, long))
    assert [t.day for t in regular_dates("month", long)] == [15] * 12
    gaps = {
        b - a for a, b in zip(*[regular_dates("5 days", long)[i:] for i in (0, 1)], strict=False)
    }
    assert gaps == {timedelta(days=5)}
    assert regular_dates("acquisition", long) == ()


def test_inputs_stay_inside_the_window():
    made = plan(range(0, 300, 5))
    by_key = made.by_key
    for job in made.jobs:
        if job.step in {"reconstruct", "trial"}:
            target = datetime.fromisoformat(job.tags["datetime"])
            near = [by_key[k] for k in job.inputs["candidates_optical"]]
            times = [datetime.fromisoformat(j.tags["datetime"]) for j in near]
            assert times
            assert all(abs(t - target) <= timedelta(days=30) for t in times)
            assert target not in times


def test_a_new_date_adds_its_own_jobs_and_changes_its_neighbours_only():
    before, after = plan(range(0, 200, 5)), plan(range(0, 205, 5))
    for step, new in (("optical", 1), ("mask", 1), ("hide", 7), ("reconstruct", 7), ("trial", 7)):
        assert len(keys(after, step) - keys(before, step)) == new, step
    changed = {by.tags["date"] for by in after.jobs if by.step == "hide"} - set()
    assert len(changed) == 41


def test_name_period_and_store_enter_no_key():
    one = plan(range(0, 50, 5))
    other = plan(
        range(0, 50, 5),
        name="other",
        store="elsewhere",
        period={"start": "2017-12-01", "end": "2019-01-31"},
    )
    assert [job.key for job in one.jobs] == [job.key for job in other.jobs]


def test_a_users_mask_enters_the_key_of_its_own_date_by_content(tmp_path):
    pattern = {"user": str(tmp_path / "own_{date}.tif")}
    without = keys(plan(range(0, 20, 5), mask=pattern), "mask")
    own = tmp_path / "own_20180106.tif"
    own.write_bytes(b"one")
    first = keys(plan(range(0, 20, 5), mask=pattern), "mask")
    own.write_bytes(b"two")
    second = keys(plan(range(0, 20, 5), mask=pattern), "mask")
    assert len(first - without) == len(second - first) == len(second - without) == 1


def test_a_users_mask_that_is_missing_is_not_passed_over(tmp_path):
    with pytest.raises(ConfigError, match=r"mask\.user .*own\.tif"):
        plan(range(0, 20, 5), mask={"user": str(tmp_path / "own.tif")})


def test_without_radar_the_regression_is_not_scored():
    trial = next(j for j in plan(range(0, 30, 5)).jobs if j.step == "trial")
    assert trial.params["methods"] == ["linear"]
    trial = next(j for j in plan(range(0, 30, 5), radar=range(0, 30, 6)).jobs if j.step == "trial")
    assert trial.params["methods"] == ["linear", "regression"]


def test_extending_beyond_the_training_period_does_not_retrain():
    training = {"period": {"start": "2018-01-01", "end": "2018-04-10"}, "steps": 10}
    wanted = [
        {"reconstruct": {"method": "network", "window_days": 20, "reach_days": 30}},
        {"evaluate": {"donor_days": 60}},
    ]
    short = plan(range(0, 100, 5), radar=range(0, 100, 6), training=training, outputs=wanted)
    long = plan(range(0, 150, 5), radar=range(0, 150, 6), training=training, outputs=wanted)
    assert keys(short, "train") == keys(long, "train")
    assert len(keys(short, "train")) == 1


def test_virtual_dates_are_planned_besides_acquisitions():
    wanted = [{"reconstruct": {"every": "10 days", "window_days": 20, "reach_days": 30}}]
    made = plan(range(0, 100, 5), outputs=wanted)
    rebuilt = [j for j in made.jobs if j.step == "reconstruct"]
    virtual = [j for j in rebuilt if j.params["target_datetime"]]
    assert len(rebuilt) - len(virtual) == 20
    assert len(virtual) == 36
    assert all("target_optical" not in j.inputs for j in virtual)


def test_explanations_name_the_step_and_its_users(tmp_path):
    from skymend.core.store import LocalStore

    made = plan(range(0, 50, 5))
    store = LocalStore(tmp_path / "s")
    store.prepare()
    mask = next(j for j in made.jobs if j.step == "mask")
    text = explain.why(made, store, f"{mask.folder}/mask.tif")
    assert "state: not run yet" in text
    assert "input product: theia theia-000" in text
    assert "needed by: hide" in text
    assert "jobs to run, time unknown" in explain.estimate(made, store)
    assert explain.step("mask").startswith("mask, version 3")
    with pytest.raises(ConfigError, match="8 digits or more"):
        explain.why(made, store, "nothing")


def test_a_snapshot_keeps_what_it_had_until_refreshed(tmp_path):
    path = tmp_path / "a.tif"
    path.write_text("one")
    time = datetime(2018, 1, 1, tzinfo=UTC)
    found = [Product("P", "theia", time, path, (path,), {})]
    period = (time - timedelta(days=1), time + timedelta(days=1))

    def freeze(products, *, refresh=False):
        snapshot = Snapshot(tmp_path / "snap.json", refresh=refresh)
        frozen = snapshot.freeze(products, period)
        snapshot.save()
        return frozen

    first = freeze(found)
    path.write_text("other")
    second = freeze(found)
    assert second.products == first.products
    assert "has changed" in second.notes[0]
    gone = freeze([])
    assert gone.products == first.products
    assert "no longer found" in gone.notes[0]
    third = freeze(found, refresh=True)
    assert third.products[0].identity != first.products[0].identity
    assert third.notes == ()
    assert freeze([], refresh=True).products == ()


def test_a_pass_is_despeckled_with_its_neighbours_only():
    sources = {
        "s2": {"provider": "theia", "path": "s2"},
        "s1": {"provider": "s1tiling", "path": "s1", "despeckle_days": 20},
    }
    made = plan(range(0, 60, 5), radar=range(0, 60, 6), sources=sources)
    jobs = [job for job in made.jobs if job.step == "despeckle"]
    assert len(jobs) == 10
    for job in jobs:
        time = datetime.fromisoformat(job.tags["datetime"])
        near = [
            datetime.fromisoformat(made.by_key[k].tags["datetime"]) for k in job.inputs["scenes"]
        ]
        assert near, "each pass has neighbours"
        assert all(timedelta(0) < abs(t - time) <= timedelta(days=20) for t in near)
    rebuilt = [job for job in made.jobs if job.step == "reconstruct"]
    used = {key for job in rebuilt for key in job.inputs["radar"]}
    assert used <= {job.key for job in jobs}, "what follows sees the filtered passes"


def test_level_1c_products_of_the_same_datatake_are_masked():
    load_all()
    time = datetime(2018, 1, 1, 10, 50, tzinfo=UTC)

    def sentinel(kind, baseline):
        tags = {
            "id": f"{kind}-{baseline}",
            "kind": kind,
            "datetime": time.isoformat(),
            "platform": "sentinel-2a",
            "tile": "31TCJ",
        }
        file = FrozenFile(f"/data/{kind}", 1, f"{hash_of(kind):064x}")
        return FrozenProduct(f"{kind}-{baseline}", kind, f"/data/{kind}", tags, (file,))

    mask = {"engine": "fmask", "source": {"provider": "safe-l1c", "path": "l1c"}}
    upper = sentinel("safe-l1c", "0500")
    for l1c, engine in (((upper,), "fmask"), ((), "product")):
        catalogue = Catalogue((sentinel("safe-l2a", "0500"),), (), (), (), (), l1c)
        made = _Planner(region(mask=mask), "31TCJ", GRID, catalogue).plan()
        (job,) = (job for job in made.jobs if job.step == "mask")
        assert job.params["engine"] == engine
        assert (job.inputs["product"] == [upper.identity]) == bool(l1c)
        assert any("no level-1C product" in note for note in made.notes) != bool(l1c)
