"""Pass three: the shadow of each cloud, found by trying its height.

Zhu & Woodcock 2012, section 3.2: dark hollows of NIR and SWIR1 are candidates; each cloud is
slid along the direction of its shadow, and the height at which it covers most candidates wins.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skymend.clouds.fmask.fill import STEP, fill, to_levels
from skymend.clouds.fmask.geometry import drift
from skymend.clouds.fmask.matching import (
    CANDIDATE,
    CLEAR_GROUND,
    CLOUD,
    UNKNOWN,
    Matched,
    match_heights,
    paint,
)
from skymend.clouds.fmask.objects import Objects, coarse_share, find_objects
from skymend.clouds.fmask.potential import CLEAR_LAND, VALID, WATER
from skymend.clouds.fmask.probability import LOW, Clear
from skymend.clouds.fmask.scene import Scene, ShortArray
from skymend.core.encoding import ByteArray

BoolArray = npt.NDArray[np.bool_]

DARKENING = 0.02
"""Reflectance by which shadow is darker than the rim of its hollow (eq. 19)."""

MATCH_M = 40.0
"""Clouds are slid at about this pixel size."""


@dataclass(frozen=True, slots=True)
class Shadows:
    """Where shadow falls, (rows, columns) boolean, and what was found about the clouds."""

    mask: BoolArray
    matched: Matched
    objects: Objects


def find_shadows(
    scene: Scene, flags: ByteArray, cloud: BoolArray, clear: Clear, cpus: int
) -> Shadows:
    """Find the shadow of every cloud.

    Parameters
    ----------
    flags : (rows, columns) uint8 of :mod:`~skymend.clouds.fmask.potential`.
    cloud : (rows, columns) boolean, the clouds.
    """
    candidates = shadow_candidates(scene, flags, cpus)
    objects = find_objects(cloud, scene.grid.resolution, MATCH_M)
    state = _coarse_state(objects, candidates, flags)
    slide = drift(scene, scene.grid.resolution * objects.ratio)
    matched = match_heights(scene, objects, state, slide, clear, cpus)
    shadow = paint(cloud, objects, matched, drift(scene, scene.grid.resolution))
    shadow &= (flags & VALID) != 0
    shadow &= ~cloud
    return Shadows(shadow, matched, objects)


def shadow_candidates(scene: Scene, flags: ByteArray, cpus: int) -> BoolArray:
    """Return the pixels that are hollows of both NIR and SWIR1, (rows, columns) boolean."""
    invalid = (flags & VALID) == 0
    clear = (flags & CLEAR_LAND) == VALID
    with ThreadPoolExecutor(max_workers=min(2, max(1, cpus))) as pool:
        bands = (scene.bands.nir, scene.bands.swir1)
        near, short = pool.map(lambda band: _hollows(band, invalid, clear), bands)
    return np.logical_and(near, short, out=near)


def _hollows(band: ShortArray, invalid: BoolArray, clear: BoolArray) -> BoolArray:
    """Return where a band lies deeper than the rim around; outside stands the 17.5 % quantile."""
    levels = to_levels(band, invalid)
    counts = np.bincount(levels[clear], minlength=1).cumsum()
    background = int(np.searchsorted(counts, LOW * counts[-1])) if counts[-1] else 0
    filled = levels.copy()
    fill(filled, background)
    filled -= levels
    deep: BoolArray = filled > round(DARKENING * 1e4 / STEP)
    return deep


def _coarse_state(objects: Objects, candidates: BoolArray, flags: ByteArray) -> ByteArray:
    """Return what each coarse pixel says of a shadow thrown on it.

    Water is dark anyway, so that it neither speaks for a shadow nor against it.
    """
    ratio = objects.ratio
    valid = coarse_share((flags & VALID) != 0, ratio) > 0.5
    water = coarse_share((flags & WATER) != 0, ratio) > 0.5
    state = np.where(coarse_share(candidates, ratio) >= 0.5, CANDIDATE, CLEAR_GROUND)
    state[water] = UNKNOWN
    state[~valid] = UNKNOWN
    state[objects.labels > 0] = CLOUD
    return state.astype(np.uint8)
