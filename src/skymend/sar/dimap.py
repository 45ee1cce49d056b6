"""Results of SNAP: BEAM-DIMAP (``.dim`` with ENVI images in ``.data``) and GeoTIFF."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.core.errors import ProductError
from skymend.core.grid import Grid, Window
from skymend.core.raster import gdal_env
from skymend.products.sentinel1.markup import Node, parse_xml

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

_MAX_BYTES = 200_000_000
_DRIVERS = {".img": "ENVI", ".tif": "GTiff", ".tiff": "GTiff"}
_DIMAP_TAG = 65000


@dataclass(frozen=True, slots=True)
class BandSource:
    """Where one band lies: a raster file and the band's index in it, from 1."""

    path: Path
    index: int


@dataclass(frozen=True, slots=True)
class SnapResult:
    """A product that SNAP wrote: its bands by name."""

    path: Path
    bands: dict[str, BandSource]

    def read(
        self, band: str, grid: Grid, *, nodata: float | None = None, nearest: bool = False
    ) -> FloatArray:
        """Read a band on a grid.

        On the same lattice pixels are copied; elsewhere they are interpolated bilinearly, or
        the nearest is taken if asked.

        Parameters
        ----------
        band : name in :attr:`bands`.
        grid : where the values are wanted; any CRS.
        nodata : the number that means no data; the file's own when None.

        Returns
        -------
        (rows, columns) float32, NaN where there is no data or the file does not reach.

        Raises
        ------
        ProductError
            if the file is missing, damaged or has no CRS.
        """
        source = self.bands[band]
        with _open(source.path) as dataset:
            if not dataset.crs:
                raise _error(source.path, "a georeferenced raster", "no CRS")
            missing = dataset.nodata if nodata is None else nodata
            window = _window(dataset, grid)
            if window is not None:
                return _copy(dataset, source.index, window, missing)
            return _warp(dataset, source.index, grid, missing, nearest=nearest)


def open_result(path: Path) -> SnapResult:
    """Open what SNAP wrote.

    Parameters
    ----------
    path : a ``.dim`` document, or a GeoTIFF with SNAP's description of its bands inside.

    Raises
    ------
    ProductError
        if the file is missing or damaged, or a band lies outside its ``.data`` folder.
    """
    if not path.is_file():
        raise _error(path, "a result of SNAP", "no such file")
    if path.suffix.lower() == ".dim":
        if path.stat().st_size > _MAX_BYTES:
            raise _error(path, f"at most {_MAX_BYTES} bytes", f"{path.stat().st_size} bytes")
        document = parse_xml(path.read_bytes(), path.name)
        return SnapResult(path, _dimap_bands(document, path))
    names = _names(parse_xml(_description(path), path.name))
    return SnapResult(path, {n: BandSource(path, i + 1) for i, n in sorted(names.items())})


def _dimap_bands(document: Node, path: Path) -> dict[str, BandSource]:
    names = _names(document)
    folder = path.with_suffix(".data").resolve()
    bands = {}
    for file in document.each("Data_File"):
        index = file.whole("BAND_INDEX")
        link = file.get("DATA_FILE_PATH").attribute("href")
        image = (path.parent / link).with_suffix(".img").resolve()
        if not image.is_relative_to(folder):
            raise _error(path, f"images inside {folder.name}", repr(link))
        if index in names:
            bands[names[index]] = BandSource(image, 1)
    return bands


def _names(document: Node) -> dict[int, str]:
    """Return band names by their index, from 0."""
    return {n.whole("BAND_INDEX"): n.text("BAND_NAME") for n in document.each("Spectral_Band_Info")}


