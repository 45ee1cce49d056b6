"""Tidying masks: closing pinholes, dropping specks, sparing towns, growing rims."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]


def disc(radius: float) -> npt.NDArray[np.uint8]:
    """Return a disc as a structuring element, radius in pixels."""
    reach = int(radius)
    along = np.arange(-reach, reach + 1)
    inside = along[:, None] ** 2 + along**2 <= radius**2 + 1e-6
    return inside.astype(np.uint8)


def close_pinholes(mask: BoolArray) -> BoolArray:
    """Set pixels of which five or more of the 3 x 3 around, itself included, are set.

    Zhu & Woodcock 2012, section 3.1.3; nothing is unset.
    """
    import cv2

    count = cv2.boxFilter(
        mask.view(np.uint8), cv2.CV_8U, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray((count >= 5) | mask)


def drop_specks(mask: BoolArray, fewest: int) -> BoolArray:
    """Remove connected parts (eight neighbours) of fewer than ``fewest`` pixels."""
    import cv2

    if fewest <= 1:
        return mask
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= fewest
    keep[0] = False
    kept: BoolArray = keep[labels]
    return kept


def spare(mask: BoolArray, suspects: BoolArray, radius: float) -> BoolArray:
    """Remove suspects that are not part of something wide (Qiu et al. 2019, section 3.3.4).

    Towns, bare rock and snow patches pass the spectral tests in small, ragged parts. What is
    left of ``mask`` after an erosion by ``radius`` pixels vouches for twice as much around.
    """
    import cv2

    if radius < 1 or not (mask & suspects).any():
        return mask
    cores = cv2.erode(mask.view(np.uint8), disc(radius))
    vouched = cv2.dilate(cores, disc(2 * radius)).view(np.bool_)
    return np.asarray(mask & (vouched | ~suspects))


def grow(mask: BoolArray, radius: float) -> BoolArray:
    """Dilate by a disc, radius in pixels."""
    import cv2

    if radius < 1:
        return mask
    return np.asarray(cv2.dilate(mask.view(np.uint8), disc(radius)), np.uint8).view(np.bool_)


def erode(mask: BoolArray, radius: float) -> BoolArray:
    """Erode by a disc, radius in pixels."""
    import cv2

    if radius < 1:
        return mask
    return np.asarray(cv2.erode(mask.view(np.uint8), disc(radius)), np.uint8).view(np.bool_)
