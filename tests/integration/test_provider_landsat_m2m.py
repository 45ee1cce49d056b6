"""USGS M2M against a hand-built server: sessions, paging, orders, bundles and single bands."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from skymend.core.errors import AccessError, AnswerError, ConfigError, ProductError, RetryableError
from skymend.sources.landsat_m2m import M2M, LandsatM2M
from skymend.sources.protocol import Filters
from skymend.sources.tarballs import untar
from tests.provider_case import AREA, SPRING, geotiff_of, settings
from tests.servers.m2m import TOKEN, USERNAME, M2MServer, scene
from tests.servers.routes import Response, serve

NAME = "LC08_L2SP_196029_20230403_20230412_02_T1"
FILES = {
    f"{NAME}_SR_B4.TIF": geotiff_of(4),
    f"{NAME}_QA_PIXEL.TIF": geotiff_of(9),
    f"{NAME}_MTL.xml": b"<?xml version='1.0'?><LANDSAT_METADATA_FILE/>",
}


def usgs(**changes) -> M2MServer:
    scenes = [
        scene(NAME, "LC81960292023093LGN00", cloud="8.18", start="2023-04-03 10:22:17.123456"),
        scene(
            "LC09_L2SP_196029_20230411_20230413_02_T1",
            "LC9A",
            cloud="0",
            start="2023:101:10:22:31.5000000",
        ),
        scene("LC08_L2SP_196029_20230419_20230429_02_T2", "LC8B", cloud="97"),
    ]
    return M2MServer(scenes, FILES, **changes)


@contextmanager
def source(tmp_path, state: M2MServer, token: str = TOKEN) -> Iterator[LandsatM2M]:
    with serve(state.routes()) as server:
        state.loopback = server
        login = {"username": USERNAME, "token": token}
        endpoints = {"landsat-m2m": f"{server.url}/m2m"}
        own = LandsatM2M(settings(tmp_path, endpoints, landsat_m2m=login))
        own.api.sleep = lambda _: None
        yield own


def test_search_pages_through_all_scenes(tmp_path):
    state = usgs()
    with source(tmp_path, state) as own:
        found = own.search("landsat-c2-l2", AREA, SPRING, Filters())
    assert [i.properties["platform"] for i in found] == ["landsat-8", "landsat-9", "landsat-8"]
    assert found.items[0].datetime == datetime(2023, 4, 3, 10, 22, 17, 123000, UTC)
    assert found.items[1].datetime == datetime(2023, 4, 11, 10, 22, 31, 500000, UTC)
    assert found.items[2].properties["m2m:day_only"]
    assert found.items[0].properties["landsat:wrs_path"] == "196"
    asked = [b for n, b in state.calls if n == "scene-search" and b["datasetName"] == state.dataset]
    assert [b["startingNumber"] for b in asked] == [1, 3]
    assert asked[0]["sceneFilter"]["acquisitionFilter"] == {
        "start": "2023-04-01",
        "end": "2023-05-01",
    }
    assert asked[0]["sceneFilter"]["spatialFilter"]["geoJson"]["type"] == "Polygon"


def test_filters_choose_datasets_and_clouds(tmp_path):
    state = usgs()
    with source(tmp_path, state) as own:
        filters = Filters(platform="landsat-8", cloud_cover_max=50)
        found = own.search("landsat-c2-l2", AREA, SPRING, filters)
    assert [i.id for i in found] == [NAME]
    assert {b["datasetName"] for n, b in state.calls if n == "scene-search"} == {state.dataset}


def test_times_within_a_day_count(tmp_path):
    early = (datetime(2023, 4, 3, 11, tzinfo=UTC), datetime(2023, 4, 3, 12, tzinfo=UTC))
    with source(tmp_path, usgs()) as own:
        assert own.search("landsat-c2-l2", AREA, early, Filters()).items == []
        day = (datetime(2023, 4, 19, 11, tzinfo=UTC), datetime(2023, 4, 19, 12, tzinfo=UTC))
        (item,) = own.search("landsat-c2-l2", AREA, day, Filters())
    assert item.properties["m2m:day_only"], "only the day is known, so it answers"


@pytest.mark.parametrize("polls", [0, 1, 3])
def test_a_bundle_is_ordered_fetched_and_unpacked(tmp_path, polls):
    state = usgs(polls=polls)
    with source(tmp_path, state) as own:
        item = own.search("landsat-c2-l2", AREA, SPRING, Filters()).items[0]
        (receipt,) = own.fetch(item, (), tmp_path / "got")
        (again,) = own.fetch(item, (), tmp_path / "more")
    assert receipt.path == tmp_path / "got" / NAME
    assert {p.name: p.read_bytes() for p in receipt.path.iterdir()} == FILES
    assert receipt.verified == "size"
    assert again.path.is_dir()
    assert not list((tmp_path / "got").glob("*.tar"))


def test_only_the_bands_asked_for_are_fetched(tmp_path):
    with source(tmp_path, usgs()) as own:
        item = own.search("landsat-c2-l2", AREA, SPRING, Filters()).items[0]
        receipts = own.fetch(item, ["SR_B4", "MTL.xml"], tmp_path / "got")
        with pytest.raises(ConfigError, match=r"expected files SR_B10, found MTL.xml, QA_PIXEL"):
            own.fetch(item, ["SR_B10"], tmp_path / "got")
    assert [r.path.name for r in receipts] == [f"{NAME}_SR_B4.TIF", f"{NAME}_MTL.xml"]
    assert receipts[0].path.read_bytes() == geotiff_of(4)


def test_an_order_that_does_not_name_its_files(tmp_path):
    with source(tmp_path, usgs(polls=0, names_entities=False)) as own:
        item = own.search("landsat-c2-l2", AREA, SPRING, Filters()).items[0]
        (receipt,) = own.fetch(item, (), tmp_path / "got")
    assert receipt.path.is_dir()


def test_an_address_that_expires_is_ordered_again(tmp_path):
    state = usgs(address_uses=1)
    with source(tmp_path, state) as own:
        item = own.search("landsat-c2-l2", AREA, SPRING, Filters()).items[0]
        receipts = own.fetch(item, ["SR_B4", "QA_PIXEL", "MTL.xml"], tmp_path / "got")
    assert {r.path.name: r.path.read_bytes() for r in receipts} == FILES
    labels = [body["label"] for name, body in state.calls if name == "download-request"]
    assert len(labels) == len(set(labels)) >= 3


def test_a_session_that_ends_is_opened_again(tmp_path):
    state = usgs(session_calls=2)
    with source(tmp_path, state) as own:
        found = own.search("landsat-c2-l2", AREA, SPRING, Filters())
        own.fetch(found.items[0], (), tmp_path / "got")
    assert len(found) == 3
    assert state.logins > 2


def test_refused_logins_name_the_fix_and_no_secret(tmp_path):
    with source(tmp_path, usgs(), token="wrong-token") as own:
        with pytest.raises(AccessError, match="make a token in the ERS profile") as caught:
            own.search("landsat-c2-l2", AREA, SPRING, Filters())
        (finding,) = own.check()
    assert "wrong-token" not in str(caught.value)
    assert not finding.ok


def test_what_is_still_prepared_is_to_be_tried_again(tmp_path):
    with source(tmp_path, usgs(polls=1000)) as own:
        item = own.search("landsat-c2-l2", AREA, SPRING, Filters()).items[0]
        with pytest.raises(RetryableError, match="USGS is still preparing the rest"):
            own.fetch(item, (), tmp_path / "got")


def test_check_says_what_the_account_may_do(tmp_path):
    with source(tmp_path, usgs()) as own:
        (finding,) = own.check()
    assert finding.ok


@pytest.mark.parametrize(
    ("answer", "error", "sentence"),
    [
        ({"requestId": 1}, AnswerError, "an envelope with field 'data'"),
        ({"data": {}, "errorCode": None}, AnswerError, "a list in field 'results'"),
        ({"data": {"results": [{}]}}, AnswerError, "a text in field 'results.0.displayId'"),
        ({"errorCode": "RATE_LIMIT", "errorMessage": "slow"}, RetryableError, "RATE_LIMIT: slow"),
        ({"errorCode": "DATASET_AUTH"}, AccessError, "ask for the access"),
        ({"errorCode": "INPUT_INVALID", "errorMessage": "x"}, AnswerError, "INPUT_INVALID: x"),
    ],
)
def test_answers_that_are_none(tmp_path, answer, error, sentence):
    routes = {
        "POST /login-token": lambda _: Response({"data": "key", "errorCode": None}),
        "POST /scene-search": lambda _: Response(answer),
    }
    with serve(routes) as server:
        login = {"username": USERNAME, "token": TOKEN}
        own = LandsatM2M(settings(tmp_path, {"landsat-m2m": server.url}, landsat_m2m=login))
        with pytest.raises(error, match=sentence):
            own.search("landsat-c2-l2", None, None, Filters())


def test_without_a_login_the_three_places_are_named(tmp_path):
    api = M2M(settings(tmp_path, {}))
    with pytest.raises(AccessError, match=r"argument.*SKYMEND_LANDSAT_M2M_USERNAME.*netrc"):
        api.call("permissions")


@pytest.mark.parametrize("kind", ["outside", "absolute", "link", "folder", "torn"])
def test_hostile_bundles_are_refused(tmp_path, kind):
    archive, target = tmp_path / "x.tar", tmp_path / "got"
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        names = {"outside": "../x.TIF", "absolute": "/tmp/x.TIF", "folder": "a/b.TIF"}
        member = tarfile.TarInfo(names.get(kind, "x.TIF"))
        member.size = 3000
        if kind == "link":
            member = tarfile.TarInfo("x.TIF")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member, io.BytesIO(b"x" * 3000) if kind != "link" else None)
    archive.write_bytes(raw.getvalue()[: 2000 if kind == "torn" else None])
    with pytest.raises(ProductError):
        untar(archive, target)
    assert not target.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.tar"]
