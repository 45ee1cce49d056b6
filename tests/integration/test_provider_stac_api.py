"""Any STAC API, through pystac-client against a loopback server (hand-built answers)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from skymend.core.errors import AccessError, AnswerError, ConfigError, RetryableError
from skymend.products import stac as reader
from skymend.sources.protocol import Filters
from skymend.sources.stac_api import StacApi
from tests.provider_case import AREA, SPRING, geotiff_of, settings
from tests.servers.routes import Loopback, Request, Response, file_response, serve
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY, serve_s3
from tests.servers.stac import HandBuilt, Replayed, feature

BANDS = {"red": 4, "nir": 8}


def _item(number: int, day: int, cloud: float) -> dict:
    assets = {
        name: {
            "href": "{server}/files/" + f"{number}/{name}.tif",
            "type": "image/tiff; application=geotiff",
            "roles": ["data"],
        }
        for name in BANDS
    }
    assets["thumbnail"] = {"href": "{server}/files/thumb.jpg", "roles": ["thumbnail"]}
    properties = {
        "datetime": f"2023-04-{day:02d}T10:30:21.024Z",
        "platform": "Sentinel-2A",
        "eo:cloud_cover": cloud,
        "s2:mgrs_tile": "31TFL",
        "s2:processing_baseline": "5.09",
        "sat:orbit_state": "DESCENDING",
        "sat:relative_orbit": 108,
    }
    return feature(f"item-{number}", "made-up", (4.9, 44.9, 5.5, 45.4), properties, assets)


@contextmanager
def api(features: list[dict], **extra) -> Iterator[tuple[HandBuilt, Loopback]]:
    built = HandBuilt(features)

    def file(request: Request, number: str, name: str) -> Response:
        return file_response(request, geotiff_of(int(number) * 10 + BANDS[name]), "image/tiff")

    routes = {**built.routes(), r"GET /files/(\d+)/(\w+)\.tif": file, **extra}
    with serve(routes) as server:
        built.loopback = server
        yield built, server


def source(tmp_path: Path, server: Loopback) -> StacApi:
    return StacApi(settings(tmp_path, {"stac-api": f"{server.url}/stac"}))


def test_search_reads_all_pages_and_speaks_one_vocabulary(tmp_path):
    with api([_item(n, n, 10.0 * n) for n in range(1, 6)]) as (_, server):
        found = source(tmp_path, server).search("made-up", AREA, SPRING, Filters())
        assert [i.id for i in found] == [f"item-{n}" for n in range(1, 6)]
        assert server.count("/stac/search") == 3
        item = found.items[0]
    assert item.collection_id == "made-up"
    assert item.properties["platform"] == "sentinel-2a"
    assert item.properties["grid:code"] == "MGRS-31TFL"
    assert item.properties["processing:version"] == "05.09"
    assert item.properties["sat:orbit_state"] == "descending"
    assert item.datetime.isoformat() == "2023-04-01T10:30:21.024000+00:00"


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(cloud_cover_max=20), ["item-1", "item-2"]),
        (Filters(tile="31TFL", limit=2), ["item-1", "item-2"]),
        (Filters(tile="31TFM"), []),
        (Filters(relative_orbit=108, product_id="item-3"), ["item-3"]),
        (Filters(orbit_direction="ascending"), []),
        (Filters(baseline="05.09", platform="sentinel-2a"), ["item-1", "item-2", "item-3"]),
    ],
)
def test_filters_hold_whatever_the_server_makes_of_them(tmp_path, filters, expected):
    with api([_item(n, n, 10.0 * n) for n in range(1, 4)]) as (_, server):
        found = source(tmp_path, server).search("made-up", AREA, SPRING, filters)
    assert [i.id for i in found] == expected


def test_fetch_brings_the_bands_asked_for_as_a_readable_item(tmp_path):
    with api([_item(1, 1, 0.0)]) as (_, server):
        own = source(tmp_path, server)
        item = own.search("made-up", AREA, SPRING, Filters()).items[0]
        receipts = own.fetch(item, ["B04"], tmp_path / "got")
        whole = own.fetch(item, (), tmp_path / "whole")
    assert [r.path.read_bytes() for r in receipts] == [geotiff_of(14)]
    assert {r.path.name for r in whole} == {"red.tif", "nir.tif"}
    document = tmp_path / "got" / "item-1" / "item-1.json"
    assert reader.refusal(document) is None
    assert reader.load_item(document).file("B04") == receipts[0].path
    assert not (tmp_path / "whole" / "item-1" / "thumb.jpg").exists()


def test_an_asset_that_is_not_there_is_named(tmp_path):
    with api([_item(1, 1, 0.0)]) as (_, server):
        own = source(tmp_path, server)
        item = own.search("made-up", AREA, SPRING, Filters()).items[0]
        with pytest.raises(ConfigError, match=r"item-1: expected an asset B11, found nir, red"):
            own.fetch(item, ["B11"], tmp_path)


DAY = "2023-04-01"
MALFORMED = {
    "no features": ({"type": "FeatureCollection"}, r"a list in field 'features', found no such"),
    "features no list": ({"features": "none"}, r"a list in field 'features', found 'none'"),
    "feature no object": ({"features": [3]}, r"an object in field 'features.0', found 3"),
    "no id": ({"features": [{"properties": {}}]}, r"a text in field 'id'"),
    "no time": (
        {"features": [{"id": "x", "properties": {}, "geometry": None}]},
        r"a time in field 'properties.datetime'",
    ),
    "time no time": (
        {"features": [{"id": "x", "properties": {"datetime": "yesterday"}}]},
        r"field 'properties.datetime', found 'yesterday'",
    ),
    "cloud no number": (
        {
            "features": [
                {"id": "x", "properties": {"datetime": "2023-04-01", "eo:cloud_cover": "?"}}
            ]
        },
        r"field 'properties.eo:cloud_cover', found '\?'",
    ),
    "geometry no geometry": (
        {
            "features": [
                {
                    "id": "x",
                    "properties": {"datetime": "2023-04-01"},
                    "geometry": {"type": "Cube", "coordinates": [1]},
                }
            ]
        },
        r"a GeoJSON geometry in field 'geometry'",
    ),
}


def searched(tmp_path: Path, answer: Callable[[Request], Response]):
    """What a search gives whose pages come from ``answer``."""
    with api([], **{"POST /stac/search": answer}) as (_, server):
        return source(tmp_path, server).search("made-up", AREA, SPRING, Filters())


@pytest.mark.parametrize("case", sorted(MALFORMED))
def test_malformed_answers_name_the_field(tmp_path, case):
    body, sentence = MALFORMED[case]
    with pytest.raises(AnswerError, match=sentence):
        searched(tmp_path, lambda _: Response(body))


LANDING = [
    ({"links": [1]}, "a text in field 'links.0.rel'"),
    ({"links": [{"rel": "search", "href": 5}]}, "a text in field 'links.0.href', found 5"),
    ({"id": 5}, "a text in field 'id', found 5"),
    ({"type": "Item"}, "'Catalog' in field 'type', found 'Item'"),
    ({"conformsTo": 5}, "a list in field 'conformsTo'"),
    ({"conformsTo": [5]}, r"a text in field 'conformsTo\.0'"),
    ({"stac_extensions": 5}, "a list in field 'stac_extensions'"),
]


@pytest.mark.parametrize(("change", "sentence"), LANDING)
def test_a_malformed_landing_page_names_the_field(tmp_path, change, sentence):
    built = HandBuilt([])
    with serve({"GET /stac": lambda r: _changed(built.landing(r), change)}) as server:
        built.loopback = server
        own = StacApi(settings(tmp_path, {"stac-api": f"{server.url}/stac"}))
        with pytest.raises(AnswerError, match=sentence):
            own.search("anything", AREA, SPRING, Filters())


@pytest.mark.parametrize("conforms", [None, [], ["https://api.stacspec.org/v1.0.0/core"]])
def test_a_catalogue_without_search_is_told(tmp_path, conforms):
    built = HandBuilt([])
    change = {"conformsTo": conforms}
    with serve({"GET /stac": lambda r: _changed(built.landing(r), change)}) as server:
        built.loopback = server
        own = StacApi(settings(tmp_path, {"stac-api": f"{server.url}/stac"}))
        with pytest.raises(ConfigError, match="a STAC API with item search"):
            own.search("anything", AREA, SPRING, Filters())


def _changed(response: Response, change: dict) -> Response:
    return Response({**response.body, **change})


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        (1, r"a text in field 'links\.0\.rel'"),
        ({"rel": "next"}, r"a text in field 'links\.0\.href'"),
        ({"rel": "next", "href": "x", "method": 5}, r"a text in field 'links\.0\.method'"),
        ({"rel": "next", "href": "x", "body": [1]}, r"an object in field 'links\.0\.body'"),
    ],
)
def test_malformed_links_name_the_field(tmp_path, link, sentence):
    page = {"features": [_item(1, 1, 0.0)], "links": [link]}
    with pytest.raises(AnswerError, match=sentence):
        searched(tmp_path, lambda _: Response(page))


def test_an_html_page_with_status_200_is_no_answer(tmp_path):
    page = Response(b"<html>maintenance</html>", 200, {"Content-Type": "text/html"})
    with pytest.raises(AnswerError, match="a JSON object"):
        searched(tmp_path, lambda _: page)


def test_paging_that_goes_round_in_circles_ends(tmp_path):
    def again(request: Request) -> Response:
        href = f"http://{request.headers['Host']}/stac/search"
        link = {"rel": "next", "method": "POST", "href": href, "body": {}}
        return Response({"features": [_item(1, 1, 0.0)], "links": [link]})

    with pytest.raises(AnswerError, match="new items in field 'features' of the next page"):
        searched(tmp_path, again)


def test_a_busy_server_is_asked_again_and_then_named(tmp_path):
    answers = [Response({}, 503, {"Retry-After": "0"}), Response({}, 429, {"Retry-After": "0"})]

    def recovering(_: Request) -> Response:
        page = {"type": "FeatureCollection", "features": [_item(1, 1, 0.0)], "links": []}
        return answers.pop() if answers else Response(page)

    assert len(searched(tmp_path, recovering)) == 1
    with pytest.raises(RetryableError, match="try again later"):
        searched(tmp_path, lambda _: Response({}, 503, {"Retry-After": "0"}))


def test_refusals_and_absences_say_what_to_do(tmp_path):
    with pytest.raises(AccessError, match="check the login"):
        searched(tmp_path, lambda _: Response({"message": "no key"}, 403))
    with pytest.raises(ConfigError, match="set the endpoint 'stac-api'"):
        StacApi(settings(tmp_path, {})).search("made-up", AREA, SPRING, Filters())


def test_check_and_collections_ask_the_api(tmp_path):
    with api([_item(1, 1, 0.0)]) as (_, server):
        own = source(tmp_path, server)
        assert own.collections() == ("made-up",)
        (finding,) = own.check()
    assert finding.ok
    assert "A hand-built STAC API" in finding.sentence
    (finding,) = own.check()
    assert not finding.ok


def test_the_licence_of_the_dem_stands_in_items_of_any_api(tmp_path):
    tile = feature("t", "cop-dem-glo-30", (5, 45, 6, 46), {"datetime": "2021-04-22T00:00:00Z"}, {})
    with api([tile]) as (_, server):
        (item,) = source(tmp_path, server).search("cop-dem-glo-30", AREA, None, Filters())
    assert "produced using Copernicus WorldDEM-30" in item.properties["skymend:derived_notice"]


def test_assets_in_buckets_are_fetched_with_the_keys_of_s3(tmp_path):
    key = {"href": "s3://bands/a/B04.tif", "type": "image/tiff", "roles": ["data"]}
    one = {**_item(1, 1, 0.0), "assets": {"red": key}}
    with serve_s3("bands") as s3, api([one]) as (_, server):
        s3.client().put_object(Bucket="bands", Key="a/B04.tif", Body=geotiff_of(4))
        endpoints = {"stac-api": f"{server.url}/stac", "stac-api.s3": s3.url}
        login = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
        own = StacApi(settings(tmp_path, endpoints, s3=login))
        item = own.search("made-up", AREA, SPRING, Filters()).items[0]
        (receipt,) = own.fetch(item, ["B04"], tmp_path / "got")
    assert receipt.path.read_bytes() == geotiff_of(4)


def test_items_survive_being_frozen_in_a_plan(tmp_path):
    import pystac

    with api([_item(1, 1, 0.0)]) as (_, server):
        own = source(tmp_path, server)
        item = own.search("made-up", AREA, SPRING, Filters()).items[0]
        frozen = json.dumps(item.to_dict(transform_hrefs=False))
        again = pystac.Item.from_dict(json.loads(frozen))
        assert own.fetch(again, ["red"], tmp_path)[0].path.read_bytes() == geotiff_of(14)


def test_recorded_pages(tmp_path, shared_data):
    """Three pages of ten NAIP images of a real API; the fourth was not recorded, nor is asked."""
    cassettes = shared_data / "api-pystac-client-cassettes" / "cassettes"
    pages = cassettes / "test_item_search" / "TestItemSearch.test_result_paging_max_items.yaml"
    landing = cassettes / "test_collection_client" / "TestCollectionClient.test_get_items.yaml"
    replayed = Replayed([pages, landing])
    with serve(replayed.routes()) as server:
        replayed.loopback = server
        own = StacApi(settings(tmp_path, {"stac-api": f"{server.url}/api/stac/v1"}))
        found = own.search("naip", None, None, Filters(limit=25))
        assert server.count("/search") == 3
        with pytest.raises(AnswerError, match="not recorded"):
            own.search("naip", None, None, Filters())
    assert len({i.id for i in found}) == 25
    assert [i.datetime for i in found] == sorted(i.datetime for i in found)
    assert all(i.assets["image"].href.startswith("https://") for i in found)


def test_a_server_that_stays_silent_does_not_hang(tmp_path):
    """pystac-client forgets the timeout that it was opened with."""
    gate = threading.Event()

    def silent(_):
        gate.wait(20)
        return Response({})

    with serve({"GET /stac": silent}) as server:
        quick = replace(settings(tmp_path, {"stac-api": f"{server.url}/stac"}), timeout_s=0.2)
        began = time.monotonic()
        with pytest.raises(RetryableError, match="of the connection"):
            StacApi(quick).search("anything", AREA, SPRING, Filters())
        assert time.monotonic() - began < 10
        gate.set()
