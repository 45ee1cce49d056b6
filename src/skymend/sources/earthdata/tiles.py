"""Tiles of the sinusoidal grid of MODIS and VIIRS land products: ``h18v04``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skymend.core.errors import ConfigError

if TYPE_CHECKING:
    import pystac
    from shapely.geometry import Polygon

    from skymend.sources.area import Area

_COLUMNS, _ROWS = 36, 18
_EDGE = 20
"""Steps along the sides of an outline, half a degree each."""
_POLE = 89.9

_TILE = re.compile(r"h(\d{2})v(\d{2})", re.IGNORECASE)
_IN_NAME = re.compile(r"\.h(\d{2})v(\d{2})\.")


@dataclass(frozen=True, slots=True)
class Tile:
    """Column 0..35 from the west and row 0..17 from the north, 10 degrees each at the equator."""

    column: int
    row: int

    def __str__(self) -> str:
        return f"h{self.column:02d}v{self.row:02d}"

    @property
    def code(self) -> str:
        """The ``grid:code`` of the STAC grid extension."""
        return f"MSIN-{self.column:02d}{self.row:02d}"


def parse(text: str) -> Tile:
    """Read a tile.

    Raises
    ------
    ConfigError
        if it is none.
    """
    match = _TILE.fullmatch(text.strip())
    if match and int(match[1]) < _COLUMNS and int(match[2]) < _ROWS:
        return Tile(int(match[1]), int(match[2]))
    raise ConfigError(
        where="search filter tile",
        expected="a tile of the sinusoidal grid, h00v00 to h35v17",
        found=repr(text),
        fix="write it like h18v04",
    )


def of_name(name: str) -> Tile | None:
    """Return the tile that a granule's name states, None if it states none."""
    match = _IN_NAME.search(f".{name}.")
    return Tile(int(match[1]), int(match[2])) if match else None


def outline(tile: Tile) -> Polygon:
    """Return the ground of a tile in degrees, as far as it lies on the globe.

    The grid is sinusoidal on a sphere: latitude is y / R, longitude x / (R cos latitude), and a
    tile spans 10 degrees of latitude (MODIS Land, sinusoidal tile grid).
    """
    from shapely.geometry import Polygon

    top = 90.0 - 10.0 * tile.row
    rows = [min(max(top - 10.0 * i / _EDGE, -_POLE), _POLE) for i in range(_EDGE + 1)]
    west, east = (10.0 * (tile.column + side) - 180.0 for side in (0, 1))
    left = [(_longitude(west, latitude), latitude) for latitude in rows]
    right = [(_longitude(east, latitude), latitude) for latitude in reversed(rows)]
    return Polygon(left + right)


def touched(area: Area) -> list[Tile]:
    """Return the tiles that an area touches, by row and column."""
    every = (Tile(column, row) for row in range(_ROWS) for column in range(_COLUMNS))
    shapes = ((tile, outline(tile)) for tile in every if _on_globe(tile))
    return [tile for tile, shape in shapes if area.intersects(shape)]


def _longitude(x_degrees: float, latitude: float) -> float:
    return min(max(x_degrees / math.cos(math.radians(latitude)), -180.0), 180.0)


def _on_globe(tile: Tile) -> bool:
    """Say whether any part of a tile lies on the globe: its edge nearest to the equator decides."""
    nearest = min(abs(90.0 - 10.0 * tile.row), abs(80.0 - 10.0 * tile.row))
    reach = 180.0 * math.cos(math.radians(nearest))
    return 10.0 * tile.column - 180.0 < reach and 10.0 * tile.column - 170.0 > -reach


def of_tile(items: Iterable[pystac.Item], tile: Tile | None) -> Iterator[pystac.Item]:
    """Yield the items of a tile, all of them without one."""
    for item in items:
        if tile is None or item.properties.get("grid:code") == tile.code:
            yield item
