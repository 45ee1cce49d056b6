"""ASF: hand-built search and storage, orbit files in moto's S3 server."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from skymend.core.errors import AccessError, AnswerError
from skymend.sources import asf
from skymend.sources.asf import AGREEMENT, Asf
from skymend.sources.protocol import Filters
from tests.provider_case import AREA, SPRING, safe_zip, settings
from tests.servers.asf import TOKEN, AsfServer, scene
from tests.servers.routes import Response, serve
from tests.servers.s3 import serve_s3

NAMES = [
    f"S1A_IW_GRDH_1SDV_202304{day:02d}T054013_202304{day:02d}T054038_0{orbit}_05C1B4_6B5A"
    for day, orbit in ((1, 47905), (8, 48007), (13, 48080), (20, 48182), (25, 48255))
]


def alaska(**changes) -> AsfServer:
    archives = {n: safe_zip(n, {"annotation/a.xml": n.encode()}) for n in NAMES}
    return AsfServer([scene(n, archives[n]) for n in NAMES], archives, **changes)


@contextmanager
def source(tmp_path, state: AsfServer, login=None) -> Iterator[Asf]:
    with serve(state.routes()) as server:
        state.loopback = server
        endpoints = {"asf": f"{server.url}/search", "asf.login": f"{server.url}/login"}
        yield Asf(settings(tmp_path, endpoints, asf={"token": TOKEN} if login is None else login))


def test_search_walks_back_over_full_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(asf, "PAGE", 2)
    state = alaska()
    with source(tmp_path, state) as own:
        found = own.search("sentinel-1-grd", AREA, SPRING, Filters())
    assert [i.id for i in found] == NAMES
    assert len(state.loopback.log) > 3
    asked = state.loopback.log[0].query
    assert asked["intersectsWith"].startswith("POLYGON")
    assert (asked["start"], asked["beamMode"]) == ("2023-04-01T00:00:00.000Z", "IW")
    item = found.items[0]
    assert item.properties["sar:polarizations"] == ["VV", "VH"]
    assert item.properties["sat:relative_orbit"] == (47905 - 73) % 175 + 1
    assert item.properties["sat:orbit_state"] == "descending"
    assert item.properties["platform"] == "sentinel-1a"
    assert item.properties["end_datetime"] == "2023-04-01T05:40:38.000Z"


def test_fetch_with_a_token_that_storage_must_not_see(tmp_path):
    with source(tmp_path, alaska()) as own:
        item = own.search("sentinel-1-grd", AREA, SPRING, Filters()).items[0]
        (receipt,) = own.fetch(item, (), tmp_path / "got")
    assert receipt.path == tmp_path / "got" / f"{NAMES[0]}.SAFE"
    assert receipt.verified == "md5"
    assert (receipt.path / "annotation" / "a.xml").read_bytes() == NAMES[0].encode()


def test_a_whole_product_is_not_fetched_again_and_a_damaged_one_is(tmp_path):
    """Nor does an archive stay that a killed process had unpacked already."""
    state = alaska()
    with source(tmp_path, state) as own:
        item = own.search("sentinel-1-grd", AREA, SPRING, Filters()).items[0]
        (first,) = own.fetch(item, (), tmp_path / "got")
        requests = len(state.loopback.log)
        (tmp_path / "got" / f"{NAMES[0]}.zip").write_bytes(state.archives[NAMES[0]])
        (again,) = own.fetch(item, (), tmp_path / "got")
        assert (again.path, again.verified) == (first.path, "manifest")
        assert len(state.loopback.log) == requests
        assert [p.name for p in (tmp_path / "got").iterdir()] == [f"{NAMES[0]}.SAFE"]
        (first.path / "annotation" / "a.xml").write_bytes(b"damaged")
        (mended,) = own.fetch(item, (), tmp_path / "got")
    assert mended.verified == "md5"
    assert (first.path / "annotation" / "a.xml").read_bytes() == NAMES[0].encode()


def test_a_name_and_password_become_a_token(tmp_path):
    basic = "Basic " + base64.b64encode(b"someone:pass word").decode()
    login = {"username": "someone", "password": "pass word"}
    with source(tmp_path, alaska(basic=basic), login) as own:
        item = own.search("sentinel-1-grd", AREA, SPRING, Filters()).items[0]
        assert own.fetch(item, (), tmp_path / "got")[0].verified == "md5"
        assert [f.ok for f in own.check()] == [True, True]


def test_a_missing_agreement_is_named(tmp_path):
    with source(tmp_path, alaska(accepted=False)) as own:
        item = own.search("sentinel-1-grd", AREA, SPRING, Filters()).items[0]
        with pytest.raises(AccessError) as caught:
            own.fetch(item, (), tmp_path / "got")
    assert AGREEMENT in caught.value.expected
    assert "Authorized Apps" in caught.value.fix
    assert TOKEN not in str(caught.value)


def test_no_login_names_the_places(tmp_path):
    with source(tmp_path, alaska(), {}) as own:
        item = own.search("sentinel-1-grd", AREA, SPRING, Filters()).items[0]
        with pytest.raises(AccessError, match=r"SKYMEND_ASF_USERNAME.*urs.earthdata.nasa.gov"):
            own.fetch(item, (), tmp_path / "got")
        assert [f.ok for f in own.check()] == [True, False]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("sceneName", None, r"a text in field 'features.0.properties.sceneName'"),
        ("startTime", "then", r"field 'properties.datetime', found 'then'"),
        ("pathNumber", "one", r"a whole number in field 'features.0.properties.pathNumber'"),
        ("url", None, r"a text in field 'features.0.properties.url'"),
        ("md5sum", "d41d8", r"an MD5 in field 'features.0.properties.md5sum', found 'd41d8'"),
        ("url", "http://h:99999999/x", "an address in field 'href', found 'http://h:99999999/x'"),
    ],
)
def test_malformed_scenes_name_the_field(tmp_path, name, value, sentence):
    body = scene(NAMES[0], b"")
    body["properties"][name] = value
    with serve({"GET /search": lambda _: Response({"features": [body]})}) as server:
        own = Asf(settings(tmp_path, {"asf": f"{server.url}/search"}))
        with pytest.raises(AnswerError, match=sentence):
            own.search("sentinel-1-grd", AREA, SPRING, Filters())


ORBITS = {
    "S1A_OPER_AUX_POEORB_OPOD_20230421T080737_V20230331T225942_20230402T005942.EOF": b"<a>1</a>",
    "S1A_OPER_AUX_POEORB_OPOD_20230422T080739_V20230401T225942_20230403T005942.EOF": b"<a>2</a>",
    "S1B_OPER_AUX_POEORB_OPOD_20230422T080739_V20230331T225942_20230402T005942.EOF": b"<a>3</a>",
    "S1A_OPER_AUX_POEORB_OPOD_20190422T080739_V20190401T225942_20190403T005942.EOF": b"<a>4</a>",
    "S1A_OPER_AUX_POEORB_OPOD_20230422T080739.txt": b"no orbit",
}


def test_orbit_files_that_are_valid_in_a_period(tmp_path):
    with serve_s3("s1-orbits") as s3:
        for name, content in ORBITS.items():
            entry = {"Bucket": "s1-orbits", "Key": f"AUX_POEORB/{name}", "Body": content}
            s3.client().put_object(**entry, ACL="public-read")
        own = Asf(settings(tmp_path, {"asf.s3": s3.url}))
        scene_time = tuple(datetime(2023, 4, 1, 5, 40, s, tzinfo=UTC) for s in (13, 38))
        found = own.search("aux-poeorb", None, scene_time, Filters(platform="sentinel-1a"))
        both = own.search("aux-poeorb", None, scene_time, Filters())
        (receipt,) = own.fetch(found.items[0], (), tmp_path / "got")
    (item,) = found
    assert len(both) == 2
    assert receipt.path.name == next(iter(ORBITS))
    assert receipt.path.read_bytes() == b"<a>1</a>"
    assert receipt.verified == "md5", "an ETag that is one"
    assert item.properties["start_datetime"] == "2023-03-31T22:59:42.000Z"
    assert item.properties["end_datetime"] == "2023-04-02T00:59:42.000Z"
    assert item.properties["created"] == "2023-04-21T08:07:37.000Z"
    assert item.properties["platform"] == "sentinel-1a"
