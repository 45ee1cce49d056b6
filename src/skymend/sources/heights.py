"""Heights for a product when the user gives none: Copernicus DEM tiles, kept in the cache."""

from __future__ import annotations

import math
from pathlib import Path

from skymend.core.grid import Grid
from skymend.sources.area import Area
from skymend.sources.downloads import download_items
from skymend.sources.protocol import Filters, Settings
from skymend.sources.registry import open_source

PROVIDER = "cop-dem-30"
COLLECTION = "cop-dem-glo-30"


MARGIN_DEGREES = 0.2
"""At least 20 km: how far around an area heights are needed to place a radar image."""


def heights_around(grid: Grid, settings: Settings) -> Path:
    """Return a folder with the tiles of Copernicus DEM GLO-30 that a radar image needs.

    Tiles that are there and whole are not fetched again.

    Raises
    ------
    RetryableError
        if the bucket cannot be reached.
    """
    west, south, east, north = Area.of_grid(grid).bounds
    along = MARGIN_DEGREES / max(0.05, math.cos(math.radians(max(abs(south), abs(north)))))
    low, high = max(-90.0, south - MARGIN_DEGREES), min(90.0, north + MARGIN_DEGREES)
    area = Area.of_bounds(_turned(west - along), low, _turned(east + along), high)
    source = open_source(PROVIDER, settings)
    folder = settings.cache / PROVIDER
    download_items(source, source.search(COLLECTION, area, None, Filters()), (), folder)
    return folder


def _turned(longitude: float) -> float:
    """Bring a longitude that stepped over the antimeridian back to -180..180."""
    return (longitude + 180.0) % 360.0 - 180.0
