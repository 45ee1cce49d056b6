"""The one set of mask labels, and how providers' masks translate into it."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray


class Label(IntEnum):
    """What a pixel of a mask shows (uint8 on disk)."""

    NODATA = 0
    CLEAR = 1
    CLOUD = 2
    SHADOW = 3
    SNOW = 4
    WATER = 5


MAJA_CLOUD_BITS = 0b1001_1110
"""CLM bits that say cloud: 1 all clouds but the thinnest, 2 found in one image, 3 found in the
time series, 4 thinnest clouds, 7 high clouds seen at 1.38 um."""

MAJA_SHADOW_BITS = 0b0110_0000
"""CLM bits that say shadow: 5 of a cloud in the image, 6 of a cloud outside of it."""

MAJA_WATER_BIT = 0b0000_0001
MAJA_SNOW_BIT = 0b0000_0100
"""Bits 0 and 2 of the geophysical mask MG2."""

SCL_LABELS = {
    0: Label.NODATA,
    1: Label.NODATA,
    2: Label.CLEAR,
    3: Label.SHADOW,
    4: Label.CLEAR,
    5: Label.CLEAR,
    6: Label.WATER,
    7: Label.CLEAR,
    8: Label.CLOUD,
    9: Label.CLOUD,
    10: Label.CLOUD,
    11: Label.SNOW,
}
"""Sen2Cor scene classes -> labels (Sentinel-2 Products Specification, table of SCL classes).

1 (saturated or defective) has no reflectance to trust. 2 (dark area, since baseline 04.00
shadow cast by terrain) and 7 (unclassified) are observed ground in nearly all cases: dark
forest, terrain shadow, bright roofs; calling them hidden would throw observations away, while
the cloud rims among them are caught by the dilation. 10 (thin cirrus) changes reflectance and
counts as cloud.
"""


def from_maja(
    clm: npt.NDArray[np.integer], mg2: npt.NDArray[np.integer] | None = None
) -> ByteArray:
    """Translate MAJA cloud masks as THEIA distributes them.

    Parameters
    ----------
    clm : (rows, columns) bit mask CLM. Bit 0 is the sum of all clouds but the thinnest and of
        all shadows; the others tell them apart (THEIA Sentinel-2 L2A product format). A pixel
        with shadow bits only is shadow, with anything else cloud.
    mg2 : (rows, columns) bit mask MG2, for snow and water on clear ground; optional.

    Returns
    -------
    (rows, columns) uint8 of :class:`Label`; never ``NODATA``, which CLM does not know.
    """
    shadow = ((clm & MAJA_SHADOW_BITS) != 0) & ((clm & MAJA_CLOUD_BITS) == 0)
    labels = np.full(clm.shape, Label.CLEAR, np.uint8)
    if mg2 is not None:
        labels[(mg2 & MAJA_WATER_BIT) != 0] = Label.WATER
        labels[(mg2 & MAJA_SNOW_BIT) != 0] = Label.SNOW
    labels[clm != 0] = Label.CLOUD
    labels[shadow] = Label.SHADOW
    return labels


def from_scl(scl: npt.NDArray[np.integer]) -> ByteArray:
    """Translate a Sen2Cor scene classification, (rows, columns), with :data:`SCL_LABELS`.

    Classes beyond 11 are not defined and become ``NODATA``.
    """
    table = np.full(256, Label.NODATA, np.uint8)
    table[list(SCL_LABELS)] = list(SCL_LABELS.values())
    labels: ByteArray = table[np.minimum(scl, 255).astype(np.uint8, copy=False)]
    return labels
