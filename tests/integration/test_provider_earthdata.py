"""NASA Earthdata through earthaccess: recorded and hand-built granules, a hand-built archive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from skymend.core.errors import AccessError, AnswerError, ConfigError, RetryableError, SkipJob
from skymend.sources.area import Area
from skymend.sources.earthdata import Earthdata
from skymend.sources.protocol import Filters, digests_of, size_of
from tests.provider_case import settings
from tests.servers.cmr import LOGIN, TOKEN, Nasa, granule
from tests.servers.hosts import serve_as
from tests.servers.routes import Response, serve

AREA = Area.of_bounds(5.0, 45.0, 5.4, 45.3)
JANUARY = (datetime(2023, 1, 1, tzinfo=UTC), datetime(2023, 1, 31, tzinfo=UTC))
HDF = b"\x0e\x03\x13\x01" + bytes(range(256)) * 5000
NAMES = [f"MOD11A1.A20230{day:02d}.h18v04.061.20230{day:02d}093645.hdf" for day in (1, 2, 3)]
NAMES += ["MOD11A1.A2023001.h19v04.061.2023001093645.hdf"]


def archive(**changes) -> Nasa:
    files = {n: HDF + n.encode() for n in NAMES}
    days = ("2023-01-01", "2023-01-02", "2023-01-03", "2023-01-01")
    entries = [granule(n, files[n], day=d) for n, d in zip(NAMES, days, strict=True)]
    return Nasa(entries, files, **changes)


def login_host(server) -> str:
    """Another host than the archive's, as in life: the password must stay there."""
    return server.url.replace("127.0.0.1", "localhost")


@contextmanager
def source(tmp_path, state: Nasa, login=None) -> Iterator[Earthdata]:
    with serve(state.routes()) as server:
        state.loopback = server
        endpoints = {"earthdata.cmr": f"{server.url}/search", "earthdata.login": login_host(server)}
        login = {"token": TOKEN} if login is None else login
        yield Earthdata(settings(tmp_path, endpoints, earthdata=login))


def test_search_asks_cmr_and_speaks_skymend(tmp_path):
    state = archive()
    with source(tmp_path, state) as own:
        found = own.search("mod11a1", AREA, JANUARY, Filters(tile="h18v04"))
    assert [i.id for i in found] == [n.removesuffix(".hdf") for n in NAMES[:3]]
    asked = state.loopback.log[-1].query
    assert (asked["short_name"], asked["version"]) == ("MOD11A1", "061")
    assert asked["temporal[]"] == "2023-01-01T00:00:00Z,2023-01-31T00:00:00Z"
    assert asked["polygon"].startswith("5.4,45.0") or asked["polygon"].startswith("5.0,45.0")
    item = found.items[0]
    assert item.properties["platform"] == "terra"
    assert item.properties["grid:code"] == "MSIN-1804"
    assert item.properties["processing:version"] == "061"
    assert item.properties["end_datetime"] == "2023-01-01T23:59:59.000Z"
    assert list(item.assets) == ["product"]
    assert size_of(item.assets["product"]) == len(HDF) + len(NAMES[0])
    assert digests_of(item.assets["product"])[0].algorithm == "md5"


def test_pages_follow_the_search_after_header(tmp_path):
    names = [f"MOD11A1.A2023001.h18v04.061.{n:013d}.hdf" for n in range(2003)]
    state = Nasa([granule(n, b"", day="2023-01-01") for n in names])
    with source(tmp_path, state) as own:
        assert len(own.search("mod11a1", None, JANUARY, Filters())) == 2003
    assert [r.query["page_size"] for r in state.loopback.log] == ["2000", "2000"]


def test_an_answer_with_fewer_granules_than_counted_is_refused(tmp_path):
    with source(tmp_path, archive(lost=1)) as own, pytest.raises(AnswerError, match="'items'"):
        own.search("mod11a1", None, JANUARY, Filters())


def test_fetch_with_a_token_that_storage_must_not_see(tmp_path):
    state = archive()
    with source(tmp_path, state) as own:
        item = own.search("mod11a1", AREA, JANUARY, Filters(tile="h18v04")).items[1]
        (receipt,) = own.fetch(item, (), tmp_path / "got")
    assert receipt.verified == "md5"
    assert receipt.path == tmp_path / "got" / NAMES[1]
    assert receipt.path.read_bytes() == HDF + NAMES[1].encode()
    assert state.loopback.count("/store/") > 0


