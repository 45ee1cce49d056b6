"""Where the tiler takes its inputs from: arrays in memory or rasters on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.core.errors import GridError, ProductError
from skymend.core.grid import Window
from skymend.core.raster import describe, gdal_env, open_dataset

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


class Reader(Protocol):
    """Gives the inputs of a net, window by window.

    ``shape`` is (rows, columns) of the image at output resolution. An input of resolution
    ratio 2 has half as many rows and columns, rounded up.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) at output resolution."""
        ...

    def read(self, windows: Mapping[str, Window]) -> Mapping[str, FloatArray]:
        """Return each input on its window, which lies inside the input's own raster.

        Returns
        -------
        name -> (rows, columns, channels) float32, scaled as the net wants it; NaN where
        nothing is known.
        """
        ...


@dataclass(frozen=True, slots=True)
class ArrayReader:
    """Inputs that lie in memory.

    Parameters
    ----------
    shape : (rows, columns) at output resolution.
    arrays : name -> (rows, columns, channels) float32 at the input's own resolution.
    """

    shape: tuple[int, int]
    arrays: Mapping[str, FloatArray]

    def read(self, windows: Mapping[str, Window]) -> Mapping[str, FloatArray]:
        """Return views of the arrays."""
        return {name: self.arrays[name][window.slices] for name, window in windows.items()}


@dataclass(frozen=True, slots=True)
class RasterInput:
    """One input of a net that lies in a raster.

    Parameters
    ----------
    path : a raster at the input's own resolution.
    bands : names in the order the net wants.
    ratio : pixel size of the raster over that of the output.
    scale : turns physical values (NaN where invalid) into what the net wants.
    """

    path: Path
    bands: tuple[str, ...]
    ratio: int = 1
    scale: Callable[[FloatArray], FloatArray] | None = None


class RasterReader:
    """Inputs that lie in rasters on disk.

    The files stay open between windows, so that blocks shared by neighbouring windows are
    decoded once; use it as a context manager or call :meth:`close`.

    Raises
    ------
    ProductError
        if a raster cannot be read or lacks a band.
    GridError
        if a raster has another size than its ratio asks for.
    """

    def __init__(self, shape: tuple[int, int], inputs: Mapping[str, RasterInput]) -> None:
        self._shape = shape
        self._inputs = {name: _OpenInput(source) for name, source in inputs.items()}
        for name, opened in self._inputs.items():
            opened.check(name, shape)

    def __enter__(self) -> RasterReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) at output resolution."""
        return self._shape

    def read(self, windows: Mapping[str, Window]) -> Mapping[str, FloatArray]:
        """Read each window once."""
        return {name: self._inputs[name].read(window) for name, window in windows.items()}

    def close(self) -> None:
        """Close all files; a later window opens them again."""
        for opened in self._inputs.values():
            opened.close()


class _OpenInput:
    """A raster that is opened when first read and stays open."""

    def __init__(self, source: RasterInput) -> None:
        self.source = source
        self.info = describe(source.path)
        self.indexes = [self.info.index(band, source.path) for band in source.bands]
        self._dataset: DatasetReader | None = None

    def check(self, name: str, shape: tuple[int, int]) -> None:
        rows, columns = (-(-size // self.source.ratio) for size in shape)
        found = self.info.grid.shape
        if found != (rows, columns):
            raise GridError(
                where=self.source.path,
                expected=f"{rows} x {columns} pixels for the input {name}",
                found=f"{found[0]} x {found[1]}",
                fix="bring the raster to the grid of the output (or its 20 m version)",
            )

    def read(self, window: Window) -> FloatArray:
        from rasterio.errors import RasterioError

        try:
            if self._dataset is None:
                with gdal_env():
                    self._dataset = open_dataset(self.source.path)
            bounds = tuple((s.start, s.stop) for s in window.slices)
            stored = self._dataset.read(self.indexes, window=bounds)
        except RasterioError as error:
            raise ProductError(
                where=self.source.path,
                expected="readable pixels",
                found=str(error.__cause__ or error)[:160],
                fix="fetch or write the file again",
            ) from error
        values = self.info.physical(stored)
        if self.source.scale is not None:
            values = self.source.scale(values)
        return np.moveaxis(values, 0, -1)

    def close(self) -> None:
        if self._dataset is not None:
            self._dataset.close()
            self._dataset = None
