"""GEODES (CNES): a recorded item, and a hand-built server with pages and an API key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from skymend.core.errors import AccessError, AnswerError
from skymend.sources.geodes import Geodes
from skymend.sources.protocol import Filters
from tests.provider_case import AREA, SPRING, safe_zip, settings, zip_of
from tests.servers.geodes import KEY, GeodesServer, item
from tests.servers.routes import Response, serve

MAJA = "SENTINEL2A_20230414-105029-459_L2A_T31TFL_D"
L1C = "S2A_MSIL1C_20230415T105251_N0509_R051_T31TFL_20230415T143440"
GRD = "S1A_IW_GRDH_1SDV_20230401T054013_20230401T054038_047905_05C1B4_6B5A"


def cnes(page: int = 80) -> GeodesServer:
    archives = {
        MAJA: zip_of({f"{MAJA}_V3-1/{MAJA}_V3-1_MTD_ALL.xml": b"<Muscate/>"}),
        L1C: safe_zip(L1C, {"MTD_MSIL1C.xml": b"<a/>"}),
        GRD: safe_zip(GRD, {"annotation/a.xml": b"<a/>"}),
    }

    def maja(day: int) -> dict:
        title = MAJA.replace("0414", f"04{day:02d}")
        archives.setdefault(title, archives[MAJA])
        times = {"start_datetime": f"2023-04-{day:02d}T10:50:29.459Z", "eo:cloud_cover": day}
        own = {
            **times,
            "platform": "SENTINEL2A",
            "grid:code": "T31TFL",
            "processing:version": "3.1",
        }
        return item(title, archives[title], "THEIA_REFLECTANCE_SENTINEL2_L2A", own)

    sentinel = {"platform": "S2A", "start_datetime": "2023-04-15T10:52:51.024Z"}
    radar = {
        "platform": "S1A",
        "start_datetime": "2023-04-01T05:40:13Z",
        "end_datetime": "2023-04-01T05:40:38Z",
        "sar:polarizations": "VV VH",
        "sat:orbit_state": "Descending",
        "product:type": "GRD",
    }
    items = [
        *(maja(day) for day in (4, 9, 14)),
        item(L1C, archives[L1C], "PEPS_S2_L1C", {**sentinel, "processing:version": "05.09"}),
        item(GRD, archives[GRD], "PEPS_S1_L1", radar),
    ]
    return GeodesServer(items, archives, page)


@contextmanager
def source(tmp_path, state: GeodesServer, key: str = KEY) -> Iterator[Geodes]:
    with serve(state.routes()) as server:
        state.loopback = server
        endpoints = {"geodes": f"{server.url}/stac"}
        yield Geodes(settings(tmp_path, endpoints, geodes={"api_key": key} if key else {}))


def test_search_of_maja_products_pages_within_the_limit(tmp_path):
    state = cnes(page=2)
    with source(tmp_path, state) as own:
        filters = Filters(tile="31TFL", cloud_cover_max=10)
        found = own.search("sentinel-2-l2a-maja", AREA, SPRING, filters)
    assert [i.datetime.day for i in found] == [4, 9], "of sensing, not of publication"
    assert [b["page"] for b in state.bodies] == [1, 2]
    assert state.bodies[0]["limit"] == 80
    assert state.bodies[0]["query"]["end_datetime"] == {"gte": "2023-04-01T00:00:00.000Z"}
    assert found.items[0].properties["grid:code"] == "MGRS-31TFL"
    assert found.items[0].properties["platform"] == "sentinel-2a"


def test_sentinel_products_are_named_as_everywhere(tmp_path):
    with source(tmp_path, cnes()) as own:
        (optical,) = own.search("sentinel-2-l1c", AREA, SPRING, Filters())
        (radar,) = own.search("sentinel-1-grd", AREA, SPRING, Filters(polarisations=("VV", "VH")))
    assert optical.properties["processing:version"] == "05.09"
    assert optical.properties["sat:relative_orbit"] == 51
    assert radar.properties["sar:polarizations"] == ["VV", "VH"]
    assert radar.properties["sat:orbit_state"] == "descending"
    assert radar.properties["sat:relative_orbit"] == (47905 - 73) % 175 + 1


@pytest.mark.parametrize(
    ("collection", "folder"),
    [("sentinel-2-l2a-maja", f"{MAJA.replace('0414', '0404')}"), ("sentinel-2-l1c", L1C)],
)
def test_fetch_sends_the_key_verifies_and_unpacks(tmp_path, collection, folder):
    with source(tmp_path, cnes()) as own:
        first = own.search(collection, AREA, SPRING, Filters()).items[0]
        (receipt,) = own.fetch(first, (), tmp_path / "got")
    assert receipt.verified == "md5"
    assert receipt.path.is_dir()
    assert first.id == folder
    assert not list((tmp_path / "got").glob("*.zip"))


def test_a_refused_or_absent_key_is_named(tmp_path):
    with source(tmp_path, cnes(), "wrong-key") as own:
        first = own.search("sentinel-2-l1c", AREA, SPRING, Filters()).items[0]
        with pytest.raises(AccessError) as caught:
            own.fetch(first, (), tmp_path / "got")
    assert "wrong-key" not in str(caught.value)
    with source(tmp_path, cnes(), "") as own:
        with pytest.raises(AccessError, match="SKYMEND_GEODES_API_KEY"):
            own.fetch(first, (), tmp_path / "got")
        assert [f.ok for f in own.check()] == [True, False]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda i: i["properties"].pop("identifier"), r"properties.identifier'"),
        (
            lambda i: i["properties"].pop("start_datetime"),
            r"properties.start_datetime'",
        ),
        (lambda i: i.update(assets={}), r"an asset with role 'data' in field 'assets'"),
        (
            lambda i: [a.update(description="Checksum MD5: zz") for a in i["assets"].values()],
            r"an MD5 in field 'assets\..*\.description', found 'zz'",
        ),
        (lambda i: i.update(geometry=None), r"an object in field 'features.0.geometry'"),
    ],
)
def test_malformed_items_name_the_field(tmp_path, change, sentence):
    state = cnes()
    change(state.items[0])
    with source(tmp_path, state) as own, pytest.raises(AnswerError, match=sentence):
        own.search("sentinel-2-l2a-maja", AREA, SPRING, Filters())


def test_recorded_item(tmp_path, shared_data):
    path = shared_data / "api-eodag" / "provider_responses" / "geodes_search.json"
    recorded = json.loads(path.read_text())
    answers = [recorded, {**recorded, "features": []}]
    with serve({"POST /stac/search": lambda _: Response(answers.pop(0))}) as server:
        own = Geodes(settings(tmp_path, {"geodes": f"{server.url}/stac"}))
        (found,) = own.search("sentinel-2-l1c", None, None, Filters())
    assert found.datetime.isoformat() == "2025-04-02T17:57:41.024000+00:00"
    assert found.properties["grid:code"] == "MGRS-14ULD"
    assert found.properties["processing:version"] == "05.11"
    product = found.assets["product"].extra_fields
    assert product["file:size"] == 764210185
    assert product["file:checksum"] == "d50110" + "86f828c4c7e921615d1cd0476604f780"
