"""How physical quantities are stored as integers on disk, and back.

In memory every quantity is float32 with NaN where invalid; on disk each has one
fixed encoding, so that two scenes of one kind can always be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Encoding:
    """The on-disk form of one quantity: ``physical = stored * scale``."""

    name: str
    dtype: str
    scale: float
    nodata: float | None
    unit: str

    def encode(self, values: FloatArray) -> npt.NDArray[Any]:
        """Turn physical values into stored ones.

        Parameters
        ----------
        values : (..., rows, columns) float, in ``unit``; NaN where invalid.

        Returns
        -------
        (..., rows, columns) of ``dtype``; ``nodata`` where NaN. Valid values are rounded and
        clipped to the range of the type and never collide with ``nodata``.
        """
        if np.dtype(self.dtype).kind == "f":
            return values.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        low, high = int(limits.min), int(limits.max)
        if self.nodata is None:
            whole: npt.NDArray[Any] = np.clip(np.rint(values / self.scale), low, high)
            return whole.astype(self.dtype)
        nodata = int(self.nodata)
        if nodata <= 0:
            low = nodata + 1
        else:
            high = nodata - 1
        stored: FloatArray = np.rint(values / np.float32(self.scale))
        invalid = np.isnan(stored)
        np.clip(stored, low, high, out=stored)
        stored[invalid] = nodata
        return stored.astype(self.dtype)

    def decode(self, stored: npt.NDArray[Any]) -> FloatArray:
        """Turn stored values into physical float32, NaN where ``nodata``."""
        values = stored.astype(np.float32)
        if self.scale != 1.0:
            values *= np.float32(self.scale)
        if self.nodata is not None and not np.isnan(self.nodata):
            values[stored == self.nodata] = np.nan
        return values


REFLECTANCE = Encoding("reflectance", "int16", 1e-4, -10000, "1")
BACKSCATTER = Encoding("backscatter", "float32", 1.0, float("nan"), "1")
INCIDENCE = Encoding("incidence", "uint16", 0.01, 65535, "degree")
ELEVATION = Encoding("elevation", "float32", 1.0, float("nan"), "metre")
SIGMA = Encoding("sigma", "uint16", 1e-4, 65535, "1")
"""One standard deviation of a reflectance."""
LABELS = Encoding("labels", "uint8", 1.0, 0, "class")
QA = Encoding("qa", "uint8", 1.0, 0, "class")
FLAG = Encoding("flag", "uint8", 1.0, None, "boolean")
