"""Regions whose products come from catalogues: what is searched, frozen, fetched and grouped."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime, timedelta

import pystac
import pytest

from skymend.core.errors import InternalError, ProductError
from skymend.core.grid import Grid
from skymend.core.plan import FrozenFile, FrozenProduct
from skymend.core.step import Artifact, Context
from skymend.pipelines import orbits, remote, scenes
from skymend.pipelines.region_sources import OpticalSource, RadarSource
from skymend.pipelines.search import wide
from skymend.pipelines.snapshot import Snapshot
from skymend.sources.transfer import Receipt
from skymend.steps import fetch

GRID = Grid.from_mgrs("31TCJ").clip((350000, 4849060, 350960, 4850020))
TIMES = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 31, tzinfo=UTC))
NAME = "S2A_MSIL2A_20200108T105421_N{baseline}_R{orbit:03d}_T31TCJ_20200108T135421"


def item(baseline="0500", orbit=51):
    box = [1.0, 43.0, 2.0, 44.0]
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    found = pystac.Item(
        NAME.format(baseline=baseline, orbit=orbit),
        {"type": "Polygon", "coordinates": [ring]},
        box,
        datetime(2020, 1, 8, 10, 54, 21, tzinfo=UTC),
        {
            "platform": "sentinel-2a",
            "grid:code": "MGRS-31TCJ",
            "sat:relative_orbit": orbit,
            "processing:version": f"{baseline[:2]}.{baseline[2:]}",
        },
        collection="sentinel-2-l2a",
    )
    for band in ("B04_10m", "B08_10m", "SCL_20m"):
        extra = {"file:checksum": "d50110" + f"{len(band):032x}", "file:size": 5}
        found.add_asset(band, pystac.Asset(f"https://host/{band}.jp2", extra_fields=extra))
    return found


class FakeSource:
    """Answers with given items; fetching writes what a provider would."""

    name = "cdse"

    def __init__(self, *items, deliver=None):
        self.items = items
        self.asked = []
        self.deliver = deliver

    def search(self, collection, area, period, filters):
        self.asked.append((collection, area, period, filters))
        return pystac.ItemCollection(self.items)

    def fetch(self, found, assets, destination, progress=None):
        destination.mkdir(parents=True, exist_ok=True)
        return (self.deliver(destination),)


@pytest.fixture
def source(monkeypatch):
    def install(*items, deliver=None):
        made = FakeSource(*items, deliver=deliver)
        monkeypatch.setattr("skymend.sources.registry.open_source", lambda name, settings: made)
        return made

    return install


def ask(role="s2", wanted=None, bands=("B04",)):
    wanted = wanted or OpticalSource(provider="cdse")
    return remote.search(role, wanted, GRID, TIMES, bands)


class TestSearch:
    def test_level_and_cloud_reach_the_provider(self, source):
        asked = source(item()).asked
        ask(wanted=OpticalSource(provider="cdse", level="L1C", max_cloud_cover=40))
        ((collection, area, period, filters),) = asked
        assert collection == "sentinel-2-l1c"
        assert period == TIMES
        assert filters.cloud_cover_max == 40
        assert area.bounds[0] == pytest.approx(1.1357, abs=1e-3)

    def test_files_of_the_bands_and_their_digests_identify_a_product(self, source):
        source(item())
        (product,), _ = ask(bands=("B04", "SCL"))
        assert [f.name for f in product.files] == ["B04_10m", "SCL_20m"]
        assert all(f.digest.startswith("md5:") for f in product.files)
        assert product.kind == "safe-l2a"
        assert product.tags == {
            "platform": "sentinel-2a",
            "tile": "31TCJ",
            "relative_orbit": "51",
            "version": "05.00",
        }

    def test_an_older_version_is_told(self, source):
        source(item("0208"), item("0500"))
        products, notes = ask()
        assert [p.tags["version"] for p in products] == ["05.00"]
        assert len(notes) == 1
        assert "N0208" in notes[0]

    def test_other_relative_orbits_are_left_out(self, source):
        source(item(orbit=8), item(orbit=110))
        wanted = RadarSource(provider="cdse", relative_orbits=(110,))
        products, _ = ask("s1", wanted, ())
        assert [p.tags["relative_orbit"] for p in products] == ["110"]

    def test_where_a_product_lies_is_not_what_it_is(self, source):
        source(item())
        (first,), _ = ask()
        (second,), _ = ask(
            wanted=OpticalSource(provider="cdse", endpoints={"cdse.stac": "http://mirror"})
        )
        assert first.order != second.order
        identities = {FrozenProduct.of_remote(p).identity for p in (first, second)}
        assert len(identities) == 1

    def test_a_snapshot_keeps_it(self, source, tmp_path):
        source(item())
        found, _ = ask()
        first = Snapshot(tmp_path / "s.json")
        frozen = first.freeze(found, TIMES).products
        first.save()
        again = Snapshot(tmp_path / "s.json").freeze((), TIMES)
        assert again.products == frozen
        assert "no longer found" in again.notes[0]


def grd(name, start, orbit="110", platform="sentinel-1a"):
    tags = {"platform": platform, "relative_orbit": orbit, "datetime": start.isoformat()}
    return FrozenProduct(name, "safe-grd", name, tags, (FrozenFile(name, 1, name),))


class TestPasses:
    def test_slices_of_a_pass_are_one_group(self):
        start = datetime(2020, 1, 8, 6, tzinfo=UTC)
        second = start + timedelta(seconds=25)
        other_orbit = grd("c", second, orbit="8")
        next_day = grd("d", start + timedelta(days=12))
        groups = scenes.same_pass([grd("b", second), next_day, other_orbit, grd("a", start)])
        assert sorted([p.id for p in group] for group in groups) == [["a", "b"], ["c"], ["d"]]

    def test_satellites_are_never_joined(self):
        start = datetime(2020, 1, 8, 6, tzinfo=UTC)
        pair = [grd("a", start), grd("b", start, platform="sentinel-1b")]
        assert len(scenes.same_pass(pair)) == 2

    def test_heights_reach_20_km_around(self):
        around = wide(GRID).bounds
        inside = GRID.bounds
        assert around[0] == inside[0] - 20_000
        assert around[3] == inside[3] + 20_000
        assert around[2] >= inside[2] + 20_000
        assert around[1] <= inside[1] - 20_000


EOF = "S1A_OPER_AUX_{kind}_OPOD_{made}_V20200107T225942_20200109T005942.EOF"
SCENE = "S1A_IW_GRDH_1SDV_20200108T060007_20200108T060032_030000_037000_ABCD"


class TestOrbits:
    def frozen(self, tmp_path, source):
        product = grd(SCENE, datetime(2020, 1, 8, 6, tzinfo=UTC))
        return orbits.orbit_files(source, [product], lambda name: Snapshot(tmp_path / name))

    def test_a_precise_orbit_wins_over_a_newer_restituted_one(self, tmp_path):
        precise = EOF.format(kind="POEORB", made="20200129T120000")
        for name in (precise, EOF.format(kind="RESORB", made="20200201T120000")):
            (tmp_path / name).write_text("x")
        source = RadarSource(provider="safe-grd", path=tmp_path, orbits=tmp_path)
        found, notes = self.frozen(tmp_path, source)
        assert found[SCENE].id == precise
        assert notes == ()

    def test_none_yet_is_a_note(self, tmp_path):
        source = RadarSource(provider="safe-grd", path=tmp_path, orbits=tmp_path)
        found, notes = self.frozen(tmp_path, source)
        assert not found
        assert SCENE in notes[0]

    def test_no_source_of_orbits_is_told(self, tmp_path):
        found, notes = self.frozen(tmp_path, RadarSource(provider="safe-grd", path=tmp_path))
        assert not found
        assert "annotations" in notes[0]


def zipped_safe(destination):
    archive = destination / "S2A.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("S2A_MSIL2A.SAFE/MTD_MSIL2A.xml", "<x/>")
    return Receipt(archive, 1, "md5", 0, 0, 0.1)


def images(destination):
    (destination / "scene").mkdir()
    (destination / "scene" / "B04.tif").write_bytes(b"x")
    (destination / "scene.json").write_text("{}")
    return Receipt(destination / "scene" / "B04.tif", 1, "sha256", 0, 0, 0.1)


class TestFetch:
    def run(self, tmp_path, kind):
        order = {"provider": "cdse", "endpoints": {}, "item": item().to_dict()}
        product = Artifact(
            key="product:1", step="product", tags={"kind": kind, "id": "x"}, facts=order
        )
        out, work = tmp_path / "out", tmp_path / "work"
        out.mkdir()
        work.mkdir()
        context = Context(cpus=1, work=work, final=out)
        facts = fetch.run(fetch.Inputs(product=product), fetch.Params(), out, context)
        made = Artifact(
            key="k", step="fetch", tags={"kind": kind}, files={"product": out / "product"}
        )
        return facts, made

    def test_an_archive_becomes_the_folder_that_readers_take(self, tmp_path, source):
        source(deliver=zipped_safe)
        facts, made = self.run(tmp_path, "safe-l2a")
        assert made.product.name == "S2A_MSIL2A.SAFE"
        assert facts["files"]["S2A.zip"]["verified"] == "md5"
        assert json.dumps(facts)

    def test_a_grd_archive_is_read_in_place(self, tmp_path, source):
        source(deliver=zipped_safe)
        _, made = self.run(tmp_path, "safe-grd")
        assert made.product.name == "S2A.zip"

    def test_of_a_stac_item_the_reader_gets_the_item(self, tmp_path, source):
        source(deliver=images)
        _, made = self.run(tmp_path, "stac")
        assert made.product.name == "scene.json"

    def test_nothing_or_too_much_is_a_defect_of_the_provider(self, tmp_path):
        (tmp_path / "a").write_text("")
        (tmp_path / "b").write_text("")
        made = Artifact(key="k", step="fetch", tags={}, files={"product": tmp_path})
        with pytest.raises(InternalError, match="2 entries"):
            _ = made.product

    def test_an_orbit_file_that_was_superseded_is_named(self, tmp_path, monkeypatch):
        newer = EOF.format(kind="POEORB", made="20200129T120000")

        def bring(scene, settings, folder, *, providers):
            return Receipt(folder / newer, 1, "md5", 0, 0, 0.1)

        monkeypatch.setattr("skymend.sources.orbits.fetch", bring)
        older = EOF.format(kind="RESORB", made="20200108T120000")
        product = Artifact(
            key="product:1",
            step="product",
            tags={"kind": "eof", "id": older},
            facts={"provider": "cdse", "endpoints": {}, "scene": SCENE},
        )
        context = Context(cpus=1, work=tmp_path, final=tmp_path)
        with pytest.raises(ProductError, match=r"successor S1A_OPER_AUX_POEORB"):
            fetch.run(fetch.Inputs(product=product), fetch.Params(), tmp_path, context)
