"""Pixel grids: a CRS, an affine transform and a shape.

The default grid is that of a Sentinel-2 MGRS tile, computed offline; an area of interest is
a window of it, so that every scene of a tile shares pixel edges.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from skymend.core.errors import ConfigError, GridError

TILE_EXTENT_M = 109_800
"""Width and height of a Sentinel-2 tile (Sentinel-2 Products Specification, section 3.4)."""

_TILE_STEP_M = 60
_COLUMN_SETS = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")
_ROW_LETTERS = "ABCDEFGHJKLMNPQRSTUV"
_BAND_LETTERS = "CDEFGHJKLMNPQRSTUVWX"
_ROW_PERIOD_M = 2_000_000
_SQUARE_M = 100_000
_SOUTH_FALSE_NORTHING_M = 10_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """A block of pixels; ``row`` and ``column`` may be negative for padded windows."""

    row: int
    column: int
    rows: int
    columns: int

    def __post_init__(self) -> None:
        if self.rows <= 0 or self.columns <= 0:
            raise ConfigError(
                where="window",
                expected="positive numbers of rows and columns",
                found=f"{self.rows} x {self.columns}",
                fix="check the area against the tile",
            )

    def padded(self, margin: int) -> Window:
        """Return the window grown by ``margin`` pixels on each side."""
        return Window(
            self.row - margin,
            self.column - margin,
            self.rows + 2 * margin,
            self.columns + 2 * margin,
        )

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices into an array of the whole grid."""
        return (
            slice(self.row, self.row + self.rows),
            slice(self.column, self.column + self.columns),
        )


