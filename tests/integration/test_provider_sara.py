"""SARA: a recorded answer, and a hand-built server with pages, login, redirects and ranges."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from skymend.core.errors import AccessError, AnswerError, ConfigError, SkipJob
from skymend.sources.protocol import Filters
from skymend.sources.sara import Sara
from tests.provider_case import AREA, SPRING, safe_zip, settings
from tests.servers.routes import Response, serve
from tests.servers.sara import LOGIN, SaraServer, record

L1C = "S2A_MSIL1C_20230415T005251_N0509_R002_T31TFL_20230415T023440"
GRD = "S1A_IW_GRDH_1SDV_20230401T054013_20230401T054038_047905_05C1B4_6B5A"


FILES = {"a.txt": b"a" * 1000, "sub/b.txt": b"b" * 10}


def archive(title: str) -> bytes:
    return safe_zip(title, FILES)


def nci() -> SaraServer:
    titles = [L1C.replace("20230415T0052", f"202304{day}T0052") for day in (15, 18, 20, 25)]
    archives = {t: archive(t) for t in [*titles, GRD]}
    records = [
        record(t, archives[t], day=f"2023-04-{t[17:19]}", kind="S2MSI1C", platform="S2A")
        for t in titles
    ]
    radar = {"polarisation": "VV,VH", "cloudCover": -1, "mgrs": None, "orbitNumber": 47905}
    records.append(record(GRD, archives[GRD], day="2023-04-01", kind="GRD", **radar))
    records[3]["properties"]["storage"]["mode"] = "tape"
    return SaraServer(records, archives)


@contextmanager
def source(tmp_path, state: SaraServer, login=LOGIN) -> Iterator[Sara]:
    with serve(state.routes()) as server:
        state.loopback = server
        yield Sara(settings(tmp_path, {"sara": f"{server.url}/api"}, sara=login))


def test_search_reads_until_an_empty_page(tmp_path):
    state = nci()
    with source(tmp_path, state) as own:
        found = own.search("sentinel-2-l1c", AREA, SPRING, Filters())
        assert state.loopback.count("search.json") == 3, "two full pages and the empty one"
    assert [i.datetime.day for i in found] == [15, 18, 20, 25]
    item = found.items[0]
    assert item.id == L1C
    assert item.properties["eo:cloud_cover"] == 20.5
    assert item.properties["processing:version"] == "05.09"
    assert item.assets["product"].extra_fields["file:checksum"].startswith("d50110")
    asked = state.loopback.log[0].query
    assert asked["startDate"] == "2023-04-01T00:00:00.000Z"
    assert asked["geometry"].startswith("POLYGON")
    assert asked["productType"] == "S2MSI1C"


def test_radar_has_channels_and_no_clouds(tmp_path):
    with source(tmp_path, nci()) as own:
        filters = Filters(polarisations=("VH",), cloud_cover_max=5)
        (item,) = own.search("sentinel-1-grd", AREA, SPRING, filters)
    assert item.properties["sar:polarizations"] == ["VV", "VH"]
    assert item.properties["sat:absolute_orbit"] == 47905
    assert "eo:cloud_cover" not in item.properties


def test_fetch_logs_in_verifies_and_unpacks(tmp_path):
    state = nci()
    with source(tmp_path, state) as own:
        item = own.search("sentinel-2-l1c", AREA, SPRING, Filters()).items[0]
        (receipt,) = own.fetch(item, (), tmp_path / "got")
    assert receipt.path == tmp_path / "got" / f"{L1C}.SAFE"
    assert {name: (receipt.path / name).read_bytes() for name in FILES} == FILES
    assert receipt.verified == "md5"
    assert set(state.seen_authorization) == {None}, "the login stays with the first host"
    assert not list((tmp_path / "got").glob("*.zip"))


def test_products_on_tape_are_skipped_with_the_reason(tmp_path):
    with source(tmp_path, nci()) as own:
        item = own.search("sentinel-2-l1c", AREA, SPRING, Filters()).items[3]
        with pytest.raises(SkipJob, match=r"sara keeps .* offline"):
            own.fetch(item, (), tmp_path / "got")


def test_a_wrong_login_is_an_access_error_without_the_password(tmp_path):
    wrong = {"username": "someone", "password": "not this one"}
    with source(tmp_path, nci(), wrong) as own:
        item = own.search("sentinel-2-l1c", AREA, SPRING, Filters()).items[0]
        with pytest.raises(AccessError) as caught:
            own.fetch(item, (), tmp_path / "got")
    assert "not this one" not in str(caught.value)


def test_no_login_names_the_three_places(tmp_path):
    with source(tmp_path, nci(), {}) as own:
        item = own.search("sentinel-2-l1c", AREA, SPRING, Filters()).items[0]
        with pytest.raises(AccessError, match=r"argument.*SKYMEND_SARA_USERNAME.*netrc"):
            own.fetch(item, (), tmp_path / "got")
        findings = own.check()
    assert [f.ok for f in findings] == [True, False]


def test_unknown_collections_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="one of sentinel-1-grd"):
        Sara(settings(tmp_path, {})).search("mod11a1", AREA, SPRING, Filters())


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("title", None, r"a text in field 'features.0.properties.title'"),
        ("startDate", "soon", r"field 'properties.datetime', found 'soon'"),
        ("cloudCover", "many", r"a number in field 'features.0.properties.cloudCover'"),
        (
            "services",
            {"download": {"url": "http://h/x", "checksum": "md5=zz"}},
            r"an MD5 in field 'features.0.properties.services.download.checksum', found 'zz'",
        ),
        ("services", {}, r"a text in field 'features.0.properties.services.download.url'"),
    ],
)
def test_malformed_records_name_the_field(tmp_path, path, value, sentence):
    state = nci()
    state.records[0]["properties"][path] = value
    with source(tmp_path, state) as own, pytest.raises(AnswerError, match=sentence):
        own.search("sentinel-2-l1c", AREA, SPRING, Filters())


def test_a_server_that_repeats_its_pages_is_noticed(tmp_path):
    state = nci()
    one = state.records[0]
    one["properties"]["services"]["download"]["url"] = "http://127.0.0.1/x"
    with serve({"GET /api/.*": lambda _: Response({"features": [one]})}) as server:
        own = Sara(settings(tmp_path, {"sara": f"{server.url}/api"}))
        with pytest.raises(AnswerError, match="new records in 'features' of page 2"):
            own.search("sentinel-2-l1c", AREA, SPRING, Filters())


def test_recorded_answer(tmp_path, shared_data):
    """Two of 47 products, as recorded; the second is on tape."""
    path = shared_data / "api-eodag" / "provider_responses" / "sara_search.json"
    recorded = json.loads(path.read_text())

    def search(request, _collection):
        last = int(request.query["page"]) > 1
        return Response({**recorded, "features": []} if last else recorded)

    with serve({r"GET /api/(S2)/search\.json": search}) as server:
        own = Sara(settings(tmp_path, {"sara": f"{server.url}/api"}))
        found = own.search("sentinel-2-l1c", None, None, Filters())
    assert {i.properties["grid:code"] for i in found} == {"MGRS-55PDR", "MGRS-55PCR"}
    first = next(i for i in found if i.properties["grid:code"] == "MGRS-55PDR")
    product = first.assets["product"]
    assert product.extra_fields["file:size"] == 781865648
    assert product.extra_fields["file:checksum"] == "d50110" + "64ffca4b9cd13d094ed05554e010db5a"
    tiers = {i.assets["product"].extra_fields.get("storage:tier") for i in found}
    assert tiers == {None, "offline"}
