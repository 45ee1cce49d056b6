"""Mountains: their light, and the shadows they throw."""

from __future__ import annotations

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.simulate.landscape import BoolArray
from skymend.simulate.noise import blur, fractal, generator


def mountains(seed: int, size_px: int, height_m: float) -> FloatArray:
    """Return a massif in the north of the scene, (rows, columns) metres at 10 m.

    Ridges are where a fractal field changes its sign; the valley in the south stays flat.
    """
    rng = generator(seed, "mountains")
    shape = (2 * size_px, 2 * size_px)
    rough = fractal(shape, rng, slope=4.2, longest_px=380)[:size_px, :size_px]
    ridges = np.clip(1 - np.abs(rough) / 1.3, 0, 1) ** 1.3
    rows = np.linspace(0, 1, size_px, dtype=np.float32)[:, None]
    rise = np.clip((0.72 - rows) / 0.5, 0, 1) ** 1.2
    return blur(np.asarray(height_m * rise * (0.25 + 0.75 * ridges), np.float32), 3.0)


def cosine(elevation: FloatArray, zenith: float, azimuth: float) -> FloatArray:
    """Return the cosine of the angle between sun and ground, relative to flat ground.

    Teillet et al. (1982, Can. J. Remote Sensing 8(2)); 0 where the ground turns away.

    Parameters
    ----------
    elevation : (rows, columns) metres at 10 m.
    zenith, azimuth : of the sun, degrees.
    """
    down, east = np.gradient(elevation, 10.0)
    high, around = np.radians(zenith), np.radians(azimuth)
    toward_east, toward_south = np.sin(high) * np.sin(around), -np.sin(high) * np.cos(around)
    normal = np.sqrt(1 + down**2 + east**2)
    value = (np.cos(high) - east * toward_east - down * toward_south) / normal
    return np.asarray(np.clip(value, 0, None) / np.cos(high), np.float32)


def cast_shadow(elevation: FloatArray, zenith: float, azimuth: float) -> BoolArray:
    """Return where terrain hides the sun.

    A pixel lies in shadow where ground towards the sun rises above its ray. The highest
    ground above the rays is found by doubling: what holds for k pixels ahead, taken k pixels
    farther, holds for 2 k. Ground beyond the edge continues level.

    Parameters
    ----------
    elevation : (rows, columns) metres at 10 m.
    zenith, azimuth : of the sun, degrees.
    """
    from scipy.ndimage import shift

    rise = 10.0 / np.tan(np.radians(zenith))
    around = np.radians(azimuth)
    # Shifting the image back brings the ground that lies ahead to the pixel.
    one = np.array([np.cos(around), -np.sin(around)])
    ahead = shift(elevation, one, order=1, mode="nearest") - rise
    reach = 1
    while reach * rise < np.ptp(elevation):
        farther = shift(ahead, reach * one, order=1, mode="nearest") - reach * rise
        ahead, reach = np.maximum(ahead, farther), 2 * reach
    return np.asarray(ahead > elevation + 0.5)
