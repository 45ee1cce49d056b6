"""Shadows for maskers that know clouds only: each cloud is moved along the sun's ray.

The height of a cloud is the one whose shadow falls best on dark ground (the object matching of
Zhu & Woodcock 2012, section 3.2.2, without a thermal band). Dark ground is where the near
infrared lies in a hollow that flood-filling closes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray

BoolArray = npt.NDArray[np.bool_]

HEIGHTS_M = (200.0, 8000.0)
"""Lowest and highest base of a cloud above the ground."""

MATCH = 0.3
"""Least share of a moved cloud that must fall on dark ground to be its shadow."""

_SAMPLE = 4000
"""Pixels of a cloud that are tried at every height; a large cloud is thinned to so many."""

_SMALLEST = 3
"""Clouds of fewer pixels cast no shadow that could be told from noise."""

_HOLLOW = 0.02
"""Depth in reflectance that makes a hollow of the near infrared a shadow."""


@dataclass(frozen=True, slots=True)
class Ray:
    """How far a shadow falls for each metre of cloud height, in pixels down and to the right."""

    rows: float
    columns: float

    @classmethod
    def of_sun(cls, zenith: float, azimuth: float, resolution_m: float) -> Ray:
        """Return the ray of a sun at ``zenith`` and ``azimuth`` (degrees, clockwise from north).

        A shadow falls away from the sun: by height x tan(zenith), towards azimuth + 180.
        """
        reach = math.tan(math.radians(min(zenith, 85.0))) / resolution_m
        turn = math.radians(azimuth)
        return cls(reach * math.cos(turn), -reach * math.sin(turn))


def dark_ground(nir: FloatArray) -> BoolArray:
    """Return where the near infrared lies in a hollow.

    Parameters
    ----------
    nir : (rows, columns) reflectance; NaN where nodata.
    """
    from skymend.clouds.fmask import fill as kernels

    valid = np.isfinite(nir)
    stored = np.clip(np.where(valid, nir, 0) * 10_000, 0, 32_767).astype(np.int16)
    levels = kernels.to_levels(stored, ~valid)
    filled = levels.copy()
    usual = np.percentile(levels[valid], 17.5) if valid.any() else 0
    kernels.fill(filled, int(usual))
    depth = (filled.astype(np.int32) - levels) * kernels.STEP / 10_000
    return np.asarray(valid & (depth > _HOLLOW))


def project_shadows(cloud: BoolArray, dark: BoolArray, ray: Ray) -> BoolArray:
    """Return the shadows of clouds, on dark ground only.

    Parameters
    ----------
    cloud : (rows, columns) clouds.
    dark : (rows, columns) where shadow can lie, see :func:`dark_ground`.
    ray : direction and length of shadows.

    Returns
    -------
    (rows, columns) boolean; never on a cloud.
    """
    import cv2

    count, objects, stats, _ = cv2.connectedComponentsWithStats(cloud.astype(np.uint8), None, 8)
    shadow = np.zeros(cloud.shape, bool)
    shifts = _shifts(ray)
    free = ~cloud
    for label in range(1, count):
        column, row, width, height, size = stats[label]
        if size < _SMALLEST:
            continue
        part = objects[row : row + height, column : column + width] == label
        rows, columns = np.nonzero(part)
        found = _best(rows + row, columns + column, shifts, dark, free)
        if found is not None:
            _mark(rows + row + found[0], columns + column + found[1], shadow)
    return shadow & free & dark


def _shifts(ray: Ray) -> npt.NDArray[np.int64]:
    """Return the distinct whole-pixel shifts from the lowest to the highest cloud."""
    longest = max(abs(ray.rows), abs(ray.columns)) * (HEIGHTS_M[1] - HEIGHTS_M[0])
    heights = np.linspace(*HEIGHTS_M, max(2, math.ceil(longest) + 1))
    pairs = np.rint(np.stack([heights * ray.rows, heights * ray.columns], axis=1)).astype(np.int64)
    keep = np.ones(len(pairs), bool)
    keep[1:] = (np.diff(pairs, axis=0) != 0).any(axis=1)
    return pairs[keep]


def _best(
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    shifts: npt.NDArray[np.int64],
    dark: BoolArray,
    free: BoolArray,
) -> tuple[int, int] | None:
    """Return the shift whose moved cloud lies darkest; None if none lies dark enough."""
    step = max(1, len(rows) // _SAMPLE)
    rows, columns = rows[::step], columns[::step]
    best, shift = MATCH, None
    for down, right in shifts:
        r, c = rows + down, columns + right
        inside = (r >= 0) & (r < dark.shape[0]) & (c >= 0) & (c < dark.shape[1])
        r, c = r[inside], c[inside]
        seen = free[r, c]
        ground = int(seen.sum())
        # A cloud that lies over itself or leaves the image says little about its height.
        if ground < max(1, len(rows) // 5):
            continue
        share = float((dark[r, c] & seen).sum()) / ground
        if share > best:
            best, shift = share, (int(down), int(right))
    return shift


def _mark(rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], shadow: BoolArray) -> None:
    inside = (rows >= 0) & (rows < shadow.shape[0]) & (columns >= 0) & (columns < shadow.shape[1])
    shadow[rows[inside], columns[inside]] = True
