"""Answers of the providers, as the clients of each take them apart."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from tests.fuzzing import Parser, Target

S1 = "S1A_IW_GRDH_1SDV_20220615T055959_20220615T060024_043671_0536AD_1234"
S2 = "S2A_MSIL1C_20220615T105031_N0400_R051_T31TFJ_20220615T170000"
LANDSAT = "LC09_L2SP_198030_20220615_20220616_02_T1"
URL = "https://localhost/search"


def scenes() -> Iterator[Target]:
    """Found scenes, turned into items, and the lists that name their files."""
    from skymend.sources import asf, geodes, landsat_m2m, sara
    from tests.servers import asf as asf_server
    from tests.servers import geodes as geodes_server
    from tests.servers import m2m as m2m_server
    from tests.servers import sara as sara_server

    times = {"start_datetime": "2022-06-15T10:50:31Z", "end_datetime": "2022-06-15T10:50:32Z"}
    own = {**times, "sat:relative_orbit": 51, "processing:version": "04.00"}
    scene = m2m_server.scene(LANDSAT, "e1", cloud="12.5", start="2022:166:10:29:10.1234560")

    def geodes_item(answer: Any, number: int, collection: str, url: str) -> object:
        return geodes.Geodes(_settings())._item(answer, number, collection, url)

    def m2m_item(answer: Any, number: int, collection: str, url: str) -> object:
        answer = {"results": answer["features"]}
        return landsat_m2m._item(answer, number, "landsat_ot_c2_l2", collection, url)

    readers: dict[str, tuple[str, Any, Callable[..., object]]] = {
        "asf": ("sentinel-1-grd", asf_server.scene(S1, b"x"), asf._scene),
        "geodes": ("sentinel-2-l1c", geodes_server.item(S2, b"x", "PEPS", own), geodes_item),
        "sara": (
            "sentinel-2-l1c",
            sara_server.record(S2, b"x", day="2022-06-15", kind="S2MSI1C"),
            sara._item,
        ),
        "m2m": ("landsat-c2-l2", scene, m2m_item),
    }
    for name, (collection, feature, read) in readers.items():
        yield name, json.dumps(feature).encode(), _one(read, collection)


def _settings() -> Any:
    from pathlib import Path

    from skymend.sources.credentials import Credentials
    from skymend.sources.protocol import Settings

    return Settings(endpoints={}, credentials=Credentials(), cache=Path("/nonexistent"))


def _one(read: Callable[..., object], collection: str) -> Parser:
    from skymend.sources.answers import read_json

    def parse(content: bytes) -> object:
        answer = {"features": [read_json(content, URL)]}
        item: Any = read(answer, 0, collection, URL)
        return item.to_dict()

    return parse


def offers() -> Iterator[Target]:
    """What M2M offers for download and has ready."""
    from skymend.sources import landsat_m2m
    from skymend.sources.answers import field, read_json

    def chosen(assets: tuple[str, ...]) -> Parser:
        def parse(content: bytes) -> None:
            options = read_json(content, URL).get("data")
            for option in landsat_m2m._chosen(options, LANDSAT, assets, URL):
                landsat_m2m._remote(option)

        return parse

    def ready(content: bytes) -> None:
        entries = field(read_json(content, URL), "data", list, URL)
        landsat_m2m._ready(entries, URL, ["e1"])

    file = {"id": "f", "entityId": "e2", "displayId": f"{LANDSAT}_SR_B4.TIF", "filesize": 9}
    file |= {"available": True, "productName": "a file"}
    whole = {**file, "entityId": "e1", "displayId": LANDSAT, "productName": "Product Bundle"}
    options = {"data": [{**whole, "available": False, "secondaryDownloads": [file]}, whole]}
    yield "bundle", json.dumps(options).encode(), chosen(())
    yield "files", json.dumps(options).encode(), chosen(("SR_B4",))
    entries = {"data": [{"url": "https://localhost/a", "entityId": "e1"}]}
    yield "ready", json.dumps(entries).encode(), ready


def headers() -> Iterator[Target]:
    """Headers of answers to downloads."""
    from skymend.sources.transfer import answers

    def read(content: bytes) -> None:
        lines = (line.partition(": ") for line in content.decode("latin-1").split("\n"))
        found = {name: value for name, _, value in lines}
        answers.validator(found)
        answers.content_range(found)
        answers.unsatisfied_total(found)
        answers.content_length(found)
        answers.delimited(found)
        answers.digests(found)
        answers.retry_after(found, datetime(2022, 6, 15, tzinfo=UTC))

    content = (
        'ETag: "abc"\nLast-Modified: Wed, 15 Jun 2022 10:50:31 GMT\n'
        "Date: Thu, 16 Jun 2022 10:50:31 GMT\nContent-Range: bytes 0-9/100\n"
        "Content-Length: 10\n"
        "Repr-Digest: md5=:1B2M2Y8AsgTpgAmY7PhCfg==:\nDigest: MD5=1B2M2Y8AsgTpgAmY7PhCfg==\n"
        "x-goog-hash: crc32c=AAAAAA==,md5=1B2M2Y8A==\n"
        "Retry-After: 12\n"
    )
    yield "headers", content.encode(), read


def logins() -> Iterator[Target]:
    """Answers of token services, and what a refusal says."""
    from skymend.sources.credentials import Credentials
    from skymend.sources.earthdata.login import _told
    from skymend.sources.sentinel_hub.access import _said
    from skymend.sources.tokens import TokenChain, Tokens

    cache = _settings().cache
    chain = TokenChain("cdse", URL, "public", Credentials(), cache, clock=lambda: 1.6e9)

    def token(content: bytes) -> None:
        tokens = chain._parsed(content, Tokens())
        _ = tokens.fresh(1.6e9), tokens.refreshable(1.6e9)

    answer = {"access_token": "a", "expires_in": 600, "refresh_token": "r"}
    yield "token", json.dumps({**answer, "refresh_expires_in": 3600}).encode(), token
    yield "refusal", b'{"error": {"message": "no"}}', _said
    page = b'{"error_description": "accept at https://urs.earthdata.nasa.gov/x", "error": "e"}'
    yield "agreement", page, lambda content: _told(content.decode("utf-8", "replace"))


TARGETS = {
    "scenes": scenes,
    "offers": offers,
    "headers": headers,
    "token-answers": logins,
}
