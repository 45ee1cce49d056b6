"""The range-Doppler equations, solved for points on the ground.

A point is imaged when it lies in the plane across the track: ``(p - s(t)) . v(t) = 0`` (zero
Doppler, the geometry of all Sentinel-1 Level-1 products), at the slant range ``|p - s(t)|``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from skymend.sar.speckle.compiled import compiled

if TYPE_CHECKING:
    from skymend.sar.orbit import Track

Doubles = npt.NDArray[np.float64]

SPEED_OF_LIGHT = 299_792_458.0
"""Metres a second."""

SEMI_MAJOR_M = 6_378_137.0
_FLATTENING = 1 / 298.257223563
ECCENTRICITY_SQUARED = _FLATTENING * (2 - _FLATTENING)
_ITERATIONS = 12
_TOLERANCE_S = 1e-10


@compiled
def solve_zero_doppler(
    points: Doubles, knots: Doubles, cubics: Doubles, seconds: Doubles, satellite: Doubles
) -> None:
    """Find the zero-Doppler time of points with Newton's method.

    Parameters
    ----------
    points : (points, 3) Earth-fixed metres.
    knots, cubics : the orbit, see :class:`~skymend.sar.orbit.Track`.
    seconds : (points,) written: zero-Doppler time; what it holds is the first guess.
    satellite : (points, 3) written: position at that time.
    """
    last = cubics.shape[0] - 1
    for i in range(points.shape[0]):
        t = seconds[i]
        for _ in range(_ITERATIONS):
            piece = 0
            while piece < last and t >= knots[piece + 1]:
                piece += 1
            u = t - knots[piece]
            miss = 0.0
            slope = 0.0
            for axis in range(3):
                c0 = cubics[piece, 0, axis]
                c1 = cubics[piece, 1, axis]
                c2 = cubics[piece, 2, axis]
                c3 = cubics[piece, 3, axis]
                position = c0 + u * (c1 + u * (c2 + u * c3))
                velocity = c1 + u * (2 * c2 + 3 * u * c3)
                acceleration = 2 * c2 + 6 * u * c3
                away = points[i, axis] - position
                miss += away * velocity
                slope += away * acceleration - velocity * velocity
                satellite[i, axis] = position
            change = miss / slope
            t -= change
            if math.fabs(change) < _TOLERANCE_S:
                break
        seconds[i] = t


def zero_doppler(points: Doubles, track: Track) -> tuple[Doubles, Doubles, Doubles]:
    """Return time, slant range and satellite position for points.

    Parameters
    ----------
    points : (..., 3) Earth-fixed metres.

    Returns
    -------
    seconds : (...,) after the track's epoch.
    slant_range : (...,) metres.
    satellite : (..., 3) metres.
    """
    flat = np.ascontiguousarray(points.reshape(-1, 3))
    seconds = np.full(len(flat), (track.knots[0] + track.knots[-1]) / 2)
    satellite = np.empty_like(flat)
    solve_zero_doppler(flat, track.knots, track.cubics, seconds, satellite)
    slant_range = np.linalg.norm(flat - satellite, axis=1)
    shape = points.shape[:-1]
    return seconds.reshape(shape), slant_range.reshape(shape), satellite.reshape(points.shape)


def to_earth_fixed(longitude: Doubles, latitude: Doubles, height: Doubles | float) -> Doubles:
    """Return Earth-fixed positions (..., 3) in metres (WGS 84).

    Parameters
    ----------
    longitude, latitude : (...,) degrees.
    height : (...,) metres above the ellipsoid.
    """
    phi, lam = np.radians(latitude), np.radians(longitude)
    curvature = SEMI_MAJOR_M / np.sqrt(1 - ECCENTRICITY_SQUARED * np.sin(phi) ** 2)
    across = (curvature + height) * np.cos(phi)
    along = (curvature * (1 - ECCENTRICITY_SQUARED) + height) * np.sin(phi)
    return np.stack([across * np.cos(lam), across * np.sin(lam), along], axis=-1)


def ellipsoid_normal(longitude: Doubles, latitude: Doubles) -> Doubles:
    """Return the upward normals of the ellipsoid, (..., 3), from degrees."""
    phi, lam = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def incidence_angle(points: Doubles, satellite: Doubles, vertical: Doubles) -> Doubles:
    """Return the angle in degrees between the line of sight and a vertical.

    Parameters
    ----------
    points, satellite : (..., 3) Earth-fixed metres.
    vertical : (..., 3), any length. The annotation of Sentinel-1 takes the geocentric direction
        (the point itself); the ellipsoid's normal differs from it by up to 0.19 degree.
    """
    sight = satellite - points
    length = np.linalg.norm(sight, axis=-1) * np.linalg.norm(vertical, axis=-1)
    cosine: Doubles = (sight * vertical).sum(axis=-1) / length
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