@dataclass(frozen=True, slots=True)
class Grid:
    """A north-up pixel grid.

    Parameters
    ----------
    crs : an authority code such as ``EPSG:32631``.
    transform : affine coefficients (a, b, c, d, e, f): x = a*column + b*row + c,
        y = d*column + e*row + f, in metres, at the upper-left pixel corner.
    shape : (rows, columns).
    """

    crs: str
    transform: tuple[float, float, float, float, float, float]
    shape: tuple[int, int]

    @property
    def resolution(self) -> float:
        """Pixel size in metres (pixels are square)."""
        return self.transform[0]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in the units of the CRS."""
        a, _, c, _, e, f = self.transform
        rows, columns = self.shape
        return (c, f + e * rows, c + a * columns, f)

    def window(self, bounds: tuple[float, float, float, float]) -> Window:
        """Return the smallest window that covers ``bounds`` (left, bottom, right, top)."""
        left, bottom, right, top = bounds
        size = self.resolution
        column = math.floor((left - self.transform[2]) / size + 1e-6)
        row = math.floor((self.transform[5] - top) / size + 1e-6)
        columns = math.ceil((right - self.transform[2]) / size - 1e-6) - column
        rows = math.ceil((self.transform[5] - bottom) / size - 1e-6) - row
        return Window(row, column, rows, columns)

    def crop(self, window: Window) -> Grid:
        """Return the grid of a window."""
        a, b, c, d, e, f = self.transform
        origin = (c + a * window.column, f + e * window.row)
        return Grid(self.crs, (a, b, origin[0], d, e, origin[1]), (window.rows, window.columns))

    def clip(self, bounds: tuple[float, float, float, float]) -> Grid:
        """Return the part of the grid that ``bounds`` (in its CRS) touches."""
        window = self.window(bounds)
        top = max(window.row, 0)
        left = max(window.column, 0)
        bottom = min(window.row + window.rows, self.shape[0])
        right = min(window.column + window.columns, self.shape[1])
        if bottom <= top or right <= left:
            raise ConfigError(
                where="area",
                expected=f"an area inside {self.bounds} of {self.crs}",
                found=f"{tuple(round(b, 1) for b in bounds)}",
                fix="choose the tile that holds the area",
            )
        return self.crop(Window(top, left, bottom - top, right - left))

    def at_resolution(self, resolution_m: float) -> Grid:
        """Return the same extent with another pixel size, rows and columns rounded up."""
        ratio = resolution_m / self.resolution
        rows, columns = (math.ceil(n / ratio - 1e-9) for n in self.shape)
        _, b, c, d, _, f = self.transform
        return Grid(self.crs, (resolution_m, b, c, d, -resolution_m, f), (rows, columns))

    def window_in(self, other: Grid) -> Window:
        """Return where this grid lies in ``other``.

        Raises
        ------
        GridError
            if CRS, pixel size or pixel edges differ.
        """
        if self.crs != other.crs or abs(self.resolution - other.resolution) > 1e-6:
            raise GridError(
                where="grid",
                expected=f"{other.crs} at {other.resolution:g} m",
                found=f"{self.crs} at {self.resolution:g} m",
                fix="bring both rasters to one grid first",
            )
        column = (self.transform[2] - other.transform[2]) / self.resolution
        row = (other.transform[5] - self.transform[5]) / self.resolution
        if abs(column - round(column)) > 1e-3 or abs(row - round(row)) > 1e-3:
            raise GridError(
                where="grid",
                expected="pixel edges that coincide",
                found=f"a shift of ({column % 1:.3f}, {row % 1:.3f}) pixel",
                fix="resample one raster to the grid of the other",
            )
        return Window(round(row), round(column), *self.shape)

    def blocks(self, size: int) -> Iterator[Window]:
        """Yield windows of at most ``size`` pixels a side that cover the grid, row by row."""
        rows, columns = self.shape
        for row in range(0, rows, size):
            for column in range(0, columns, size):
                yield Window(row, column, min(size, rows - row), min(size, columns - column))

    def as_json(self) -> dict[str, Any]:
        """Return the grid as plain JSON types; the inverse of :meth:`from_json`."""
        return {"crs": self.crs, "transform": list(self.transform), "shape": list(self.shape)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Grid:
        """Build a grid from what :meth:`as_json` wrote."""
        a, b, c, d, e, f = (float(v) for v in document["transform"])
        rows, columns = (int(v) for v in document["shape"])
        return cls(str(document["crs"]), (a, b, c, d, e, f), (rows, columns))

    @classmethod
    def from_mgrs(cls, tile: str, resolution_m: float = 10.0) -> Grid:
        """Return the grid of a Sentinel-2 tile such as ``31TCJ``, without any network.

        The upper-left corner is that of the MGRS 100 km square moved outwards to a multiple
        of 60 m counted from the equator, so that the 10, 20 and 60 m grids share it
        (Sentinel-2 Products Specification, section 3.4; checked against recorded products
        of both hemispheres).
        """
        zone, band, column_letter, row_letter = _split_mgrs(tile)
        easting = (_COLUMN_SETS[(zone - 1) % 3].index(column_letter) + 1) * _SQUARE_M
        northing = _square_northing(zone, band, row_letter)
        south = band < "N"
        left = math.floor(easting / _TILE_STEP_M) * _TILE_STEP_M
        false_northing = _SOUTH_FALSE_NORTHING_M if south else 0
        above_equator = northing + _SQUARE_M - false_northing
        top = math.ceil(above_equator / _TILE_STEP_M) * _TILE_STEP_M + false_northing
        pixels = round(TILE_EXTENT_M / resolution_m)
        epsg = (32700 if south else 32600) + zone
        return cls(
            f"EPSG:{epsg}",
            (resolution_m, 0.0, float(left), 0.0, -resolution_m, float(top)),
            (pixels, pixels),
        )

    @classmethod
    def mgrs_at(cls, longitude: float, latitude: float) -> str:
        """Return the tile whose 100 km square holds a point (degrees, WGS 84)."""
        from pyproj import Transformer

        band = _BAND_LETTERS[min(max(int((latitude + 80) // 8), 0), 19)]
        zone = _utm_zone(longitude, latitude, band)
        epsg = (32700 if latitude < 0 else 32600) + zone
        transformer = Transformer.from_crs("EPSG:4326", f"EPSG:{epsg}", always_xy=True)
        easting, northing = transformer.transform(longitude, latitude)
        return _square_name(zone, band, easting, northing)

    @classmethod
    def mgrs_in(cls, crs: str, easting: float, northing: float) -> str:
        """Return the tile whose 100 km square holds a point of a UTM CRS, also off its zone.

        Squares of a zone go on into its neighbours, and so do Sentinel-2 tiles.

        Raises
        ------
        ConfigError
            if the CRS is no UTM zone on WGS 84, or the point lies beyond its squares.
        """
        from pyproj import Transformer

        match = re.fullmatch(r"EPSG:32([67])(\d{2})", crs)
        if match is None or not 1 <= int(match[2]) <= 60 or not 1 <= easting // _SQUARE_M <= 8:
            raise ConfigError(
                where="grid",
                expected="a UTM zone such as EPSG:32631, between 100 and 900 km east",
                found=f"{crs} at {easting:.0f} m east",
                fix="choose the UTM zone of the area",
            )
        to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        latitude = to_degrees.transform(easting, northing)[1]
        band = _BAND_LETTERS[min(max(int((latitude + 80) // 8), 0), 19)]
        return _square_name(int(match[2]), band, easting, northing)


def _square_name(zone: int, band: str, easting: float, northing: float) -> str:
    """Return the name of the 100 km square that holds a point of a zone."""
    column = _COLUMN_SETS[(zone - 1) % 3][int(easting // _SQUARE_M) - 1]
    shift = 5 if zone % 2 == 0 else 0
    row = _ROW_LETTERS[(int(northing // _SQUARE_M) + shift) % len(_ROW_LETTERS)]
    return f"{zone:02d}{band}{column}{row}"


def _utm_zone(longitude: float, latitude: float, band: str) -> int:
    """Return the UTM zone, with the exceptions of Norway and Svalbard (NGA.STND.0037)."""
    if band == "V" and 3 <= longitude < 12:
        return 32
    if band == "X" and 0 <= longitude < 42:
        return 2 * int((longitude + 3) // 12) + 31
    return int((longitude + 180) // 6) % 60 + 1


def _split_mgrs(tile: str) -> tuple[int, str, str, str]:
    match = re.fullmatch(r"T?(\d{2})([C-HJ-NP-X])([A-HJ-NP-Z])([A-HJ-NP-V])", tile)
    zone = int(match.group(1)) if match else 0
    if match is None or not 1 <= zone <= 60 or match.group(3) not in _COLUMN_SETS[(zone - 1) % 3]:
        raise ConfigError(
            where="area.tiles",
            expected="an MGRS tile such as 31TCJ",
            found=repr(tile),
            fix="look the tile up in the Sentinel-2 tiling grid",
        )
    return zone, match.group(2), match.group(3), match.group(4)


def _square_northing(zone: int, band: str, row_letter: str) -> float:
    """Return the northing in metres of the lower edge of an MGRS 100 km square.

    Row letters repeat every 2,000 km and start at A in odd zones, at F in even ones
    (NGA.STND.0037, appendix B); the latitude band decides which repetition is meant.
    """
    shift = 5 if zone % 2 == 0 else 0
    index = (_ROW_LETTERS.index(row_letter) - shift) % len(_ROW_LETTERS)
    northing = float(index * _SQUARE_M)
    lowest_latitude = (_BAND_LETTERS.index(band) - 10) * 8
    false_northing = 0 if band >= "N" else _SOUTH_FALSE_NORTHING_M
    floor_m = _meridian_northing(lowest_latitude) + false_northing
    while northing + _SQUARE_M <= floor_m - _SQUARE_M / 2:
        northing += _ROW_PERIOD_M
    return northing


def _meridian_northing(latitude: float) -> float:
    """Return the UTM northing on the central meridian (within a few hundred metres)."""
    return 110_574.0 * 0.9996 * latitude + 1_120.0 * 0.9996 * latitude * (abs(latitude) / 90.0)
