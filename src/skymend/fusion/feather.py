"""A soft seam: what the method misses at the rim of a gap fades away inside the gap."""

from __future__ import annotations

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.fusion.stack import BoolArray


def reach(feather_px: float) -> int:
    """Return how many pixels a seam looks around: two standard deviations."""
    return int(np.ceil(feather_px)) if feather_px > 0 else 0


def rim(hidden: BoolArray, visible: BoolArray, feather_px: float) -> BoolArray:
    """Return the visible pixels whose offset reaches into a hidden area, (rows, columns)."""
    from scipy.ndimage import maximum_filter

    size = 2 * reach(feather_px) + 1
    near: BoolArray = maximum_filter(hidden, size=size, mode="constant", cval=0)
    return near & visible


def seam(offset: FloatArray, known: BoolArray, feather_px: float) -> FloatArray:
    """Spread offsets from the rim into a gap, decaying with distance.

    The correction is G*(offset) / max(G*(known), 1/2) with a Gaussian G of standard
    deviation ``feather_px / 2`` cut at two of them: the mean offset at a straight rim, fading
    to nothing ``feather_px`` inside.

    Parameters
    ----------
    offset : (bands, rows, columns) float32 observed minus predicted; read where ``known``.
    known : (rows, columns) bool.
    """
    from scipy.ndimage import correlate1d

    radius = reach(feather_px)
    steps = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (steps / (feather_px / 2)) ** 2)
    kernel /= kernel.sum()

    def blur(values: FloatArray) -> FloatArray:
        for axis in (-2, -1):
            values = correlate1d(values, kernel, axis=axis, mode="constant", cval=0.0)
        return values

    weight = np.maximum(blur(known.astype(np.float32)), np.float32(0.5))
    return np.asarray(blur(np.where(known, offset, np.float32(0))) / weight, np.float32)
