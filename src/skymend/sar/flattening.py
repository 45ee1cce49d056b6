"""Terrain flattening: the illuminated area of the terrain in radar geometry.

D. Small, "Flattening gamma: radiometric terrain correction for SAR imagery", IEEE TGRS 49(8),
2011. Each DEM facet's area, projected on the plane across the line of sight, is spread over the
radar pixels it is imaged in; ``gamma0 = beta0 * A_beta / A_gamma``. Facets that lie over one
another add up, facets in shadow give nothing. No area is lost: the shares of a facet sum to 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.sar.speckle.compiled import compiled

LEAST_AREA = 0.02
"""``A_gamma / A_beta`` below which a radar pixel sees too little terrain to be normalised."""

_PIXELS_A_PART = 1.06
_MOST_PARTS = 32


@compiled
def deposit_area(
    line: FloatArray,
    sample: FloatArray,
    area: FloatArray,
    hidden: npt.NDArray[np.bool_],
    image: FloatArray,
) -> None:
    """Spread the area of every facet over the radar pixels it is imaged in.

    A facet is cut into equal parts of about a pixel at most, each placed between the corners
    bilinearly and shared among its four nearest pixels. At that spacing the sum over a plane
    ripples by less than 2 %, with a mean of nothing.

    Parameters
    ----------
    line, sample : (rows, columns) float32 radar coordinates of the nodes, relative to ``image``.
    area : (rows, columns) float32, ``A_gamma / A_beta`` of the facet right below each node.
    hidden : (rows, columns) boolean, nodes in shadow.
    image : (lines, samples) float32, added to.
    """
    lines, samples = image.shape
    for i in range(line.shape[0] - 1):
        for j in range(line.shape[1] - 1):
            whole = area[i, j]
            if whole <= 0 or hidden[i, j]:
                continue
            y00 = line[i, j]
            x00 = sample[i, j]
            if y00 < -64 or x00 < -64 or y00 > lines + 64 or x00 > samples + 64:
                continue
            y01 = line[i, j + 1]
            x01 = sample[i, j + 1]
            y10 = line[i + 1, j]
            x10 = sample[i + 1, j]
            y11 = line[i + 1, j + 1]
            x11 = sample[i + 1, j + 1]
            down = parts_of(y10 - y00, x10 - x00, y11 - y01, x11 - x01)
            across = parts_of(y01 - y00, x01 - x00, y11 - y10, x11 - x10)
            part = whole / np.float32(down * across)
            for a in range(down):
                v = np.float32((a + 0.5) / down)
                for b in range(across):
                    u = np.float32((b + 0.5) / across)
                    y = (y00 * (1 - u) + y01 * u) * (1 - v) + (y10 * (1 - u) + y11 * u) * v
                    x = (x00 * (1 - u) + x01 * u) * (1 - v) + (x10 * (1 - u) + x11 * u) * v
                    if not (y >= 0 and x >= 0 and y < lines - 1 and x < samples - 1):
                        continue
                    row = int(y)
                    column = int(x)
                    p = y - row
                    q = x - column
                    image[row, column] += part * (1 - p) * (1 - q)
                    image[row, column + 1] += part * (1 - p) * q
                    image[row + 1, column] += part * p * (1 - q)
                    image[row + 1, column + 1] += part * p * q


@compiled
def parts_of(y0: float, x0: float, y1: float, x1: float) -> int:
    """Return into how many parts two opposite sides of a facet, in pixels, must be cut."""
    longest = max(abs(y0), abs(x0), abs(y1), abs(x1))
    return min(int(longest / _PIXELS_A_PART) + 1, _MOST_PARTS)


@compiled
def flatten(beta0: FloatArray, area: FloatArray) -> None:
    """Turn beta nought into terrain-flattened gamma nought, in place.

    Parameters
    ----------
    beta0 : (lines, samples) float32; becomes NaN where the terrain is hardly lit.
    area : (lines, samples) float32, ``A_gamma / A_beta``.
    """
    for i in range(beta0.shape[0]):
        for j in range(beta0.shape[1]):
            if area[i, j] < LEAST_AREA:
                beta0[i, j] = np.nan
            else:
                beta0[i, j] /= area[i, j]
