"""Plain GeoTIFFs as providers write them, and COGs for a catalogue."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.errors import StoreError
from skymend.core.grid import Grid
from skymend.core.raster import gdal_env

BLOCK_PX = 256


def profile(grid: Grid, dtype: str, nodata: float | None, *, block_px: int) -> dict[str, Any]:
    """Return the creation options of a one-band, ZSTD-compressed GeoTIFF.

    Small scenes are written in strips, as tiles would only pad them.
    """
    from rasterio.transform import Affine

    options: dict[str, Any] = {
        "driver": "GTiff",
        "crs": grid.crs,
        "transform": Affine(*grid.transform),
        "height": grid.shape[0],
        "width": grid.shape[1],
        "count": 1,
        "dtype": dtype,
        "nodata": nodata,
        "compress": "zstd",
        "zstd_level": 1,
    }
    if min(grid.shape) > block_px:
        options |= {"tiled": True, "blockxsize": block_px, "blockysize": block_px}
    return options


def write_band(
    path: Path,
    values: npt.NDArray[Any],
    grid: Grid,
    *,
    nodata: float | None = None,
    tags: Mapping[str, str] | None = None,
    cog: bool = False,
) -> None:
    """Write one band in the type it has.

    Parameters
    ----------
    values : (rows, columns).
    nodata : declared in the file when given.
    tags : metadata of the file.
    cog : write as a Cloud Optimised GeoTIFF instead of a plain one.

    Raises
    ------
    StoreError
        if the file cannot be written.
    """
    import rasterio
    import rasterio.shutil
    from rasterio.errors import RasterioError

    part = path.with_name(f".{path.name}.part")
    options = profile(grid, str(np.dtype(values.dtype)), nodata, block_px=BLOCK_PX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with gdal_env():
            with rasterio.open(part, "w", **options) as target:
                target.write(values, 1)
                if tags:
                    target.update_tags(**tags)
            if cog:
                _to_cog(part, path)
                part.unlink()
            else:
                os.replace(part, path)
    except (RasterioError, OSError) as error:
        _forget(part)
        raise StoreError(
            where=path,
            expected="to write a simulated product",
            found=str(error.__cause__ or error).strip()[:200],
            fix="check free space and permissions of the folder",
        ) from error


def _forget(part: Path) -> None:
    """Remove a half-written file, if there is one."""
    if part.is_file():
        part.unlink()


def _to_cog(source: Path, path: Path) -> None:
    import rasterio.shutil

    rasterio.shutil.copy(
        source, path, driver="COG", COMPRESS="ZSTD", LEVEL="1", BLOCKSIZE=str(BLOCK_PX)
    )
