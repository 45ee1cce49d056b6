"""Taking out of the cirrus band what high ground reflects (Qiu et al. 2019, section 3.2)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from skymend.clouds.fmask.scene import NODATA, Scene, ShortArray
from skymend.core.encoding import FloatArray

BIN_M = 100.0
DARKEST = 0.02
"""Quantile of a height bin that stands for its cloudless ground."""

_FEWEST = 200
_STRIDE = 4


def normalise_cirrus(scene: Scene) -> Scene:
    """Subtract from the cirrus band what the darkest pixels of the same height show.

    At 1.38 um water vapour hides low ground; dry high mountains shine through. Height bins of
    100 m with few pixels take the value interpolated between their neighbours; the profile
    never falls with height. Without a DEM the scene is returned as it is.
    """
    if scene.heights is None or not scene.has_cirrus:
        return scene
    cirrus = scene.bands.cirrus
    profile = _profile(cirrus[::_STRIDE, ::_STRIDE], scene.heights[::_STRIDE, ::_STRIDE])
    if profile is None:
        return scene
    middle, ground = profile
    corrected = cirrus.copy()
    for first in range(0, cirrus.shape[0], 512):
        part = slice(first, first + 512)
        heights = np.nan_to_num(scene.heights[part], nan=float(middle[0]))
        under = np.rint(np.interp(heights, middle, ground)).astype(np.int16)
        valid = cirrus[part] != NODATA
        np.copyto(corrected[part], np.maximum(cirrus[part] - under, NODATA + 1), where=valid)
    return scene.with_cirrus(corrected)


def _profile(
    cirrus: ShortArray, heights: FloatArray
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Return heights and the reflectance of clear ground there; None without enough pixels."""
    known = (cirrus != NODATA) & np.isfinite(heights)
    bins = np.floor(heights[known] / BIN_M).astype(np.int64)
    values = cirrus[known]
    middle, ground = [], []
    for number in np.unique(bins):
        inside = values[bins == number]
        if inside.size >= _FEWEST:
            middle.append((number + 0.5) * BIN_M)
            ground.append(float(np.quantile(inside, DARKEST)))
    if not middle:
        return None
    rising = np.maximum.accumulate(np.maximum(ground, 0.0))
    return np.array(middle), rising
