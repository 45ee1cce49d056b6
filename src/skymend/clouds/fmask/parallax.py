"""The parallax test: what moves between the bands of Sentinel-2 is high (Frantz et al. 2018).

The detectors of B07, B08 and B8A see a place up to 2.6 seconds apart, from angles that differ,
so that clouds shift between the bands and the ground does not. The cloud displacement index
compares how much the ratios B08/B07 and B08/B8A vary in 7 x 7 pixels of 20 m.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from skymend.clouds.fmask.scene import NODATA, Scene, ShortArray
from skymend.clouds.fmask.strips import over_strips
from skymend.core.encoding import FloatArray

SEED = -0.5
GROWN = -0.25
"""A cloud holds a pixel below the first; it reaches as far as the second (section 2.3)."""

WINDOW = 7
FINEST_M, COARSEST_M = 10.0, 20.0
"""Beyond these pixel sizes the shift is not a matter of single pixels."""

BoolArray = npt.NDArray[np.bool_]


def applies(scene: Scene) -> bool:
    """Tell whether a scene has the bands and the pixel size of the test."""
    return (
        scene.red_edge is not None
        and scene.nir_wide is not None
        and FINEST_M <= scene.grid.resolution <= COARSEST_M
    )


def displacement_index(wide: ShortArray, red_edge: ShortArray, nir: ShortArray) -> FloatArray:
    """Return the cloud displacement index.

    Parameters
    ----------
    wide, red_edge, nir : (rows, columns) int16, B08, B07 and B8A, reflectance x 10000.

    Returns
    -------
    (rows, columns) float32, -1..1: ``(V7 - V8A) / (V7 + V8A)`` with V the variance of B08 over
    B07 and over B8A (eq. 1 and 2); below -0.5 over clouds, 0 where nothing varies.
    """
    by_red_edge, by_nir = _variance(wide, red_edge), _variance(wide, nir)
    total = by_red_edge + by_nir
    index = np.zeros_like(total)
    np.divide(by_red_edge - by_nir, total, out=index, where=total > 1e-8)
    return index


def moving(scene: Scene, suspects: BoolArray, cpus: int) -> BoolArray:
    """Return which of the suspect pixels belong to something high above the ground.

    Returns
    -------
    (rows, columns) boolean: suspects with an index below -0.5, and those below -0.25 that
    touch them.
    """
    seeds, grown = np.zeros(suspects.shape, np.bool_), np.zeros(suspects.shape, np.bool_)
    reach = WINDOW // 2
    wide, red_edge = scene.nir_wide, scene.red_edge
    assert wide is not None  # `applies` said so
    assert red_edge is not None

    def rate(first: int, last: int) -> None:
        if not suspects[first:last].any():
            return
        top = max(0, first - reach)
        part = slice(top, last + reach)
        index = displacement_index(wide[part], red_edge[part], scene.bands.nir[part])
        inner = index[first - top : last - top]
        seeds[first:last] = (inner < SEED) & suspects[first:last]
        grown[first:last] = (inner < GROWN) & suspects[first:last]

    over_strips(rate, suspects.shape[0], cpus)
    return touching(seeds, grown)


def touching(seeds: BoolArray, within: BoolArray) -> BoolArray:
    """Return the connected parts of ``within`` that hold a seed."""
    import cv2

    _, labels = cv2.connectedComponents(within.view(np.uint8), connectivity=8)
    keep = np.zeros(int(labels.max()) + 1, np.bool_)
    keep[labels[seeds]] = True
    keep[0] = False
    found: BoolArray = keep[labels]
    return found


def _variance(first: ShortArray, second: ShortArray) -> FloatArray:
    import cv2

    valid = (first != NODATA) & (second > 0)
    ratio = np.zeros(first.shape, np.float32)
    # One is taken off first: what varies is small against the ratio itself.
    np.divide(first, second, out=ratio, where=valid, casting="unsafe")
    ratio[valid] -= 1
    size = (WINDOW, WINDOW)
    mean = cv2.boxFilter(ratio, cv2.CV_32F, size, borderType=cv2.BORDER_REFLECT)
    square = cv2.sqrBoxFilter(ratio, cv2.CV_32F, size, borderType=cv2.BORDER_REFLECT)
    square -= mean * mean
    return np.maximum(square, 0, out=square)
