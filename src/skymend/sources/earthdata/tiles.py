"""Tiles of the sinusoidal grid of MODIS and VIIRS land products: ``h18v04``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skymend.core.errors import ConfigError

if TYPE_CHECKING:
    import pystac

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
    if match and int(match[1]) < 36 and int(match[2]) < 18:
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


def of_tile(items: Iterable[pystac.Item], tile: Tile | None) -> Iterator[pystac.Item]:
    """Yield the items of a tile, all of them without one."""
    for item in items:
        if tile is None or item.properties.get("grid:code") == tile.code:
            yield item
