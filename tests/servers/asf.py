"""The Alaska Satellite Facility on 127.0.0.1, built by hand to its search API (geojson output).

No recording exists. Search gives the newest ``maxResults`` scenes and has no pages; downloads go
through a redirect, want an Earthdata bearer token, and refuse accounts that have not accepted the
agreement with status 403 and a page that says so.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.servers.routes import Handler, Loopback, Request, Response, file_response, redirect

TOKEN = "an-earthdata-token"


def scene(name: str, content: bytes, *, level: str = "GRD_HD") -> dict[str, Any]:
    """A feature with the properties of output ``geojson``."""
    start, end, orbit = name.split("_")[4:7]
    ring = [[4.9, 44.9], [5.5, 44.9], [5.5, 45.4], [4.9, 45.4], [4.9, 44.9]]
    properties = {
        "beamModeType": "IW",
        "bytes": len(content),
        "fileID": f"{name}-{level}",
        "fileName": f"{name}.zip",
        "flightDirection": "DESCENDING",
        "md5sum": hashlib.md5(content).hexdigest(),
        "orbit": int(orbit),
        "pathNumber": (int(orbit) - 73) % 175 + 1,
        "platform": "Sentinel-1A",
        "polarization": "VV+VH",
        "processingDate": datetime.strptime(end, "%Y%m%dT%H%M%S").isoformat() + "Z",
        "processingLevel": level,
        "sceneName": name,
        "startTime": datetime.strptime(start, "%Y%m%dT%H%M%S").isoformat() + "Z",
        "stopTime": datetime.strptime(end, "%Y%m%dT%H%M%S").isoformat() + "Z",
        "url": "{server}" + f"/datapool/{name}.zip",
    }
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


@dataclass
class AsfServer:
    """Scenes and archives; ``accepted`` tells whether the account has agreed."""

    scenes: list[dict[str, Any]]
    archives: dict[str, bytes]
    accepted: bool = True
    loopback: Loopback | None = None
    basic: str | None = None

    def routes(self) -> dict[str, Handler]:
        return {
            "GET /search": self.search,
            r"GET /datapool/([\w.]+)": self.datapool,
            r"GET /store/([\w.]+)": self.store,
            "POST /login": self.login,
        }

    def search(self, request: Request) -> Response:
        assert self.loopback is not None
        query = request.query
        level = query["processingLevel"]
        found = [s for s in self.scenes if s["properties"]["processingLevel"] == level]
        if "end" in query:
            end = datetime.fromisoformat(query["end"])
            found = [s for s in found if _start(s) <= end]
        found = sorted(found, key=_start, reverse=True)[: int(query["maxResults"])]
        features = [
            {**s, "properties": {**s["properties"], "url": self._own(s["properties"].get("url"))}}
            for s in found
        ]
        return Response({"type": "FeatureCollection", "features": features})

    def _own(self, url: str | None) -> str | None:
        assert self.loopback is not None
        return None if url is None else url.replace("{server}", self.loopback.url)

    def datapool(self, request: Request, name: str) -> Response:
        assert self.loopback is not None
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return Response({"error": "invalid_token"}, 401)
        if not self.accepted:
            return Response({"error": "the user has not accepted the EULA"}, 403)
        return redirect(f"http://localhost:{self.loopback.url.rsplit(':', 1)[1]}/store/{name}")

    def store(self, request: Request, name: str) -> Response:
        if "Authorization" in request.headers:
            return Response(b"Only one auth mechanism allowed", 400)
        return file_response(request, self.archives[name.removesuffix(".zip")], "application/zip")

    def login(self, request: Request) -> Response:
        if request.headers.get("Authorization") != self.basic:
            return Response({"error": "invalid_credentials"}, 401)
        return Response({"access_token": TOKEN, "token_type": "Bearer"})


def _start(feature: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(feature["properties"]["startTime"])
