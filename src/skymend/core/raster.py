"""Windowed raster reading.

GDAL is reached through rasterio only. Values in memory are ``(bands, rows, columns)``
float32 with NaN where invalid; scale, offset and nodata say how they lie on disk.
:mod:`skymend.core.cog` writes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray, FloatArray
from skymend.core.errors import GridError, ProductError
from skymend.core.grid import Grid, Window
from skymend.core.mounts import RASTERS, remote_raster

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

_MAGIC = {
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
    b"\0\0\0\x0c": "JP2OpenJPEG",
}


@dataclass(frozen=True, slots=True)
class RasterInfo:
    """What a raster says of itself: grid, band names, stored type, nodata, scale, offset."""

    grid: Grid
    bands: tuple[str, ...]
    dtype: str
    nodata: float | None
    scale: float
    offset: float

    def index(self, band: str, path: Path) -> int:
        """Return the 1-based index of a band, by name."""
        try:
            return self.bands.index(band) + 1
        except ValueError:
            raise ProductError(
                where=path,
                expected=f"a band named {band}",
                found=", ".join(self.bands),
                fix="ask only for bands that the scene was made with",
            ) from None

    def physical(self, stored: npt.NDArray[Any]) -> FloatArray:
        """Return what stored numbers of any shape stand for, float32, NaN for nodata."""
        values = stored.astype(np.float32)
        if self.scale != 1.0 or self.offset != 0.0:
            values *= np.float32(self.scale)
            values += np.float32(self.offset)
        if self.nodata is not None and not np.isnan(self.nodata):
            values[stored == self.nodata] = np.nan
        return values


@contextmanager
def gdal_env() -> Iterator[None]:
    """GDAL settings of skymend: no threads of its own, bounded cache, no scans, no side-cars.

    The ``HTTP`` ones matter for rasters of a store on S3 only.
    """
    import rasterio

    with rasterio.Env(
        GDAL_NUM_THREADS="1",
        GDAL_CACHEMAX=256,
        GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR",
        GDAL_PAM_ENABLED="NO",
        GDAL_HTTP_CONNECTTIMEOUT="10",
        GDAL_HTTP_TIMEOUT="120",
        GDAL_HTTP_MAX_RETRY="5",
        GDAL_HTTP_RETRY_DELAY="0.5",
        GDAL_INGESTED_BYTES_AT_OPEN="32768",
    ):
        yield


@contextmanager
def open_raster(path: Path | str) -> Iterator[DatasetReader]:
    """Open a raster with an explicit list of drivers (no VRT, no surprise).

    Raises
    ------
    ProductError
        if the file is missing, truncated or of another format.
    """
    from rasterio.errors import RasterioError

    try:
        with gdal_env(), open_dataset(Path(path)) as dataset:
            yield dataset
    except RasterioError as error:
        cause = error.__cause__ or error
        raise ProductError(
            where=path,
            expected="a readable GeoTIFF or JPEG 2000 file",
            found=_reason(Path(path), str(cause)),
            fix="fetch or write the file again",
        ) from error


def open_dataset(path: Path) -> DatasetReader:
    """Open a raster that stays open; :func:`open_raster` has the errors.

    It is opened where it lies: here, or in a mounted store (see :mod:`skymend.core.mounts`).
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    remote = remote_raster(path)
    with warnings.catch_warnings():
        # Who needs a place on Earth refuses rasters without one, in a sentence of its own.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        if remote is None:
            return rasterio.open(path, driver=_driver(path))
        return rasterio.open(remote, driver=RASTERS[path.suffix])


def _driver(path: Path) -> str:
    """Choose the driver from the first bytes, so that no other format is ever tried."""
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
    except OSError:
        magic = b""
    if magic not in _MAGIC:
        raise ProductError(
            where=path,
            expected="a readable GeoTIFF or JPEG 2000 file",
            found=_reason(path, f"first bytes {magic!r}"),
            fix="fetch or write the file again",
        )
    return _MAGIC[magic]


