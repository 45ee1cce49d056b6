"""Plans that fail keep their checksums; plans made at once keep out of each other's way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Event

import pytest

from skymend.core.errors import ProductError, StoreError
from skymend.core.product import Product
from skymend.core.store import LocalStore, open_store
from skymend.pipelines import attempt, door, reconstruct, snapshot

REGION = """\
name: {name}
area: {{tiles: [31TCJ], bounds: [350000, 4849060, 350960, 4850020]}}
period: {{start: 2018-06-01, end: 2018-07-06}}
sources:
  s2: {{provider: theia, path: products}}
outputs:
  - reconstruct: {{method: linear, bands: [B04]}}
"""
TIME = datetime(2018, 6, 10, tzinfo=UTC)
FAULT = ProductError(where="a", expected="b", found="c", fix="d")
PATIENCE_S = 30.0


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SKYMEND_CACHE", str(folder))
    return folder


@pytest.fixture
def regions(tmp_path):
    (tmp_path / "products").mkdir()
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(REGION.format(name=name))
    return tmp_path


@pytest.fixture
def hashed(monkeypatch):
    """The files whose checksum was computed."""
    names = []
    compute = snapshot.file_sha256

    def noted(path):
        names.append(path.name)
        return compute(path)

    monkeypatch.setattr(snapshot, "file_sha256", noted)
    return names


class Planning:
    """Freezes a product of two files; fails as often as it is told to, before or after saving."""

    def __init__(self, folder, failures, *, saves=True):
        self.files = (folder / "B04.tif", folder / "B08.tif")
        for path in self.files:
            path.write_text(path.name)
        self.failures, self.saves = failures, saves

    def __call__(self, region, tile, grid, opened):
        held = opened("s2")
        product = Product("P", "theia", TIME, self.files[0].parent, self.files, {})
        held.freeze([product], (TIME, TIME))
        if self.saves:
            held.save()
        if self.failures:
            self.failures -= 1
            raise FAULT
        held.save()


def left(folder):
    return sorted(p for p in folder.rglob("*") if p.suffix == ".json")


@pytest.mark.parametrize("saves", [True, False])
def test_what_a_failed_plan_has_hashed_is_not_hashed_again(
    regions, hashed, cache, monkeypatch, saves
):
    planning = Planning(regions / "products", 2, saves=saves)
    monkeypatch.setattr(reconstruct, "plan", planning)
    for _ in range(2):
        with pytest.raises(ProductError):
            door.open_region(regions / "one.yaml", str(regions / "store"))
        assert not (regions / "store").exists()
        assert hashed == ["B04.tif", "B08.tif"]
    planning.files[1].write_text("changed meanwhile")
    door.open_region(regions / "one.yaml", str(regions / "store"))
    assert hashed == ["B04.tif", "B08.tif", "B08.tif"]
    assert left(cache) == [], "the snapshot holds them now"
    door.open_region(regions / "one.yaml", str(regions / "store"))
    assert len(hashed) == 3


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"a": [1]}'])
def test_damaged_leftovers_are_computed_anew(regions, hashed, cache, monkeypatch, damaged):
    monkeypatch.setattr(reconstruct, "plan", Planning(regions / "products", 1))
    with pytest.raises(ProductError):
        door.open_region(regions / "one.yaml", str(regions / "store"))
    (file,) = left(cache)
    file.write_text(damaged)
    door.open_region(regions / "one.yaml", str(regions / "store"))
    assert len(hashed) == 4


def test_a_cache_that_cannot_be_written_stops_no_plan(regions, monkeypatch):
    def refused(*_, **__):
        raise StoreError(where="cache", expected="a", found="b", fix="c")

    monkeypatch.setattr(attempt, "file_lock", refused)
    monkeypatch.setattr(attempt, "write_json", refused)
    monkeypatch.setattr(reconstruct, "plan", Planning(regions / "products", 1))
    with pytest.raises(ProductError):
        door.open_region(regions / "one.yaml", str(regions / "store"))
    assert not (regions / "store").exists()
    door.open_region(regions / "one.yaml", str(regions / "store"))
    open_store(regions / "store").check()


def test_trouble_while_withdrawing_does_not_hide_the_first_error(regions, monkeypatch):
    def withdraw(self):
        raise StoreError(where="bucket", expected="a", found="b", fix="c")

    monkeypatch.setattr(LocalStore, "withdraw", withdraw)
    monkeypatch.setattr(reconstruct, "plan", Planning(regions / "products", 1))
    with pytest.raises(ProductError):
        door.open_region(regions / "one.yaml", str(regions / "store"))


def test_a_failing_plan_spoils_no_other_of_its_region(regions, monkeypatch, caplog):
    """The second one begins while the first, which is going to fail, is on its way."""
    begun, done = Event(), Event()

    def plan(region, tile, grid, opened):
        held = opened("s2")
        held.save()
        if not begun.is_set():
            begun.set()
            done.wait(1.0)  # time enough for the other, were it not kept out
            raise FAULT
        done.set()

    monkeypatch.setattr(reconstruct, "plan", plan)
    path, store = regions / "one.yaml", str(regions / "store")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(door.open_region, path, store)
        assert begun.wait(PATIENCE_S)
        door.open_region(path, store)
        assert first.exception(PATIENCE_S) is FAULT
    open_store(regions / "store").check()
    assert (regions / "store/snapshots/one/31TCJ/s2.json").exists()
    assert "one is being planned by another process" in caplog.text


def test_a_new_store_stays_while_another_region_is_planned_in_it(regions, monkeypatch):
    first_in, second_in, failed = Event(), Event(), Event()

    def plan(region, tile, grid, opened):
        if region.name == "one":
            first_in.set()
            assert second_in.wait(PATIENCE_S)
            raise FAULT
        second_in.set()
        assert failed.wait(PATIENCE_S)
        opened("s2").save()

    monkeypatch.setattr(reconstruct, "plan", plan)
    store = str(regions / "store")
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(door.open_region, regions / "one.yaml", store)
        assert first_in.wait(PATIENCE_S)
        two = pool.submit(door.open_region, regions / "two.yaml", store)
        assert one.exception(PATIENCE_S) is FAULT
        failed.set()
        two.result(PATIENCE_S)
    open_store(regions / "store").check()
