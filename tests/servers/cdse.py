"""A loopback Copernicus Data Space: STAC, OData, tokens, downloads and S3 over a folder of SAFE.

No answer of tokens, of S3 or of the Sentinel-1 and L1C collections was ever recorded: these are
built by hand to the published schema. Items of L2A follow the recorded item of collection
``sentinel-2-l2a`` (its asset names, its alternate addresses, its digests of which those of some
metadata files are labelled wrongly), products follow the recorded OData pages.
"""

from __future__ import annotations

import hashlib
import io
import re
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree

from tests.servers import routes
from tests.servers.routes import Loopback, Request, Response, file_response

MIME = {".xml": "application/xml", ".safe": "application/xml", ".jp2": "image/jp2"}
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
class Product:
    """A SAFE folder or an orbit file, as the catalogues know it."""

    path: Path
    properties: dict[str, Any]
    product_type: str
    stac: str | None
    start: datetime
    end: datetime
    footprint: dict[str, Any] | None
    s3_path: str

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def uuid(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, self.name))

    def files(self) -> dict[str, Path]:
        if self.path.is_file():
            return {"": self.path}
        found = sorted(p for p in self.path.rglob("*") if p.is_file())
        return {p.relative_to(self.path).as_posix(): p for p in found}

    def value(self) -> bytes:
        """The file itself, or all files in one zip, the same bytes each time."""
        if self.path.is_file():
            return self.path.read_bytes()
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for name, path in self.files().items():
                archive.writestr(zipfile.ZipInfo(f"{self.name}/{name}"), path.read_bytes())
        return stream.getvalue()

    def odata(self) -> dict[str, Any]:
        """The product as the OData catalogue describes it."""
        from blake3 import blake3

        value = self.value()
        names = {"sensor": None, **_odata_attributes(self)}
        return {
            "Id": self.uuid,
            "Name": self.name,
            "ContentType": "application/octet-stream",
            "ContentLength": len(value),
            "PublicationDate": _stamp(self.end + timedelta(hours=6)),
            "Online": True,
            "S3Path": self.s3_path,
            "Checksum": [
                {"Value": hashlib.md5(value).hexdigest(), "Algorithm": "MD5"},
                {"Value": blake3(value).hexdigest(), "Algorithm": "BLAKE3"},
            ],
            "ContentDate": {"Start": _stamp(self.start), "End": _stamp(self.end)},
            "GeoFootprint": self.footprint,
            "Attributes": [{"Name": n, "Value": v} for n, v in names.items() if v is not None],
        }

    def item(self, url: str) -> dict[str, Any]:
        """The product as the STAC catalogue describes it."""
        from shapely.geometry import shape

        identifier = self.name.removesuffix(".SAFE")
        here = f"{url}/v1/collections/{self.stac}/items/{identifier}"
        return {
            "id": identifier,
            "type": "Feature",
            "stac_version": "1.1.0",
            "stac_extensions": ["https://stac-extensions.github.io/file/v2.1.0/schema.json"],
            "collection": self.stac,
            "geometry": self.footprint,
            "bbox": list(shape(self.footprint).bounds),
            "properties": {
                "datetime": _stamp(self.start),
                "start_datetime": _stamp(self.start),
                "end_datetime": _stamp(self.end),
                "product:type": self.product_type,
                **self.properties,
            },
            "links": [{"rel": "self", "type": "application/geo+json", "href": here}],
            "assets": self._assets(),
        }

    def _assets(self) -> dict[str, Any]:
        zipper = f"https://zipper.dataspace.copernicus.eu/odata/v1/Products({self.uuid})"
        assets: dict[str, Any] = {
            "Product": {
                "href": f"{zipper}/$value",
                "file:local_path": f"{self.name}.zip",
                "file:size": len(self.value()),
                "file:checksum": "d50110" + hashlib.md5(self.value()).hexdigest(),
                "type": "application/zip",
                "roles": ["data", "metadata", "archive"],
            }
        }
        for path, file in self.files().items():
            key = _asset_key(path)
            if key is None:
                continue
            nodes = "".join(f"/Nodes({part})" for part in (self.name, *path.split("/")))
            assets[key] = {
                "href": f"s3:/{self.s3_path}/{path}",
                "alternate": {"https": {"href": f"{zipper}{nodes}/$value"}},
                "file:size": file.stat().st_size,
                "file:checksum": _checksum(path, file.read_bytes()),
                "file:local_path": f"{self.name}/{path}",
                "type": MIME.get(file.suffix, "application/octet-stream"),
                "roles": ["metadata" if file.suffix in {".xml", ".safe"} else "data"],
            }
        return assets