def test_a_cut_is_resumed_with_a_range(tmp_path):
    state = archive(cut_once=400_000)
    with source(tmp_path, state) as own:
        item = own.search("mod11a1", AREA, JANUARY, Filters(tile="h18v04")).items[0]
        (receipt,) = own.fetch(item, (), tmp_path / "got")
    assert (receipt.verified, receipt.cuts, receipt.restarts) == ("md5", 1, 0)
    ranges = [r.headers.get("Range") for r in state.loopback.log if r.path.startswith("/store/")]
    assert any(r and not r.startswith("bytes=0-") for r in ranges)


def test_a_name_and_password_become_a_token(tmp_path):
    state = archive()
    with source(tmp_path, state, LOGIN) as own:
        item = own.search("mod11a1", AREA, JANUARY, Filters(tile="h18v04")).items[0]
        assert own.fetch(item, (), tmp_path / "got")[0].verified == "md5"
        assert [f.ok for f in own.check()] == [True, True]
    asked = [r for r in state.loopback.log if r.path.endswith("find_or_create_token")]
    assert sum("Authorization" in r.headers for r in asked) == 1, "kept for the whole process"


def test_an_archive_of_the_older_kind_keeps_its_cookie(tmp_path):
    state = archive(way="cookie")
    with source(tmp_path, state, LOGIN) as own:
        item = own.search("mod11a1", AREA, JANUARY, Filters(tile="h18v04")).items[0]
        (receipt,) = own.fetch(item, (), tmp_path / "got")
    assert receipt.verified == "md5"
    shown = [r for r in state.loopback.log if "Basic" in r.headers.get("Authorization", "")]
    assert {r.path for r in shown} == {"/oauth/authorize", "/api/users/find_or_create_token"}


EULA = {
    "status_code": 403,
    "error_description": "EULA Acceptance Failure",
    "resolution_url": "https://urs.earthdata.nasa.gov/accept_eula?eula_id=lpdaac",
}


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Response(EULA, 403), "accept_eula[?]eula_id=lpdaac"),
        (
            Response(b"<h1>You must accept the EULA 'LP DAAC Terms' first</h1>", 403),
            "'LP DAAC Terms'",
        ),
    ],
)
def test_a_missing_agreement_is_named(tmp_path, refusal, words):
    with source(tmp_path, archive(way="agreement", refusal=refusal)) as own:
        item = own.search("mod11a1", AREA, JANUARY, Filters(tile="h18v04")).items[0]
        with pytest.raises(AccessError, match=words) as caught:
            own.fetch(item, (), tmp_path / "got")
    assert "accepted the agreement" in caught.value.expected
    assert TOKEN not in str(caught.value)


def test_a_wrong_password_and_no_login(tmp_path):
    wrong = {"username": "someone", "password": "wrong"}
    with source(tmp_path, archive(), wrong) as own:
        assert [f.ok for f in own.check()] == [True, False]
        assert "wrong" not in own.check()[1].sentence.replace("what is wrong", "")
    with source(tmp_path, archive(), {}) as own:
        item = own.search("mod11a1", AREA, JANUARY, Filters(tile="h18v04")).items[0]
        with pytest.raises(AccessError, match=r"SKYMEND_EARTHDATA_USERNAME.*urs.earthdata"):
            own.fetch(item, (), tmp_path / "got")


def test_granules_made_on_order_are_skipped(tmp_path):
    entry = granule("AST_08_00301012023.hdf", b"", day="2023-01-01", RelatedUrls=[])
    entry["umm"]["CollectionReference"] = {"ShortName": "AST_08", "Version": "003"}
    with source(tmp_path, Nasa([entry])) as own:
        item = own.search("ast-08", AREA, JANUARY, Filters()).items[0]
        with pytest.raises(SkipJob, match="on order only"):
            own.fetch(item, (), tmp_path / "got")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"GranuleUR": None}, "a text in field 'umm.GranuleUR'"),
        ({"TemporalExtent": {}}, "'TemporalExtent.RangeDateTime.BeginningDateTime'"),
        ({"RelatedUrls": "none"}, "a list in field 'items.0.umm.RelatedUrls'"),
        ({"Platforms": [{"ShortName": 7}]}, "a text in field 'Platforms.0.ShortName'"),
    ],
)
def test_malformed_granules_name_the_field(tmp_path, changes, sentence):
    state = Nasa([granule(NAMES[0], b"", day="2023-01-01", **changes)])
    with source(tmp_path, state) as own, pytest.raises(AnswerError, match=sentence):
        own.search("mod11a1", None, JANUARY, Filters())


