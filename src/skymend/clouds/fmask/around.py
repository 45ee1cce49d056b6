"""Shadows, snow and water around clouds that another masker found.

Maskers of single pixels know clouds only. Fmask's search for their shadows does not mind who
found the clouds, so it serves them all.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from skymend.clouds.fmask.cirrus import normalise_cirrus
from skymend.clouds.fmask.engine import empty_mask
from skymend.clouds.fmask.potential import SNOW, VALID, WATER, find_potential
from skymend.clouds.fmask.probability import clear_statistics
from skymend.clouds.fmask.scene import read_scene
from skymend.clouds.fmask.shadow import find_shadows
from skymend.clouds.fmask.terrain import dry_slopes, terrain_shadow
from skymend.clouds.masker import Mask
from skymend.core.encoding import FloatArray
from skymend.core.grid import Grid
from skymend.products.labels import Label
from skymend.products.toa import TopOfAtmosphere


def mask_around(
    product: TopOfAtmosphere,
    grid: Grid,
    cloud: npt.NDArray[np.bool_],
    probability: FloatArray,
    *,
    dem: Path | None = None,
    cpus: int = 1,
) -> Mask:
    """Return the whole mask of a product whose clouds are known.

    Parameters
    ----------
    grid : where ``cloud`` and ``probability`` lie.
    cloud : (rows, columns) clouds.
    probability : (rows, columns) 0..1; NaN where the masker had nothing to judge by.

    Raises
    ------
    ProductError
        if the product lacks a band of the shadow search.
    """
    scene = read_scene(product, grid, dem, cpus=cpus)
    if scene is None:
        return empty_mask(grid)
    scene = normalise_cirrus(scene)
    flags = dry_slopes(scene, find_potential(scene, cpus))
    valid = ((flags & VALID) != 0) & np.isfinite(probability)
    cloud = cloud & valid
    shade = terrain_shadow(scene)
    labels = np.full(grid.shape, Label.CLEAR, np.uint8)
    labels[(flags & WATER) != 0] = Label.WATER
    labels[(flags & SNOW) != 0] = Label.SNOW
    facts = {}
    # Ground to compare shadows with must show somewhere.
    if cloud.any() and (valid & ~cloud).any():
        clear = clear_statistics(scene, flags, cpus)
        found = find_shadows(scene, flags, cloud, shade, clear, cpus)
        labels[found.mask] = Label.SHADOW
        facts = {"clouds": found.objects.count}
    labels[cloud] = Label.CLOUD
    labels[~valid] = Label.NODATA
    return Mask(labels, shade & valid, np.where(valid, probability, np.nan), grid, facts)
