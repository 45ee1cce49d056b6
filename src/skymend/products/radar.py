"""What all backscatter readers do with the numbers they find."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.core.grid import Grid
from skymend.products.sampling import Decoding, read_continuous

POWER = Decoding(invalid=(0.0,))
"""Linear power with 0 as nodata."""

BRIGHTEST_TWIN = 1.0
"""Linear power (0 dB) above which two equal channels cannot be a measurement."""


def read_linear(
    paths: Sequence[Path], grid: Grid, *, decibel: bool = False, nodata: float = 0.0
) -> FloatArray:
    """Read one raster per polarisation as linear power.

    Parameters
    ----------
    paths : rasters in the order wanted.
    decibel : the files hold 10*log10 of power.
    nodata : the number that means no data, besides NaN.

    Returns
    -------
    (polarisations, rows, columns) float32, > 0; NaN where invalid: nodata, power that is not
    positive or not finite, and pixels where all channels hold the very same number above 0 dB.
    Cross-polarised power lies well below co-polarised power over any target, so such twins are
    a saturated or filled number of the provider.
    """
    decoding = Decoding(invalid=(nodata,)) if not np.isnan(nodata) else Decoding()
    values = np.stack([read_continuous(path, grid, decoding) for path in paths])
    if decibel:
        values = np.float32(10) ** (values / np.float32(10))
    with np.errstate(invalid="ignore"):
        values[~(np.isfinite(values) & (values > 0))] = np.nan
        if len(paths) > 1:
            twins = (values[0] > BRIGHTEST_TWIN) & (values == values[0]).all(axis=0)
            values[:, twins] = np.nan
    return values
