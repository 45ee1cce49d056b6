"""Where the shadow of a cloud falls in the image.

A cloud at height h over the ground is imaged away from its true place, along the line of sight,
and shades the ground away from the sun. Counted in the image, east and north, the shadow lies
``h * (tan(view) u(view azimuth) - tan(sun) u(sun azimuth))`` from the cloud's own pixel, where u
is the unit vector of an azimuth (Zhu & Woodcock 2012, section 3.2.2).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skymend.clouds.fmask.scene import Scene
from skymend.core.encoding import FloatArray
from skymend.products.toa import Angles


class Drift(NamedTuple):
    """Shift of the shadow in pixels for each metre of height.

    ``down`` and ``along`` are (cell rows, cell columns) float32 over the whole scene; ``cell``
    is the number of pixels of a cell's side.
    """

    down: FloatArray
    along: FloatArray
    cell: float


def drift(scene: Scene, resolution_m: float) -> Drift:
    """Return how shadows drift with height, in pixels of ``resolution_m``."""
    sun_east, sun_north = _slope(scene.sun)
    view_east, view_north = _slope(scene.view)
    east = np.atleast_2d(view_east - sun_east).astype(np.float32)
    north = np.atleast_2d(view_north - sun_north).astype(np.float32)
    pixels = max(scene.grid.shape) * scene.grid.resolution / resolution_m
    cell = pixels / max(east.shape) if east.size > 1 else pixels + 1
    return Drift(-north / resolution_m, east / resolution_m, cell)


def mean_angles(angles: Angles) -> tuple[float, float]:
    """Return one pair of zenith and azimuth for a scene, degrees."""
    east, north = (np.nanmean(v) for v in _slope(angles))
    zenith = float(np.degrees(np.arctan(np.hypot(east, north))))
    return zenith, float(np.degrees(np.arctan2(east, north)) % 360)


def _slope(angles: Angles) -> tuple[FloatArray, FloatArray]:
    """Return the horizontal displacement for one metre of height towards a direction."""
    zenith, azimuth = (np.radians(np.asarray(a, np.float32)) for a in angles)
    length = np.tan(zenith)
    return length * np.sin(azimuth), length * np.cos(azimuth)
