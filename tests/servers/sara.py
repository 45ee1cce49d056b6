"""SARA on 127.0.0.1: resto's JSON, page after page until an empty one, downloads behind a login.

The answers have the fields of a recorded one; those of ``products`` are built by hand. Downloads
answer with a redirect to a file server, as NCI's do.
"""

from __future__ import annotations

import base64
import copy
import hashlib
from dataclasses import dataclass
from typing import Any

from tests.servers.routes import Handler, Loopback, Request, Response, file_response, redirect

LOGIN = {"username": "someone", "password": "a secret: with colon"}
_BASIC = base64.b64encode(f"{LOGIN['username']}:{LOGIN['password']}".encode()).decode()


def record(
    title: str, content: bytes, *, day: str, kind: str, mode: str = "disk", **more: Any
) -> dict[str, Any]:
    """A feature with the fields that SARA states."""
    ring = [[4.9, 44.9], [5.5, 44.9], [5.5, 45.4], [4.9, 45.4], [4.9, 44.9]]
    properties = {
        "title": title,
        "productIdentifier": title,
        "productType": kind,
        "platform": title[:3],
        "startDate": f"{day}T00:52:51.024Z",
        "completionDate": f"{day}T00:52:52.024Z",
        "orbitDirection": "descending",
        "relativeOrbitNumber": 2,
        "orbitNumber": 26883,
        "cloudCover": 20.5,
        "mgrs": "31TFL",
        "services": {
            "download": {
                "url": "{server}" + f"/resto/{title}/download",
                "mimeType": "application/zip",
                "size": len(content),
                "checksum": "md5=" + hashlib.md5(content).hexdigest().upper(),
            }
        },
        "storage": {"mode": mode},
        **more,
    }
    geometry = {"type": "MultiPolygon", "coordinates": [[ring]]}
    return {"type": "Feature", "id": title, "geometry": geometry, "properties": properties}


@dataclass
class SaraServer:
    """Records by title with their archives; ``page`` at a time whatever the client asks."""

    records: list[dict[str, Any]]
    archives: dict[str, bytes]
    page: int = 2
    loopback: Loopback | None = None
    seen_authorization: tuple[str | None, ...] = ()

    def routes(self) -> dict[str, Handler]:
        return {
            r"GET /api/(S\d)/search\.json": self.search,
            r"GET /resto/([\w.]+)/download": self.download,
            r"GET /files/([\w.]+)": self.file,
        }

    def search(self, request: Request, collection: str) -> Response:
        assert self.loopback is not None
        kind = request.query.get("productType")
        found = [r for r in self.records if r["properties"]["productType"] == kind or not kind]
        start = (int(request.query["page"]) - 1) * self.page
        features = copy.deepcopy(found[start : start + self.page])
        for feature in features:
            download = feature["properties"].get("services", {}).get("download", {})
            if "url" in download:
                download["url"] = download["url"].replace("{server}", self.loopback.url)
        # totalResults is wrong on purpose: it is not to be relied on.
        return Response(
            {"type": "FeatureCollection", "properties": {"totalResults": 1}, "features": features}
        )

    def download(self, request: Request, title: str) -> Response:
        assert self.loopback is not None
        if request.headers.get("Authorization") != f"Basic {_BASIC}":
            return Response({"ErrorMessage": "Forbidden"}, 403)
        return redirect(f"http://localhost:{self.loopback.url.rsplit(':', 1)[1]}/files/{title}")

    def file(self, request: Request, title: str) -> Response:
        self.seen_authorization += (request.headers.get("Authorization"),)
        return file_response(request, self.archives[title], "application/zip")
