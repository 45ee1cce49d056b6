"""Earth Engine on 127.0.0.1: the REST API of ``earthengine-api``.

The discovery document and the list of algorithms are those that the package itself ships (the
filter of ``listAssets`` is added); no recording of answers exists, so tokens, listings, pixels and
values are built by hand to the published schema (``EarthEngineAsset``, ``ListAssetsResponse``,
``computePixels``, ``value:compute``).
Every pixel tells its place: :func:`pixel`. Larger answers than 48 MB are refused, as in life.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from tests.servers.routes import Handler, Loopback, Request, Response

PROJECT = "a-project"
TOKEN = "ya29.token"
_MOST = 48 * 2**20
_CASTS = {
    "Image.toUint8": "uint8",
    "Image.toUint16": "uint16",
    "Image.toInt16": "int16",
    "Image.toFloat": "float32",
}


def key_file(folder: Path, token_url: str) -> Path:
    """The key of a service account, with a private key made now."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    secret = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    document = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "k",
        "private_key": secret.decode(),
        "client_email": "someone@a-project.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": token_url,
    }
    path = folder / "key.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def band(
    name: str,
    crs: str,
    origin: tuple[float, float],
    size: float,
    shape: tuple[int, int],
    most: int = 65535,
) -> dict[str, Any]:
    """A band as an asset lists it."""
    return {
        "id": name,
        "dataType": {"precision": "INT", "range": {"max": most}},
        "grid": {
            "crsCode": crs,
            "dimensions": {"height": shape[0], "width": shape[1]},
            "affineTransform": {
                "scaleX": size,
                "translateX": origin[0],
                "scaleY": -size,
                "translateY": origin[1],
            },
        },
    }


def image(
    collection: str,
    name: str,
    moment: str,
    bands: list[dict[str, Any]],
    box: tuple[float, ...],
    **properties: Any,
) -> dict[str, Any]:
    """An image as ``listAssets`` gives it."""
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "IMAGE",
        "name": f"projects/earthengine-public/assets/{collection}/{name}",
        "id": f"{collection}/{name}",
        "updateTime": moment,
        "startTime": moment,
        "endTime": moment,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": properties,
        "bands": bands,
        "sizeBytes": "1000",
    }


def pixel(name: str, x: np.ndarray, y: np.ndarray, size: float) -> np.ndarray:
    """Stored number of a band at pixel centres."""
    code = sum(ord(c) for c in name)
    return (np.floor(x / size) * 7 + np.floor(y / size) * 13 + code) % 200 + 1


@dataclass
class EngineServer:
    """Images by collection, ``page`` of them at once; ``values`` answers computations."""

    images: dict[str, list[dict[str, Any]]]
    page: int = 2
    values: dict[str, Any] = field(default_factory=dict)
    busy: int = 0
    broken: dict[str, Response] = field(default_factory=dict)
    expressions: list[dict[str, Any]] = field(default_factory=list)
    loopback: Loopback | None = None

    def routes(self) -> dict[str, Handler]:
        api = r"/v1(?:alpha)?/projects"
        return {
            r"GET /\$discovery/rest": lambda _: Response(_discovery()),
            "POST /token": self.token,
            rf"GET {api}/([\w-]+)/algorithms": self.guarded("algorithms", self.algorithms),
            rf"GET {api}/earthengine-public/assets/(.+):listAssets": self.guarded(
                "list", self.list
            ),
            rf"POST {api}/([\w-]+)/image:computePixels": self.guarded("pixels", self.pixels),
            rf"POST {api}/([\w-]+)/value:compute": self.guarded("value", self.value),
        }

    def guarded(self, name: str, handler: Handler) -> Handler:
        def check(request: Request, *groups: str) -> Response:
            if request.headers.get("Authorization") != f"Bearer {TOKEN}":
                return _error(401, "Request had invalid authentication credentials.")
            if self.busy > 0:
                self.busy -= 1
                return Response({"error": {"code": 429}}, 429, {"Retry-After": "0"})
            return self.broken.get(name) or handler(request, *groups)

        return check

    def token(self, request: Request) -> Response:
        if b"assertion=" not in request.body:
            return Response({"error": "invalid_grant"}, 400)
        return Response({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})

    def algorithms(self, request: Request, project: str) -> Response:
        return Response(_shipped("algorithms"))

    def list(self, request: Request, collection: str) -> Response:
        start, end = (
            re.search(rf'{key} [>=<]+ "([^"]+)"', request.query.get("filter", ""))
            for key in ("startTime", "endTime")
        )
        found = [
            i
            for i in self.images.get(collection, [])
            if (start is None or i["startTime"] >= start[1])
            and (end is None or i["endTime"] < end[1])
        ]
        first = int(request.query.get("pageToken", "0"))
        answer: dict[str, Any] = {"assets": found[first : first + self.page]}
        if first + self.page < len(found):
            answer["nextPageToken"] = str(first + self.page)
        return Response(answer)

    def value(self, request: Request, project: str) -> Response:
        self.expressions.append(request.json()["expression"])
        return Response({"result": self.values})

    def pixels(self, request: Request, project: str) -> Response:
        asked = request.json()
        self.expressions.append(asked["expression"])
        text = json.dumps(asked["expression"])
        kind = next(k for name, k in _CASTS.items() if f'"{name}"' in text)
        name = re.findall(r'"Image.select".*?\["([\w]+)"\]|constantValue": \["([\w]+)"\]', text)[0]
        grid = asked["grid"]
        rows, columns = grid["dimensions"]["height"], grid["dimensions"]["width"]
        if 2 * rows * columns * np.dtype(kind).itemsize > _MOST:
            return _error(400, "Total request size must be less than or equal to 50331648 bytes.")
        at = grid["affineTransform"]
        x = at["translateX"] + (np.arange(columns) + 0.5) * at["scaleX"]
        y = at["translateY"] + (np.arange(rows) + 0.5) * at["scaleY"]
        easting, northing = np.meshgrid(x, y)
        values = pixel(name[0] or name[1], easting, northing, at["scaleX"])
        valid = (np.floor(easting / at["scaleX"]) % 17 > 0).astype(float)
        return Response(_tiff(np.stack([values * valid, valid]).astype(kind)), 200)


def _shipped(name: str) -> Any:
    return json.loads((files("ee") / "tests" / f"{name}.json").read_text(encoding="utf-8"))


def _discovery() -> Any:
    """The shipped document with two parameters of ``listAssets`` that came after it."""
    document = _shipped("cloud_api_discovery_document")
    method = document["resources"]["projects"]["resources"]["assets"]["methods"]["listAssets"]
    method["parameters"] |= {
        name: {"location": "query", "type": "string"} for name in ("filter", "view")
    }
    return document


def _error(status: int, message: str) -> Response:
    return Response({"error": {"code": status, "message": message}}, status)


def _tiff(values: np.ndarray) -> bytes:
    from rasterio.io import MemoryFile
    from rasterio.transform import from_origin

    count, rows, columns = values.shape
    profile = {"driver": "GTiff", "count": count, "height": rows, "width": columns}
    place = from_origin(0, 0, 1, 1)
    with MemoryFile() as memory:
        with memory.open(
            **profile, dtype=values.dtype, crs="EPSG:32631", transform=place
        ) as dataset:
            dataset.write(values)
        return bytes(memory.read())
