"""A STAC API on 127.0.0.1: built by hand to STAC API 1.0 (core, item search, query), or replayed.

The hand-built one filters by collection, area and time and pages by a token in the body of a
POST, as the Planetary Computer does. The other replays recorded exchanges (vcr cassettes) with
the host's address replaced by its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.servers.routes import Handler, Loopback, Request, Response

CONFORMANCE = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/item-search#query",
]


GEOJSON = "application/geo+json"


class HandBuilt:
    """Items served by hand-built answers; ``loopback`` is set once the server runs."""

    def __init__(self, features: Iterable[Mapping[str, Any]], *, page: int = 2) -> None:
        self.features = [dict(f) for f in features]
        self.page = page
        self.loopback: Loopback | None = None

    @property
    def url(self) -> str:
        assert self.loopback is not None
        return self.loopback.url

    def routes(self) -> dict[str, Handler]:
        return {
            "GET /stac/?": self.landing,
            "GET /stac/collections": self.collections,
            "POST /stac/search": self.search,
        }

    def landing(self, request: Request) -> Response:
        api = f"{self.url}/stac"
        links = [
            {"rel": "self", "href": api},
            {"rel": "data", "href": f"{api}/collections"},
            {"rel": "search", "href": f"{api}/search", "method": "POST", "type": GEOJSON},
        ]
        return Response(
            {
                "type": "Catalog",
                "id": "hand-built",
                "title": "A hand-built STAC API",
                "description": "for tests",
                "stac_version": "1.0.0",
                "conformsTo": CONFORMANCE,
                "links": links,
            }
        )

    def collections(self, request: Request) -> Response:
        names = sorted({f["collection"] for f in self.features})
        return Response({"collections": [_collection(n) for n in names], "links": []})

    def search(self, request: Request) -> Response:
        asked = request.json()
        found = [f for f in self.features if _answers(f, asked)]
        start = int(asked.get("token", "next:0").split(":")[1])
        size = min(self.page, int(asked.get("limit", self.page)))
        links = []
        if start + size < len(found):
            body = {**asked, "token": f"next:{start + size}"}
            href = f"{self.url}/stac/search"
            links = [{"rel": "next", "method": "POST", "href": href, "body": body}]
        page = json.loads(json.dumps(found[start : start + size]).replace("{server}", self.url))
        return Response({"type": "FeatureCollection", "features": page, "links": links})


def _collection(name: str) -> dict[str, Any]:
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    return {
        "type": "Collection",
        "id": name,
        "stac_version": "1.0.0",
        "description": name,
        "license": "proprietary",
        "extent": extent,
        "links": [],
    }


def _answers(feature: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    from shapely.geometry import shape

    if feature["collection"] not in asked.get("collections", [feature["collection"]]):
        return False
    area = asked.get("intersects")
    if area and not shape(area).intersects(shape(feature["geometry"])):
        return False
    if "datetime" in asked:
        first, last = (datetime.fromisoformat(t) for t in asked["datetime"].split("/"))
        if not first <= datetime.fromisoformat(feature["properties"]["datetime"]) <= last:
            return False
    most = asked.get("query", {}).get("eo:cloud_cover", {}).get("lte", 100)
    return bool(feature["properties"].get("eo:cloud_cover", 0) <= most)


def feature(
    name: str,
    collection: str,
    bounds: Sequence[float],
    properties: Mapping[str, Any],
    assets: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """A STAC item, hand-built; ``{server}`` in addresses becomes that of the server."""
    west, south, east, north = bounds
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": collection,
        "bbox": list(bounds),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": dict(properties),
        "assets": {k: dict(a) for k, a in assets.items()},
        "links": [],
    }


class Replayed:
    """Recorded exchanges, answered by method, path and body; hosts become the server itself."""

    def __init__(self, cassettes: Sequence[Path], prefix: str = "") -> None:
        self.exchanges = [e for c in cassettes for e in _exchanges(c)]
        self.prefix = prefix
        self.loopback: Loopback | None = None

    def routes(self) -> dict[str, Handler]:
        return {"(GET|POST) .*": lambda request, _: self.answer(request)}

    def answer(self, request: Request) -> Response:
        for exchange in self.exchanges:
            if self._matches(exchange, request):
                return Response(json.loads(self._own(exchange["body"])))
        return Response({"message": f"not recorded: {request.method} {request.path}"}, 404)

    def _matches(self, exchange: Mapping[str, Any], request: Request) -> bool:
        if exchange["method"] != request.method or exchange["path"] != request.path:
            return False
        if request.method == "GET":
            return True
        return _same(exchange["asked"], request.json())

    def _own(self, body: str) -> str:
        assert self.loopback is not None
        for host in sorted({e["host"] for e in self.exchanges}):
            body = body.replace(host, self.loopback.url)
        return body


def _same(recorded: Any, sent: Mapping[str, Any]) -> bool:
    """Whether two searches ask the same, but for the page size."""
    keys = (set(recorded) | set(sent)) - {"limit"}
    return all(recorded.get(k) == sent.get(k) for k in keys)


def _exchanges(cassette: Path) -> list[dict[str, Any]]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = []
    for entry in yaml.load(cassette.read_text(), Loader=loader)["interactions"]:
        parts = urlsplit(entry["request"]["uri"])
        found.append(
            {
                "method": entry["request"]["method"],
                "host": f"{parts.scheme}://{parts.netloc}",
                "path": parts.path,
                "asked": json.loads(entry["request"]["body"] or "{}"),
                "body": entry["response"]["body"]["string"],
            }
        )
    return found
