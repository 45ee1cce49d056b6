"""COG writing by windows.

Values in memory are ``(bands, rows, columns)`` float32 with NaN where invalid; the
:class:`~skymend.core.encoding.Encoding` says how they lie on disk.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import Encoding, FloatArray
from skymend.core.errors import StoreError
from skymend.core.grid import Grid, Window
from skymend.core.raster import gdal_env

if TYPE_CHECKING:
    from rasterio.io import DatasetWriter

BLOCK = 512
"""Side of a COG block, pixels."""


class CogWriter:
    """Writes a raster by windows into a tiled work file, then finishes it as a COG.

    Parameters
    ----------
    path : final file; it appears only when :meth:`finish` succeeds.
    grid, bands, encoding : what is written.
    work : the tiled work file; kept on failure so that a later run can go on from it.
    """

    def __init__(
        self,
        path: Path,
        grid: Grid,
        bands: Sequence[str],
        encoding: Encoding,
        *,
        work: Path | None = None,
    ) -> None:
        self.path = path
        self.grid = grid
        self.bands = tuple(bands)
        self.encoding = encoding
        self.work = work or path.with_name(f".{path.name}.work.tif")
        self._dataset: DatasetWriter | None = None

    def __enter__(self) -> CogWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close()
        if kind is None:
            self.finish()

    def write(self, values: FloatArray, window: Window) -> None:
        """Write physical values of a window.

        Parameters
        ----------
        values : (bands, rows, columns) float32 in the unit of the encoding, NaN where invalid.
        """
        self.write_stored(self.encoding.encode(values), window)

    def write_stored(self, stored: npt.NDArray[Any], window: Window) -> None:
        """Write numbers that are already in their on-disk form."""
        from rasterio.errors import RasterioError

        where = (
            (window.row, window.row + window.rows),
            (window.column, window.column + window.columns),
        )
        try:
            self._open().write(stored, window=where)
        except (RasterioError, OSError) as error:
            raise _write_error(self.work, error) from error

    def close(self) -> None:
        """Close the work file; further windows reopen it."""
        from rasterio.errors import RasterioError

        if self._dataset is not None:
            dataset, self._dataset = self._dataset, None
            try:
                dataset.close()
            except (RasterioError, OSError) as error:
                raise _write_error(self.work, error) from error

    def finish(self) -> None:
        """Turn the complete work file into a COG and remove it.

        It takes one thread: GDAL's own pool can lock up when two threads of a process, or several
        bands, wait for it (GDAL issue 15003). Whoever has several writers finishes them at once.
        """
        self.close()
        _finish_cog(self.work, self.path, self.encoding)
        self.work.unlink()

    def _open(self) -> DatasetWriter:
        import rasterio
        from rasterio.transform import Affine

        if self._dataset is None and self.work.exists():
            with gdal_env():
                self._dataset = rasterio.open(self.work, "r+")
        elif self._dataset is None:
            profile: dict[str, Any] = {
                "driver": "GTiff",
                "crs": self.grid.crs,
                "transform": Affine(*self.grid.transform),
                "height": self.grid.shape[0],
                "width": self.grid.shape[1],
                "count": len(self.bands),
                "dtype": self.encoding.dtype,
                "nodata": self.encoding.nodata,
                "tiled": True,
                "blockxsize": BLOCK,
                "blockysize": BLOCK,
                # Not compressed: it would be undone and done again when the COG is made.
                "bigtiff": "if_safer",
                "sparse_ok": True,
            }
            with gdal_env():
                self._dataset = rasterio.open(self.work, "w", **profile)
            for index, band in enumerate(self.bands, start=1):
                self._dataset.set_band_description(index, band)
            self._dataset.scales = (self.encoding.scale,) * len(self.bands)
            self._dataset.offsets = (0.0,) * len(self.bands)
            self._dataset.units = (self.encoding.unit,) * len(self.bands)
        return self._dataset


def write_cog(
    path: Path,
    values: npt.NDArray[Any],
    grid: Grid,
    bands: Sequence[str],
    encoding: Encoding,
) -> None:
    """Write a whole array as a COG.

    Parameters
    ----------
    values : (bands, rows, columns); floats are encoded, integers are taken as stored numbers.
    """
    with CogWriter(path, grid, bands, encoding) as writer:
        window = Window(0, 0, *grid.shape)
        if values.dtype.kind == "f":
            writer.write(values, window)
        else:
            writer.write_stored(values.astype(encoding.dtype, copy=False), window)


def _finish_cog(work: Path, path: Path, encoding: Encoding) -> None:
    import rasterio
    import rasterio.shutil
    from rasterio.errors import RasterioError

    predictor = "FLOATING_POINT" if np.dtype(encoding.dtype).kind == "f" else "STANDARD"
    part = path.with_name(f".{path.name}.part.tif")
    try:
        # GDAL keeps overviews in a file of its own first, which it compresses with all its might
        # if not told otherwise: three quarters of the time of a raster of two bands.
        with gdal_env(), rasterio.Env(COG_TMP_COMPRESSION="NONE"):
            rasterio.shutil.copy(
                work,
                part,
                driver="COG",
                BLOCKSIZE=str(BLOCK),
                COMPRESS="ZSTD",
                LEVEL="1",
                PREDICTOR=predictor,
                NUM_THREADS="1",
                # Averaging around nodata takes seven times as long as the rest of a full tile.
                OVERVIEW_RESAMPLING="NEAREST",
                BIGTIFF="IF_SAFER",
            )
        os.replace(part, path)
    except (RasterioError, OSError) as error:
        part.unlink(missing_ok=True)
        raise _write_error(path, error) from error


def _write_error(path: Path, error: Exception) -> StoreError:
    cause = error.__cause__ or error
    return StoreError(
        where=path,
        expected="to write a raster",
        found=str(cause).strip()[:200],
        fix="check free space and permissions of the store, then run again",
    )
