"""Pass three: the shadow of each cloud, found by trying its height.

Zhu & Woodcock 2012, section 3.2: each cloud is slid along the direction of its shadow, and the
height at which it covers most dark ground wins. The shadow drawn there is rarely exact: clouds
have depth, tops that hide their bases, and neighbours outside the image. So it confirms the dark
ground it meets, and dark ground that it misses is slid the other way: what no cloud can have
shaded is no shadow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skymend.clouds.fmask.geometry import drift
from skymend.clouds.fmask.matching import (
    HIT,
    MISS,
    UNKNOWN,
    Matched,
    choose_heights,
    height_limits,
    paint,
    slide_objects,
    trial_heights,
)
from skymend.clouds.fmask.objects import Objects, coarse_share, find_objects
from skymend.clouds.fmask.potential import VALID
from skymend.clouds.fmask.probability import Clear
from skymend.clouds.fmask.scene import Scene
from skymend.clouds.fmask.shade import find_shade
from skymend.clouds.fmask.tidy import erode, grow
from skymend.core.encoding import ByteArray

BoolArray = npt.NDArray[np.bool_]

MATCH_M = 60.0
"""Clouds are slid at about this pixel size."""

LARGEST_CLOUD_M, LARGEST_SHADE_M = 2000.0, 1000.0
"""Sides of the squares into which larger clouds, and shade, are cut."""

CONFIRMED_M = 60.0
"""Distance from a drawn shadow within which dark ground is confirmed."""

NARROW_M = 30.0
"""Half the width below which dark ground is a river, a street or a shore rather than shadow."""

COVERED = 0.5
"""Share of dark ground that must lie behind clouds, seen from the sun, at one height."""

_HEADROOM_M = 1000.0


@dataclass(frozen=True, slots=True)
class Shadows:
    """Where shadow falls, (rows, columns) boolean, and what was found about the clouds."""

    mask: BoolArray
    matched: Matched
    objects: Objects


def find_shadows(
    scene: Scene,
    flags: ByteArray,
    cloud: BoolArray,
    terrain: BoolArray,
    clear: Clear,
    cpus: int,
) -> Shadows:
    """Find the shadows of all clouds.

    Parameters
    ----------
    flags : (rows, columns) uint8 of :mod:`~skymend.clouds.fmask.potential`.
    cloud : (rows, columns) boolean, the clouds.
    terrain : (rows, columns) boolean, ground in the shade of mountains, which is dark anyway.
    """
    size = scene.grid.resolution
    shade, silent = find_shade(scene, flags, terrain, cpus)
    shade &= ~(cloud | terrain)
    shade &= grow(erode(shade, NARROW_M / size), 2 * NARROW_M / size)
    unknown = silent | terrain | cloud | ((flags & VALID) == 0)
    objects = find_objects(cloud, size, MATCH_M, LARGEST_CLOUD_M)
    matched = match(scene, objects, shade, unknown, clear, cpus)
    drawn = paint(cloud, objects, matched.heights, drift(scene, size))
    confirmed = shade & grow(drawn, CONFIRMED_M / size)
    confirmed |= behind_clouds(scene, shade, cloud, matched, cpus)
    confirmed |= drawn & silent & ~(cloud | terrain)
    return Shadows(confirmed & ((flags & VALID) != 0), matched, objects)


def match(
    scene: Scene,
    objects: Objects,
    shade: BoolArray,
    unknown: BoolArray,
    clear: Clear,
    cpus: int,
) -> Matched:
    """Find the height of every cloud; ``unknown`` pixels speak neither for nor against one."""
    ratio = objects.ratio
    dark = coarse_share(shade, ratio) >= 0.5
    state = np.where(dark, np.uint8(HIT), np.uint8(MISS))
    state[coarse_share(unknown, ratio) > 0.5] = UNKNOWN
    slide = drift(scene, scene.grid.resolution * ratio)
    heights = trial_heights(slide)
    slid = slide_objects(objects, state, slide, heights, cpus)
    spoken = int(np.count_nonzero(state != UNKNOWN))
    usual = int(np.count_nonzero(state == HIT)) / max(1, spoken)
    return choose_heights(objects, heights, slid, usual, height_limits(scene, objects, clear))


def behind_clouds(
    scene: Scene, shade: BoolArray, cloud: BoolArray, matched: Matched, cpus: int
) -> BoolArray:
    """Return the dark ground that a cloud at one of the heights found can have shaded.

    Seen from the sun, at least half of it must lie behind clouds at one height, or so much of
    it behind what lies outside the image that nobody can tell.
    """
    objects = find_objects(shade, scene.grid.resolution, MATCH_M, LARGEST_SHADE_M)
    found = matched.heights[np.isfinite(matched.heights)]
    if objects.count == 0 or found.size == 0:
        return np.zeros(shade.shape, np.bool_)
    slide = drift(scene, scene.grid.resolution * objects.ratio)
    heights = trial_heights(slide)
    heights = heights[heights <= np.quantile(found, 0.95) + _HEADROOM_M]
    clouds = coarse_share(cloud, objects.ratio) >= 0.5
    state = np.where(clouds, np.uint8(HIT), np.uint8(MISS))
    slid = slide_objects(objects, state, slide, -heights, cpus)
    seen = slid.hit + slid.miss
    covered = (slid.hit >= COVERED * seen) & (seen > 0.3)
    outside = (seen < 0.3).mean(axis=1) > 0.5
    accepted = np.concatenate([[False], covered.any(axis=1) | outside])
    rows, columns = shade.shape
    ratio = objects.ratio
    possible = accepted[objects.labels].repeat(ratio, 0).repeat(ratio, 1)[:rows, :columns]
    return shade & grow(possible, ratio)
