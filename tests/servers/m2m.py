"""USGS M2M on 127.0.0.1, built by hand to the published JSON API (stable), not recorded.

Every answer is the envelope ``{requestId, version, data, errorCode, errorMessage}``. Sessions end
after ``session_calls`` calls, addresses after ``address_uses`` requests; a download is prepared for
``polls`` questions before it has an address; scenes come ``page`` at a time whatever the client
asks.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.servers.routes import Handler, Loopback, Request, Response, file_response

USERNAME = "someone"
TOKEN = "application-token"


def scene(name: str, entity: str, *, cloud: str, start: str | None = None) -> dict[str, Any]:
    """A scene as ``scene-search`` returns it with full metadata."""
    day = name.split("_")[3]
    date = f"{day[:4]}-{day[4:6]}-{day[6:]} 00:00:00"
    ring = [[4.0, 44.0], [6.5, 44.0], [6.5, 46.0], [4.0, 46.0], [4.0, 44.0]]
    metadata = [] if start is None else [{"fieldName": "Start Time", "value": start}]
    polygon = {"type": "Polygon", "coordinates": [ring]}
    return {
        "displayId": name,
        "entityId": entity,
        "cloudCover": cloud,
        "metadata": metadata,
        "spatialBounds": polygon,
        "spatialCoverage": polygon,
        "temporalCoverage": {"startDate": date, "endDate": date},
        "publishDate": date,
    }


def bundle(files: Mapping[str, bytes]) -> bytes:
    """A tar as USGS packs it: plain files without folders."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


@dataclass
class M2MServer:
    """What the server has and what it saw."""

    scenes: list[dict[str, Any]]
    files: dict[str, bytes]
    dataset: str = "landsat_ot_c2_l2"
    page: int = 2
    session_calls: int = 1000
    polls: int = 1
    names_entities: bool = True
    address_uses: int = 1000
    logins: int = 0
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    loopback: Loopback | None = None
    _left: int = 0
    _orders: dict[str, list[str]] = field(default_factory=dict)
    _asked: dict[str, int] = field(default_factory=dict)
    _used: dict[str, int] = field(default_factory=dict)

    def routes(self) -> dict[str, Handler]:
        return {r"POST /m2m/([\w-]+)": self.method, r"GET /dds/([\w.]+)": self.file}

    def method(self, request: Request, name: str) -> Response:
        body = request.json()
        self.calls.append((name, body))
        if name == "login-token":
            return self._login(body)
        if request.headers.get("X-Auth-Token") != f"key-{self.logins}" or self._left <= 0:
            return _refused("AUTH_EXPIRED", "API key has expired")
        self._left -= 1
        return Response(_envelope(getattr(self, "_" + name.replace("-", "_"))(body)))

    def _login(self, body: Mapping[str, str]) -> Response:
        if body != {"username": USERNAME, "token": TOKEN}:
            return _refused("AUTH_INVALID", "User credential verification failed")
        self.logins += 1
        self._left = self.session_calls
        return Response(_envelope(f"key-{self.logins}"))

    def _permissions(self, body: Mapping[str, Any]) -> list[str]:
        return ["user", "download", "order"]

    def _scene_search(self, body: Mapping[str, Any]) -> dict[str, Any]:
        found = self.scenes if body["datasetName"] == self.dataset else []
        most = body["sceneFilter"].get("cloudCoverFilter", {}).get("max", 100)
        found = [s for s in found if float(s["cloudCover"]) <= most]
        start = body["startingNumber"]
        results = found[start - 1 : start - 1 + self.page]
        return {
            "results": results,
            "recordsReturned": len(results),
            "totalHits": len(found),
            "startingNumber": start,
            "nextRecord": start + len(results),
        }

    def _download_options(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        (entity,) = body["entityIds"]
        name = next(s["displayId"] for s in self.scenes if s["entityId"] == entity)
        secondary = [_option(f"f{i}", n, n, len(c)) for i, (n, c) in enumerate(self.files.items())]
        whole = _option("p1", entity, name, len(bundle(self.files)))
        whole |= {"productName": "Landsat Collection 2 Level-2 Product Bundle"}
        bands = _option("p2", entity, name, 0) | {"productName": "Level-2 Band Files"}
        return [{**bands, "available": False, "secondaryDownloads": secondary}, whole]

    def _download_request(self, body: Mapping[str, Any]) -> dict[str, Any]:
        entities = [d["entityId"] for d in body["downloads"]]
        earlier = {str(i): label for i, label in enumerate(self._orders) if self._orders[label]}
        self._orders.setdefault(body["label"], entities)
        self._asked.setdefault(body["label"], 0)
        answer = {"availableDownloads": [], "preparingDownloads": [], "failed": []}
        group = "availableDownloads" if self.polls == 0 else "preparingDownloads"
        answer[group] = [self._entry(e, ready=self.polls == 0) for e in entities]
        return {**answer, "duplicateProducts": earlier}

    def _download_retrieve(self, body: Mapping[str, Any]) -> dict[str, Any]:
        label = body["label"]
        self._asked[label] = self._asked.get(label, 0) + 1
        ready = self._asked[label] >= self.polls
        entries = [self._entry(e, ready=ready) for e in self._orders.get(label, [])]
        group = "available" if ready else "requested"
        return {"available": [], "requested": [], "queueSize": 0, group: entries}

    def _entry(self, entity: str, *, ready: bool) -> dict[str, Any]:
        assert self.loopback is not None
        order = len(self._orders)
        url = f"{self.loopback.url}/dds/{entity}?order={order}" if ready else "queued"
        entry = {"downloadId": 1, "url": url, "eulaCode": None}
        return {**entry, "entityId": entity} if self.names_entities else entry

    def file(self, request: Request, entity: str) -> Response:
        order = request.query["order"]
        self._used[order] = self._used.get(order, 0) + 1
        if self._used[order] > self.address_uses:
            return Response(b"the address has expired", 403)
        return file_response(request, self.files.get(entity) or bundle(self.files))


def _option(product: str, entity: str, name: str, size: int) -> dict[str, Any]:
    return {
        "id": product,
        "entityId": entity,
        "displayId": name,
        "filesize": size,
        "available": True,
        "productName": "file",
        "secondaryDownloads": [],
    }


def _envelope(data: Any) -> dict[str, Any]:
    return {"requestId": 1, "version": "stable", "data": data, "errorCode": None}


def _refused(code: str, message: str) -> Response:
    answer = _envelope(None) | {"errorCode": code, "errorMessage": message}
    return Response(answer, 401 if code.startswith("AUTH") and "EXPIRED" in code else 200)
