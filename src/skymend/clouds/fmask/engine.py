"""The whole of Fmask on one scene in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.clouds.fmask import parallax
from skymend.clouds.fmask.cirrus import normalise_cirrus
from skymend.clouds.fmask.potential import (
    BUILT,
    CLOUD_LIKE,
    SNOW,
    VALID,
    WATER,
    find_potential,
)
from skymend.clouds.fmask.probability import (
    NONE,
    STEP,
    Clear,
    clear_statistics,
    cloud_probability,
    land_threshold,
    weights_of,
)
from skymend.clouds.fmask.rim import grow_rims
from skymend.clouds.fmask.scene import Scene
from skymend.clouds.fmask.shadow import Shadows, find_shadows
from skymend.clouds.fmask.terrain import dry_slopes, terrain_shadow
from skymend.clouds.fmask.tidy import close_pinholes, drop_specks, grow, spare
from skymend.clouds.masker import Mask
from skymend.core.encoding import ByteArray
from skymend.core.grid import Grid
from skymend.products.labels import Label

BoolArray = npt.NDArray[np.bool_]

WATER_PROBABILITY = 0.5
"""Probability above which bright water is cloud (Zhu & Woodcock 2012, eq. 18)."""

FEWEST_CLEAR = 0.001
"""With a smaller share of clear ground a scene is wholly cloudy (section 3.1.2)."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may set.

    Parameters
    ----------
    smallest_cloud_m2 : area below which a cloud is dropped.
    spare_m : width below which what looks like town, rock or snow is no cloud.
    cloud_rim_m : distance by which clouds grow over ground that is bright beside them.
    shadow_rim_m : distance by which shadows grow.
    shadows : look for shadows; without them the sun is not asked for.
    """

    smallest_cloud_m2: float = 1200.0
    spare_m: float = 90.0
    cloud_rim_m: float = 40.0
    shadow_rim_m: float = 0.0
    shadows: bool = True


def run_fmask(scene: Scene, options: Options = Options(), *, cpus: int = 1) -> Mask:
    """Label clouds, shadows, snow and water of a scene.

    The result does not depend on ``cpus``. It stops early where nothing is valid, where no
    pixel looks like cloud, and where next to none looks clear.
    """
    scene = normalise_cirrus(scene)
    flags = dry_slopes(scene, find_potential(scene, cpus))
    valid = int(np.count_nonzero(flags & VALID))
    if valid == 0:
        return empty_mask(scene.grid)
    like = int(np.count_nonzero(flags & CLOUD_LIKE))
    shade = terrain_shadow(scene)
    if like == 0:
        return _labelled(scene, flags, shade, None, None, None, {"stopped": "no cloud"})
    if valid - like < FEWEST_CLEAR * valid:
        percent = np.where(flags & VALID, np.uint8(STEP), np.uint8(NONE))
        cloud = (flags & VALID) != 0
        facts = {"stopped": "wholly cloudy"}
        return _labelled(scene, flags, shade, percent, cloud, None, facts)
    clear = clear_statistics(scene, flags, cpus)
    percent, cloud, facts = find_clouds(scene, flags, clear, options, cpus)
    shadows = None
    if options.shadows and cloud.any():
        shadows = find_shadows(scene, flags, cloud, shade, clear, cpus)
        facts |= _height_facts(shadows)
    return _finish(scene, flags, shade, percent, cloud, shadows, options, facts)


def find_clouds(
    scene: Scene, flags: ByteArray, clear: Clear, options: Options, cpus: int
) -> tuple[ByteArray, BoolArray, dict[str, Any]]:
    """Return the probability in percent, the clouds, and facts about the thresholds."""
    weights = weights_of(scene.sensor)
    percent = cloud_probability(scene, flags, clear, weights, cpus)
    threshold = land_threshold(flags, percent, weights)
    limit = np.full(flags.shape, round(threshold), np.uint8)
    limit[(flags & WATER) != 0] = round(STEP * WATER_PROBABILITY)
    cloud = ((flags & CLOUD_LIKE) != 0) & (percent > limit) & (percent != NONE)
    if scene.has_temperature:
        cloud |= very_cold(scene, flags, clear)
    index = parallax.index_around(scene, cloud, cpus) if parallax.applies(scene) else None
    cloud = spare_ground(scene, flags, cloud, options, index)
    cloud = close_pinholes(cloud) & ((flags & VALID) != 0)
    cloud = grow_rims(scene, cloud, flags, options.cloud_rim_m / scene.grid.resolution, index)
    cloud = drop_specks(cloud, round(options.smallest_cloud_m2 / scene.grid.resolution**2))
    return percent, cloud, {"land_threshold": round(threshold / STEP, 3)}


def very_cold(scene: Scene, flags: ByteArray, clear: Clear) -> BoolArray:
    """Return pixels 35 K colder than the coldest clear land: cloud whatever their colour.

    Zhu & Woodcock 2012, eq. 18; ``clear.land_low`` already lies 4 K below that land.
    """
    cold = scene.bands.celsius < np.float32((clear.land_low + 4.0 - 35.0) * 100)
    return np.asarray(cold & ((flags & VALID) != 0))


def spare_ground(
    scene: Scene,
    flags: ByteArray,
    cloud: BoolArray,
    options: Options,
    index: parallax.IndexArray | None,
) -> BoolArray:
    """Remove bright ground that passed for cloud.

    With the displacement index, what stands still goes; without, what looks like town, rock or
    (without a thermal band) snow and is narrow.
    """
    if index is not None:
        return parallax.keep_moving(scene, cloud, index)
    like = BUILT if scene.has_temperature else BUILT | SNOW
    suspects = ((flags & like) != 0) & cloud
    return spare(cloud, suspects, options.spare_m / scene.grid.resolution)


def empty_mask(grid: Grid) -> Mask:
    """Return the mask of a scene without a valid pixel."""
    return Mask(
        np.zeros(grid.shape, np.uint8),
        np.zeros(grid.shape, np.bool_),
        np.full(grid.shape, np.nan, np.float32),
        grid,
        {"stopped": "no valid pixel"},
    )


def _finish(
    scene: Scene,
    flags: ByteArray,
    shade: BoolArray,
    percent: ByteArray,
    cloud: BoolArray,
    shadows: Shadows | None,
    options: Options,
    facts: Mapping[str, Any],
) -> Mask:
    size = scene.grid.resolution
    shadow = None if shadows is None else grow(shadows.mask, options.shadow_rim_m / size)
    return _labelled(scene, flags, shade, percent, cloud, shadow, facts)


def _labelled(
    scene: Scene,
    flags: ByteArray,
    shade: BoolArray,
    percent: ByteArray | None,
    cloud: BoolArray | None,
    shadow: BoolArray | None,
    facts: Mapping[str, Any],
) -> Mask:
    """Lay the classes over one another: cloud, shadow, snow, water, clear."""
    valid = (flags & VALID) != 0
    labels = np.full(flags.shape, Label.CLEAR, np.uint8)
    labels[(flags & WATER) != 0] = Label.WATER
    labels[(flags & SNOW) != 0] = Label.SNOW
    for mask, label in ((shadow, Label.SHADOW), (cloud, Label.CLOUD)):
        if mask is not None:
            labels[mask] = label
    labels[~valid] = Label.NODATA
    probability = np.zeros(flags.shape, np.float32)
    if percent is not None:
        np.divide(percent, np.float32(STEP), out=probability)
        np.minimum(probability, 1, out=probability)
    probability[~valid] = np.nan
    shade &= valid
    return Mask(labels, shade, probability, scene.grid, facts)


def _height_facts(shadows: Shadows) -> dict[str, Any]:
    found = shadows.matched.heights[np.isfinite(shadows.matched.heights)]
    facts: dict[str, Any] = {"clouds": shadows.objects.count, "matched": int(found.size)}
    if found.size:
        facts["median_height_m"] = round(float(np.median(found)))
    return facts
