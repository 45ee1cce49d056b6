"""Elevation models in tiles of one degree: which tiles an area needs, and how they are named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skymend.core.cog import write_cog
from skymend.core.encoding import ELEVATION
from skymend.core.errors import ConfigError
from skymend.core.grid import Grid

if TYPE_CHECKING:
    from skymend.sources.area import Area
    from skymend.sources.transfer import Receipt

_MOST = 2000
TIMELESS = "2000-01-01T00:00:00Z"
"""The fixed time of every DEM item."""


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """A one-degree cell by its south-west corner.

    Parameters
    ----------
    south : degrees, -90..89.
    west : degrees, -180..179.
    """

    south: int
    west: int

    @property
    def latitude(self) -> str:
        """Such as ``N45`` or ``S08``."""
        return f"{'N' if self.south >= 0 else 'S'}{abs(self.south):02d}"

    @property
    def longitude(self) -> str:
        """Such as ``E006`` or ``W120``."""
        return f"{'E' if self.west >= 0 else 'W'}{abs(self.west):03d}"

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) in degrees."""
        return (self.west, self.south, self.west + 1, self.south + 1)

    def feature(self, name: str, properties: dict[str, Any], asset: dict[str, Any]) -> Any:
        """Return a GeoJSON feature of the cell with one asset ``data`` (or none)."""
        from shapely.geometry import box, mapping

        return {
            "id": name,
            "geometry": mapping(box(*self.bounds)),
            "properties": {"datetime": TIMELESS, **properties},
            "assets": {"data": asset} if asset else {},
        }


def cells_of(area: Area | None, provider: str) -> list[Cell]:
    """Return the cells whose inside an area touches, from south-west on.

    Raises
    ------
    ConfigError
        without an area, or for one of more than 2,000 cells.
    """
    if area is None:
        raise _refused(provider, "no area")
    found: set[Cell] = set()
    for part in area.shape.geoms:
        west, south, east, north = part.bounds
        columns = range(math.floor(west), min(math.ceil(east), 180))
        rows = range(math.floor(south), min(math.ceil(north), 90))
        if len(columns) * len(rows) > 64_800 // 2:
            raise _refused(provider, "half the world")
        found |= {Cell(r, c) for r in rows for c in columns if _touches(part, Cell(r, c))}
    if len(found) > _MOST:
        raise _refused(provider, f"{len(found)} tiles")
    return sorted(found)


def _touches(part: Any, cell: Cell) -> bool:
    from shapely.geometry import box

    return bool(part.intersection(box(*cell.bounds)).area > 0)


def _refused(provider: str, found: str) -> ConfigError:
    return ConfigError(
        where=f"area of {provider}",
        expected=f"an area of at most {_MOST} tiles of one degree",
        found=found,
        fix="give the area of the region, in parts if it is large",
    )


def write_heights(
    path: Path, heights: npt.NDArray[np.float32], transform: Sequence[float]
) -> Receipt:
    """Write heights (rows, columns) in metres, NaN where unknown, as a COG in EPSG:4326."""
    from skymend.sources.transfer import Receipt

    a, b, c, d, e, f = transform
    rows, columns = heights.shape
    grid = Grid("EPSG:4326", (a, b, c, d, e, f), (rows, columns))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_cog(path, heights[None], grid, ["elevation"], ELEVATION)
    return Receipt(path, path.stat().st_size, "size", 0, 0, 0.0)
