"""What maskers of single pixels share: reading their bands, and shadows for their clouds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from skymend.clouds.masker import Mask, Maskable
from skymend.clouds.shadows import Ray, dark_ground, project_shadows
from skymend.core.encoding import FloatArray
from skymend.core.errors import ProductError
from skymend.core.grid import Grid
from skymend.products.labels import Label
from skymend.products.strips import strips
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


def read_bands(product: Maskable, bands: Sequence[str], grid: Grid) -> FloatArray:
    """Read bands by strips: (bands, rows, columns) float32, NaN where nodata."""
    values = np.empty((len(bands), *grid.shape), np.float32)
    for window, part in strips(grid):
        for index, band in enumerate(bands):
            values[(index, *window.slices)] = product.read((band,), part)[0]
    return values


def read_any(
    product: Maskable, bands: Sequence[str], resolution_m: float
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
    return read_bands(toa, bands, grid), grid, is_toa


def clouds_with_shadows(
    product: TopOfAtmosphere,
    grid: Grid,
    cloud: npt.NDArray[np.bool_],
    probability: FloatArray,
    nir: FloatArray,
) -> Mask:
    """Return the mask of an engine that finds clouds only, with projected shadows.

    Parameters
    ----------
    cloud : (rows, columns) clouds.
    probability : (rows, columns) 0..1; NaN where nodata.
    nir : (rows, columns) near infrared, for the dark ground.
    """
    valid = np.isfinite(probability)
    sun = product.sun(grid.at_resolution(max(grid.resolution, 1000.0)))
    zenith, azimuth = (float(np.nanmean(a)) for a in sun)
    ray = Ray.of_sun(zenith, azimuth, grid.resolution)
    shadow = project_shadows(cloud & valid, dark_ground(nir), ray)
    labels = np.full(grid.shape, Label.CLEAR, np.uint8)
    labels[shadow] = Label.SHADOW
    labels[cloud] = Label.CLOUD
    labels[~valid] = Label.NODATA
    nowhere = np.zeros(grid.shape, bool)
    facts = {"sun_zenith": round(zenith, 2), "sun_azimuth": round(azimuth, 2)}
    return Mask(labels, nowhere, probability, grid, facts)
