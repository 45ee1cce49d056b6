"""The Planetary Computer: recorded STAC answers; signatures and storage built by hand.

The signature service answers as its published schema says (``msft:expiry``, ``token``); the
storage refuses addresses without a valid signature with status 403, as Azure's does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from skymend.core.errors import AccessError, AnswerError
from skymend.sources.planetary_computer import PlanetaryComputer, SasSigner
from skymend.sources.protocol import Filters
from tests.provider_case import AREA, SPRING, geotiff_of, settings
from tests.servers.routes import Loopback, Request, Response, file_response, serve
from tests.servers.stac import HandBuilt, Replayed, feature

NAME = "S2B_MSIL2A_20230405T103629_R008_T31TFL_20230405T174503"
URI = "S2B_MSIL2A_20230405T103629_N0509_R008_T31TFL_20230405T174503.SAFE"


def _item() -> dict:
    properties = {
        "datetime": "2023-04-05T10:36:29.024000Z",
        "platform": "Sentinel-2B",
        "eo:cloud_cover": 3.5,
        "s2:mgrs_tile": "31TFL",
        "s2:product_uri": URI,
        "s2:processing_baseline": "05.09",
        "sat:relative_orbit": 8,
    }
    asset = {"href": "{server}/blob/B04.tif", "roles": ["data"], "type": "image/tiff"}
    return feature(NAME, "sentinel-2-l2a", (4.9, 44.9, 5.5, 45.4), properties, {"B04": asset})


class Storage:
    """Hands out signatures that the storage takes ``uses`` times each."""

    def __init__(self, *, lifetime_s: float = 3600.0, uses: int = 10_000) -> None:
        self.lifetime_s = lifetime_s
        self.uses = uses
        self.issued: dict[str, int] = {}
        self.keys: list[str | None] = []

    def token(self, request: Request, collection: str) -> Response:
        assert collection == "sentinel-2-l2a"
        self.keys.append(request.headers.get("Ocp-Apim-Subscription-Key"))
        signature = f"s{len(self.issued)}"
        self.issued[signature] = 0
        end = datetime.now(UTC) + timedelta(seconds=self.lifetime_s)
        expiry = end.isoformat().replace("+00:00", "Z")
        return Response({"msft:expiry": expiry, "token": f"se={expiry}&sig={signature}"})

    def blob(self, request: Request) -> Response:
        signature = request.query.get("sig", "")
        if self.issued.get(signature, self.uses) >= self.uses:
            return Response(b"<Error><Code>AuthenticationFailed</Code></Error>", 403)
        self.issued[signature] += 1
        return file_response(request, geotiff_of(4), "image/tiff")


@contextmanager
def running(storage: Storage) -> Iterator[Loopback]:
    built = HandBuilt([_item()])
    routes = {
        **built.routes(),
        r"GET /sas/token/([\w-]+)": storage.token,
        r"GET /blob/B04\.tif": storage.blob,
    }
    with serve(routes) as server:
        built.loopback = server
        yield server


def source(tmp_path, server: Loopback, **logins) -> PlanetaryComputer:
    endpoints = {
        "planetary-computer": f"{server.url}/stac",
        "planetary-computer.sas": f"{server.url}/sas",
        "planetary-computer.blob": server.url,
    }
    return PlanetaryComputer(settings(tmp_path, endpoints, **logins))


def test_search_and_fetch_with_a_signature(tmp_path):
    storage = Storage()
    with running(storage) as server:
        own = source(tmp_path, server, planetary_computer={"subscription_key": "k1"})
        (item,) = own.search("sentinel-2-l2a", AREA, SPRING, Filters())
        (receipt,) = own.fetch(item, ["B04"], tmp_path / "got")
        assert all(f.ok for f in own.check())
    assert receipt.path.read_bytes() == geotiff_of(4)
    assert storage.keys == ["k1"]
    assert item.properties["title"] == URI.removesuffix(".SAFE")
    assert item.properties["grid:code"] == "MGRS-31TFL"
    saved = (tmp_path / "got" / NAME / f"{NAME}.json").read_text()
    assert "sig=" not in saved, "a signature must not be written down"


def test_a_signature_that_storage_refuses_is_renewed(tmp_path):
    storage = Storage(uses=1)
    with running(storage) as server:
        own = source(tmp_path, server)
        (item,) = own.search("sentinel-2-l2a", AREA, SPRING, Filters())
        for folder in ("one", "two"):
            (receipt,) = own.fetch(item, ["B04"], tmp_path / folder)
            assert receipt.path.read_bytes() == geotiff_of(4)
    assert len(storage.issued) >= 2


class LargeStorage(Storage):
    """Holds 24 MiB, and cuts every connection after at most 3 MiB."""

    content = geotiff_of(4) + bytes(range(256)) * (24 * 4096)

    def blob(self, request: Request) -> Response:
        signature = request.query.get("sig", "")
        if self.issued.get(signature, self.uses) >= self.uses:
            return Response(b"<Error><Code>AuthenticationFailed</Code></Error>", 403)
        self.issued[signature] += 1
        answer = file_response(request, self.content, "image/tiff")
        if request.method == "GET":
            answer.cut_after = 3 * 2**20
        return answer


def test_ranges_cuts_and_a_signature_that_ends_midway(tmp_path):
    """Each signature is good for three requests, so several are needed for one file."""
    storage = LargeStorage(uses=3)
    with running(storage) as server:
        own = source(tmp_path, server)
        (item,) = own.search("sentinel-2-l2a", AREA, SPRING, Filters())
        (receipt,) = own.fetch(item, ["B04"], tmp_path / "got")
        asked = [r.headers.get("Range") for r in server.log if r.path == "/blob/B04.tif"]
    assert receipt.path.read_bytes() == storage.content
    assert receipt.restarts == 0
    assert receipt.cuts >= 4
    assert len(storage.issued) >= 3
    assert sum(a is not None for a in asked) >= len(asked) - 1


def test_a_signature_about_to_end_is_not_used(tmp_path):
    from skymend.sources.transfer import Remote

    storage = Storage(lifetime_s=30.0)
    with running(storage) as server:
        own = source(tmp_path, server)
        signer = SasSigner(own.settings, "sentinel-2-l2a")
        remote = Remote(f"{server.url}/blob/B04.tif", "planetary-computer", "B04.tif")
        addresses = {signer.url(remote, refresh=False) for _ in range(2)}
    assert len(addresses) == 2


def test_a_signature_refused_to_many_threads_is_renewed_once(tmp_path):
    from skymend.sources.transfer import Remote

    storage, together = Storage(), threading.Barrier(8)
    with running(storage) as server:
        signer = SasSigner(source(tmp_path, server).settings, "sentinel-2-l2a")

        def refused(number: int) -> str:
            name = f"{number}.tif"
            remote = Remote(f"{server.url}/blob/{name}", "planetary-computer", name)
            signer.url(remote, refresh=False)
            together.wait()
            return signer.url(remote, refresh=True).partition("?")[2]

        with ThreadPoolExecutor(8) as pool:
            signatures = set(pool.map(refused, range(8)))
    assert len(signatures) == 1
    assert len(storage.issued) == 2


def test_other_hosts_get_no_signature(tmp_path):
    from skymend.sources.transfer import Remote

    storage = Storage()
    with running(storage) as server:
        own = source(tmp_path, server)
        signer = SasSigner(own.settings, "sentinel-2-l2a")
        foreign = Remote("https://example.org/B04.tif", "planetary-computer", "B04.tif")
        assert signer.url(foreign, refresh=False) == foreign.url
    assert storage.issued == {}


def test_storage_that_never_agrees_is_an_access_error(tmp_path):
    with running(Storage(uses=0)) as server:
        own = source(tmp_path, server)
        (item,) = own.search("sentinel-2-l2a", AREA, SPRING, Filters())
        with pytest.raises(AccessError):
            own.fetch(item, ["B04"], tmp_path / "got")
    assert not list((tmp_path / "got").rglob("*.tif"))


def test_a_malformed_signature_names_the_field(tmp_path):
    from skymend.sources.transfer import Remote

    answer = Response({"msft:expiry": "soon", "token": "sig=x"})
    with serve({"GET /sas/token/.*": lambda _: answer}) as server:
        own = source(tmp_path, server)
        remote = Remote(f"{server.url}/B04.tif", "planetary-computer", "B04.tif")
        with pytest.raises(AnswerError, match="field 'msft:expiry'"):
            SasSigner(own.settings, "sentinel-2-l2a").url(remote, refresh=False)


def test_recorded_answers(tmp_path, shared_data):
    """33 items of ten seconds of 2019, some processed twice, as recorded."""
    cassettes = shared_data / "api-pystac-client-cassettes" / "cassettes"
    search = cassettes / "test_item_search" / "TestItemSearch.test_datetime_results.yaml"
    landing = cassettes / "test_collection_client" / "TestCollectionClient.test_get_items.yaml"
    replayed = Replayed([search, landing])
    for exchange in replayed.exchanges:
        if "datetime" in exchange["asked"]:  # skymend writes milliseconds
            exchange["asked"]["datetime"] = "2019-01-01T00:00:01.000Z/2019-01-01T00:00:10.000Z"
    period = tuple(datetime(2019, 1, 1, 0, 0, s, tzinfo=UTC) for s in (1, 10))
    with serve(replayed.routes()) as server:
        replayed.loopback = server
        endpoints = {"planetary-computer": f"{server.url}/api/stac/v1"}
        own = PlanetaryComputer(settings(tmp_path, endpoints))
        found = own.search("sentinel-2-l2a", None, period, Filters())
        one = own.search("sentinel-2-l2a", None, period, Filters(tile="60VUK"))
    assert len(found) == 33
    assert {i.properties["sat:relative_orbit"] for i in found} == {116}
    assert all(i.properties["grid:code"].startswith("MGRS-") for i in found)
    assert all(i.properties["processing:version"] == "02.12" for i in found)
    assert [i.properties["title"].split("_")[5] for i in one] == ["T60VUK"]
