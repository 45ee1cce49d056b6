"""Orbit files: on the recorded catalogue, from a loopback Data Space and a loopback bucket."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core.errors import AccessError, ConfigError, ProductError, RetryableError
from skymend.sources import orbits
from skymend.sources.cdse import odata
from skymend.sources.credentials import Credentials
from skymend.sources.orbits import OrbitFile, Scene
from skymend.sources.protocol import Filters, Settings, digests_of, size_of
from skymend.sources.registry import open_source
from tests.servers import cdse
from tests.servers.routes import Response
from tests.servers.s3 import serve_s3

PASS = "S1A_IW_GRDH_1SDV_20140409T170557_20140409T170624_000000_000000_0000.SAFE"


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def name(kind, created, start, end, platform="S1A"):
    stamps = (f"{m:%Y%m%dT%H%M%S}" for m in (created, start, end))
    return f"{platform}_OPER_AUX_{kind}_OPOD_{{}}_V{{}}_{{}}.EOF".format(*stamps)


def content(file_name):
    """An orbit file without positions: its header says what its name says."""
    orbit = OrbitFile.parse(file_name)
    return (
        "<Earth_Explorer_File><Earth_Explorer_Header><Fixed_Header>"
        f"<File_Name>{file_name.removesuffix('.EOF')}</File_Name>"
        f"<Mission>Sentinel-{orbit.platform[1:]}</Mission><File_Type>{orbit.kind}</File_Type>"
        f"<Validity_Period><Validity_Start>UTC={orbit.start:%Y-%m-%dT%H:%M:%S}</Validity_Start>"
        f"<Validity_Stop>UTC={orbit.end:%Y-%m-%dT%H:%M:%S}</Validity_Stop></Validity_Period>"
        "</Fixed_Header></Earth_Explorer_Header></Earth_Explorer_File>"
    ).encode()


@pytest.fixture(scope="module")
def recorded(shared_data):
    pages = (shared_data / "api-cdsetool-odata/query/mock/sentinel_1").glob("odata_page_*.json")
    return [p for page in sorted(pages) for p in json.loads(page.read_text())["value"]]


def settings_of(server, folder, **endpoints):
    login = {"username": server.account.username, "password": server.account.password}
    credentials = Credentials({"cdse": login}, {}, folder / "none")
    return Settings({**server.endpoints, **endpoints}, credentials, folder / "cache", 10)


def test_all_recorded_auxiliary_files_become_items_with_both_digests(recorded):
    items = [odata.to_item(p, "aux-poeorb", "https://download/odata/v1") for p in recorded]
    assert len({i.id for i in items}) == 47
    for item, product in zip(items, recorded, strict=True):
        stated = {c["Algorithm"].lower(): c["Value"] for c in product["Checksum"]}
        found = {d.algorithm: d.value for d in digests_of(item.assets["product"])}
        assert found == stated
        assert set(found) == {"md5", "blake3"}
        assert size_of(item.assets["product"]) == product["ContentLength"]
        assert product["Id"] in item.assets["product"].href


def test_a_search_for_precise_orbits_finds_the_recorded_ones(recorded, tmp_path):
    """Eight of the 47 are precise orbits; the catalogue hands out pages of ten."""
    with cdse.serve(tmp_path / "none", recorded=recorded, page=10) as server:
        source = open_source("cdse", settings_of(server, tmp_path))
        period = (at("2014-04-05T00:00:00"), at("2014-04-14T00:00:00"))
        found = source.search("aux-poeorb", None, period, Filters())
        assert len(found) == 8
        assert all(OrbitFile.parse(i.properties["title"]) for i in found)
        assert not source.search("aux-resorb", None, period, Filters())


def test_the_whole_recorded_listing_is_paged_through(recorded, tmp_path):
    """All 47, as the recorded question asks for them, in five pages."""
    with cdse.serve(tmp_path / "none", recorded=recorded, page=10) as server:
        source = open_source("cdse-odata", settings_of(server, tmp_path))
        pages = odata.search(source._products, _everything())
        assert sorted(p["Name"] for p in pages) == sorted(p["Name"] for p in recorded)
        assert server.count("/odata/v1/Products") == 5


def _everything():
    class Everything(odata.Query):
        def text(self, start=None):
            return "Collection/Name eq 'SENTINEL-1'"

    return Everything(None, None, None, Filters())


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2014-04-09T17:05:57", "V20140408T225944_20140410T005944"),
        # Between 22:59:44 and 00:59:44 two files are valid: the newer creation counts.
        ("2014-04-09T23:30:00", "V20140409T225944_20140411T005944"),
        # 30 s after the second began: its margin is too short, the first one serves.
        ("2014-04-09T23:00:14", "V20140408T225944_20140410T005944"),
    ],
)
def test_the_orbit_of_a_scene_is_found_in_the_recorded_catalogue(
    recorded, tmp_path, moment, expected
):
    scene = Scene("S1A", at(moment), at(moment) + timedelta(seconds=25))
    with cdse.serve(tmp_path / "none", recorded=recorded) as server:
        found = orbits.find(scene, settings_of(server, tmp_path), ["cdse"])
        assert expected in found.orbit.name
        assert found.provider == "cdse"


def test_none_is_found_for_another_satellite_or_time(recorded, tmp_path):
    with cdse.serve(tmp_path / "none", recorded=recorded) as server:
        settings = settings_of(server, tmp_path)
        noon = at("2014-04-09T12:00:00")
        assert orbits.find(Scene("S1B", noon, noon), settings, ["cdse"]) is None
        later = noon + timedelta(days=30)
        assert orbits.find(Scene("S1A", later, later), settings, ["cdse"]) is None


NOON = at("2023-06-10T12:00:00")
SCENE = Scene("S1A", NOON, NOON + timedelta(seconds=25))
DAY = (NOON - timedelta(hours=13), NOON + timedelta(hours=13))
HOURS = (NOON - timedelta(hours=1), NOON + timedelta(hours=2))
PRECISE = name("POEORB", NOON + timedelta(days=20), *DAY)
NEWER = name("POEORB", NOON + timedelta(days=300), *DAY)
RESTITUTED = name("RESORB", NOON + timedelta(hours=4), *HOURS)


def test_precise_comes_before_restituted_and_the_newest_creation_before_older():
    files = [OrbitFile.parse(n) for n in (RESTITUTED, PRECISE, NEWER)]
    assert orbits.best(files, SCENE).name == NEWER
    assert orbits.best(files[:2], SCENE).name == PRECISE
    assert orbits.best(files[:1], SCENE).name == RESTITUTED
    assert orbits.best([], SCENE) is None


@given(st.integers(-200, 200), st.integers(-200, 200))
def test_validity_reaches_a_minute_beyond_the_scene_on_both_sides(before, after):
    start, end = SCENE.start - timedelta(seconds=before), SCENE.end + timedelta(seconds=after)
    orbit = OrbitFile.parse(name("RESORB", NOON, start, end))
    assert orbit.covers(SCENE) == (before >= 60 and after >= 60)
    assert not orbit.covers(Scene("S1C", SCENE.start, SCENE.end))


def products(folder, *names):
    folder.mkdir(parents=True)
    for file_name in names:
        (folder / file_name).write_bytes(content(file_name))
    return folder


def test_an_orbit_file_is_fetched_with_its_digest_and_checked(tmp_path):
    folder = products(tmp_path / "files", RESTITUTED, PRECISE)
    with cdse.serve(folder) as server:
        receipt = orbits.fetch(SCENE, settings_of(server, tmp_path), tmp_path / "here")
    assert receipt.path == tmp_path / "here" / PRECISE
    assert receipt.path.read_bytes() == content(PRECISE)
    assert receipt.verified == "blake3"
    assert orbits.check(receipt.path).kind == "AUX_POEORB"


def test_asf_serves_what_the_data_space_lacks(tmp_path):
    folder = products(tmp_path / "files", RESTITUTED)
    with cdse.serve(folder) as server, serve_s3("s1-orbits") as bucket:
        client = bucket.client()
        for file_name in (PRECISE, NEWER):
            client.put_object(
                Bucket="s1-orbits",
                Key=f"AUX_POEORB/{file_name}",
                Body=content(file_name),
                ACL="public-read",
            )
        settings = settings_of(server, tmp_path, **{"asf.s3": bucket.url})
        receipt = orbits.fetch(SCENE, settings, tmp_path / "here")
        assert receipt.path.name == NEWER
        assert receipt.verified == "md5"
        client.delete_object(Bucket="s1-orbits", Key=f"AUX_POEORB/{NEWER}")
        assert orbits.fetch(SCENE, settings, tmp_path / "here").path.name == PRECISE
        client.delete_object(Bucket="s1-orbits", Key=f"AUX_POEORB/{PRECISE}")
        assert orbits.fetch(SCENE, settings, tmp_path / "here").path.name == RESTITUTED
        # Without a login at the Data Space, the open bucket has to do.
        nobody = replace(settings, credentials=Credentials({}, {}, tmp_path / "none"))
        with pytest.raises(AccessError):
            orbits.fetch(SCENE, nobody, tmp_path / "here2", providers=["cdse"])
        client.put_object(
            Bucket="s1-orbits",
            Key=f"AUX_RESORB/{RESTITUTED}",
            Body=content(RESTITUTED),
            ACL="public-read",
        )
        assert orbits.fetch(SCENE, nobody, tmp_path / "here2").verified == "md5"
        nothing = Scene("S1D", SCENE.start, SCENE.end)
        assert orbits.fetch(nothing, settings, tmp_path / "here") is None


def test_a_silent_provider_is_no_proof_that_there_is_none(recorded, tmp_path):
    refusal = {"GET /s1-orbits/?": lambda _: Response(b"", 403)}
    with cdse.serve(tmp_path / "none", recorded=recorded, extra=refusal) as server:
        settings = settings_of(server, tmp_path, **{"asf.s3": server.web.url})
        with pytest.raises(RetryableError, match="asf: 403"):
            orbits.find(SCENE, settings)
        assert orbits.find(Scene.of_name(PASS), settings).provider == "cdse"


def test_scenes_are_read_from_names():
    scene = Scene.of_name(PASS)
    assert (scene.platform, scene.start) == ("S1A", at("2014-04-09T17:05:57"))
    assert scene.end - scene.start == timedelta(seconds=27)
    with pytest.raises(ConfigError, match="S1A_IW_GRDH_1SDV"):
        Scene.of_name("S2A_MSIL2A_20200322T074609_N0500_R135_T36NYH_20230612T214223")


def test_the_recorded_orbit_files_pass_and_others_do_not(shared_data, tmp_path):
    for path in sorted((shared_data / "s1-slc-subset-eof").glob("*.EOF")):
        assert orbits.check(path).kind == "AUX_RESORB"
    wrong = tmp_path / PRECISE
    for damage in (content(RESTITUTED), b"<html>busy</html>", b"not xml", content(PRECISE)[:200]):
        wrong.write_bytes(damage)
        with pytest.raises(ProductError):
            orbits.check(wrong)
    wrong.write_bytes(b'<!DOCTYPE x [<!ENTITY e "e">]>' + content(PRECISE))
    with pytest.raises(ProductError, match="entities"):
        orbits.check(wrong)
    wrong.write_bytes(content(PRECISE))
    assert orbits.check(wrong).name == PRECISE


def test_an_unknown_provider_of_orbits_is_refused(tmp_path):
    settings = Settings(credentials=Credentials({}, {}, Path("none")), cache=tmp_path)
    with pytest.raises(ConfigError, match="cdse, asf"):
        orbits.find(SCENE, settings, ["esa"])


def test_names_with_impossible_dates_are_no_orbits_and_no_scenes():
    made = "S1A_OPER_AUX_POEORB_OPOD_20201326T120000_V20200505T225942_20200507T005942.EOF"
    assert OrbitFile.parse(made) is None
    with pytest.raises(ConfigError, match="the name of a Sentinel-1 product"):
        Scene.of_name(re.sub(r"_2\d{7}T", "_20201399T", PASS))
