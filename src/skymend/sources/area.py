"""Areas in longitude and latitude, split at the antimeridian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shapely.geometry import MultiPolygon
    from shapely.geometry.base import BaseGeometry

    from skymend.core.grid import Grid


@dataclass(frozen=True, eq=False)
class Area:
    """A region in EPSG:4326 (longitude, latitude in degrees), no part across the antimeridian."""

    shape: MultiPolygon

    @classmethod
    def of_bounds(cls, west: float, south: float, east: float, north: float) -> Area:
        """Return a box; ``west`` greater than ``east`` crosses the antimeridian."""
        from shapely.geometry import MultiPolygon, box

        if west <= east:
            return cls(MultiPolygon([box(west, south, east, north)]))
        return cls(MultiPolygon([box(west, south, 180, north), box(-180, south, east, north)]))

    @classmethod
    def of_grid(cls, grid: Grid) -> Area:
        """Return the box of a grid."""
        from pyproj import Transformer

        transformer = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
        return cls.of_bounds(*transformer.transform_bounds(*grid.bounds))

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) in degrees; west > east where it crosses the antimeridian."""
        west, south, east, north = self.shape.bounds
        if west == -180 and east == 180 and len(self.shape.geoms) > 1:
            boxes = [g.bounds for g in self.shape.geoms]
            west = min(b[0] for b in boxes if b[0] >= 0)
            east = max(b[2] for b in boxes if b[2] <= 0)
        return (west, south, east, north)

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

    def coverage(self, footprint: BaseGeometry) -> float:
        """Return the share 0..1 of the area that a footprint covers (equal-area)."""
        return _equal_area(self.shape.intersection(footprint)) / _equal_area(self.shape)

    def _simple(self) -> BaseGeometry:
        return self.shape.geoms[0] if len(self.shape.geoms) == 1 else self.shape


def _equal_area(shape: BaseGeometry) -> float:
    from pyproj import Transformer
    from shapely.ops import transform

    project = Transformer.from_crs("EPSG:4326", "EPSG:6933", always_xy=True).transform
    return float(transform(project, shape).area)
