"""Growing clouds and shadows by a distance in metres."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray
from skymend.core.errors import ConfigError
from skymend.core.grid import Grid
from skymend.products.labels import Label

BoolArray = npt.NDArray[np.bool_]

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
    valid = labels != Label.NODATA
    for label in (Label.SHADOW, Label.CLOUD):
        near = within(labels == label, radius)
        near &= valid
        grown[near] = label
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
    halo = int(np.ceil(radius))
    near = np.zeros_like(mask)
    grid = Grid("", (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), (mask.shape[0], mask.shape[1]))
    for window in grid.blocks(BLOCK):
        rows, columns = window.slices
        top, left = max(rows.start - halo, 0), max(columns.start - halo, 0)
        part = mask[top : rows.stop + halo, left : columns.stop + halo]
        if not part.any():
            continue
        inner = (
            slice(rows.start - top, rows.stop - top),
            slice(columns.start - left, columns.stop - left),
        )
        near[rows, columns] = _within_block(part, radius)[inner]
    return near


def _within_block(mask: BoolArray, radius: float) -> BoolArray:
    import cv2

    distance = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Squared distances between pixel centres are whole numbers; the root of the next one is
    # more than 1e-4 away for any radius below 5000 pixels.
    return np.asarray(distance <= np.float32(radius + 1e-4))
