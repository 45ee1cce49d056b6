"""eodag as bridge: a provider of the user's own on loopback, and recorded answers (api-eodag)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from skymend.core.errors import AccessError, AnswerError, ConfigError, RetryableError, SkipJob
from skymend.sources.area import Area
from skymend.sources.eodag_bridge import EodagBridge
from skymend.sources.protocol import Filters
from tests.provider_case import AREA, SPRING, safe_zip, settings
from tests.servers.routes import Loopback, Request, Response, file_response, redirect, serve
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY, serve_s3

KEY = "a-key-of-mine"
COLLECTION = "mirror/S2_MSI_L2A"
NAMES = [
    f"S2A_MSIL2A_202304{day:02d}T103629_N0509_R008_T31TFL_202304{day:02d}T163000"
    for day in (3, 5, 8, 13, 15)
]


@dataclass
class Mirror:
    """A STAC API built by hand: pages by a body in the next link, downloads with a key."""

    page: int = 2
    hidden: int = 0
    broken: Response | None = None
    bucket: str = ""
    status: str = ""
    archives: dict[str, bytes] = field(default_factory=dict)
    loopback: Loopback | None = None

    def routes(self) -> dict[str, Any]:
        return {
            "POST /stac/search": self.search,
            r"GET /files/([\w.]+)": self.door,
            r"GET /orders/([\w.]+)": self.order,
            r"GET /store/([\w.]+)": lambda r, n: file_response(
                r, self.archives[n], "application/zip"
            ),
        }

    def search(self, request: Request) -> Response:
        if self.broken is not None:
            return self.broken
        asked = request.json()
        assert asked["collections"] == ["s2-l2a-on-mirror"]
        first = int(asked.get("token", 0))
        size = min(self.page, asked["limit"])
        names = NAMES[first : first + size]
        links = []
        if first + size < len(NAMES):
            body = {**asked, "token": str(first + size)}
            links = [
                {"rel": "next", "method": "POST", "href": self._url("stac/search"), "body": body}
            ]
        return Response(
            {
                "type": "FeatureCollection",
                "features": [self._feature(n) for n in names],
                "links": links,
                "numberMatched": len(NAMES) + self.hidden,
            }
        )

    def _url(self, path: str) -> str:
        assert self.loopback is not None
        return f"{self.loopback.url}/{path}"

    def _feature(self, name: str) -> dict[str, Any]:
        west, south, east, north = 4.9, 44.9, 5.5, 45.4
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        day = f"{name[11:15]}-{name[15:17]}-{name[17:19]}T10:36:29Z"
        href = (
            f"s3://{self.bucket}/{name}/B04.tif" if self.bucket else self._url(f"files/{name}.zip")
        )
        return {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": name,
            "collection": "s2-l2a-on-mirror",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {
                **{"datetime": day, "eo:cloud_cover": 10.0, "platform": "S2A"},
                **({"order:status": self.status} if self.status else {}),
            },
            "assets": {"archive": {"href": href, "type": "application/zip", "roles": ["data"]}},
            "links": [{"rel": "self", "href": self._url(f"items/{name}")}],
        }

    def order(self, request: Request, name: str) -> Response:
        if request.headers.get("X-Api-Key") != KEY:
            return Response({"message": "no key"}, 401)
        return Response({"ordered": name})

    def door(self, request: Request, name: str) -> Response:
        if request.headers.get("X-Api-Key") != KEY:
            return Response({"message": "no key"}, 401)
        return redirect(self._url(f"store/{name}").replace("127.0.0.1", "localhost"))


CONFIG = """
mirror:
  name: mirror
  url: https://mirror.invalid
  search:
    type: StacSearch
    api_endpoint: https://mirror.invalid/search
    pagination: {max_limit: 2}
    retry_total: 1
    retry_backoff_factor: 0.1
    discover_queryables: {fetch_url: null, collection_fetch_url: null}
  products:
    S2_MSI_L2A:
      _collection: s2-l2a-on-mirror
  download:
    type: HTTPDownload
    auth_error_code: 401
  auth:
    type: HTTPHeaderAuth
    matching_url: http
    headers:
      X-Api-Key: "{apikey}"
