"""What SNAP is given: area, DEM and orbit in the forms it takes."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np

from skymend.core.errors import ConfigError, ProductError
from skymend.core.grid import Grid
from skymend.products.dem import read_dem
from skymend.sar.passes import lonlat_bounds

SUBSET_MARGIN_M = 5_000.0
"""Ground kept around the grid in radar geometry: terrain displaces and windows reach."""

DEM_MARGIN_M = 20_000.0
"""DEM kept around the grid."""

DEM_NODATA = -32768.0

_POSTING = 1 / 3600
_EOF = re.compile(
    r"(S1[A-D])_OPER_AUX_(POEORB|RESORB)_OPOD_\d{8}T\d{6}_V(\d{4})(\d{2})(\d{2})T\d{6}_"
    r"\d{8}T\d{6}\.EOF"
)


def subset_wkt(grid: Grid) -> str:
    """Return the area for SNAP's Subset, WKT in longitude and latitude."""
    west, south, east, north = (round(v, 6) for v in lonlat_bounds(grid, SUBSET_MARGIN_M))
    ring = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    return f"POLYGON(({','.join(f'{x:g} {y:g}' for x, y in ring)}))"


def elevation(dem: Path, grid: Grid, work: Path) -> Path:
    """Write the DEM around the grid as SNAP takes it: geographic, one plain GeoTIFF.

    Returns
    -------
    Path of a float32 GeoTIFF, metres above the geoid at 1 arc second, -32768 where none.

    Raises
    ------
    ProductError
        if the DEM has no height in the area.
    """
    import rasterio
    from rasterio.transform import Affine

    west, south, east, north = lonlat_bounds(grid, DEM_MARGIN_M)
    shape = (round((north - south) / _POSTING), round((east - west) / _POSTING))
    geographic = Grid("EPSG:4326", (_POSTING, 0.0, west, 0.0, -_POSTING, north), shape)
    heights = read_dem(dem, geographic, resampling="bilinear")
    if not np.isfinite(heights).any():
        raise ProductError(
            where=dem,
            expected="heights inside the area",
            found="none",
            fix="give a DEM that reaches 20 km beyond the area",
        )
    path = work / "dem.tif"
    profile = {
        "driver": "GTiff",
        "crs": geographic.crs,
        "transform": Affine(*geographic.transform),
        "height": shape[0],
        "width": shape[1],
        "count": 1,
        "dtype": "float32",
        "nodata": DEM_NODATA,
    }
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(np.where(np.isnan(heights), np.float32(DEM_NODATA), heights), 1)
    return path


def orbit_home(orbit: Path, work: Path) -> Path:
    """Lay an orbit file where SNAP looks first, in a user folder of the job's own.

    SNAP keeps them zipped under ``auxdata/Orbits/Sentinel-1/POEORB/S1A/2021/12``, by the month
    in which the file's validity begins.

    Returns
    -------
    The folder for ``-J-Dsnap.userdir``.

    Raises
    ------
    ConfigError
        if the name is none of an orbit file.
    """
    match = _EOF.fullmatch(orbit.name)
    if match is None or not orbit.is_file():
        raise ConfigError(
            where="orbit",
            expected="a file such as S1A_OPER_AUX_POEORB_OPOD_..._V..._....EOF",
            found=str(orbit),
            fix="give the EOF file under its own name",
        )
    satellite, kind, year, month, _ = match.groups()
    home = work / "snap-user"
    folder = home / "auxdata" / "Orbits" / "Sentinel-1" / kind / satellite / year / month
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{orbit.name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(orbit, orbit.name)
    return home
