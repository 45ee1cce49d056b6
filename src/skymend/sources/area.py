"""Areas in longitude and latitude, split at the antimeridian; from GeoJSON, Shapefile and WKT."""

from __future__ import annotations

import json
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skymend.core.errors import ConfigError
from skymend.core.files import write_text
from skymend.sources.globe import on_map, outline, size_km2

if TYPE_CHECKING:
    from shapely.geometry import MultiPolygon
    from shapely.geometry.base import BaseGeometry

    from skymend.core.grid import Grid

MAX_BYTES = 50 << 20
"""Largest file that is read as an area."""

_WKT = re.compile(r"\s*(?:SRID=(\d+);)?\s*((?:MULTI)?POLYGON|GEOMETRYCOLLECTION)\b", re.IGNORECASE)
_OTHER = re.compile(r"\s*(?:(?:MULTI)?(?:POINT|LINESTRING)|CIRCULARSTRING)[ ZM]*\(", re.IGNORECASE)
_DEGREES = re.compile(r"EPSG:+(?:[\d.]*:)?4326$|CRS:?:?84$", re.IGNORECASE)
_FORMS = "a GeoJSON, Shapefile or WKT file, or GeoJSON or WKT as text"
_SEGMENTS = 100


@dataclass(frozen=True, eq=False)
class Area:
    """A region in EPSG:4326 (longitude, latitude in degrees), no part across the antimeridian."""

    shape: MultiPolygon

    @classmethod
    def read(cls, what: str | Path) -> Area:
        """Read polygons from a file or text; all of them together are the area.

        Parameters
        ----------
        what : a ``.geojson``, ``.json``, ``.shp`` or ``.wkt`` file, or GeoJSON or WKT as text.
            GeoJSON and WKT are in EPSG:4326, longitude first; a Shapefile says its CRS itself.

        Raises
        ------
        ConfigError
            if it is none of these, damaged, not in degrees, or has no polygon.
        """
        import shapely

        where, shapes = _read(what)
        return cls(on_map(shapely.GeometryCollection(shapes), where))

    @classmethod
    def of_shape(cls, shape: BaseGeometry) -> Area:
        """Return the area of polygons in degrees, which may cross the antimeridian or a pole."""
        return cls(on_map(shape))

    @classmethod
    def of_bounds(cls, west: float, south: float, east: float, north: float) -> Area:
        """Return a box; ``west`` greater than ``east`` crosses the antimeridian."""
        from shapely.geometry import MultiPolygon, box

        if west <= east:
            return cls(MultiPolygon([box(west, south, east, north)]))
        return cls(MultiPolygon([box(west, south, 180, north), box(-180, south, east, north)]))

    @classmethod
    def of_grid(cls, grid: Grid) -> Area:
        """Return the ground that a grid covers."""
        return cls(outline(grid))

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) in degrees; west > east where it crosses the antimeridian."""
        west, south, east, north = self.shape.bounds
        if west == -180 and east == 180 and len(self.shape.geoms) > 1:
            boxes = [g.bounds for g in self.shape.geoms]
            if not any(b[0] < 0 < b[2] for b in boxes):
                west = min(b[0] for b in boxes if b[0] >= 0)
                east = max(b[2] for b in boxes if b[2] <= 0)
        return (west, south, east, north)

    @cached_property
    def km2(self) -> float:
        """Size on the ellipsoid, km2."""
        return size_km2(self.shape)

    def geojson(self) -> dict[str, Any]:
        """Return the area as a GeoJSON geometry."""
        from shapely.geometry import mapping

        return dict(mapping(self._simple()))

    @property
    def wkt(self) -> str:
        """The area as well-known text."""
        return str(self._simple().wkt)

    def intersects(self, footprint: BaseGeometry) -> bool:
        """Say whether a footprint (degrees) touches the area."""
        return bool(self.shape.intersects(footprint))

    def part(self, footprint: BaseGeometry) -> BaseGeometry:
        """Return what a footprint on the map (see :func:`footprint_of`) covers of the area."""
        return self.shape.intersection(footprint)

    def coverage(self, footprint: BaseGeometry) -> float:
        """Return the share 0..1 of the area that a footprint covers, by size on the ellipsoid."""
        return min(1.0, size_km2(self.part(footprint)) / self.km2)

    def _simple(self) -> BaseGeometry:
        return self.shape.geoms[0] if len(self.shape.geoms) == 1 else self.shape


def footprint_of(geometry: Mapping[str, Any] | None, where: str) -> MultiPolygon:
    """Return the footprint of a provider's item on the map.

    Raises
    ------
    ConfigError
        if it has none, or none in degrees.
    """
    return on_map(_geojson_shape(geometry, where), where)


def wkt_list(path: Path) -> tuple[str, ...]:
    """Return one well-known text per feature of a GeoJSON file, as SNAP's Subset takes them."""
    shapes = _geojson(_checked(path).read_bytes(), str(path))
    return tuple(Area(on_map(shape, str(path))).wkt for shape in shapes)


def write_wkt_list(path: Path, target: Path) -> int:
    """Write the features of a GeoJSON file as lines of well-known text; return how many."""
    lines = wkt_list(path)
    write_text(target, "".join(f"{line}\n" for line in lines))
    return len(lines)