"""


@contextmanager
def source(tmp_path, state: Mirror, login=None, config=CONFIG) -> Iterator[EodagBridge]:
    path = tmp_path / "providers.yml"
    path.write_text(config, encoding="utf-8")
    with serve(state.routes()) as server:
        state.loopback = server
        endpoints = {"eodag.config": path.as_uri(), "eodag.mirror": f"{server.url}/stac/search"}
        yield EodagBridge(settings(tmp_path, endpoints, eodag=login or {"apikey": KEY}))


def test_search_pages_and_speaks_skymend(tmp_path):
    state = Mirror()
    with source(tmp_path, state) as own:
        found = own.search(COLLECTION, AREA, SPRING, Filters(tile="31TFL"))
        one = own.search(COLLECTION, AREA, SPRING, Filters(product_id=NAMES[2]))
    assert [i.id for i in found] == NAMES
    assert [i.id for i in one] == [NAMES[2]]
    assert state.loopback.count("search") == 6
    asked = state.loopback.log[0].json()
    assert asked["datetime"].startswith("2023-04-01T00:00:00.000Z/")
    assert asked["intersects"]["type"] == "Polygon"
    item = found.items[0]
    assert item.properties["platform"] == "sentinel-2a"
    assert item.properties["grid:code"] == "MGRS-31TFL"
    assert item.properties["processing:version"] == "05.09"


def test_an_answer_with_fewer_products_than_counted_is_refused(tmp_path):
    with source(tmp_path, Mirror(hidden=1)) as own, pytest.raises(AnswerError, match="6 products"):
        own.search(COLLECTION, AREA, SPRING, Filters())


def test_files_with_an_address_come_through_our_transfer(tmp_path):
    content = safe_zip(NAMES[0], {"annotation/a.xml": b"<a/>" * 5000})
    state = Mirror(archives={f"{NAMES[0]}.zip": content})
    with source(tmp_path, state) as own:
        item = own.search(COLLECTION, AREA, SPRING, Filters()).items[0]
        (receipt,) = own.fetch(item, (), tmp_path / "got")
    assert receipt.verified == "manifest"
    assert receipt.path.read_bytes() == content
    stored = [r for r in state.loopback.log if r.path.startswith("/store/")]
    assert stored
    assert all("X-Api-Key" not in r.headers for r in stored), "the key stays with its host"


OFFLINE = """
    metadata_mapping:
      "order:status": '$.properties."order:status"'
      "eodag:order_link": '{link}'
  products:
"""


@contextmanager
def with_offline(tmp_path, state: Mirror, link: str) -> Iterator[EodagBridge]:
    config = CONFIG.replace("  products:", OFFLINE.format(link=link).strip("\n"))
    with source(tmp_path, state, config=config) as own:
        yield own


def test_offline_products_are_ordered_where_eodag_knows_how(tmp_path):
    """They are skipped where it does not, and fetched once they are back."""
    content = safe_zip(NAMES[0], {"annotation/a.xml": b"<a/>"})
    state = Mirror(archives={f"{NAMES[0]}.zip": content}, status="orderable")
    with with_offline(tmp_path, state, "$.null") as own:
        item = own.search(COLLECTION, AREA, SPRING, Filters()).items[0]
        with pytest.raises(SkipJob, match="offline"):
            own.fetch(item, (), tmp_path / "got")
    with (
        serve(state.routes()) as desk,
        with_offline(tmp_path, state, f"{desk.url}/orders/{{id}}") as own,
    ):
        item = own.search(COLLECTION, AREA, SPRING, Filters()).items[0]
        with pytest.raises(RetryableError, match="had to be ordered; run again in some hours"):
            own.fetch(item, (), tmp_path / "got")
        assert desk.count("/orders/") == 1
        state.status = "succeeded"
        item = own.search(COLLECTION, AREA, SPRING, Filters()).items[0]
        (receipt,) = own.fetch(item, (), tmp_path / "got")
    assert receipt.verified == "manifest"


IN_S3 = """
  download:
    type: AwsDownload
    s3_endpoint: {url}
  auth:
    type: AwsAuth
    matching_url: s3://
    s3_endpoint: {url}
    auth_error_code: 403
