"""Granules as CMR describes them (UMM-G 1.6) as items in skymend's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from skymend.core.errors import ProductError
from skymend.sources import naming
from skymend.sources.answers import field, malformed
from skymend.sources.earthdata import tiles
from skymend.sources.fetching import multihash

if TYPE_CHECKING:
    import pystac

    from skymend.sources.transfer import Digest

_ALGORITHMS = {
    "MD5": "md5",
    "SHA-1": "sha1",
    "SHA1": "sha1",
    "SHA-256": "sha256",
    "SHA256": "sha256",
    "SHA-512": "sha512",
}
_SIDE_FILES = (".md5", ".sha256", ".cmr.xml", ".cmr.json", ".met", ".xml", ".html", ".dmrpp")


def item(granule: Any, collection: str, provider: str, where: str) -> pystac.Item:
    """Return a granule as item; one without a file online has no asset.

    Raises
    ------
    AnswerError
        if a field is missing or wrong.
    """
    name = field(granule, "umm.GranuleUR", str, where)
    where = f"{where}, granule {name}"
    umm = field(granule, "umm", dict, where)
    stem = _stem(_producer_name(umm, where) or name)
    tile = tiles.of_name(stem)
    properties: dict[str, Any] = {
        **_times(umm, where),
        "title": stem,
        "platform": field(umm, "Platforms.0.ShortName", str, where, default="").lower(),
        "processing:version": field(umm, "CollectionReference.Version", str, where, default=""),
        "created": field(umm, "DataGranule.ProductionDateTime", str, where, default=""),
        "cmr:concept_id": field(granule, "meta.concept-id", str, where, default=""),
        "grid:code": "" if tile is None else tile.code,
    }
    if umm.get("CloudCover") is not None:
        properties["eo:cloud_cover"] = field(umm, "CloudCover", float, where)
    feature = {
        "id": stem,
        "geometry": _geometry(umm, where),
        "properties": {k: v for k, v in properties.items() if v != ""},
        "assets": _assets(umm, where),
    }
    return naming.harmonise(feature, collection, provider, where=where, title=stem)


def _producer_name(umm: dict[str, Any], where: str) -> str:
    identifiers = field(umm, "DataGranule.Identifiers", list, where, default=[])
    for number in range(len(identifiers)):
        place = f"DataGranule.Identifiers.{number}"
        if field(umm, f"{place}.IdentifierType", str, where) == "ProducerGranuleId":
            return field(umm, f"{place}.Identifier", str, where)
    return ""


def _stem(name: str) -> str:
    for suffix in (".hdf", ".h5", ".nc", ".tif", ".zip"):
        name = name.removesuffix(suffix)
    return name


def _times(umm: dict[str, Any], where: str) -> dict[str, str]:
    single = field(umm, "TemporalExtent.SingleDateTime", str, where, default="")
    if single:
        return {"datetime": single}
    span = "TemporalExtent.RangeDateTime"
    start = field(umm, f"{span}.BeginningDateTime", str, where)
    end = field(umm, f"{span}.EndingDateTime", str, where, default=start)
    return {"datetime": start, "start_datetime": start, "end_datetime": end}


def _geometry(umm: dict[str, Any], where: str) -> dict[str, Any] | None:
    """Return polygons or rectangles as GeoJSON; a granule that states an orbit only has none."""
    place = "SpatialExtent.HorizontalSpatialDomain.Geometry"
    shapes = field(umm, place, dict, where, default={})
    polygons = [
        [_ring(umm, f"{place}.GPolygons.{n}.Boundary.Points", where)]
        for n in range(len(field(shapes, "GPolygons", list, where, default=[])))
    ]
    polygons += [
        [_box(umm, f"{place}.BoundingRectangles.{n}", where)]
        for n in range(len(field(shapes, "BoundingRectangles", list, where, default=[])))
    ]
    if not polygons:
        return None
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _ring(umm: dict[str, Any], place: str, where: str) -> list[list[float]]:
    points = [
        [field(umm, f"{place}.{n}.{axis}itude", float, where) for axis in ("Long", "Lat")]
        for n in range(len(field(umm, place, list, where)))
    ]
    if len(points) < 3:
        raise malformed(where, f"at least 3 points in field {place!r}", str(len(points)))
    return points if points[0] == points[-1] else [*points, points[0]]


def _box(umm: dict[str, Any], place: str, where: str) -> list[list[float]]:
    west, south, east, north = (
        field(umm, f"{place}.{side}BoundingCoordinate", float, where)
        for side in ("West", "South", "East", "North")
    )
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def _assets(umm: dict[str, Any], where: str) -> dict[str, dict[str, Any]]:
    addresses = {_name(url): url for url in reversed(list(_addresses(umm, where)))}
    whole = len(addresses) == 1
    facts = _file_facts(umm, where)
    return {
        naming.PRODUCT if whole else name: {
            "href": url,
            "roles": ["data"],
            "file:local_path": name,
            **(facts.get(name) or (facts.get("", {}) if whole else {})),
        }
        for name, url in sorted(addresses.items())
    }


def _addresses(umm: dict[str, Any], where: str) -> Iterator[str]:
    for number in range(len(field(umm, "RelatedUrls", list, where, default=[]))):
        kind = field(umm, f"RelatedUrls.{number}.Type", str, where)
        url = field(umm, f"RelatedUrls.{number}.URL", str, where)
        is_file = not urlsplit(url).path.lower().endswith(_SIDE_FILES)
        if kind == "GET DATA" and urlsplit(url).scheme in {"http", "https"} and is_file:
            yield url


def _name(url: str) -> str:
    return urlsplit(url).path.rstrip("/").rsplit("/", 1)[-1]


def _file_facts(umm: dict[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """Return size and digest by file name; '' is the only one where no name is stated."""
    place = "DataGranule.ArchiveAndDistributionInformation"
    entries = field(umm, place, list, where, default=[])
    facts = {}
    for number, entry in enumerate(entries):
        name = field(umm, f"{place}.{number}.Name", str, where, default="Not provided")
        found = _facts(entry, where)
        facts[name] = found
        if len(entries) == 1:
            facts[""] = found
    return facts


def _facts(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    size = field(entry, "SizeInBytes", int, where, default=0)
    if size > 0:
        facts["file:size"] = size
    digest = _digest(entry, where)
    return facts | ({} if digest is None else {"file:checksum": multihash(digest)})


def _digest(entry: Mapping[str, Any], where: str) -> Digest | None:
    from skymend.sources.transfer import Digest

    if not field(entry, "Checksum", dict, where, default={}):
        return None
    value = field(entry, "Checksum.Value", str, where)
    algorithm = _ALGORITHMS.get(field(entry, "Checksum.Algorithm", str, where).upper())
    if algorithm is None:
        return None
    try:
        return Digest.parse(f"{algorithm}:{value.lower()}")
    except ProductError as error:
        raise malformed(where, "a digest in field 'Checksum.Value'", error.found) from error
