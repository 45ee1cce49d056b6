"""The OData catalogue: filters, paging by date windows, products as STAC items.

A page holds at most 1,000 products and ``$skip`` ends at 10,000 (since November 2024). A longer
answer is read in windows: the next begins at the start time of the last product seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from skymend.core.errors import RetryableError
from skymend.sources.answers import field, time_of
from skymend.sources.cdse.catalogue import PROVIDER, Collection
from skymend.sources.naming import PRODUCT, harmonise, platform_name
from skymend.sources.outlines import outline
from skymend.sources.protocol import Filters, Period, timestamp

if TYPE_CHECKING:
    import pystac

    from skymend.sources.area import Area

PAGE = 1000
MOST_SKIP = 10_000
_LONGEST_AREA = 6000
"""Characters of all outlines of a question, which go into one address."""

_WHERE = "OData catalogue of cdse"
_MULTIHASH = {"MD5": "d50110", "BLAKE3": "1e20", "SHA256": "1220", "SHA3-256": "1620"}
_ATTRIBUTES = {
    "cloudCover": "eo:cloud_cover",
    "relativeOrbitNumber": "sat:relative_orbit",
    "orbitNumber": "sat:absolute_orbit",
    "orbitDirection": "sat:orbit_state",
    "processorVersion": "processing:version",
    "processingDate": "processing:datetime",
    "productType": "product:type",
    "timeliness": "product:timeliness_category",
    "datastripId": "eopf:datastrip_id",
    "productGroupId": "eopf:datatake_id",
    "operationalMode": "sar:instrument_mode",
    "polarisationChannels": "sar:polarizations",
}

Get = Callable[[Mapping[str, str]], dict[str, Any]]
"""Asks ``Products`` with query parameters and returns the JSON object."""


@dataclass(frozen=True, slots=True)
class Query:
    """A search of one collection; ``start`` and ``end`` are included."""

    collection: Collection
    area: Area | None
    period: Period | None
    filters: Filters

    def text(self, start: datetime | None = None) -> str:
        """Return the ``$filter``; a later ``start`` narrows the period."""
        parts = [f"Collection/Name eq {_quoted(self.collection.odata)}", self._types()]
        if self.period is not None:
            first, last = self.period
            parts.append(f"ContentDate/Start ge {timestamp(max(start or first, first))}")
            parts.append(f"ContentDate/Start le {timestamp(last)}")
        elif start is not None:
            parts.append(f"ContentDate/Start ge {timestamp(start)}")
        parts += self._attributes()
        if self.area is not None:
            parts.append(_intersects(self.area))
        return " and ".join(parts)

    def _types(self) -> str:
        either = [_attribute("productType", t) for t in self.collection.product_types]
        return either[0] if len(either) == 1 else f"({' or '.join(either)})"

    def _attributes(self) -> Iterator[str]:
        f = self.filters
        if f.product_id is not None:
            stem = f.product_id.removesuffix(".SAFE")
            yield f"startswith(Name,{_quoted(stem)})"
        if f.cloud_cover_max is not None and self.collection.odata == "SENTINEL-2":
            yield _attribute("cloudCover", f.cloud_cover_max, "Double", "le")
        if f.tile is not None:
            yield _attribute("tileId", f.tile)
        if f.relative_orbit is not None:
            yield _attribute("relativeOrbitNumber", f.relative_orbit, "Integer")
        if f.orbit_direction is not None and self.collection.odata == "SENTINEL-1":
            yield _attribute("orbitDirection", f.orbit_direction.upper())
        if f.platform is not None:
            # Auxiliary files lack the attribute of the platform; all names begin with it.
            yield f"startswith(Name,{_quoted(_prefix(f.platform))})"


def search(get: Get, query: Query) -> Iterator[dict[str, Any]]:
    """Yield the products of an answer, each once, however many pages it has.

    Raises
    ------
    AnswerError
        if a page is malformed, or more products start at one instant than can be paged.
    RetryableError
        if the catalogue says that there are more than it hands out.
    """
    seen: set[str] = set()
    start: datetime | None = None
    while True:
        last: datetime | None = None
        count = received = 0
        for page in _pages(get, query.text(start)):
            count = max(count, field(page, "@odata.count", int, _WHERE, default=0))
            for product in _products(page):
                received += 1
                last = time_of(product, "ContentDate.Start", _WHERE)
                if product["Id"] not in seen:
                    seen.add(product["Id"])
                    yield product
        complete = received >= count if count else received <= MOST_SKIP
        if complete:
            return
        if last is None or last == start or received <= MOST_SKIP:
            raise _incomplete(received, count)
        start = last


def _pages(get: Get, text: str) -> Iterator[dict[str, Any]]:
    skip = 0
    while skip <= MOST_SKIP:
        page = get(
            {
                "$filter": text,
                "$orderby": "ContentDate/Start asc",
                "$expand": "Attributes",
                "$count": "true",
                "$top": str(PAGE),
                "$skip": str(skip),
            }
        )
        yield page
        received = len(field(page, "value", list, _WHERE))
        # The address of the next page is not followed: it names a host, ours is configured.
        if not received or (received < PAGE and "@odata.nextLink" not in page):
            return
        skip += received


def _products(page: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for index in range(len(field(page, "value", list, _WHERE))):
        field(page, f"value.{index}.Id", str, _WHERE)
        yield field(page, f"value.{index}", dict, _WHERE)


def _incomplete(received: int, count: int) -> RetryableError:
    return RetryableError(
        where=_WHERE,
        expected=f"all {count} products of the answer",
        found=f"{received}",
        fix="the catalogue changed while it was read, or hides some: search again",
    )


def to_item(product: Mapping[str, Any], collection: str, download: str) -> pystac.Item:
    """Turn a product of the OData catalogue into a STAC item.

    Parameters
    ----------
    product : one entry of ``value``, attributes expanded.
    collection : skymend's name of the collection.
    download : base address of downloads, such as
        ``https://download.dataspace.copernicus.eu/odata/v1``.

    Raises
    ------
    AnswerError
        naming the field that is missing or wrong.
    """
    name = field(product, "Name", str, _WHERE)
    where = f"{_WHERE}, product {name}"
    identifier = field(product, "Id", str, where)
    document = {
        "id": name.removesuffix(".SAFE"),
        "geometry": field(product, "GeoFootprint", dict, where, default={}) or None,
        "properties": _properties(product, where),
        "assets": {PRODUCT: _asset(product, f"{download}/Products({identifier})/$value", where)},
    }
    return harmonise(document, collection, PROVIDER, where=_WHERE, title=name)


def _properties(product: Mapping[str, Any], where: str) -> dict[str, Any]:
    start, end = (time_of(product, f"ContentDate.{edge}", where) for edge in ("Start", "End"))
    properties: dict[str, Any] = {
        "datetime": timestamp(start),
        "start_datetime": timestamp(start),
        "end_datetime": timestamp(end),
        "cdse:id": field(product, "Id", str, where),
        "cdse:s3_path": field(product, "S3Path", str, where, default=""),
        "published": field(product, "PublicationDate", str, where, default="") or None,
        "platform": platform_name(field(product, "Name", str, where)[:3]),
    }
    attributes = _values(product, where)
    for name, key in _ATTRIBUTES.items():
        if attributes.get(name) not in (None, ""):
            properties[key] = attributes[name]
    if "sar:polarizations" in properties:
        properties["sar:polarizations"] = str(properties["sar:polarizations"]).split("&")
    else:
        properties.pop("sar:instrument_mode", None)
    if not field(product, "Online", bool, where, default=True):
        properties["order:status"] = "orderable"
    return properties


def _values(product: Mapping[str, Any], where: str) -> dict[str, Any]:
    values = {}
    for index in range(len(field(product, "Attributes", list, where, default=[]))):
        name = field(product, f"Attributes.{index}.Name", str, where)
        values[name] = product["Attributes"][index].get("Value")
    return values


def _asset(product: Mapping[str, Any], href: str, where: str) -> dict[str, Any]:
    stated = {}
    for index in range(len(field(product, "Checksum", list, where, default=[]))):
        algorithm = field(product, f"Checksum.{index}.Algorithm", str, where, default="").upper()
        value = field(product, f"Checksum.{index}.Value", str, where, default="")
        if algorithm in _MULTIHASH and value:
            stated[algorithm] = _MULTIHASH[algorithm] + value.lower()
    asset: dict[str, Any] = {
        "href": href,
        "title": field(product, "Name", str, where),
        "roles": ["data", "archive"],
        "file:size": field(product, "ContentLength", int, where, default=0) or None,
    }
    if stated:
        asset["file:checksum"] = stated.get("BLAKE3") or next(iter(stated.values()))
        asset["skymend:checksums"] = sorted(stated.values())
    return {key: value for key, value in asset.items() if value is not None}


def _intersects(area: Area) -> str:
    """Write an area; a multipolygon becomes several polygons, which is all OData takes."""
    shapes = [outline(part) for part in area.shape.geoms]
    if sum(len(s) for s in shapes) > _LONGEST_AREA:
        shapes = [outline(area.shape.convex_hull)]
    tests = [f"OData.CSC.Intersects(area=geography'SRID=4326;{wkt}')" for wkt in shapes]
    return tests[0] if len(tests) == 1 else f"({' or '.join(tests)})"


def _attribute(name: str, value: object, kind: str = "String", test: str = "eq") -> str:
    shown = _quoted(value) if kind == "String" else f"{value}"
    accessor = f"OData.CSC.{kind}Attribute"
    return (
        f"Attributes/{accessor}/any(att:att/Name eq '{name}' and att/{accessor}/Value "
        f"{test} {shown})"
    )


def _prefix(platform: str) -> str:
    """Return how names of a platform begin: ``S2A`` of ``sentinel-2a``."""
    return platform.upper().replace("SENTINEL-", "S")


def _quoted(value: object) -> str:
    """Quote a text of an OData filter; quotes inside are doubled (OData 4.01, section 5.1.1.6)."""
    doubled = str(value).replace("'", "''")
    return f"'{doubled}'"
