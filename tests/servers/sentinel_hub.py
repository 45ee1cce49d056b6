"""Sentinel Hub on 127.0.0.1, built by hand to its published API reference; no recording exists.

Token service (client credentials), Catalog 1.0.0 with its ``context.next`` paging, BYOC, and a
Process API that answers TIFFs whose every pixel tells its place: :func:`pixel` of band, easting and
northing. Larger requests than 2500 pixels are refused, as in life.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

import numpy as np

from tests.servers.routes import Handler, Loopback, Request, Response

CLIENT = {"client_id": "a-client", "client_secret": "its-secret"}
LARGEST = 2500
_TYPES = {"UINT8": np.uint8, "UINT16": np.uint16, "FLOAT32": np.float32}


def feature(name: str, moment: str, box: tuple[float, ...], **own: Any) -> dict[str, Any]:
    """An item of the Catalog."""
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    properties = {"datetime": moment, "platform": "sentinel-2b", "eo:cloud_cover": 10.0}
    return {
        "stac_version": "1.0.0",
        "type": "Feature",
        "id": name,
        "bbox": list(box),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {**properties, "proj:epsg": 32631, **own},
        "links": [],
        "assets": {"data": {"href": f"s3://EODATA/{name}/"}},
    }


def pixel(band: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Stored number of a band at pixel centres (metres): unlike its neighbours'."""
    code = sum(ord(c) for c in band)
    return (np.floor(x / 10) * 7 + np.floor(y / 10) * 13 + code) % 200 + 1


@dataclass
class HubServer:
    """Items and behaviour: ``page`` items a page; tokens of ``refused`` get a 401.

    ``units`` is what the header of the processing units says; None sends none.
    """

    features: list[dict[str, Any]]
    page: int = 2
    refused: set[str] = field(default_factory=set)
    storms: int = 0
    collections: dict[str, Any] = field(default_factory=dict)
    hole: tuple[float, float] | None = None
    tokens: int = 0
    loopback: Loopback | None = None
    broken: Response | None = None
    units: str | None = None

    def routes(self) -> dict[str, Handler]:
        return {
            "POST /token": self.token,
            r"POST /api/v1/catalog/1\.0\.0/search": self.guarded(self.search),
            r"GET /api/v1/catalog/1\.0\.0/collections": self.guarded(self.listing),
            r"GET /api/v1/byoc/collections/([\w-]+)": self.guarded(self.byoc),
            "POST /api/v1/process": self.guarded(self.process),
        }

    def endpoints(self, server: Loopback) -> dict[str, str]:
        return {"sentinel-hub": server.url, "sentinel-hub.token": f"{server.url}/token"}

    def guarded(self, handler: Handler) -> Handler:
        def check(request: Request, *groups: str) -> Response:
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not token.startswith("token-") or token in self.refused:
                return Response({"error": {"status": 401, "message": "expired"}}, 401)
            if self.storms > 0:
                self.storms -= 1
                return Response({"error": {"status": 429}}, 429, {"Retry-After": "50"})
            return self.broken or handler(request, *groups)

        return check

    def token(self, request: Request) -> Response:
        form = {k: v[0] for k, v in parse_qs(request.body.decode()).items()}
        if form != {"grant_type": "client_credentials", **CLIENT}:
            return Response({"error": "invalid_client"}, 401)
        self.tokens += 1
        return Response({"access_token": f"token-{self.tokens}", "expires_in": 600})

    def search(self, request: Request) -> Response:
        asked = request.json()
        start, end = (datetime.fromisoformat(t) for t in asked["datetime"].split("/"))
        most = re.fullmatch(r"eo:cloud_cover <= ([\d.]+)", asked.get("filter") or "")
        found = [
            f
            for f in self.features
            if start <= datetime.fromisoformat(str(f["properties"]["datetime"])) <= end
            and (most is None or f["properties"]["eo:cloud_cover"] <= float(most[1]))
        ]
        first = asked.get("next", 0)
        page = found[first : first + self.page]
        context = {"limit": asked["limit"], "returned": len(page)}
        if first + self.page < len(found):
            context["next"] = first + self.page
        return Response({"type": "FeatureCollection", "features": page, "context": context})

    def listing(self, request: Request) -> Response:
        return Response({"collections": [{"id": "sentinel-2-l2a"}], "links": []})

    def byoc(self, request: Request, name: str) -> Response:
        if name not in self.collections:
            return Response({"error": {"message": "no such collection"}}, 404)
        return Response({"data": self.collections[name]})

    def process(self, request: Request) -> Response:
        asked = request.json()
        output, bounds = asked["output"], asked["input"]["bounds"]
        if max(output["width"], output["height"]) > LARGEST:
            return Response({"error": {"status": 400, "message": "too large"}}, 400)
        script = asked["evalscript"]
        bands = json.loads(re.search(r"const BANDS = (.*);", script)[1])
        kind = _TYPES[json.loads(re.search(r"const SAMPLE_TYPE = (.*);", script)[1])]
        values = self._image(bands, bounds["bbox"], output["height"], output["width"])
        spent = {} if self.units is None else {"X-ProcessingUnits-Spent": self.units}
        return Response(_tiff(values.astype(kind)), 200, {"Content-Type": "image/tiff", **spent})

    def _image(self, bands: list[str], box: list[float], rows: int, columns: int) -> np.ndarray:
        left, bottom, right, top = box
        x = left + (np.arange(columns) + 0.5) * (right - left) / columns
        y = top - (np.arange(rows) + 0.5) * (top - bottom) / rows
        easting, northing = np.meshgrid(x, y)
        valid = np.ones((rows, columns))
        if self.hole is not None:
            valid[(easting < self.hole[0]) & (northing > self.hole[1])] = 0
        return np.stack([*(pixel(b, easting, northing) for b in bands), valid])


def _tiff(values: np.ndarray) -> bytes:
    from rasterio.io import MemoryFile

    count, rows, columns = values.shape
    profile = {"driver": "GTiff", "count": count, "height": rows, "width": columns}
    with MemoryFile() as memory:
        with memory.open(**profile, dtype=values.dtype, crs="EPSG:32631") as dataset:
            dataset.write(values)
        return bytes(memory.read())
