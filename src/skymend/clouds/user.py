"""A mask of the user's own: a GeoTIFF that hides pixels whatever the provider says."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skymend.core.encoding import ByteArray
from skymend.core.grid import Grid
from skymend.products.labels import Label
from skymend.products.sampling import read_nearest


def apply_user_mask(labels: ByteArray, path: Path, grid: Grid) -> ByteArray:
    """Hide the pixels where the user's mask is not zero.

    Parameters
    ----------
    labels : (rows, columns) uint8 on ``grid``.
    path : GeoTIFF on the lattice of ``grid``; outside of it nothing is hidden.

    Returns
    -------
    (rows, columns) uint8; hidden valid pixels are ``CLOUD``.

    Raises
    ------
    GridError
        if the mask lies on another lattice.
    ProductError
        if it cannot be read.
    """
    stored = read_nearest(path, grid)
    hidden = (stored != 0) & ~np.isnan(stored) & (labels != Label.NODATA)
    return np.where(hidden, np.uint8(Label.CLOUD), labels)
