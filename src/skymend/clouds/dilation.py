"""Growing clouds and shadows by a distance in metres."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray
from skymend.core.errors import ConfigError
from skymend.products.labels import Label

BoolArray = npt.NDArray[np.bool_]
Slices = tuple[slice, slice]

BLOCK = 2048
"""Side of the blocks whose distances are held in memory at once, pixels."""


def dilate(labels: ByteArray, distance_m: float, resolution_m: float) -> ByteArray:
    """Grow clouds and shadows over the ground around them.

    A valid pixel whose centre lies within ``distance_m`` of the centre of a cloud pixel becomes
    cloud, else of a shadow pixel shadow. Nodata neither grows nor is grown over.

    Parameters
    ----------
    labels : (rows, columns) uint8 of :class:`~skymend.products.labels.Label`.
    distance_m : radius in metres; 0 leaves the labels as they are.
    resolution_m : pixel size in metres.

    Returns
    -------
    (rows, columns) uint8, a new array.

    Raises
    ------
    ConfigError
        if the distance is negative.
    """
    if distance_m < 0:
        raise ConfigError(
            where="mask.dilate_m", expected="0 or more", found=f"{distance_m:g}", fix="raise it"
        )
    grown = labels.copy()
    radius = distance_m / resolution_m
    if radius < 1:
        return grown
    for outer, inner, window in _blocks(labels.shape, math.ceil(radius)):
        part = labels[outer]
        target = grown[window]
        valid = target != Label.NODATA
        for label in (Label.SHADOW, Label.CLOUD):
            target[within(part == label, radius)[inner] & valid] = label
    return grown


def within(mask: BoolArray, radius: float) -> BoolArray:
    """Dilate a boolean mask by a Euclidean disc.

    Parameters
    ----------
    mask : (rows, columns) boolean.
    radius : in pixels, between pixel centres.

    Returns
    -------
    (rows, columns) boolean, True where a True pixel lies at a distance of ``radius`` or less.
    """
    import cv2

    if not mask.any():
        return mask.copy()
    distance = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Squared distances between pixel centres are whole numbers; the root of the next one is
    # more than 1e-4 away for any radius below 5000 pixels.
    return np.asarray(distance <= np.float32(radius + 1e-4))


def _blocks(shape: tuple[int, ...], halo: int) -> Iterator[tuple[Slices, Slices, Slices]]:
    """Yield each block with its halo, where the block lies in that, and where in the whole."""
    for row in range(0, shape[0], BLOCK):
        for column in range(0, shape[1], BLOCK):
            top, left = max(row - halo, 0), max(column - halo, 0)
            rows, columns = min(BLOCK, shape[0] - row), min(BLOCK, shape[1] - column)
            yield (
                (slice(top, row + rows + halo), slice(left, column + columns + halo)),
                (
                    slice(row - top, row - top + rows),
                    slice(column - left, column - left + columns),
                ),
                (slice(row, row + rows), slice(column, column + columns)),
            )
