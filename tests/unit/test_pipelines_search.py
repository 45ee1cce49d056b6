"""What a region's search freezes: filters that work everywhere, one version of an acquisition."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from skymend.core.errors import ConfigError
from skymend.core.product import Product, RemoteProduct, SearchResult
from skymend.pipelines import remote, search
from skymend.pipelines.region_sources import OpticalSource, RadarSource
from skymend.pipelines.snapshot import Snapshot

TIME = datetime(2020, 1, 8, 10, 54, 21, tzinfo=UTC)
TIMES = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 31, tzinfo=UTC))


def remote_product(name, *, kind="safe-l2a", time=TIME, **tags):
    known = {"platform": "sentinel-2a", "tile": "31TCJ", "relative_orbit": "51", **tags}
    return RemoteProduct(name, kind, time, (), known, {})


def frozen(folder, products, *, refresh=False):
    snapshot = Snapshot(folder / "s.json", refresh=refresh)
    found = snapshot.freeze(products, TIMES)
    snapshot.save()
    return [p.id for p in found.products], found.notes


def test_a_reprocessed_product_is_not_planned_beside_the_one_it_replaced(tmp_path):
    old, new = remote_product("old"), remote_product("new")
    other = remote_product("other", time=TIME.replace(day=13))
    frozen(tmp_path, [old, other])
    names, notes = frozen(tmp_path, [new, other])
    assert names == ["old", "other"]
    (note,) = notes[:1]
    assert note.startswith("new has replaced old, which was planned first and is kept")
    assert "if it was not fetched yet and cannot be had any more, its date fails" in note
    assert "(plan with --refresh to take the new one, with all else" in note
    assert frozen(tmp_path, [new, other], refresh=True)[0] == ["new", "other"]
    assert frozen(tmp_path, [new, other]) == (["new", "other"], ())


@pytest.mark.parametrize(
    "change",
    [{"time": TIME.replace(minute=55)}, {"tile": "31TDJ"}, {"platform": "sentinel-2b"}],
)
def test_another_acquisition_replaces_nothing(tmp_path, change):
    frozen(tmp_path, [remote_product("first")])
    assert frozen(tmp_path, [remote_product("second", **change)])[0] == sorted(["first", "second"])


def test_tiles_of_heights_replace_nothing(tmp_path):
    bare = {"tile": "", "relative_orbit": "", "kind": "dem"}
    frozen(tmp_path, [remote_product("a", **bare)])
    assert frozen(tmp_path, [remote_product("b", **bare)])[0] == ["a", "b"]


def passes():
    return tuple(
        Product(f"s1-{orbit}", "s1tiling", TIME, Path("p"), (), {"relative_orbit": orbit})
        for orbit in ("008", "110")
    )


def test_relative_orbits_count_in_folders_too(tmp_path, monkeypatch):
    monkeypatch.setattr(search.local, "search", lambda *_, **__: SearchResult(passes()))
    source = RadarSource(provider="s1tiling", path=tmp_path, relative_orbits=(8,))
    found, notes = search._local("s1", source, tmp_path, None, None, ())
    assert [p.id for p in found] == ["s1-008"]
    assert notes == ("s1-110: its relative orbit is 110, asked for: 8",)


def test_a_largest_cloud_cover_of_a_folder_is_refused(tmp_path):
    source = OpticalSource(provider="theia", path=tmp_path, max_cloud_cover=30)
    with pytest.raises(ConfigError, match=r"sources\.s2\.max_cloud_cover: expected a catalogue"):
        search._local("s2", source, tmp_path, None, None, ())


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("s2", OpticalSource(provider="cdse"), OpticalSource(provider="cdse", level="L1C")),
        ("s2", OpticalSource(provider="cdse"), OpticalSource(provider="cdse", max_cloud_cover=30)),
        ("s1", RadarSource(provider="cdse"), RadarSource(provider="cdse", relative_orbits=(8,))),
    ],
)
def test_another_question_has_an_answer_of_its_own(name, one, other):
    assert search._question(name, one, ()) != search._question(name, other, ())
    assert search._question(name, one, ()) == search._question(name, one, ())


def test_radar_without_a_known_orbit_is_left_out_and_told():
    left = remote.other_orbits([remote_product("a", relative_orbit="")], RadarSource(
        provider="cdse", relative_orbits=(8, 110)
    ))  # fmt: skip
    assert left == {"a": "a: its relative orbit is not stated, asked for: 8, 110"}
