"""Heights for geocoding: a DEM of any CRS, read where the radar needs it.

Files are read with their georeference as GDAL states it. A GeoTIFF of points, such as Copernicus
GLO-30, ties whole degrees to pixel centres; GDAL moves its origin by half a pixel, and heights are
interpolated between centres, so that neither half pixel is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.core.errors import ProductError
from skymend.core.grid import Grid, Window
from skymend.core.raster import open_raster
from skymend.products.dem import elevation_files, read_heights, refusal
from skymend.sar.sheets import Sheet, open_sheets, read_sheets

BoolArray = npt.NDArray[np.bool_]

MARGIN_M = 20_000.0
"""How far around the grid terrain can cast shadow on it or be laid over it, metres."""

SEA_M = 15.0
"""Height up to which the edge of a gap in the DEM is taken for a shore."""

_COARSE_M = 100.0


@dataclass(frozen=True, slots=True)
class Terrain:
    """A DEM around a grid.

    Parameters
    ----------
    files : its GeoTIFFs that touch the grid or its margin.
    grid : the grid heights are wanted on.
    coarse_grid, coarse : overview with the margin around, (rows, columns) float32, NaN where the
        DEM has no height.
    sheets : what the files hold of all that, in memory; None to have GDAL warp them.
    """

    path: Path
    files: tuple[Path, ...]
    grid: Grid
    coarse_grid: Grid
    coarse: FloatArray
    sheets: tuple[Sheet, ...] | None = None

    @classmethod
    def open(cls, path: Path, grid: Grid) -> Terrain:
        """Open a DEM.

        Raises
        ------
        ProductError
            if it cannot be read or is nowhere near the grid.
        """
        reason = refusal(path)
        if reason is not None:
            raise _error(path, reason)
        metre = 1.0 if grid.resolution > 1e-2 else 1 / 111_320.0
        wide = _around(grid, MARGIN_M * metre, _COARSE_M * metre)
        files = _touching(elevation_files(path), wide)
        coarse = read_heights(files, wide, resampling="bilinear")
        if not np.isfinite(coarse).any():
            raise _error(path, "heights elsewhere only")
        sheets = open_sheets(files, wide, grid.resolution)
        return cls(path, files, grid, wide, coarse, sheets)

    def heights(self, part: Grid) -> FloatArray:
        """Return heights on a part of the grid, which may reach beyond it.

        Returns
        -------
        (rows, columns) float32 metres; where there is none, sea level beyond a shore, else that
        of the nearest node.
        """
        if self.sheets is None:
            heights = read_heights(self.files, part, resampling="bilinear")
        else:
            heights = read_sheets(self.sheets, part)
        absent = np.isnan(heights)
        if absent.any():
            heights = _fill(heights, absent)
        return heights

    def relief(self, bounds: tuple[float, float, float, float]) -> tuple[float, float]:
        """Return lowest and highest height around an area, margin included, metres."""
        left, bottom, right, top = bounds
        size = self.coarse_grid.resolution
        reach = MARGIN_M / _COARSE_M * size
        window = self.coarse_grid.window((left - reach, bottom - reach, right + reach, top + reach))
        part = self.coarse[_inside(window, self.coarse.shape)]
        if not np.isfinite(part).any():
            return 0.0, 0.0
        # The overview averages: a summit may be somewhat higher than it shows.
        return float(np.nanmin(part)) - 20.0, float(np.nanmax(part)) + 50.0

    def demand_cover(self, wanted: BoolArray) -> float:
        """Check that gaps of the DEM lie in the sea, where its tiles are not delivered.

        Parameters
        ----------
        wanted : (rows, columns) boolean of the coarse grid, where the image lies on the grid.

        Returns
        -------
        The share of the image without height, taken for sea level.

        Raises
        ------
        ProductError
            if the DEM ends on land, or has no height at all under the image.
        """
        from scipy.ndimage import binary_dilation

        gap = np.isnan(self.coarse)
        missing = gap & wanted
        if not wanted.any() or not missing.any():
            return 0.0
        shore = self.coarse[binary_dilation(missing, iterations=2) & ~gap]
        if missing.sum() == wanted.sum():
            raise _error(self.path, "no height under the image")
        if shore.size and float(np.percentile(np.abs(shore), 75)) > SEA_M:
            share, level = missing.sum() / wanted.sum(), float(np.median(shore))
            found = f"none for {share:.1%} of the image, and it ends {level:.0f} m high, on land"
            raise _error(self.path, found)
        return float(missing.sum() / wanted.sum())


def _around(grid: Grid, margin: float, size: float) -> Grid:
    left, bottom, right, top = grid.bounds
    columns = int(np.ceil((right - left + 2 * margin) / size))
    rows = int(np.ceil((top - bottom + 2 * margin) / size))
    return Grid(grid.crs, (size, 0.0, left - margin, 0.0, -size, top + margin), (rows, columns))


def _inside(window: Window, shape: tuple[int, ...]) -> tuple[slice, slice]:
    rows, columns = window.slices
    return (
        slice(max(rows.start, 0), max(min(rows.stop, shape[0]), 1)),
        slice(max(columns.start, 0), max(min(columns.stop, shape[1]), 1)),
    )


def _touching(files: Sequence[Path], grid: Grid) -> tuple[Path, ...]:
    """Return the files that the grid, brought to their CRS, meets."""
    near = []
    for file in files:
        with open_raster(file) as dataset:
            # read_heights says in one sentence what is wrong with a file without CRS.
            if dataset.crs is None or _meets(tuple(dataset.bounds), dataset.crs, grid):
                near.append(file)
    return tuple(near)


def _meets(bounds: tuple[float, ...], crs: Any, grid: Grid) -> bool:
    """Tell whether a grid meets bounds (left, bottom, right, top) in another CRS.

    The grid is brought there, not the other way round: bounds may be those of a whole continent,
    which no UTM zone can hold.
    """
    from rasterio.warp import transform_bounds

    left, bottom, right, top = bounds
    west, south, east, north = transform_bounds(grid.crs, crs, *grid.bounds)
    if south >= top or north <= bottom:
        return False
    if not crs.is_geographic:
        return bool(west < right and east > left)
    east += 360.0 * (east < west)
    return any(west + turn < right and east + turn > left for turn in (-360.0, 0.0, 360.0))


def _fill(heights: FloatArray, absent: BoolArray) -> FloatArray:
    from scipy.ndimage import distance_transform_edt

    if absent.all():
        return np.zeros_like(heights)
    rows, columns = distance_transform_edt(absent, return_distances=False, return_indices=True)
    filled: FloatArray = heights[rows, columns]
    filled[absent & (np.abs(filled) <= SEA_M)] = 0.0
    return filled


def _error(path: Path, found: str) -> ProductError:
    return ProductError(
        where=path,
        expected="a DEM that covers the land of the scene with 20 km around it",
        found=found,
        fix="fetch the missing tiles, for example Copernicus GLO-30",
    )