def _checksum(path: str, data: bytes) -> str:
    if path == "manifest.safe":
        return "d50110" + hashlib.md5(data).hexdigest()
    # So it was recorded: a SHA3-256 that calls itself an MD5 of 32 bytes.
    code = "d501" if path.endswith(".xml") else "16"
    return f"{code}20{hashlib.sha3_256(data).hexdigest()}"


def _asset_key(path: str) -> str | None:
    fixed = {"manifest.safe": "safe_manifest", "INSPIRE.xml": "inspire_metadata"}
    if path in fixed:
        return fixed[path]
    if re.fullmatch(r"MTD_MSIL\w\w\.xml", path):
        return "product_metadata"
    if path.endswith("MTD_TL.xml"):
        return "granule_metadata"
    image = re.search(r"_((?:B\w\w|SCL|TCI|AOT|WVP)(?:_\d\dm)?)\.jp2$", path)
    if image and "/IMG_DATA/" in path:
        return image[1]
    channel = re.search(r"measurement/.*-(vv|vh|hh|hv)-", path)
    return channel[1] if channel else None


def _odata_attributes(product: Product) -> dict[str, Any]:
    p = product.properties
    return {
        "productType": product.product_type,
        "cloudCover": p.get("eo:cloud_cover"),
        "relativeOrbitNumber": p.get("sat:relative_orbit"),
        "orbitNumber": p.get("sat:absolute_orbit"),
        "orbitDirection": str(p["sat:orbit_state"]).upper() if "sat:orbit_state" in p else None,
        "tileId": str(p["grid:code"]).removeprefix("MGRS-") if "grid:code" in p else None,
        "processorVersion": p.get("processing:version"),
        "polarisationChannels": "&".join(p.get("sar:polarizations", [])) or None,
        "operationalMode": p.get("sar:instrument_mode"),
        "timeliness": p.get("product:timeliness_category"),
        "platformSerialIdentifier": str(p.get("platform", " "))[-1].upper().strip() or None,
    }


def scan(folder: Path) -> list[Product]:
    """Find the products of a folder: ``*.SAFE`` folders and ``*.EOF`` files, at any depth."""
    found = sorted(p for s in ("*.SAFE", "*.EOF") for p in folder.rglob(s))
    return [product for path in found if (product := _product(path)) is not None]


def _product(path: Path) -> Product | None:
    orbit = re.fullmatch(r"S1\w_OPER_(AUX_\w{6})_OPOD_\w{15}_V(\w{15})_(\w{15})\.EOF", path.name)
    if orbit:
        start, end = _parse(orbit[2]), _parse(orbit[3])
        s3_path = f"/eodata/Sentinel-1/AUX/{orbit[1]}/{start:%Y/%m/%d}/{path.name}"
        platform = {"platform": f"sentinel-1{path.name[2].lower()}"}
        return Product(path, platform, orbit[1], None, start, end, None, s3_path)
    if path.name.startswith("S2"):
        return _sentinel2(path)
    return _sentinel1(path) if path.name.startswith("S1") else None


def _sentinel2(path: Path) -> Product:
    satellite, level, stamp, baseline, orbit, tile, made = (
        path.name.removesuffix(".SAFE").removeprefix("S2").replace("_MSI", "_", 1).split("_")
    )
    metadata = ElementTree.parse(path / f"MTD_MSI{level}.xml").getroot()
    texts = {e.tag.rpartition("}")[2]: e.text or "" for e in metadata.iter()}
    corners = [float(n) for n in texts["EXT_POS_LIST"].split()]
    ring = [[lon, lat] for lat, lon, *_ in zip(*[iter(corners)] * 2, strict=True)]
    start = _parse(stamp)
    version = f"{baseline[1:3]}.{baseline[3:]}"
    properties = {
        "platform": f"sentinel-2{satellite.lower()}",
        "constellation": "sentinel-2",
        "grid:code": f"MGRS-{tile[1:]}",
        "eo:cloud_cover": float(texts["Cloud_Coverage_Assessment"]),
        "sat:orbit_state": "descending",
        "sat:relative_orbit": int(orbit[1:]),
        "processing:version": version,
        "processing:datetime": _stamp(_parse(made)),
        "eopf:datatake_id": f"GS2{satellite}_{stamp}_000001_N{version}",
    }
    polygon = {"type": "Polygon", "coordinates": [ring]}
    kind = f"S2MSI{level[1:]}"
    s3_path = f"/eodata/Sentinel-2/MSI/{level}_{baseline}/{start:%Y/%m/%d}/{path.name}"
    name = f"sentinel-2-{level.lower()}"
    return Product(path, properties, kind, name, start, start, polygon, s3_path)


