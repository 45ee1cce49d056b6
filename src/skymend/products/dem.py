"""Digital elevation models: one GeoTIFF, or a folder of them, in any CRS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.core.errors import GridError, ProductError
from skymend.core.grid import Grid
from skymend.core.raster import describe, open_raster
from skymend.products.sampling import Decoding, read_continuous

KIND = "dem"

Resampling = Literal["cubic", "bilinear", "nearest"]

_SUFFIXES = (".tif", ".tiff")


def refusal(path: Path) -> str | None:
    """Say why this reader does not take a path; None if it does."""
    if path.is_dir():
        return None if elevation_files(path) else "the folder holds no GeoTIFF"
    if not path.exists():
        return "no such file"
    if path.suffix.lower() not in _SUFFIXES:
        return "it is neither a GeoTIFF nor a folder of them"
    return None


def elevation_files(path: Path) -> tuple[Path, ...]:
    """Return the GeoTIFFs of a file or folder, sorted by name."""
    if path.is_file():
        return (path,)
    return tuple(sorted(p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES))


def read_dem(path: Path, grid: Grid, *, resampling: Resampling = "cubic") -> FloatArray:
    """Read heights on ``grid``.

    A file on the very same lattice is read as it is; any other CRS or pixel size is warped.
    Of several files, the first by name wins where they overlap.

    Returns
    -------
    (rows, columns) float32, metres above the reference of the source; NaN where there is none.

    Raises
    ------
    ProductError
        if a file cannot be read or has no CRS.
    """
    reason = refusal(path)
    if reason is not None:
        raise ProductError(
            where=path,
            expected="a DEM as GeoTIFF, or a folder of them",
            found=reason,
            fix="check the path of the source dem",
        )
    return read_heights(elevation_files(path), grid, resampling=resampling)


def read_heights(
    files: Sequence[Path], grid: Grid, *, resampling: Resampling = "cubic"
) -> FloatArray:
    """Read heights from several files; the first with a valid height wins.

    Returns
    -------
    (rows, columns) float32 in metres, NaN where no file has a height.
    """
    heights = np.full(grid.shape, np.nan, np.float32)
    for file in files:
        holes = np.isnan(heights)
        if not holes.any():
            break
        np.copyto(heights, _read_one(file, grid, resampling), where=holes)
    return heights


def _read_one(path: Path, grid: Grid, resampling: Resampling) -> FloatArray:
    info = describe(path)
    if not info.grid.crs and info.grid.transform[:2] == (1.0, 0.0):
        raise ProductError(
            where=path,
            expected="a georeferenced DEM",
            found="no CRS",
            fix="assign the CRS of the DEM first",
        )
    same_size = abs(info.grid.resolution - grid.resolution) < 1e-9
    if same_size and info.grid.crs == grid.crs:
        invalid = () if info.nodata is None else (float(info.nodata),)
        try:
            return read_continuous(path, grid, Decoding(info.scale, info.offset, invalid))
        except GridError:
            pass  # same pixel size, edges elsewhere: it is warped like any other
    return _warp(path, grid, resampling)


def _warp(path: Path, grid: Grid, resampling: Resampling) -> FloatArray:
    import rasterio
    from rasterio.transform import Affine
    from rasterio.warp import Resampling as Method
    from rasterio.warp import reproject

    heights = np.full(grid.shape, np.nan, np.float32)
    target: dict[str, Any] = {
        "dst_transform": Affine(*grid.transform),
        "dst_crs": grid.crs,
        "dst_nodata": np.nan,
    }
    with open_raster(path) as dataset:
        if dataset.crs is None:
            raise ProductError(
                where=path,
                expected="a georeferenced DEM",
                found="no CRS",
                fix="assign the CRS of the DEM first",
            )
        reproject(
            rasterio.band(dataset, 1),
            heights,
            src_nodata=dataset.nodata,
            resampling=Method[resampling],
            **target,
        )
    return heights
