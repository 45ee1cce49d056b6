"""What S1Tiling reads: products, DEM tiles and the tile's name, in the layout it expects."""

from __future__ import annotations

import math
import shutil
import zipfile
from pathlib import Path

import numpy as np

from skymend.core.errors import ConfigError, GridError, ProductError
from skymend.core.grid import Grid
from skymend.products.dem import read_dem
from skymend.products.sentinel1 import GrdProduct
from skymend.sar.passes import Pass, lonlat_bounds

_POSTS = 3601
_NODATA = -32768
_TILE_MARGIN_M = 1_000.0


def tile_of(grid: Grid) -> str:
    """Return the Sentinel-2 tile that a grid is a window of.

    Raises
    ------
    ConfigError
        if there is none: S1Tiling makes tiles only.
    """
    left, bottom, right, top = grid.bounds
    middle = ((left + right) / 2, (bottom + top) / 2)
    for easting, northing in (middle, (left, top), (right, top), (left, bottom), (right, bottom)):
        tile = Grid.mgrs_in(grid.crs, easting, northing)
        if _holds(Grid.from_mgrs(tile, grid.resolution), grid):
            return tile
    raise ConfigError(
        where="grid",
        expected="a Sentinel-2 tile, or a window of one",
        found=f"{grid.crs}, {grid.resolution:g} m, {tuple(round(b) for b in grid.bounds)}",
        fix="give --grid TILE, or use the engine embedded",
    )


def _holds(tile: Grid, grid: Grid) -> bool:
    try:
        window = grid.window_in(tile)
    except GridError:
        return False
    rows, columns = tile.shape
    inside = window.row >= 0 and window.column >= 0
    fits = window.row + window.rows <= rows and window.column + window.columns <= columns
    return inside and fits


def lay_out(track: Pass, folder: Path) -> None:
    """Show each product as ``folder/NAME/NAME.SAFE``: linked, or unpacked if it is a zip."""
    for product in track.slices:
        safe = folder / product.id / f"{product.id}.SAFE"
        safe.parent.mkdir(parents=True, exist_ok=True)
        if safe.is_symlink() or safe.exists():
            continue
        if product.archive.zipped:
            _unpack(product, safe)
        else:
            safe.symlink_to(product.path.resolve(), target_is_directory=True)


def _unpack(product: GrdProduct, safe: Path) -> None:
    """Unpack a zip whose names and sizes were checked when it was opened."""
    archive = product.archive
    part = safe.with_name(f".{safe.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with zipfile.ZipFile(product.path) as source:
            for name in archive.members or {}:
                target = part / name
                target.parent.mkdir(parents=True, exist_ok=True)
                inside = f"{archive.root}/{name}" if archive.root else name
                with source.open(inside) as stream, target.open("wb") as file:
                    shutil.copyfileobj(stream, file, 1 << 20)
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise archive.error(product.path.name, "a readable zip", str(error)[:120]) from error
    part.rename(safe)


def dem_tiles(dem: Path, tile: str, track: Pass, folder: Path, *, whole: bool) -> list[Path]:
    """Cut a DEM into the one-degree cells that S1Tiling asks for.

    Parameters
    ----------
    dem : GeoTIFF or folder of them, metres above the geoid.
    tile : the Sentinel-2 tile.
    folder : gets ``N41E012.tif`` and so on: int16 metres at 1 arc second, 3601 x 3601 posts.
    whole : cover the slices too, not the tile alone: terrain flattening looks at all of it.

    Returns
    -------
    The files; a cell in which the DEM has no height gets none.

    Raises
    ------
    ProductError
        if no cell has a height.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bounds = [lonlat_bounds(Grid.from_mgrs(tile, 100.0), _TILE_MARGIN_M)]
    if whole:
        for product in track.slices:
            latitudes, longitudes = zip(*product.footprint, strict=True)
            bounds.append((min(longitudes), min(latitudes), max(longitudes), max(latitudes)))
    west, south = (math.floor(min(b[i] for b in bounds)) for i in (0, 1))
    east, north = (math.ceil(max(b[i] for b in bounds)) for i in (2, 3))
    cells = [(lat, lon) for lat in range(south, north) for lon in range(west, east)]
    files = [path for cell in cells if (path := _cell(dem, *cell, folder)) is not None]
    if not files:
        raise ProductError(
            where=dem,
            expected=f"heights in the tile {tile}",
            found="none",
            fix="give a DEM that covers the tile",
        )
    return files


def _cell(dem: Path, latitude: int, longitude: int, folder: Path) -> Path | None:
    """Write one cell, its posts on whole arc seconds; return None where there is no height."""
    import rasterio
    from rasterio.transform import Affine

    step = 1 / (_POSTS - 1)
    edges = (step, 0.0, longitude - step / 2, 0.0, -step, latitude + 1 + step / 2)
    heights = read_dem(dem, Grid("EPSG:4326", edges, (_POSTS, _POSTS)), resampling="bilinear")
    if not np.isfinite(heights).any():
        return None
    stored = np.where(np.isnan(heights), _NODATA, np.rint(heights)).astype(np.int16)
    name = f"{'NS'[latitude < 0]}{abs(latitude):02d}{'EW'[longitude < 0]}{abs(longitude):03d}.tif"
    profile = {"driver": "GTiff", "height": _POSTS, "width": _POSTS, "count": 1}
    with rasterio.open(
        folder / name,
        "w",
        dtype="int16",
        crs="EPSG:4326",
        transform=Affine(*edges),
        nodata=_NODATA,
        compress="deflate",
        predictor=2,
        **profile,
    ) as dataset:
        dataset.write(stored, 1)
    return folder / name
