"""The STAC catalogue: one collection, one item per date, links relative to the store.

Documents are plain dictionaries in a fixed order with nothing of the wall clock, so that the
same outputs give the same bytes.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from skymend import __version__
from skymend.core.encoding import QA, REFLECTANCE, SIGMA, Encoding
from skymend.core.grid import Grid
from skymend.core.mounts import content
from skymend.core.raster import RasterInfo, describe
from skymend.core.step import Artifact
from skymend.report.quicklook import QA_NAMES
from skymend.report.validation import EXTENSIONS, STAC_VERSION

Document = dict[str, Any]

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
SENTINEL2_BANDS = {
    "B01": ("coastal", 0.443, 0.021),
    "B02": ("blue", 0.490, 0.066),
    "B03": ("green", 0.560, 0.036),
    "B04": ("red", 0.665, 0.031),
    "B05": ("rededge071", 0.704, 0.015),
    "B06": ("rededge075", 0.740, 0.015),
    "B07": ("rededge078", 0.783, 0.020),
    "B08": ("nir", 0.833, 0.106),
    "B8A": ("nir08", 0.865, 0.021),
    "B09": ("nir09", 0.945, 0.020),
    "B11": ("swir16", 1.614, 0.091),
    "B12": ("swir22", 2.202, 0.175),
}
"""Common name, centre and full width at half maximum in micrometres (Sentinel-2A MSI)."""

_ASSETS = (
    ("reflectance", "Reflectance, gap-free", ["data", "reflectance"], REFLECTANCE),
    ("qa", "Quality flag per pixel", ["metadata", "quality"], QA),
    ("uncertainty", "One standard deviation of the reflectance", ["data", "uncertainty"], SIGMA),
)
_SHA256_MULTIHASH = "1220"


@dataclass(frozen=True, slots=True)
class About:
    """What the collection says of itself; ``notices`` are what licences of sources demand."""

    id: str
    title: str
    description: str
    license: str
    keywords: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def item(made: Artifact, about: About, folder: Path) -> Document:
    """Describe one reconstructed date.

    Parameters
    ----------
    made : output of ``reconstruct``: reflectance, qa and, if any, uncertainty.
    about : the collection it belongs to.
    folder : where the item will lie; links are relative to it.

    Returns
    -------
    A STAC 1.1 item with the extensions projection, eo, raster, file and processing.
    """
    info = describe(made.file("reflectance"))
    geometry, bbox = footprint(info.grid)
    assets = {name: _asset(made, name, folder) for name, *_ in _ASSETS if made.has(name)}
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": sorted(EXTENSIONS.values()),
        "id": item_id(made),
        "collection": about.id,
        "geometry": geometry,
        "bbox": bbox,
        "properties": {**_properties(made, info), **_notices(about)},
        "links": _item_links(),
        "assets": assets,
    }


def _notices(about: About) -> Document:
    return {"skymend:notices": list(about.notices)} if about.notices else {}


def item_id(made: Artifact) -> str:
    """Return ``<tile>_<time>``, unique within a store, such as ``31UFQ_20230405T105619``."""
    time = made.time.astimezone(UTC).strftime("%Y%m%dT%H%M%S")
    return "_".join(part for part in (made.tags.get("tile", ""), time) if part)


def collection(
    items: Sequence[Document], about: About, assets: dict[str, Document] | None = None
) -> Document:
    """Describe the whole series; extents are those of the items.

    Parameters
    ----------
    items : what :func:`item` made, at least one.
    about : title, description, licence, keywords.
    assets : further files of the collection, such as the report.
    """
    ordered = sorted(items, key=lambda i: (i["properties"]["datetime"], i["id"]))
    times = [i["properties"]["datetime"] for i in ordered]
    summaries: Document = {
        "gsd": sorted({i["properties"]["gsd"] for i in ordered}),
        "proj:code": sorted({i["properties"]["proj:code"] for i in ordered}),
        "skymend:method": sorted({i["properties"].get("skymend:method", "") for i in ordered}),
    }
    covers = (i["properties"].get("eo:cloud_cover") for i in ordered)
    clouds = [cover for cover in covers if cover is not None]
    if clouds:
        summaries["eo:cloud_cover"] = {"minimum": min(clouds), "maximum": max(clouds)}
    extensions = ("file", "processing") if assets else ("processing",)
    links = [_link("root", "./catalog.json"), _link("parent", "./catalog.json")]
    links += [_link("item", f"./items/{i['id']}.json", "application/geo+json") for i in ordered]
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": sorted(EXTENSIONS[name] for name in extensions),
        "id": about.id,
        "title": about.title,
        "description": about.description,
        "keywords": list(about.keywords),
        "license": about.license,
        "providers": [_provider()],
        "extent": {
            "spatial": {"bbox": [_union([i["bbox"] for i in ordered])]},
            "temporal": {"interval": [[times[0], times[-1]]]},
        },
        "summaries": {k: v for k, v in summaries.items() if v not in ([], [""])},
        "item_assets": {n: {"title": t, "roles": r, "type": COG} for n, t, r, _ in _ASSETS},
        "links": links,
        "assets": assets or {},
    }


def catalog(about: About) -> Document:
    """Return the root catalogue, which holds the one collection."""
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": f"{about.id}-catalog",
        "title": about.title,
        "description": about.description,
        "links": [_link("root", "./catalog.json"), _link("child", "./collection.json")],
    }


def file_asset(path: Path, folder: Path, title: str, kind: str, roles: Sequence[str]) -> Document:
    """Describe any file with its size and checksum (sha256 as a multihash)."""
    found = content(path)
    return {
        "href": relative(path, folder),
        "type": kind,
        "title": title,
        "roles": list(roles),
        "file:size": found.size,
        "file:checksum": _SHA256_MULTIHASH + found.sha256,
    }


def footprint(grid: Grid) -> tuple[Document, list[float]]:
    """Return a grid's outline in longitude and latitude, and its bounding box.

    The edges are densified, because a straight edge of a UTM tile is curved in degrees; the
    ring runs counter-clockwise (RFC 7946, section 3.1.6).
    """
    from rasterio.warp import transform

    left, bottom, right, top = grid.bounds
    corners = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
    xs, ys = [], []
    for (x0, y0), (x1, y1) in itertools.pairwise(corners):
        for step in range(5):
            xs.append(x0 + (x1 - x0) * step / 5)
            ys.append(y0 + (y1 - y0) * step / 5)
    longitudes, latitudes = transform(grid.crs, "EPSG:4326", xs, ys)
    ring = [[round(x, 6), round(y, 6)] for x, y in zip(longitudes, latitudes, strict=True)]
    ring.append(ring[0])
    bbox = [f(p[i] for p in ring) for f in (min, max) for i in (0, 1)]
    return {"type": "Polygon", "coordinates": [ring]}, bbox


def relative(path: Path, folder: Path) -> str:
    """Return the link from a document in ``folder`` to a file."""
    link = os.path.relpath(path, folder).replace(os.sep, "/")
    return link if link.startswith(".") else f"./{link}"


def _properties(made: Artifact, info: RasterInfo) -> Document:
    facts, radar = made.facts, made.facts.get("radar") or {}
    a, b, c, d, e, f = info.grid.transform
    left, bottom, right, top = info.grid.bounds
    found: Document = {
        "datetime": _utc(made.time),
        "title": f"{made.tags.get('tile', '')} {made.time:%Y-%m-%d}, gap-free".strip(),
        "gsd": info.grid.resolution,
        "proj:code": info.grid.crs,
        "proj:shape": list(info.grid.shape),
        "proj:transform": [a, b, c, d, e, f],
        "proj:bbox": [left, bottom, right, top],
        "processing:level": "L3",
        "processing:lineage": _lineage(made),
        "processing:software": {"skymend": __version__},
        "skymend:source": made.tags.get("id"),
        "skymend:method": facts.get("method"),
        "skymend:nearest_clear_days": facts.get("nearest_clear_days"),
        "skymend:radar": radar.get("id"),
        "skymend:radar_gap_hours": radar.get("gap_hours"),
        "skymend:qa_shares": facts.get("qa_shares"),
        "skymend:notes": list(facts.get("notes") or ()),
    }
    if facts.get("clear_share") is not None:
        # of the image as acquired; the gap-free one has none left
        cover = 100 * (1 - float(facts["clear_share"]))
        found["eo:cloud_cover"] = round(min(max(cover, 0.0), 100.0), 2)
    return {k: v for k, v in found.items() if v not in (None, [])}


def _lineage(made: Artifact) -> str:
    used = sorted(c["id"] for c in made.facts.get("candidates") or () if c.get("used"))
    radar = (made.facts.get("radar") or {}).get("id")
    parts = [f"Hidden pixels rebuilt with the method {made.facts.get('method', 'unknown')}"]
    parts.append(f"from {', '.join(used)}" if used else "without other dates")
    return " ".join(parts) + (f" and the radar image {radar}." if radar else ".")


def _asset(made: Artifact, name: str, folder: Path) -> Document:
    _, title, roles, encoding = next(a for a in _ASSETS if a[0] == name)
    path = made.file(name)
    info = describe(path)
    found = file_asset(path, folder, title, COG, roles)
    found |= {
        "data_type": encoding.dtype,
        "nodata": encoding.nodata,
        "unit": encoding.unit,
        "raster:spatial_resolution": info.grid.resolution,
        "bands": [_band(b, encoding, name) for b in info.bands],
    }
    if name == "qa":
        found["description"] = "; ".join(f"{code} {text}" for code, text in QA_NAMES.items())
    return found


def _band(name: str, encoding: Encoding, asset: str) -> Document:
    found: Document = {"name": name}
    if asset == "qa":
        return found
    found |= {"raster:scale": encoding.scale, "raster:offset": 0.0}
    if name in SENTINEL2_BANDS:
        common, centre, width = SENTINEL2_BANDS[name]
        found["eo:common_name"] = common
        found["eo:center_wavelength"] = centre
        found["eo:full_width_half_max"] = width
    return found


def _provider() -> Document:
    return {
        "name": "skymend",
        "roles": ["processor"],
        "processing:level": "L3",
        "processing:software": {"skymend": __version__},
    }


def _item_links() -> list[Document]:
    return [
        _link("root", "../catalog.json"),
        _link("parent", "../collection.json"),
        _link("collection", "../collection.json"),
    ]


def _link(rel: str, href: str, kind: str = "application/json") -> Document:
    return {"rel": rel, "href": href, "type": kind}


def _union(boxes: Sequence[Sequence[float]]) -> list[float]:
    return [f(box[i] for box in boxes) for f, i in ((min, 0), (min, 1), (max, 2), (max, 3))]


def _utc(time: datetime) -> str:
    text = time.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z").replace(".000Z", "Z")