def _reason(path: Path, message: str) -> str:
    remote = remote_raster(path)
    if remote is not None:
        return f"{remote}, which GDAL cannot read ({message.strip()[:160]})"
    if not path.exists():
        return "no such file"
    if path.stat().st_size == 0:
        return "an empty file"
    return f"a file of {path.stat().st_size} bytes that GDAL refuses ({message.strip()[:160]})"


def describe(path: Path | str) -> RasterInfo:
    """Return grid, band names and encoding of a raster without reading its pixels."""
    with open_raster(path) as dataset:
        return _describe(dataset)


def _describe(dataset: DatasetReader) -> RasterInfo:
    t = dataset.transform
    grid = Grid(
        f"EPSG:{dataset.crs.to_epsg()}" if dataset.crs else "",
        (t.a, t.b, t.c, t.d, t.e, t.f),
        dataset.shape,
    )
    names = tuple(d or f"band{i + 1}" for i, d in enumerate(dataset.descriptions))
    return RasterInfo(
        grid, names, dataset.dtypes[0], dataset.nodata, dataset.scales[0], dataset.offsets[0]
    )


def read_stored(
    path: Path | str,
    *,
    bands: Sequence[str] | None = None,
    window: Window | None = None,
) -> npt.NDArray[Any]:
    """Read stored numbers, without scale or nodata handling.

    Parameters
    ----------
    path : a GeoTIFF, COG or JPEG 2000 file.
    bands : names (band descriptions) in the order wanted; all when None.
    window : part to read, inside the raster; the whole when None.

    Returns
    -------
    (bands, rows, columns) of the stored type.
    """
    with open_raster(path) as dataset:
        info = _describe(dataset)
        indexes = None if bands is None else [info.index(b, Path(path)) for b in bands]
        where = None
        if window is not None:
            _check_inside(window, info.grid, path)
            where = (
                (window.row, window.row + window.rows),
                (window.column, window.column + window.columns),
            )
        return np.asarray(dataset.read(indexes, window=where))


def read(
    path: Path | str,
    *,
    bands: Sequence[str] | None = None,
    window: Window | None = None,
) -> FloatArray:
    """Read physical values: scale, offset and nodata of the file are applied.

    Returns
    -------
    (bands, rows, columns) float32, NaN where the file has nodata.

    Raises
    ------
    ProductError
        if the file cannot be read or lacks a band.
    GridError
        if the window reaches outside the raster.
    """
    info = describe(path)
    return info.physical(read_stored(path, bands=bands, window=window))


def read_labels(path: Path | str, *, window: Window | None = None) -> ByteArray:
    """Read the first band of a mask, QA or label raster as (rows, columns) uint8."""
    labels: ByteArray = read_stored(path, window=window)[0].astype(np.uint8, copy=False)
    return labels


def read_on(path: Path | str, grid: Grid, *, bands: Sequence[str] | None = None) -> FloatArray:
    """Read physical values on ``grid``, a window of the raster's own grid.

    Pixels of ``grid`` outside the raster come out as NaN.
    """
    info = describe(path)
    window = grid.window_in(info.grid)
    rows, columns = info.grid.shape
    top, left = max(window.row, 0), max(window.column, 0)
    bottom = min(window.row + window.rows, rows)
    right = min(window.column + window.columns, columns)
    count = len(info.bands) if bands is None else len(bands)
    values = np.full((count, *grid.shape), np.nan, np.float32)
    if bottom > top and right > left:
        part = read(path, bands=bands, window=Window(top, left, bottom - top, right - left))
        r, c = top - window.row, left - window.column
        values[:, r : r + part.shape[1], c : c + part.shape[2]] = part
    return values


def _check_inside(window: Window, grid: Grid, path: Path | str) -> None:
    rows, columns = grid.shape
    if (
        window.row < 0
        or window.column < 0
        or window.row + window.rows > rows
        or window.column + window.columns > columns
    ):
        raise GridError(
            where=path,
            expected=f"a window inside {rows} x {columns} pixels",
            found=str(window),
            fix="use read_on() for windows that reach outside",
        )
