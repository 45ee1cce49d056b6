"""Where the tiler takes its inputs from: arrays in memory or rasters on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.core.errors import GridError
from skymend.core.grid import Window


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

    Raises
    ------
    GridError
        if a raster has another size than its ratio asks for.
    """

    def __init__(self, shape: tuple[int, int], inputs: Mapping[str, RasterInput]) -> None:
        from skymend.core.raster import describe

        self._shape = shape
        self._inputs = dict(inputs)
        for name, source in self._inputs.items():
            expected = tuple(-(-size // source.ratio) for size in shape)
            found = describe(source.path).grid.shape
            if found != expected:
                raise GridError(
                    where=source.path,
                    expected=f"{expected[0]} x {expected[1]} pixels for the input {name}",
                    found=f"{found[0]} x {found[1]}",
                    fix="bring the raster to the grid of the output (or its 20 m version)",
                )

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) at output resolution."""
        return self._shape

    def read(self, windows: Mapping[str, Window]) -> Mapping[str, FloatArray]:
        """Read each window once."""
        return {name: self._read(name, window) for name, window in windows.items()}

    def _read(self, name: str, window: Window) -> FloatArray:
        from skymend.core.raster import read

        source = self._inputs[name]
        values = read(source.path, bands=source.bands, window=window)
        if source.scale is not None:
            values = source.scale(values)
        return np.moveaxis(values, 0, -1)
