"""Areas as services take them in an address: single polygons of bounded length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pystac

    from skymend.sources.area import Area

LONGEST = 2000
"""Characters of an outline; servers refuse addresses beyond some 8,000 when encoded."""

MOST_PARTS = 12


def outlines(area: Area) -> list[str]:
    """Return polygons as well-known text that hold the area: its parts, each simple enough.

    An outline that is too long becomes its hull, then its box; more than twelve parts become one
    hull. So they may hold more than the area: :func:`touching` decides in the end.
    """
    parts = list(area.shape.geoms)
    if len(parts) > MOST_PARTS:
        parts = [area.shape.convex_hull]
    return [outline(part) for part in parts]


def places(area: Area | None) -> Sequence[str | None]:
    """Return what to ask a service for, one after the other: outlines, or None for everywhere."""
    return [None] if area is None else outlines(area)


def outline(part: Any) -> str:
    """Return a shapely polygon as well-known text, or its hull, or its box if that is too long."""
    import shapely

    for shape in (part, part.convex_hull, part.envelope):
        text = str(shapely.to_wkt(shape, rounding_precision=6, trim=True))
        if len(text) <= LONGEST:
            break
    return text


def touching(items: Iterable[pystac.Item], area: Area | None) -> Iterator[pystac.Item]:
    """Yield the items that touch an area; those without a footprint may."""
    from shapely.geometry import shape

    for item in items:
        if area is None or item.geometry is None or area.intersects(shape(item.geometry)):
            yield item