@pytest.mark.parametrize(
    ("answer", "kind", "sentence"),
    [
        (Response({"hits": 1}), AnswerError, "a list in field 'items'"),
        (Response(b"<html>gone</html>"), AnswerError, "a JSON object"),
        (Response({"errors": ["bad polygon"]}, 400), AnswerError, "bad polygon"),
        (Response({"errors": ["down"]}, 503, {"Retry-After": "0"}), RetryableError, "status 503"),
    ],
)
def test_strange_answers_give_one_sentence(tmp_path, answer, kind, sentence):
    with serve({".*": lambda _: answer}) as server:
        own = Earthdata(settings(tmp_path, {"earthdata.cmr": server.url}))
        with pytest.raises(kind, match=sentence):
            own.search("mod11a1", None, JANUARY, Filters())


def test_unknown_collections_and_tiles_are_refused(tmp_path):
    own = Earthdata(settings(tmp_path, {}))
    with pytest.raises(ConfigError, match="mod11a1"):
        own.search("mod99", None, None, Filters())
    with pytest.raises(ConfigError, match="h18v04"):
        own.search("mod11a1", None, None, Filters(tile="31TFL"))


RECORDED = {
    "Daymet_Daily_V4R1_2129_umm.json": ("sha256", 2015649),
    "G1593453400-LAADS_umm.json": (None, 69035465),
    "atl06_umm.json": (None, None),
}


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_recorded_granules_are_read(tmp_path, shared_data, name):
    path = shared_data / "api-earthaccess-cmr" / "unit" / "fixtures" / name
    answer = json.loads(path.read_text())
    headers = {"CMR-Hits": str(len(answer["items"]))}
    with serve({".*": lambda _: Response(answer, 200, headers)}) as server:
        own = Earthdata(settings(tmp_path, {"earthdata.cmr": server.url}))
        found = own.search("mod11a1", None, None, Filters())
    assert len(found) == len(answer["items"])
    algorithm, size = RECORDED[name]
    asset = next(iter(found.items[0].assets.values()))
    digests = digests_of(asset)
    assert (digests[0].algorithm if digests else None) == algorithm
    assert size_of(asset) == size or size is None


CMR, URS = "cmr.earthdata.nasa.gov", "urs.earthdata.nasa.gov"
LPDAAC, STORAGE = "data.lpdaac.earthdatacloud.nasa.gov", "d3o7w8ljskp3wu.cloudfront.net"


@pytest.mark.parametrize("way", ["token", "cookie"])
def test_the_hosts_that_are_built_in(tmp_path, monkeypatch, way):
    """No endpoint is changed: search, login, redirect and storage at their own https addresses."""
    state = archive(
        way=way,
        public_url=f"https://{LPDAAC}",
        storage_url=f"https://{STORAGE}",
        login_url=f"https://{URS}",
    )
    with serve_as((CMR, URS, LPDAAC, STORAGE), state.routes(), tmp_path, monkeypatch) as server:
        state.loopback = server
        own = Earthdata(settings(tmp_path, {}, earthdata=LOGIN))
        item = own.search("mod11a1", AREA, JANUARY, Filters(tile="h18v04")).items[0]
        (receipt,) = own.fetch(item, (), tmp_path / "got")
        assert own.check()[1].ok
    assert item.assets["product"].href.startswith(f"https://{LPDAAC}/")
    assert receipt.verified == "md5"
    shown = {
        kind: {
            r.headers["Host"]
            for r in server.log
            if r.headers.get("Authorization", "").startswith(kind)
        }
        for kind in ("Basic", "Bearer")
    }
    assert shown["Basic"] == {URS}, "the password is for the login alone"
    assert shown["Bearer"] <= {LPDAAC}
    assert all(
        "Cookie" not in r.headers and "Authorization" not in r.headers
        for r in server.log
        if r.headers["Host"] in (CMR, STORAGE)
    )


def test_a_certificate_of_nobody_is_not_trusted(tmp_path, monkeypatch):
    state = archive()
    with serve_as((CMR,), state.routes(), tmp_path, monkeypatch) as server:
        state.loopback = server
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        own = Earthdata(settings(tmp_path, {}))
        with pytest.raises(RetryableError, match="SSLError"):
            own.search("mod11a1", AREA, JANUARY, Filters())
    assert server.log == []
