"""What the loopback Data Space makes of a search: the filters that its clients use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.servers.cdse_products import Product


def meets(product: Product, asked: Mapping[str, Any]) -> bool:
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


def satisfies(record: Mapping[str, Any], text: str) -> bool:
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
