"""Polygons on the globe: across the antimeridian, around the poles, and their true size.

Coordinates are longitude and latitude in degrees; edges are straight in them (RFC 7946,
section 3.1.1). No edge spans more than half the globe: one that seems to crosses the
antimeridian.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skymend.core.errors import ConfigError

if TYPE_CHECKING:
    from shapely.geometry import MultiPolygon, Polygon
    from shapely.geometry.base import BaseGeometry

    from skymend.core.grid import Grid

_SEMI_MAJOR_KM = 6378.137
_ECCENTRICITY = math.sqrt(0.00669437999014)
"""WGS 84 (NIMA TR8350.2, table 3.1)."""

_STEP_DEGREES = 0.1
_LONGEST_DEGREES = 540.0
_EDGE_POINTS = 20


def on_map(geometry: BaseGeometry, where: str = "area") -> MultiPolygon:
    """Bring polygons onto the map: longitudes -180..180, split there, valid, without overlap.

    Parameters
    ----------
    geometry : polygons in degrees; a ring around a pole encloses it.
    where : what it is, for errors.

    Raises
    ------
    ConfigError
        if there is no polygon, or coordinates are no degrees.
    """
    import shapely
    from shapely.geometry import MultiPolygon

    parts = [part for polygon in _polygons(geometry) for part in _mapped(polygon, where)]
    merged = shapely.union_all(parts)
    found = MultiPolygon([p for p in _polygons(merged) if p.area > 0])
    if found.is_empty:
        raise ConfigError(
            where=where,
            expected="at least one polygon with an area",
            found=geometry.geom_type if geometry.is_empty else f"{geometry.geom_type} without one",
            fix="draw the area as polygons",
        )
    return found


def size_km2(geometry: BaseGeometry) -> float:
    """Return the area of polygons on the WGS 84 ellipsoid, km2.

    The area between a line and the equator is a^2/2 times the integral of q over longitude,
    with q of the authalic latitude (Snyder 1987, USGS PP 1395, equation 3-12). Edges are
    divided so that q may be taken as linear between two points.
    """
    return sum(
        _ring_km2(p.exterior) - sum(map(_ring_km2, p.interiors)) for p in _polygons(geometry)
    )


def outline(grid: Grid) -> MultiPolygon:
    """Return the outline of a grid in degrees; its edges are curved there, so they have points."""
    from pyproj import Transformer
    from shapely.geometry import Polygon

    left, bottom, right, top = grid.bounds
    share = np.arange(_EDGE_POINTS) / _EDGE_POINTS
    x = np.concatenate(
        [left + (right - left) * s for s in (share, 1 + 0 * share, 1 - share, 0 * share)]
    )
    y = np.concatenate(
        [bottom + (top - bottom) * s for s in (0 * share, share, 1 + 0 * share, 1 - share)]
    )
    transformer = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    longitude, latitude = transformer.transform(x, y)
    return on_map(Polygon(np.column_stack([longitude, latitude])), "grid")


def _mapped(polygon: Polygon, where: str) -> Iterator[BaseGeometry]:
    """Yield the parts of one polygon, each on the map."""
    import shapely
    from shapely.affinity import translate
    from shapely.geometry import box

    whole = _unwrapped(polygon, where)
    if whole.is_empty:
        return
    west, _, east, _ = whole.bounds
    for turn in range(math.floor((west + 180) / 360), math.ceil((east - 180) / 360) + 1):
        part = whole.intersection(box(-180 + 360 * turn, -90, 180 + 360 * turn, 90))
        if turn:
            part = translate(part, -360 * turn)
        yield shapely.make_valid(part)


def _unwrapped(polygon: Polygon, where: str) -> BaseGeometry:
    """Return the polygon with continuous longitudes, which may leave -180..180."""
    import shapely
    from shapely.affinity import translate
    from shapely.geometry import Polygon as Made

    shell = _ring(polygon.exterior, where)
    whole = shapely.make_valid(Made(shell))
    if whole.area == 0:
        # A box around the whole globe, cut at the antimeridian already.
        whole = shapely.make_valid(Made(shapely.get_coordinates(polygon.exterior)))
    for interior in polygon.interiors:
        hole = shapely.make_valid(Made(_ring(interior, where)))
        turns = round((whole.centroid.x - hole.centroid.x) / 360) if not hole.is_empty else 0
        whole = whole.difference(translate(hole, 360 * turns))
    return whole


def _ring(ring: Any, where: str) -> npt.NDArray[np.float64]:
    """Return the vertices of a ring with continuous longitudes, closed over a pole it encloses."""
    import shapely

    points: npt.NDArray[np.float64] = shapely.get_coordinates(ring).astype(np.float64)
    inside = np.isfinite(points).all() and (np.abs(points[:, 1]) <= 90).all()
    if not inside or (np.abs(points[:, 0]) > _LONGEST_DEGREES).any():
        worst = points[np.argmax(np.abs(points).max(axis=1))] if len(points) else (0, 0)
        raise ConfigError(
            where=where,
            expected="longitude and latitude in degrees (EPSG:4326)",
            found=f"the point {worst[0]:g}, {worst[1]:g}",
            fix="convert it to EPSG:4326, longitude first",
        )
    steps = np.diff(points[:, 0])
    points[1:, 0] = points[0, 0] + np.cumsum(steps - 360 * np.round(steps / 360))
    turn = points[-1, 0] - points[0, 0]
    if abs(turn) > 180:
        pole = math.copysign(90, points[:, 1].mean())
        points = np.vstack([points, [points[-1, 0], pole], [points[0, 0], pole], points[:1]])
    return points


def _polygons(geometry: BaseGeometry) -> Iterator[Polygon]:
    if geometry.geom_type == "Polygon":
        if not geometry.is_empty:
            yield geometry
    elif hasattr(geometry, "geoms"):
        for part in geometry.geoms:
            yield from _polygons(part)


def _ring_km2(ring: Any) -> float:
    import shapely

    points = np.radians(shapely.get_coordinates(shapely.segmentize(ring, _STEP_DEGREES)))
    q = _authalic(points[:, 1])
    integral = np.sum(np.diff(points[:, 0]) * (q[1:] + q[:-1]) / 2)
    return float(abs(integral)) * _SEMI_MAJOR_KM**2 / 2


def _authalic(latitude: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    e, sine = _ECCENTRICITY, np.sin(latitude)
    log = np.log((1 - e * sine) / (1 + e * sine)) / (2 * e)
    q: npt.NDArray[np.float64] = (1 - e**2) * (sine / (1 - e**2 * sine**2) - log)
    return q
