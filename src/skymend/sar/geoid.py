"""Height of the geoid above the ellipsoid, from a grid file.

EGM96 comes with PROJ's data files (``proj-data``: ``egm96_15.gtx``); a grid of EGM2008 can be
given instead. GTX: six big-endian numbers (south, west, step of latitude, step of longitude as
doubles, rows and columns as 32-bit), then float32 from the south-west corner, row by row.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.core.errors import ProductError, ToolMissingError

Doubles = npt.NDArray[np.float64]

EGM96_FILE = "egm96_15.gtx"
_PLACES = ("/usr/share/proj", "/usr/local/share/proj")
_MAX_BYTES = 1_200_000_000


@dataclass(frozen=True, slots=True)
class Geoid:
    """Undulation of a geoid.

    Parameters
    ----------
    name : name of the file.
    south, west, step_latitude, step_longitude : degrees, of the first pixel centre.
    undulation : (latitudes, longitudes) float32 metres, from the south.
    """

    name: str
    south: float
    west: float
    step_latitude: float
    step_longitude: float
    undulation: FloatArray

    def at(self, longitude: Doubles, latitude: Doubles) -> Doubles:
        """Return metres above WGS 84, bilinear, of the same shape as the degrees given."""
        rows, columns = self.undulation.shape
        y = np.clip((latitude - self.south) / self.step_latitude, 0, rows - 1)
        x = np.mod(longitude - self.west, 360.0) / self.step_longitude
        row = np.minimum(np.floor(y).astype(np.intp), rows - 2)
        column = np.floor(x).astype(np.intp)
        v, u = y - row, x - column
        around = abs(columns * self.step_longitude - 360.0) < 1.5 * self.step_longitude
        left = column % columns if around else np.clip(column, 0, columns - 1)
        right = (column + 1) % columns if around else np.clip(column + 1, 0, columns - 1)
        grid = self.undulation
        below = grid[row, left] * (1 - u) + grid[row, right] * u
        above = grid[row + 1, left] * (1 - u) + grid[row + 1, right] * u
        return np.asarray(below * (1 - v) + above * v, np.float64)


def find_egm96() -> Path:
    """Return the path of EGM96 in PROJ's data folders.

    Raises
    ------
    ToolMissingError
        if it is in none of them.
    """
    from pyproj.datadir import get_data_dir, get_user_data_dir

    listed = os.environ.get("PROJ_DATA", os.environ.get("PROJ_LIB", "")).split(os.pathsep)
    pyproj_folders = get_data_dir().split(os.pathsep)
    for folder in (*listed, *_PLACES, *pyproj_folders, get_user_data_dir()):
        if folder and (path := Path(folder) / EGM96_FILE).is_file():
            return path
    raise ToolMissingError(
        where=EGM96_FILE,
        expected="the geoid EGM96 among PROJ's data files",
        found="none in " + ", ".join(_PLACES),
        fix="install proj-data (`scripts/need proj-data`), set PROJ_DATA, or give --geoid FILE",
    )


@lru_cache(maxsize=2)
def read_geoid(path: Path | None = None) -> Geoid:
    """Read a geoid grid, GTX or GeoTIFF; EGM96 when None.

    Raises
    ------
    ProductError
        if the file is missing, damaged or not global.
    """
    place = path or find_egm96()
    if not place.is_file():
        raise _refuse(place, "no such file")
    if place.stat().st_size > _MAX_BYTES:
        raise _refuse(place, f"{place.stat().st_size} bytes")
    geoid = _read_gtx(place) if place.suffix.lower() == ".gtx" else _read_geotiff(place)
    if not (np.abs(geoid.undulation) < 200).all():
        raise _refuse(place, "undulations beyond 200 m or without number")
    return geoid


def _read_gtx(path: Path) -> Geoid:
    content = path.read_bytes()
    if len(content) < 40:
        raise _refuse(path, f"{len(content)} bytes")
    south, west, dy, dx, rows, columns = struct.unpack(">4d2i", content[:40])
    plausible = 2 <= rows <= 25_000 and 2 <= columns <= 50_000 and 0 < dx < 5 and 0 < dy < 5
    if not plausible or len(content) != 40 + 4 * rows * columns:
        raise _refuse(path, f"{len(content)} bytes for {rows} x {columns} numbers")
    values = np.frombuffer(content, ">f4", offset=40).reshape(rows, columns)
    return Geoid(path.name, south, west, dy, dx, values.astype(np.float32))


def _read_geotiff(path: Path) -> Geoid:
    from skymend.core.raster import describe, read

    info = describe(path)
    if info.grid.crs not in {"EPSG:4326", "EPSG:4979", "EPSG:4267", "EPSG:4269"}:
        raise _refuse(path, f"the CRS {info.grid.crs}")
    dx, _, left, _, dy, top = info.grid.transform
    values = read(path)[0][::-1]
    south = top + dy * (info.grid.shape[0] - 0.5)
    return Geoid(path.name, south, left + dx / 2, -dy, dx, np.ascontiguousarray(values))


def _refuse(path: Path, found: str) -> ProductError:
    return ProductError(
        where=path,
        expected="a geoid grid in metres above WGS 84, GTX or GeoTIFF in degrees",
        found=found,
        fix="give egm96_15.gtx or a grid of EGM2008, as PROJ distributes them",
    )
