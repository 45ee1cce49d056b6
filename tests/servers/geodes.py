"""GEODES on 127.0.0.1: STAC search of at most 80 items a page, downloads behind an API key.

Items have the fields of a recorded one (PEPS_S2_L1C); those made here are built by hand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.servers.routes import Handler, Loopback, Request, Response, file_response

KEY = "an-api-key"


def item(title: str, content: bytes, collection: str, properties: Mapping[str, Any]) -> dict:
    """An item with its archive, as GEODES describes it."""
    ring = [[4.9, 44.9], [5.5, 44.9], [5.5, 45.4], [4.9, 45.4], [4.9, 44.9]]
    description = (
        f"File size: {len(content)} bytes\n\nIs reference: false\n\nIs online: true\n\n"
        f"Datatype: RAWDATA\n\nChecksum MD5: {hashlib.md5(content).hexdigest()}"
    )
    assets = {
        f"{title}_quicklook.jpg": {
            "href": "{server}/quicklook",
            "roles": ["overview"],
            "type": "image/jpeg",
        },
        f"{title}.zip": {
            "href": "{server}" + f"/download/{title}",
            "roles": ["data"],
            "type": "application/zip",
            "description": description,
        },
    }
    return {
        "type": "Feature",
        "id": f"URN:FEATURE:DATA:gdh:{title}:V1",
        "collection": collection,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "identifier": title,
            "datetime": "2025-01-01T09:00:26.809Z",  # of publication
            **properties,
        },
        "assets": assets,
    }


@dataclass
class GeodesServer:
    """Items and archives; refuses more than 80 items a page, and downloads without the key."""

    items: list[dict[str, Any]]
    archives: dict[str, bytes]
    page: int = 80
    loopback: Loopback | None = None
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def routes(self) -> dict[str, Handler]:
        return {"POST /stac/search": self.search, r"GET /download/([\w.-]+)": self.download}

    def search(self, request: Request) -> Response:
        assert self.loopback is not None
        body = request.json()
        self.bodies.append(body)
        if body["limit"] > 80:
            return Response({"message": "limit must be less than or equal to 80"}, 400)
        names = body.get("collections", [i["collection"] for i in self.items])
        found = [i for i in self.items if i["collection"] in names]
        size = min(body["limit"], self.page)
        start = (body["page"] - 1) * size
        text = json.dumps(found[start : start + size]).replace("{server}", self.loopback.url)
        context = {"matched": len(found), "limit": size}
        answer = {"type": "FeatureCollection", "features": json.loads(text), "context": context}
        return Response(answer)

    def download(self, request: Request, title: str) -> Response:
        if request.headers.get("X-API-Key") != KEY:
            return Response({"message": "invalid API key"}, 401)
        return file_response(request, self.archives[title], "application/zip")