def _sentinel1(path: Path) -> Product:
    name = path.name.removesuffix(".SAFE").removesuffix("_COG")
    cog = "-COG" if path.name.endswith("_COG.SAFE") else ""
    satellite, mode, kind, pol, first, last, orbit, *_ = name.split("_")
    manifest = ElementTree.parse(path / "manifest.safe").getroot()
    texts = {e.tag.rpartition("}")[2]: e.text or "" for e in manifest.iter()}
    pairs = [p.split(",") for p in texts["coordinates"].split()]
    ring = [[float(lon), float(lat)] for lat, lon in [*pairs, pairs[0]]]
    start, end = (
        datetime.fromisoformat(texts[edge]).replace(tzinfo=UTC) if edge in texts else _parse(stamp)
        for edge, stamp in (("startTime", first), ("stopTime", last))
    )
    channels = {"DV": ["VV", "VH"], "DH": ["HH", "HV"], "SV": ["VV"], "SH": ["HH"]}[pol[2:]]
    properties = {
        "platform": f"sentinel-1{satellite[2].lower()}",
        "constellation": "sentinel-1",
        "sar:instrument_mode": mode,
        "sar:polarizations": channels,
        "sat:absolute_orbit": int(orbit),
        "sat:orbit_state": texts.get("pass", "").lower() or "descending",
        "sat:relative_orbit": int(texts.get("relativeOrbitNumber") or 1),
        "product:timeliness_category": "Fast-24h",
    }
    polygon = {"type": "Polygon", "coordinates": [ring]}
    s3_path = f"/eodata/Sentinel-1/SAR/{mode}_{kind}_1S{cog}/{start:%Y/%m/%d}/{path.name}"
    return Product(
        path, properties, f"{mode}_{kind}_1S{cog}", "sentinel-1-grd", start, end, polygon, s3_path
    )


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
            p for p in self.products.values() if p.stac in asked["collections"] and _meets(p, asked)
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
        found = [r for r in self.odata if _satisfies(r, request.query.get("$filter", ""))]
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


def _meets(product: Product, asked: Mapping[str, Any]) -> bool:
    from shapely.geometry import shape

    if "datetime" in asked:
        first, last = (datetime.fromisoformat(t) for t in asked["datetime"].split("/"))
        if not first <= product.start <= last:
            return False
    if "intersects" in asked and not shape(product.footprint).intersects(
        shape(asked["intersects"])
    ):
        return False
    known = {**product.properties, "id": product.name.removesuffix(".SAFE")}
    for test in asked.get("filter", {}).get("args", []):
        value, limit = known.get(test["args"][0]["property"]), test["args"][1]
        if not (value is not None and (value <= limit if test["op"] == "<=" else value == limit)):
            return False
    return True


_ATTRIBUTE = re.compile(
    r"any\(att:att/Name eq '(\w+)' and att/OData\.CSC\.\w+/Value (eq|le) ('[^']*'|[\d.]+)\)"
)


def _satisfies(record: Mapping[str, Any], text: str) -> bool:
    """Evaluate the part of OData's filters that clients of this service use."""
    attributes = {a["Name"]: a["Value"] for a in record["Attributes"]}
    collection = re.search(r"Collection/Name eq '([\w-]+)'", text)
    if collection and not record["Name"].startswith(f"S{collection[1][-1]}"):
        return False
    tests: dict[tuple[str, str], list[Any]] = {}
    for name, op, value in _ATTRIBUTE.findall(text):
        tests.setdefault((name, op), []).append(value.strip("'") if "'" in value else float(value))
    for (name, op), values in tests.items():
        own = attributes.get(name)
        if own is None or not (own in values if op == "eq" else own <= values[0]):
            return False
    start = datetime.fromisoformat(record["ContentDate"]["Start"])
    for op, stamp in re.findall(r"ContentDate/Start (ge|le) (\S+Z)", text):
        moment = datetime.fromisoformat(stamp)
        if start < moment if op == "ge" else start > moment:
            return False
    prefix = re.search(r"startswith\(Name,'([^']*)'\)", text)
    if prefix and not record["Name"].startswith(prefix[1]):
        return False
    return _overlaps(record, text)


def _overlaps(record: Mapping[str, Any], text: str) -> bool:
    from shapely import from_wkt
    from shapely.geometry import shape

    outlines = re.findall(r"Intersects\(area=geography'SRID=4326;([^']*)'\)", text)
    assert not any("MULTI" in o for o in outlines), "the service takes no multipolygon"
    if not outlines:
        return True
    own = record.get("GeoFootprint")
    return own is not None and any(shape(own).intersects(from_wkt(o)) for o in outlines)


def _parse(stamp: str) -> datetime:
    return datetime.strptime(stamp, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


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