"""


def test_files_in_a_bucket_come_through_eodag_itself(tmp_path):
    with serve_s3("mirror") as s3:
        key = f"{NAMES[0]}/B04.tif"
        s3.client().put_object(Bucket="mirror", Key=key, Body=b"II*\0" + bytes(5000))
        config = CONFIG[: CONFIG.index("  download:")] + IN_S3.format(url=s3.url).lstrip("\n")
        login = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
        with source(tmp_path, Mirror(bucket="mirror"), login, config) as own:
            item = own.search(COLLECTION, AREA, SPRING, Filters()).items[0]
            (receipt,) = own.fetch(item, (), tmp_path / "got")
    assert receipt.verified == "size"
    assert receipt.bytes == 5004
    assert list((tmp_path / "got").iterdir()) == [receipt.path], "and nothing beside"
    assert [p.read_bytes()[:4] for p in receipt.path.rglob("*.tif")] == [b"II*\0"]


def test_a_wrong_key_is_refused_without_showing_it(tmp_path):
    with source(tmp_path, Mirror(), {"apikey": "wrong-key"}) as own:
        item = own.search(COLLECTION, AREA, SPRING, Filters()).items[0]
        with pytest.raises(AccessError) as caught:
            own.fetch(item, (), tmp_path / "got")
    assert "wrong-key" not in str(caught.value)


@pytest.mark.parametrize(
    ("broken", "kind", "sentence"),
    [
        (Response(b"<html>"), (AnswerError, RetryableError), "eodag: mirror"),
        (Response({"message": "down"}, 503), RetryableError, "503"),
        (Response({"message": "bad"}, 400), (AnswerError, ConfigError), "400|bad"),
        (Response({"features": [7]}), AnswerError, "eodag: mirror"),
    ],
)
def test_strange_answers_give_one_sentence(tmp_path, broken, kind, sentence):
    with source(tmp_path, Mirror(broken=broken)) as own, pytest.raises(kind, match=sentence):
        own.search(COLLECTION, AREA, SPRING, Filters())


def test_what_eodag_does_not_know(tmp_path):
    with source(tmp_path, Mirror()) as own:
        assert own.check()[0].ok
        with pytest.raises(ConfigError, match="<provider>/<collection>"):
            own.search("sentinel-2-l2a", AREA, SPRING, Filters())
        with pytest.raises(ConfigError, match="'nowhere'"):
            own.search("nowhere/S2", AREA, SPRING, Filters())
    broken = settings(tmp_path, {"eodag.config": (tmp_path / "absent.yml").as_uri()})
    with pytest.raises(ConfigError, match="a YAML file of eodag providers"):
        EodagBridge(broken).search(COLLECTION, AREA, SPRING, Filters())


def test_recorded_products_of_the_data_space(tmp_path, shared_data):
    """Two Sentinel-2 L1C of a recorded OData answer, read by eodag's own mapping."""
    path = shared_data / "api-eodag" / "provider_responses" / "cop_dataspace_search.json"
    answer = json.loads(path.read_text(encoding="utf-8"))
    answer.pop("@odata.nextLink")
    login = {f"{n}_endpoint": "http://127.0.0.1:9/" for n in ("token", "authorization", "jwks")}
    algorithms = {"id_token_signing_alg_values_supported": ["RS256"]}
    login = {**login, **algorithms, "jwks_uri": login["jwks_endpoint"]}
    routes = {"GET /login": lambda _: Response(login), ".*": lambda _: Response(answer)}
    with serve(routes) as server:
        endpoints = {
            "eodag.cop_dataspace": f"{server.url}/odata/v1/Products",
            "eodag.cop_dataspace.auth.oidc_config_url": f"{server.url}/login",
        }
        own = EodagBridge(settings(tmp_path, endpoints))
        period = (datetime(2020, 8, 8, tzinfo=UTC), datetime(2020, 8, 17, tzinfo=UTC))
        area = Area.of_bounds(140.0, 10.0, 148.0, 18.0)
        found = own.search("cop_dataspace/S2_MSI_L1C", area, period, Filters())
    assert [i.properties["title"] for i in found] == sorted(
        (e["Name"].removesuffix(".SAFE") for e in answer["value"]), key=lambda n: n[11:26]
    )
    assert {i.properties["processing:version"] for i in found} == {"05.00"}
    assert all(i.assets["product"].href.startswith("https://") for i in found)
