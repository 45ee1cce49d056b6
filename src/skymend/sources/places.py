"""Which part of an item is rendered, and on which grid."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from skymend.core.errors import ConfigError
from skymend.core.grid import Grid

if TYPE_CHECKING:
    import pystac

    from skymend.sources.area import Area

BOUNDS = "skymend:bounds"
"""Property of an item: west, south, east, north of the part to bring, degrees."""

_SNAP_M = 60.0
"""Grids begin at multiples of it, so that bands of 10, 20 and 60 m nest."""


def part_of(item: pystac.Item, area: Area) -> pystac.Item:
    """Note in an item the box of what it shares with an area."""
    from shapely.geometry import shape

    if item.geometry is not None:
        common = shape(item.geometry).intersection(area.shape)
        if not common.is_empty and common.area > 0:
            item.properties[BOUNDS] = [round(v, 7) for v in common.bounds]
    return item


def grid_of(item: pystac.Item, resolution_m: float) -> Grid:
    """Return the grid of an item's part: its own CRS, else the UTM zone of its middle.

    Raises
    ------
    ConfigError
        if the item has neither footprint nor bounds.
    """
    from pyproj import Transformer

    west, south, east, north = _box(item)
    crs = str(item.properties.get("proj:code") or _utm((west + east) / 2, (south + north) / 2))
    transformer = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    left, bottom, right, top = transformer.transform_bounds(west, south, east, north)
    snap = max(_SNAP_M, resolution_m)
    left, bottom = (math.floor(v / snap) * snap for v in (left, bottom))
    right, top = (math.ceil(v / snap) * snap for v in (right, top))
    shape = (math.ceil((top - bottom) / resolution_m), math.ceil((right - left) / resolution_m))
    return Grid(crs, (resolution_m, 0.0, left, 0.0, -resolution_m, top), shape)


def grid_of_asset(item: pystac.Item, key: str) -> Grid:
    """Return an asset's own grid, clipped to the item's part where it has one.

    Raises
    ------
    ConfigError
        if the asset states no grid, or the part lies beside it.
    """
    from pyproj import Transformer

    facts = item.assets[key].extra_fields
    a, b, c, d, e, f = (float(v) for v in facts["proj:transform"][:6])
    rows, columns = facts["proj:shape"]
    grid = Grid(str(facts["proj:code"]), (a, b, c, d, e, f), (int(rows), int(columns)))
    part = item.properties.get(BOUNDS)
    if part is None:
        return grid
    transformer = Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True)
    return grid.clip(transformer.transform_bounds(*part))


def folder_of(item: pystac.Item) -> str:
    """Return the name of an item's folder."""
    return re.sub(r"[^\w.+-]", "_", item.id).lstrip(".") or "item"


def _box(item: pystac.Item) -> tuple[float, float, float, float]:
    box: Any = item.properties.get(BOUNDS) or item.bbox
    if not box or len(box) != 4:
        raise ConfigError(
            where=f"item {item.id}",
            expected="a footprint",
            found="none",
            fix="search with an area, so that the item knows its part",
        )
    west, south, east, north = (float(v) for v in box)
    return west, south, east, north


def _utm(longitude: float, latitude: float) -> str:
    zone = min(int((longitude + 180) // 6) + 1, 60)
    return f"EPSG:{32600 + zone if latitude >= 0 else 32700 + zone}"
