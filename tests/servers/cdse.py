"""A loopback Copernicus Data Space: STAC, OData, tokens, downloads and S3 over a folder of SAFE.

No answer of tokens, of S3 or of the Sentinel-1 and L1C collections was ever recorded: these are
built by hand to the published schema. Items of L2A follow the recorded item of collection
``sentinel-2-l2a`` (its asset names, its alternate addresses, its digests of which those of some
metadata files are labelled wrongly), products follow the recorded OData pages.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from tests.servers import routes
from tests.servers.cdse_filters import meets, satisfies
from tests.servers.cdse_products import Product, scan
from tests.servers.routes import Loopback, Request, Response, file_response

CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/item-search#sort",
    "https://api.stacspec.org/v1.0.0/item-search#query",
    "https://api.stacspec.org/v1.0.0-rc.2/item-search#filter",
    "http://www.opengis.net/spec/cql2/1.0/conf/cql2-json",
    "http://www.opengis.net/spec/cql2/1.0/conf/basic-cql2",
]
"""Those of the recorded landing page that a search needs."""


@dataclass
class Account:
    """Who may log in, and how long tokens live; the refresh chain keeps its session."""

    username: str = "someone@example.org"
    password: str = "correct horse"
    totp: Callable[[], str] | None = None
    access_s: float = 600.0
    refresh_s: float = 3600.0
    cap: int = 100
    sessions: int = 0
    refreshed: int = 0
    tokens: dict[str, float] = field(default_factory=dict)
    refresh: dict[str, float] = field(default_factory=dict)

    def answer(self, request: Request) -> Response:
        """Answer the token endpoint of Keycloak."""
        form = {k: v[0] for k, v in parse_qs(request.body.decode()).items()}
        if form.get("client_id") != "cdse-public":
            return Response({"error": "invalid_client"}, 401)
        if form.get("grant_type") == "refresh_token":
            if self.refresh.pop(form.get("refresh_token", ""), 0.0) < time.time():
                return Response({"error": "invalid_grant"}, 400)
            self.refreshed += 1
            return self._granted()
        known = (form.get("username"), form.get("password")) == (self.username, self.password)
        if not known or (self.totp is not None and form.get("totp") != self.totp()):
            text = "Invalid user credentials"
            return Response({"error": "invalid_grant", "error_description": text}, 401)
        if self.sessions >= self.cap:
            return Response({"error": "Max session number exceeded"}, 429)
        self.sessions += 1
        return self._granted()

    def _granted(self) -> Response:
        access, refresh = uuid.uuid4().hex, uuid.uuid4().hex
        self.tokens[access] = time.time() + self.access_s
        self.refresh[refresh] = time.time() + self.refresh_s
        return Response(
            {
                "access_token": access,
                "refresh_token": refresh,
                "expires_in": self.access_s,
                "refresh_expires_in": self.refresh_s,
                "token_type": "Bearer",
                "scope": "AUDIENCE_PUBLIC openid email profile",
            }
        )

    def admits(self, request: Request) -> bool:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return self.tokens.get(token, 0.0) > time.time()


@dataclass
class Server:
    """The running services: ``endpoints`` is what ``Settings`` takes."""

    endpoints: dict[str, str]
    account: Account
    products: list[Product]
    web: Loopback

    def count(self, path: str) -> int:
        return self.web.count(path)


class _Services:
    """Answers of the catalogues and of the download service."""

    def __init__(
        self,
        products: Sequence[Product],
        recorded: Sequence[Mapping[str, Any]],
        account: Account,
        page: int,
    ) -> None:
        self.products = {p.uuid: p for p in products}
        self.odata = sorted(
            [*(p.odata() for p in products), *(dict(r) for r in recorded)],
            key=lambda r: (r["ContentDate"]["Start"], r["Name"]),
        )
        self.account = account
        self.page = page
        self.url = ""

    def landing(self, _: Request) -> Response:
        links = [
            {"rel": "self", "type": "application/json", "href": f"{self.url}/v1"},
            {"rel": "root", "type": "application/json", "href": f"{self.url}/v1"},
            *(
                {
                    "rel": "search",
                    "type": "application/geo+json",
                    "href": f"{self.url}/v1/search",
                    "method": method,
                }
                for method in ("GET", "POST")
            ),
        ]
        return Response(
            {
                "type": "Catalog",
                "id": "cdse-loopback",
                "title": "cdse-stac",
                "description": "hand-built",
                "stac_version": "1.1.0",
                "conformsTo": CONFORMS,
                "links": links,
            }
        )

    def search(self, request: Request) -> Response:
        asked = request.json()
        found = [
            p for p in self.products.values() if p.stac in asked["collections"] and meets(p, asked)
        ]
        found.sort(key=lambda p: (p.start, p.name))
        first = int(str(asked.get("token", "next:0")).removeprefix("next:"))
        size = min(int(asked.get("limit", 10)), self.page)
        links = [{"rel": "root", "type": "application/json", "href": f"{self.url}/v1"}]
        if first + size < len(found):
            links.append(
                {
                    "rel": "next",
                    "type": "application/geo+json",
                    "method": "POST",
                    "href": f"{self.url}/v1/search",
                    "body": {**asked, "token": f"next:{first + size}"},
                }
            )
        features = [p.item(self.url) for p in found[first : first + size]]
        return Response({"type": "FeatureCollection", "links": links, "features": features})

    def listing(self, request: Request) -> Response:
        top, skip = int(request.query.get("$top", 20)), int(request.query.get("$skip", 0))
        if top > 1000 or skip > 10_000:
            return Response({"detail": "$top is at most 1000, $skip at most 10000"}, 422)
        found = [r for r in self.odata if satisfies(r, request.query.get("$filter", ""))]
        size = min(top, self.page)
        answer: dict[str, Any] = {"value": found[skip : skip + size]}
        if request.query.get("$count") == "true":
            answer["@odata.count"] = len(found)
        if skip + size < len(found):
            # The real service names its public host here; nobody may follow it.
            answer["@odata.nextLink"] = f"https://catalogue.invalid/Products?$skip={skip + size}"
        return Response(answer)

    def value(self, request: Request, identifier: str, nodes: str) -> Response:
        if not self.account.admits(request):
            return Response({"detail": "Expired signature!"}, 401)
        product = self.products.get(identifier)
        if product is None:
            return Response({"detail": "Product not found"}, 404)
        parts = re.findall(r"/Nodes\(([^()]*)\)", nodes)
        if not parts:
            return file_response(request, product.value(), "application/zip")
        path = product.files().get("/".join(parts[1:]))
        if parts[0] != product.name or path is None:
            return Response({"detail": "Node not found"}, 404)
        return file_response(request, path.read_bytes())


@contextmanager
def serve(
    folder: Path,
    *,
    recorded: Sequence[Mapping[str, Any]] = (),
    account: Account | None = None,
    page: int = 100,
    s3: bool = False,
    extra: Mapping[str, routes.Handler] | None = None,
) -> Iterator[Server]:
    """Serve the products of a folder until the block ends.

    Parameters
    ----------
    folder : holds ``*.SAFE`` folders and ``*.EOF`` files.
    recorded : OData products of recorded answers, listed beside; they have no content.
    account : who may log in; ``Account()`` by default.
    page : most items in one answer of either catalogue.
    s3 : also start an S3 server with the products in bucket ``eodata`` (takes a second).
    extra : routes that go before these.
    """
    account = account or Account()
    products = scan(folder)
    services = _Services(products, recorded, account, page)
    table: dict[str, routes.Handler] = {
        "GET /v1/?": services.landing,
        "POST /v1/search": services.search,
        "GET /odata/v1/Products": services.listing,
        r"GET /odata/v1/Products\(([\w-]+)\)((?:/Nodes\([^()]*\))*)/\$value": services.value,
        "POST /token": account.answer,
    }
    first = dict(extra or {})
    table = first | {route: handler for route, handler in table.items() if route not in first}
    with ExitStack() as stack:
        web = stack.enter_context(routes.serve(table))
        services.url = web.url
        endpoints = {
            "cdse.stac": f"{web.url}/v1",
            "cdse.odata": f"{web.url}/odata/v1",
            "cdse.download": f"{web.url}/odata/v1",
            "cdse.token": f"{web.url}/token",
        }
        if s3:
            endpoints["cdse.s3"] = _fill_bucket(stack, products)
        yield Server(endpoints, account, products, web)


def _fill_bucket(stack: ExitStack, products: Sequence[Product]) -> str:
    from tests.servers.s3 import serve_s3

    server = stack.enter_context(serve_s3("eodata"))
    client = server.client()
    for product in products:
        root = product.s3_path.removeprefix("/eodata/")
        for path, file in product.files().items():
            key = f"{root}/{path}" if path else root
            client.put_object(Bucket="eodata", Key=key, Body=file.read_bytes())
    return server.url
