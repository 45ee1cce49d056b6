"""A mask of the user's own: a GeoTIFF that hides pixels whatever the provider says."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np

from skymend.core.encoding import ByteArray
from skymend.core.grid import Grid
from skymend.core.product import Product
from skymend.products.labels import Label
from skymend.products.sampling import read_nearest

KIND = "user-mask"


def user_mask_product(pattern: str | Path, time: datetime) -> Product | None:
    """Return the user's mask for one date.

    Parameters
    ----------
    pattern : path of a GeoTIFF; ``{date}`` in it stands for the day as ``YYYYMMDD``.
    time : of the image to mask.

    Returns
    -------
    The mask as a product, so that its checksum enters the key of the job; None where the
    pattern has ``{date}`` and there is no file for that day.
    """
    dated = "{date}" in str(pattern)
    path = Path(str(pattern).replace("{date}", f"{time:%Y%m%d}"))
    if dated and not path.exists():
        return None
    name = f"{path.stem}-{time:%Y%m%d}" if dated else path.stem
    return Product(name, KIND, time, path, (path,), {"sensor": "mask"})


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