def _description(path: Path) -> bytes:
    """Return the DIMAP document that SNAP puts into private tag 65000 of a GeoTIFF."""
    import struct
    import warnings

    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    try:
        with path.open("rb") as stream, warnings.catch_warnings():
            # What Pillow warns of in a damaged file ends as a missing tag here.
            warnings.simplefilter("ignore")
            header = stream.read(8)
            header += stream.read(8) if header[2:3] == b"\x2b" else b""
            directory = ImageFileDirectory_v2(header)
            stream.seek(directory.next)
            directory.load(stream)
            text: Any = directory[_DIMAP_TAG]
    except (
        *(OSError, SyntaxError, LookupError, ValueError, TypeError),
        *(OverflowError, MemoryError, struct.error),
    ) as error:
        found = f"none ({type(error).__name__})"
        raise _error(path, "SNAP's description of the bands in tag 65000", found) from None
    return str(text).strip("\0 \n").encode()


@contextmanager
def _open(path: Path) -> Iterator[DatasetReader]:
    import rasterio
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    driver = _DRIVERS.get(path.suffix.lower())
    if driver is None or not path.is_file():
        raise _error(path, "an ENVI image or GeoTIFF", "another kind" if driver is None else "none")
    try:
        # ENVI keeps its header beside the image, which GDAL must be let to look for.
        beside = rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="FALSE")
        with gdal_env(), beside, rasterio.open(path, driver=driver) as dataset:
            if driver == "ENVI":
                _check_whole(path, dataset)
            yield dataset
    except (RasterioError, CPLE_BaseError, ValueError, OverflowError, MemoryError) as error:
        # Also what a damaged header makes of the CRS or the size, while the image is read.
        raise _error(path, "a readable image", str(error.__cause__ or error)[:160]) from error


def _check_whole(path: Path, dataset: DatasetReader) -> None:
    """Refuse an image that was not written to its end: GDAL would read zeros there."""
    sizes = (np.dtype(kind).itemsize for kind in dataset.dtypes)
    wanted = dataset.width * dataset.height * sum(sizes)
    size = path.stat().st_size
    if size < wanted:
        raise _error(path, f"an image of {wanted} bytes", f"{size}: it was not written to its end")


def _window(dataset: DatasetReader, grid: Grid) -> Window | None:
    """Return where the grid lies in the file, None if their lattices differ."""
    from rasterio.crs import CRS

    step = dataset.transform
    size = grid.resolution
    if dataset.crs != CRS.from_user_input(grid.crs):
        return None
    column, row = (grid.transform[2] - step.c) / size, (step.f - grid.transform[5]) / size
    # The header holds as many digits as SNAP prints; a thousandth of a pixel is no shift.
    same = abs(step.a - size) < 1e-6 * size and abs(step.e + size) < 1e-6 * size
    if not same or max(abs(column - round(column)), abs(row - round(row))) > 1e-3:
        return None
    return Window(round(row), round(column), *grid.shape)


def _copy(dataset: DatasetReader, index: int, window: Window, nodata: float | None) -> FloatArray:
    values = np.full((window.rows, window.columns), np.nan, np.float32)
    top, left = max(window.row, 0), max(window.column, 0)
    bottom = min(window.row + window.rows, dataset.height)
    right = min(window.column + window.columns, dataset.width)
    if bottom > top and right > left:
        part = dataset.read(index, window=((top, bottom), (left, right))).astype(np.float32)
        rows = slice(top - window.row, bottom - window.row)
        values[rows, left - window.column : right - window.column] = part
    if nodata is not None and not np.isnan(nodata):
        values[values == np.float32(nodata)] = np.nan
    return values


def _warp(
    dataset: DatasetReader, index: int, grid: Grid, nodata: float | None, *, nearest: bool
) -> FloatArray:
    from rasterio.transform import Affine
    from rasterio.vrt import WarpedVRT
    from rasterio.warp import Resampling

    rows, columns = grid.shape
    with WarpedVRT(
        dataset,
        crs=grid.crs,
        transform=Affine(*grid.transform),
        height=rows,
        width=columns,
        src_nodata=nodata,
        nodata=np.nan,
        dtype="float32",
        resampling=Resampling.nearest if nearest else Resampling.bilinear,
    ) as warped:
        return np.asarray(warped.read(index), np.float32)


def _error(path: Path, expected: str, found: str) -> ProductError:
    return ProductError(
        where=path, expected=expected, found=found, fix="run SNAP again and keep its output"
    )
