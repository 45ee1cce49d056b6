"""Recorded answers of the former CDSE OpenSearch service as STAC items."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pystac

from skymend.sources.naming import facts_of_name

NAMES = ("3c893698", "af8e6cd2", "e211bebd", "f99c6557")


def load(folder: Path, name: str, *, kind: str = "IW_GRDH_1S") -> list[pystac.Item]:
    """Return the items of one answer whose product type starts with ``kind``."""
    path = folder / "openeo-gfmap-s1-s2" / f"{name}_query_cdse_results.json"
    features = json.loads(path.read_text())["features"]
    return [_item(f) for f in features if f["properties"]["productType"].startswith(kind)]


def _item(feature):
    own = feature["properties"]
    title = own["title"].removesuffix(".SAFE")
    properties = {
        **facts_of_name(title),
        "title": title,
        "start_datetime": own["startDate"],
        "end_datetime": own["completionDate"],
        "sat:relative_orbit": own["relativeOrbitNumber"],
        "sat:orbit_state": own["orbitDirection"].lower(),
    }
    return pystac.Item(
        id=feature["id"],
        geometry=feature["geometry"],
        bbox=None,
        datetime=datetime.fromisoformat(own["startDate"]),
        properties=properties,
        collection="sentinel-1-grd",
    )
