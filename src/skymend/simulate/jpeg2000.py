"""Lossless JPEG 2000 images, as Sentinel-2 products hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.errors import StoreError
from skymend.core.grid import Grid
from skymend.core.raster import gdal_env

_OPTIONS = {"REVERSIBLE": "YES", "QUALITY": "100", "YCBCR420": "NO", "GMLJP2": "YES"}

_TILE = {10.0: 1024, 20.0: 640, 60.0: 192}
"""Side of the tiles inside real images, pixels, by their pixel size in metres."""


def write_jp2(path: Path, values: npt.NDArray[Any], grid: Grid) -> None:
    """Write an image bit-exactly.

    Parameters
    ----------
    values : (rows, columns) or (bands, rows, columns) uint8 or uint16.
    grid : of the image, which is at most 16384 pixels wide.

    Raises
    ------
    StoreError
        if the file cannot be written.
    """
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.transform import Affine

    bands = values if values.ndim == 3 else values[None]
    side = str(_TILE.get(grid.resolution, max(_TILE.values())))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            gdal_env(),
            rasterio.open(
                path,
                "w",
                driver="JP2OpenJPEG",
                crs=grid.crs,
                transform=Affine(*grid.transform),
                height=bands.shape[1],
                width=bands.shape[2],
                count=len(bands),
                dtype=str(np.dtype(bands.dtype)),
                **_OPTIONS,
                BLOCKXSIZE=side,
                BLOCKYSIZE=side,
            ) as target,
        ):
            target.write(bands)
    except (RasterioError, OSError) as error:
        raise StoreError(
            where=path,
            expected="to write a simulated JPEG 2000 image",
            found=str(error.__cause__ or error).strip()[:200],
            fix="check free space and permissions of the folder",
        ) from error
