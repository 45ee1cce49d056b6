"""What the quality bands of Landsat 8 and 9 say, as labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray
from skymend.products.labels import Label

QA_FILL = 1 << 0
QA_DILATED_CLOUD = 1 << 1
QA_CIRRUS = 1 << 2
QA_CLOUD = 1 << 3
QA_SHADOW = 1 << 4
QA_SNOW = 1 << 5
QA_WATER = 1 << 7
"""Bits of QA_PIXEL (Landsat 8-9 Collection 2 Level 2 Science Product Guide, LSDS-1619)."""

BQA_FILL = 1 << 0
BQA_CLOUD = 1 << 4
BQA_SHADOW_SHIFT, BQA_SNOW_SHIFT, BQA_CIRRUS_SHIFT = 7, 9, 11
BQA_HIGH = 3
"""Bits of BQA: two-bit confidences of which 3 is high (Landsat Collection 1 Level 1 Product
Definition, LSDS-1656)."""


def from_qa_pixel(quality: npt.NDArray[Any], *, dilated_is_cloud: bool = True) -> ByteArray:
    """Translate QA_PIXEL of Collection 2.

    Parameters
    ----------
    quality : (rows, columns) uint16.
    dilated_is_cloud : count the rim that the provider drew around clouds.

    Returns
    -------
    (rows, columns) uint8 of :class:`~skymend.products.labels.Label`; cloud (and cirrus) wins
    over shadow, shadow over snow, snow over water.
    """
    cloud = QA_CLOUD | QA_CIRRUS | (QA_DILATED_CLOUD if dilated_is_cloud else 0)
    labels = np.full(quality.shape, Label.CLEAR, np.uint8)
    for bits, label in (
        (QA_WATER, Label.WATER),
        (QA_SNOW, Label.SNOW),
        (QA_SHADOW, Label.SHADOW),
        (cloud, Label.CLOUD),
        (QA_FILL, Label.NODATA),
    ):
        labels[(quality & bits) != 0] = label
    return labels


def from_bqa(quality: npt.NDArray[Any]) -> ByteArray:
    """Translate BQA of Collection 1; it does not know water.

    Parameters
    ----------
    quality : (rows, columns) uint16.

    Returns
    -------
    (rows, columns) uint8 of :class:`~skymend.products.labels.Label`; cloud (and cirrus of high
    confidence) wins over shadow and snow of high confidence.
    """
    labels = np.full(quality.shape, Label.CLEAR, np.uint8)
    for shift, label in (
        (BQA_SNOW_SHIFT, Label.SNOW),
        (BQA_SHADOW_SHIFT, Label.SHADOW),
        (BQA_CIRRUS_SHIFT, Label.CLOUD),
    ):
        labels[((quality >> shift) & BQA_HIGH) == BQA_HIGH] = label
    labels[(quality & BQA_CLOUD) != 0] = Label.CLOUD
    labels[(quality & BQA_FILL) != 0] = Label.NODATA
    return labels
