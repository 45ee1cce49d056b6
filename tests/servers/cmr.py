"""NASA Earthdata on 127.0.0.1: CMR's granule search, Earthdata Login and an archive.

Granules are recorded ones (``api-earthaccess-cmr``) or built by hand to UMM-G 1.6.5, as
:func:`granule` says; no recording of the archive or of the login exists, so those are built by hand
to their published behaviour: a bearer token opens files through a redirect to signed addresses,
which refuse the token; an archive of the older kind redirects to the login, whose code it turns
into a cookie.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any

from tests.servers.routes import Handler, Loopback, Request, Response, file_response, redirect

TOKEN = "an-earthdata-token"
LOGIN = {"username": "someone", "password": "pass word"}
_BASIC = "Basic " + base64.b64encode(b"someone:pass word").decode()
PAGE = 2000


def granule(name: str, content: bytes, *, day: str, **changes: Any) -> dict[str, Any]:
    """A granule of LP DAAC, built by hand to UMM-G 1.6.5; ``{server}`` stands for the archive."""
    stem = name.rsplit(".", 1)[0]
    short = stem.split(".")[0]
    ring = [(0.0, 50.0), (0.0, 40.0), (13.0, 40.0), (15.6, 50.0), (0.0, 50.0)]
    points = [{"Longitude": x, "Latitude": y} for x, y in ring]
    base = f"lp-prod-protected/{short}.061/{stem}"
    umm: dict[str, Any] = {
        "GranuleUR": stem,
        "TemporalExtent": {
            "RangeDateTime": {
                "BeginningDateTime": f"{day}T00:00:00.000Z",
                "EndingDateTime": f"{day}T23:59:59.000Z",
            }
        },
        "SpatialExtent": {
            "HorizontalSpatialDomain": {
                "Geometry": {"GPolygons": [{"Boundary": {"Points": points}}]}
            }
        },
        "CollectionReference": {"ShortName": short, "Version": "061"},
        "RelatedUrls": [
            {"URL": f"s3://{base}/{name}", "Type": "GET DATA VIA DIRECT ACCESS"},
            {"URL": "{server}" + f"/{base}/{name}", "Type": "GET DATA"},
            {"URL": "{server}" + f"/{base}/{stem}.cmr.xml", "Type": "EXTENDED METADATA"},
            {"URL": "{server}" + f"/{base}/BROWSE.jpg", "Type": "GET RELATED VISUALIZATION"},
        ],
        "DataGranule": {
            "DayNightFlag": "Both",
            "ProductionDateTime": f"{day}T12:00:00.000Z",
            "Identifiers": [{"Identifier": name, "IdentifierType": "ProducerGranuleId"}],
            "ArchiveAndDistributionInformation": [
                {
                    "Name": name,
                    "SizeInBytes": len(content),
                    "Checksum": {"Value": hashlib.md5(content).hexdigest(), "Algorithm": "MD5"},
                }
            ],
        },
        "Platforms": [{"ShortName": "Terra", "Instruments": [{"ShortName": "MODIS"}]}],
    }
    umm.update(changes)
    return {"meta": {"concept-id": f"G{abs(hash(stem)) % 10**9}-LPCLOUD"}, "umm": umm}


@dataclass
class Nasa:
    """Granules and files; ``way`` is how the archive opens: token, cookie or agreement."""

    granules: list[dict[str, Any]]
    files: dict[str, bytes] = field(default_factory=dict)
    way: str = "token"
    lost: int = 0
    loopback: Loopback | None = None
    public_url: str | None = None
    storage_url: str | None = None
    login_url: str | None = None
    refusal: Any = None
    cut_once: int | None = None

    def routes(self) -> dict[str, Handler]:
        return {
            r"GET /search/granules\.umm_json": self.search,
            "POST /api/users/find_or_create_token": self.new_token,
            "GET /oauth/authorize": self.authorize,
            r"GET /lp-prod-protected/.*/([\w.-]+)": self.archive,
            "GET /login": self.login,
            r"GET /store/([\w.-]+)": self.store,
        }

    @property
    def url(self) -> str:
        assert self.loopback is not None
        return self.public_url or self.loopback.url

    def search(self, request: Request) -> Response:
        query = request.query
        found = [g for g in self.granules if _named(g, query)]
        start = int(request.headers.get("CMR-Search-After", "0"))
        size = int(query["page_size"])
        page = [self._addressed(g) for g in found[start : start + size]]
        headers = {"CMR-Hits": str(len(found) + self.lost)}
        if page and size:
            headers["CMR-Search-After"] = str(start + len(page))
        return Response({"hits": len(found), "took": 5, "items": page}, 200, headers)

    def _addressed(self, entry: dict[str, Any]) -> dict[str, Any]:
        links = entry["umm"].get("RelatedUrls")
        if not isinstance(links, list):
            return entry
        own = [{**x, "URL": str(x["URL"]).replace("{server}", self.url)} for x in links]
        return {**entry, "umm": {**entry["umm"], "RelatedUrls": own}}

    def new_token(self, request: Request) -> Response:
        if request.headers.get("Authorization") != _BASIC:
            return Response({"error": "invalid_credentials"}, 401)
        return Response(
            {"access_token": TOKEN, "token_type": "Bearer", "expiration_date": "1/1/2030"}
        )

    def archive(self, request: Request, name: str) -> Response:
        if self.way == "cookie" and request.headers.get("Cookie") != "session=good":
            login = self.login_url or self.url.replace("127.0.0.1", "localhost")
            return redirect(f"{login}/oauth/authorize?redirect_uri=/login&state={request.path}")
        if self.way != "cookie" and request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return Response({"error": "invalid_token"}, 401)
        if self.way == "agreement":
            return self.refusal
        storage = self.storage_url or self.url.replace("127.0.0.1", "127.1")
        return redirect(f"{storage}/store/{name}?A-userid=someone&Expires=1&Signature=abc")

    def authorize(self, request: Request) -> Response:
        if request.headers.get("Authorization") != _BASIC:
            page = b"<html><title>Earthdata Login</title><form></form></html>"
            return Response(page, 401, {"Content-Type": "text/html"})
        return redirect(f"{self.url}/login?code=abc&state={request.query['state']}")

    def login(self, request: Request) -> Response:
        answer = redirect(f"{self.url}{request.query['state']}")
        return Response(b"", 302, {**answer.headers, "Set-Cookie": "session=good; Path=/"})

    def store(self, request: Request, name: str) -> Response:
        if "Authorization" in request.headers:
            return Response(b"Only one auth mechanism allowed", 400)
        answer = file_response(request, self.files[name], "application/x-hdf")
        answer.cut_after, self.cut_once = self.cut_once, None
        return answer


def _named(entry: dict[str, Any], query: dict[str, str]) -> bool:
    own = entry["umm"].get("CollectionReference", {}).get("ShortName", query["short_name"])
    pattern = query.get("readable_granule_name[]", "*").strip("*")
    return own == query["short_name"] and pattern in str(entry["umm"].get("GranuleUR")) + "."
