"""Full-size tiles for benchmarks: one small scene, repeated with offsets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.grid import Grid, Window
from skymend.core.raster import gdal_env
from skymend.simulate.geotiff import profile
from skymend.simulate.landscape import landscape
from skymend.simulate.noise import generator
from skymend.simulate.optical import observe
from skymend.simulate.radar import POLARISATIONS, backscatter
from skymend.simulate.s1tiling import tags
from skymend.simulate.scenario import Orbit, Scenario
from skymend.simulate.theia import digital_numbers, theia_band

TILE_PX = 10980
PATTERN_PX = 1098
BLOCK_PX = 512

_ORBITS = (
    Orbit(
        relative_orbit=110,
        direction="DES",
        incidence_degrees=37.5,
        utc_seconds=21608,
        every_days=10,
    ),
    Orbit(
        relative_orbit=30,
        direction="ASC",
        incidence_degrees=41.0,
        utc_seconds=64512,
        every_days=10,
        first_day=5,
    ),
)


def full_tile(
    folder: Path, dates: int = 6, *, seed: int = 9, start: date = date(2018, 7, 1)
) -> Scenario:
    """Write a whole Sentinel-2 tile of 10980 x 10980 pixels, for speed and memory only.

    A scene of 1098 pixels is simulated per date and repeated ten by ten, each time rolled
    and turned by an offset of its own that is the same on all dates and for both sensors.
    Blocks therefore agree in time but not with their neighbours: do not judge maps by it.

    Parameters
    ----------
    folder : receives ``theia/``, ``s1tiling/<tile>/`` and ``dem/<tile>.tif``.
    dates : optical dates, 5 days apart, with one radar pass each.

    Returns
    -------
    The scenario of the tile, whose names and dates are those of the products.
    """
    tile = Scenario(
        size_px=TILE_PX,
        row_px=0,
        column_px=0,
        start=start,
        days=5 * dates,
        seed=seed,
        orbits=_ORBITS,
        partial_swath_share=0.0,
        outside_swath_share=0.0,
    )
    pattern = tile.model_copy(update={"size_px": PATTERN_PX})
    mosaic = Mosaic(Grid.from_mgrs(tile.tile), seed)
    for day in tile.optical_dates():
        _write_optical(folder / "theia", pattern, day, mosaic)
    for acquisition in tile.radar_passes():
        image = backscatter(pattern, acquisition)
        for polarisation, values in zip(POLARISATIONS, image, strict=True):
            name = acquisition.file_name(tile.tile, polarisation.lower())
            described = tags(tile, acquisition, polarisation)
            path = folder / "s1tiling" / tile.tile / name
            mosaic.write(path, _shortened(values), nodata=0.0, described=described)
    elevation = landscape(seed, PATTERN_PX).elevation
    mosaic.write(folder / "dem" / f"{tile.tile}.tif", elevation, nodata=-32768.0)
    return tile


@dataclass(frozen=True, slots=True)
class Mosaic:
    """Repeats a square pattern over a grid, the same way every time."""

    grid: Grid
    seed: int

    def write(
        self,
        path: Path,
        pattern: npt.NDArray[Any],
        *,
        nodata: float | None = None,
        described: Mapping[str, str] | None = None,
    ) -> None:
        """Write one band row of blocks by row of blocks, so that memory stays small."""
        import rasterio

        path.parent.mkdir(parents=True, exist_ok=True)
        options = profile(self.grid, str(pattern.dtype), nodata, block_px=BLOCK_PX)
        size = pattern.shape[0]
        with gdal_env(), rasterio.open(path, "w", **options) as target:
            for window in self._stripes(size):
                rows = ((window.row, window.row + window.rows), (0, window.columns))
                target.write(self.stripe(pattern, window.row // size), 1, window=rows)
            if described:
                target.update_tags(**described)

    def stripe(self, pattern: npt.NDArray[Any], number: int) -> npt.NDArray[Any]:
        """Return one row of turned and rolled copies of the pattern."""
        size = pattern.shape[0]
        copies = []
        for column in range(self.grid.shape[1] // size):
            rng = generator(self.seed, "mosaic", number, column)
            shift, turns = rng.integers(0, size, 2), int(rng.integers(0, 4))
            copies.append(np.rot90(np.roll(pattern, shift, axis=(0, 1)), turns))
        return np.concatenate(copies, axis=1)

    def _stripes(self, size: int) -> list[Window]:
        rows, columns = self.grid.shape
        return [Window(row, 0, size, columns) for row in range(0, rows, size)]


def _write_optical(folder: Path, pattern: Scenario, day: date, mosaic: Mosaic) -> None:
    image = observe(pattern, day)
    name = pattern.product_name(day)
    numbers = digital_numbers(image.reflectance)
    for index, band in enumerate(pattern.bands):
        mosaic.write(folder / name / f"{name}_FRE_{theia_band(band)}.tif", numbers[index])
    masks = {"CLM": image.clm, "EDG": image.edge.astype(np.uint8)}
    for kind, mask in masks.items():
        mosaic.write(folder / name / "MASKS" / f"{name}_{kind}_R1.tif", mask)


def _shortened(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Round to 10 mantissa bits (0.004 dB), so that speckle can be compressed at all."""
    bits = np.nan_to_num(values, nan=0.0).astype(np.float32).view(np.uint32)
    return ((bits + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)).view(np.float32)
