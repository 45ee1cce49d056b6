"""The requester-pays Landsat bucket: hand-built STAC, moto's S3; items as USGS recorded them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from skymend.core.errors import AccessError
from skymend.sources.fetching import multihash
from skymend.sources.protocol import Filters
from skymend.sources.transfer import Digest, Remote
from skymend.sources.usgs_landsat import UsgsLandsat
from tests.provider_case import AREA, SPRING, geotiff_of, settings
from tests.servers.routes import Request, Response, file_response, serve
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY, serve_s3
from tests.servers.stac import HandBuilt, feature

NAME = "LC08_L2SP_196029_20230403_20230412_02_T1"
KEY = f"collection02/level-2/standard/oli-tirs/2023/196/029/{NAME}/{NAME}_SR_B4.TIF"
LOGIN = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}


def _item(content: bytes) -> dict:
    checksum = multihash(Digest("sha512", hashlib.sha512(content).hexdigest()))
    red = {
        "href": f"https://landsatlook.usgs.gov/data/{KEY}",
        "type": "image/vnd.stac.geotiff; cloud-optimized=true",
        "roles": ["data"],
        "file:checksum": checksum,
        "alternate": {"s3": {"href": f"s3://usgs-landsat/{KEY}"}},
    }
    page = {"href": "https://landsatlook.usgs.gov/x", "type": "text/html", "roles": ["metadata"]}
    properties = {
        "datetime": "2023-04-03T10:22:17.123456Z",
        "platform": "LANDSAT_8",
        "eo:cloud_cover": 8.18,
        "landsat:wrs_path": "196",
        "landsat:wrs_row": "29",
    }
    box = (4.0, 44.0, 6.5, 46.0)
    return feature(f"{NAME}_SR", "landsat-c2l2-sr", box, properties, {"red": red, "index": page})


@contextmanager
def source(tmp_path, s3_url: str, login=LOGIN, content: bytes | None = None):
    built = HandBuilt([_item(content or geotiff_of(4))])
    with serve(built.routes()) as server:
        built.loopback = server
        endpoints = {"usgs-landsat": f"{server.url}/stac", "usgs-landsat.s3": s3_url}
        yield UsgsLandsat(settings(tmp_path, endpoints, usgs_landsat=login))


def test_search_and_fetch_from_the_bucket(tmp_path):
    with serve_s3("usgs-landsat") as s3:
        s3.client().put_object(Bucket="usgs-landsat", Key=KEY, Body=geotiff_of(4))
        with source(tmp_path, s3.url) as own:
            (item,) = own.search("landsat-c2-l2", AREA, SPRING, Filters(platform="landsat-8"))
            receipts = own.fetch(item, (), tmp_path / "got")
            assert all(f.ok for f in own.check())
    assert [r.path.name for r in receipts] == [f"{NAME}_SR_B4.TIF"]
    assert receipts[0].path.read_bytes() == geotiff_of(4)
    assert receipts[0].verified == "sha512"
    assert item.properties["title"] == NAME
    assert item.properties["landsat:wrs_row"] == "029"
    assert item.properties["processing:datetime"] == "2023-04-12T00:00:00.000Z"


@contextmanager
def paying() -> Iterator[tuple[str, list[Request]]]:
    """A bucket that answers only who pays: moto does not look at that header."""
    seen: list[Request] = []

    def bucket(request: Request) -> Response:
        seen.append(request)
        signed = request.query.get("X-Amz-SignedHeaders", "")
        pays = request.headers.get("x-amz-request-payer") == "requester"
        if not pays or "x-amz-request-payer" not in signed:
            return Response(b"<Error><Code>AccessDenied</Code></Error>", 403)
        return file_response(request, geotiff_of(4), "image/tiff")

    with serve({"GET /usgs-landsat/.*": bucket}) as server:
        yield server.url, seen


def test_requests_say_that_the_caller_pays_and_sign_it(tmp_path):
    with paying() as (url, seen), source(tmp_path, url) as own:
        (item,) = own.search("landsat-c2-l2", AREA, SPRING, Filters())
        (receipt,) = own.fetch(item, ["B04"], tmp_path / "got")
    assert receipt.verified == "sha512"
    assert all(r.query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256" for r in seen)
    assert all(SECRET_KEY not in str(r.query) for r in seen)


def test_without_keys_nothing_is_asked(tmp_path):
    with paying() as (url, seen), source(tmp_path, url, {}) as own:
        (item,) = own.search("landsat-c2-l2", AREA, SPRING, Filters())
        with pytest.raises(AccessError, match="SKYMEND_USGS_LANDSAT_ACCESS_KEY"):
            own.fetch(item, ["B04"], tmp_path / "got")
        assert [f.ok for f in own.check()] == [True, False]
    assert seen == []


def test_a_presigned_address_is_made_anew_after_a_refusal(tmp_path):
    from skymend.sources.aws import S3Signer

    own = settings(tmp_path, {"usgs-landsat.s3": "http://127.0.0.1:1"}, usgs_landsat=LOGIN)
    signer = S3Signer(own, "usgs-landsat", requester_pays=True)
    remote = Remote("s3://usgs-landsat/a/b c.TIF", "usgs-landsat", "b.TIF")
    first = signer.url(remote, refresh=False)
    assert urlsplit(first).path == "/usgs-landsat/a/b%20c.TIF"
    assert signer.url(remote, refresh=False) == first
    assert signer.headers(remote, refresh=False) == {"x-amz-request-payer": "requester"}
    other = Remote("https://landsatlook.usgs.gov/x", "usgs-landsat", "x")
    assert signer.url(other, refresh=True) == other.url
    assert signer.headers(other, refresh=True) == {}


def test_recorded_items(tmp_path, shared_data):
    """Checksums of USGS are SHA-512 multihashes; a Landsat 7 and a Landsat 8 item."""
    from skymend.sources.protocol import digests_of

    for name in (
        "LC08_L2SP_028030_20200114_20200824_02_T1_SR",
        "LE07_L2SP_044033_20210329_20210424_02_T1_SR",
    ):
        path = shared_data / "stac-items-odc" / f"{name}.json"
        own = UsgsLandsat(settings(tmp_path, {}))
        item = own.document(json.loads(path.read_text()), "landsat-c2-l2")
        assert item.properties["title"] == name.removesuffix("_SR")
        assert item.properties["platform"] == f"landsat-{name[3]}"
        red = item.assets["red"]
        assert [d.algorithm for d in digests_of(red)] == ["sha512"]
