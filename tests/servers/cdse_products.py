"""SAFE folders and orbit files as the two catalogues of the Copernicus Data Space show them.

Items and products follow recorded ones; what was never recorded is built by hand to the published
schema (see :mod:`tests.servers.cdse`).
"""

from __future__ import annotations

import hashlib
import io
import re
import uuid
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

MIME = {".xml": "application/xml", ".safe": "application/xml", ".jp2": "image/jp2"}


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


def _parse(stamp: str) -> datetime:
    return datetime.strptime(stamp, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
