"""What maskers of pixels and windows share: which products they take, and reading bands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skymend.clouds.masker import Maskable
from skymend.core.encoding import FloatArray
from skymend.core.errors import ProductError
from skymend.core.grid import Grid
from skymend.products.planes import read_planes
from skymend.products.toa import ToaOptical, TopOfAtmosphere


def require_toa(product: Maskable, engine: str, bands: Sequence[str]) -> TopOfAtmosphere:
    """Return the product if it is Sentinel-2 at the top of the atmosphere with these bands.

    Raises
    ------
    ProductError
        if it is not.
    """
    toa = product.product if isinstance(product, ToaOptical) else product
    sensor = getattr(toa, "sensor", None)
    if sensor is None:
        found = "surface reflectance"
    elif sensor != "sentinel-2":
        found = sensor
    else:
        missing = [band for band in bands if band not in product.bands]
        if not missing:
            return toa  # type: ignore[return-value]
        found = f"one without {', '.join(missing)}"
    raise ProductError(
        where=product.id,
        expected=f"a Sentinel-2 level-1C product with {', '.join(bands)} for {engine}",
        found=found,
        fix="give the level-1C product, or choose another mask engine",
    )


def read_bands(product: Maskable, bands: Sequence[str], grid: Grid, *, cpus: int = 1) -> FloatArray:
    """Read bands by blocks: (bands, rows, columns) float32, NaN where nodata."""
    return read_planes(product, bands, grid, lambda values: values, np.float32, cpus=cpus)


def read_any(
    product: Maskable, bands: Sequence[str], resolution_m: float, *, cpus: int = 1
) -> tuple[FloatArray, Grid, bool]:
    """Read bands of a product of either level.

    Returns
    -------
    (bands, rows, columns) float32, NaN where nodata; the grid; and True for reflectance at the
    top of the atmosphere.
    """
    toa = product.product if isinstance(product, ToaOptical) else product
    is_toa = callable(toa.grid)
    grid = toa.grid(resolution_m) if callable(toa.grid) else toa.grid.at_resolution(resolution_m)
    return read_bands(toa, bands, grid, cpus=cpus), grid, is_toa