def _read(what: str | Path) -> tuple[str, list[BaseGeometry]]:
    text = str(what)
    if isinstance(what, str) and text.lstrip().startswith("{"):
        return "area", _geojson(text.encode(), "area")
    if isinstance(what, str) and (_WKT.match(text) or _OTHER.match(text)):
        return "area", [_wkt(text, "area")]
    if not text.strip():
        raise _unreadable("area", "an empty text")
    path = _checked(Path(what))
    suffix = path.suffix.lower()
    if suffix in {".geojson", ".json"}:
        return text, _geojson(path.read_bytes(), text)
    if suffix == ".shp":
        return text, _shapefile(path)
    if suffix in {".wkt", ".txt"}:
        lines = path.read_text(errors="replace").splitlines()
        return text, [_wkt(line, text) for line in lines if line.strip()]
    raise _unreadable(text, f"a name that ends in {suffix or 'nothing known'}")


def _checked(path: Path) -> Path:
    try:
        size = path.stat().st_size
    except (OSError, ValueError):
        raise _unreadable(str(path)[:120], "no such file") from None
    if not path.is_file():
        raise _unreadable(str(path), "a folder")
    if size > MAX_BYTES:
        found = f"{size} bytes, more than {MAX_BYTES >> 20} MiB are refused"
        raise _unreadable(str(path), found)
    return path


def _geojson(data: bytes, where: str) -> list[BaseGeometry]:
    try:
        document = json.loads(data)
        name = (document.get("crs") or {}).get("properties", {}).get("name", "CRS84")
        features = document.get("features", [document])
        geometries = [f.get("geometry") if "geometry" in f else f for f in features]
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise _unreadable(where, f"no GeoJSON ({type(error).__name__})") from error
    if not _DEGREES.search(str(name)):
        raise _other_crs(where, str(name)[:80])
    return [_geojson_shape(geometry, where) for geometry in geometries if geometry is not None]


def _geojson_shape(geometry: Any, where: str) -> BaseGeometry:
    from shapely.errors import ShapelyError
    from shapely.geometry import shape

    try:
        return shape(geometry)
    except (
        *(ShapelyError, ValueError, TypeError),
        *(LookupError, AttributeError, OverflowError),
    ) as error:
        shown = str(geometry)[:60]
        raise _unreadable(where, f"no geometry ({type(error).__name__}: {shown})") from error


def _wkt(text: str, where: str) -> BaseGeometry:
    import shapely

    match = _WKT.match(text)
    if match is None:
        raise _unreadable(where, f"no polygon in {text.strip()[:40]!r}")
    if match[1] not in {None, "4326"}:
        raise _other_crs(where, f"SRID {match[1]}")
    try:
        return shapely.from_wkt(text[match.start(2) :])
    except shapely.errors.ShapelyError as error:
        raise _unreadable(where, " ".join(str(error).split())[:120]) from error


def _shapefile(path: Path) -> list[BaseGeometry]:
    """Read the shapes of a Shapefile in degrees; null shapes, which the format allows, are none."""
    import shapefile

    try:
        with warnings.catch_warnings(action="error"), shapefile.Reader(str(path)) as reader:
            found = [
                record.__geo_interface__
                for record in reader.iterShapes()
                if record.shapeType != shapefile.NULL
            ]
    except (
        *(shapefile.ShapefileException, shapefile.GeoJSON_Error, shapefile.RingSamplingError),
        *(struct.error, Warning, OSError, EOFError, MemoryError, RuntimeError),
        *(ValueError, TypeError, LookupError, ArithmeticError, AttributeError, AssertionError),
    ) as error:
        raise _unreadable(str(path), f"a damaged Shapefile ({type(error).__name__})") from error
    shapes = [_geojson_shape(geometry, str(path)) for geometry in found]
    return [_in_degrees(shape, path) for shape in shapes]


def _in_degrees(shape: BaseGeometry, path: Path) -> BaseGeometry:
    """Bring a shape of a Shapefile to degrees; without ``.prj`` it is taken to be in degrees."""
    import shapely
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    projection = path.with_suffix(".prj")
    if not projection.exists():
        return shape
    try:
        crs = CRS.from_wkt(_checked(projection).read_text(errors="replace"))
        transformer = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    except ProjError as error:
        raise _unreadable(str(projection), "no coordinate reference system") from error
    west, south, east, north = shape.bounds
    try:
        dense = shapely.segmentize(shape, max(east - west, north - south, 1e-9) / _SEGMENTS)
        return shapely.transform(dense, transformer.transform, interleaved=False)
    except (shapely.errors.ShapelyError, ProjError) as error:
        raise _unreadable(str(path), f"no coordinates of its projection ({error})") from error


def _unreadable(where: str, found: str) -> ConfigError:
    return ConfigError(where=where, expected=_FORMS, found=found, fix="check path and format")


def _other_crs(where: str, found: str) -> ConfigError:
    return ConfigError(
        where=where,
        expected="longitude and latitude in EPSG:4326",
        found=found,
        fix="convert it to EPSG:4326",
    )
