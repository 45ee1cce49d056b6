"""Orbits of a simulated or a real Sentinel-1, in Earth-fixed coordinates.

This geometry is the simulator's own: it shares no code with the radar engines that are
tested against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from skymend.core.errors import ConfigError

Doubles = npt.NDArray[np.float64]

SEMI_MAJOR_M, SEMI_MINOR_M = 6_378_137.0, 6_356_752.314245
"""Axes of WGS 84."""
REVOLUTIONS, CYCLE_DAYS = 175, 12
"""Sentinel-1 repeats its ground track after 175 revolutions in 12 days."""

_RADIUS_M = 7_070_960.0
_INCLINATION = np.radians(98.1836)
_RATE = 2 * np.pi * REVOLUTIONS / (CYCLE_DAYS * 86_400)
"""Argument of latitude per second."""
_TURN = 2 * np.pi / 86_400
"""Earth's turn under a sun-synchronous plane, radians per second: once a mean solar day."""


class Orbit(Protocol):
    """What places the satellite."""

    def at(self, seconds: npt.ArrayLike) -> tuple[Doubles, Doubles, Doubles]:
        """Return position, velocity and acceleration, (..., 3) each in metres and seconds."""
        ...


@dataclass(frozen=True, slots=True)
class CircularOrbit:
    """A sun-synchronous circular orbit.

    Parameters
    ----------
    node_longitude : Earth-fixed longitude of the ascending node at time 0, radians.
    latitude_argument : angle from the node to the satellite at time 0, radians.
    """

    node_longitude: float
    latitude_argument: float

    @property
    def seconds_since_node(self) -> float:
        """Seconds from the ascending node to time 0."""
        return float(np.mod(self.latitude_argument, 2 * np.pi) / _RATE)

    def at(self, seconds: npt.ArrayLike) -> tuple[Doubles, Doubles, Doubles]:
        """Return position, velocity and acceleration, (..., 3) each."""
        t = np.asarray(seconds, np.float64)
        u, w = self.latitude_argument + _RATE * t, self.node_longitude - _TURN * t
        plane = (np.cos(u), np.cos(_INCLINATION) * np.sin(u), np.sin(_INCLINATION) * np.sin(u))
        first = (-np.sin(u), np.cos(_INCLINATION) * np.cos(u), np.sin(_INCLINATION) * np.cos(u))
        turned = [_turn(vector, w) for vector in (plane, first)]
        across = [np.stack([-v[..., 1], v[..., 0], 0 * v[..., 2]], axis=-1) for v in turned]
        position = _RADIUS_M * turned[0]
        velocity = _RADIUS_M * (_RATE * turned[1] - _TURN * across[0])
        flat = turned[0] * np.array([1.0, 1.0, 0.0])
        bend = _RATE**2 * turned[0] + 2 * _RATE * _TURN * across[1] + _TURN**2 * flat
        return position, velocity, -_RADIUS_M * bend


def _turn(vector: tuple[Doubles, Doubles, Doubles], angle: Doubles) -> Doubles:
    """Turn vectors about the Earth's axis, (..., 3)."""
    x, y, z = vector
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([cosine * x - sine * y, sine * x + cosine * y, z], axis=-1)


@dataclass(frozen=True)
class PolynomialOrbit:
    """A polynomial through given state vectors.

    Parameters
    ----------
    middle, half : the polynomial's variable is (seconds - middle) / half.
    terms : (powers, 3), lowest power first.
    """

    middle: float
    half: float
    terms: Doubles

    @classmethod
    def fit(cls, seconds: Doubles, position: Doubles) -> PolynomialOrbit:
        """Fit positions by a polynomial of degree 9 at most; it holds to a millimetre.

        Parameters
        ----------
        seconds : (states,) of a few minutes.
        position : (states, 3) metres.
        """
        middle, half = float(np.mean(seconds)), float(np.ptp(seconds) / 2)
        degree = min(9, len(seconds) - 1)
        terms = np.polynomial.chebyshev.chebfit((seconds - middle) / half, position, degree)
        powers = np.stack([np.polynomial.chebyshev.cheb2poly(terms[:, k]) for k in range(3)], 1)
        return cls(middle, half, np.asarray(powers, np.float64))

    def at(self, seconds: npt.ArrayLike) -> tuple[Doubles, Doubles, Doubles]:
        """Return position, velocity and acceleration, (..., 3) each."""
        x = (np.asarray(seconds, np.float64) - self.middle) / self.half
        found = []
        terms = self.terms
        for order in range(3):
            value = np.polynomial.polynomial.polyval(x, terms) / self.half**order
            found.append(np.moveaxis(np.asarray(value), 0, -1))
            terms = np.asarray(np.polynomial.polynomial.polyder(terms), np.float64)
        return found[0], found[1], found[2]


def orbit_over(
    latitude: float, longitude: float, incidence: float, direction: Literal["ASC", "DES"]
) -> CircularOrbit:
    """Return the orbit that sees a place at time 0, to its right, at an incidence angle.

    Parameters
    ----------
    latitude, longitude, incidence : degrees; the incidence refers to the ellipsoid's normal.

    Raises
    ------
    ConfigError
        if the place is too near a pole.
    """
    from scipy.optimize import root

    target = earth_fixed(np.array(longitude), np.array(latitude), np.array(0.0))
    normal = normal_of(np.array(longitude), np.array(latitude))
    wanted = np.cos(np.radians(incidence))

    def misses(unknown: Doubles) -> Doubles:
        position, velocity, _ = CircularOrbit(*unknown).at(0.0)
        look = position - target
        cosine = look @ normal / np.linalg.norm(look)
        return np.array([look @ velocity / 1e9, cosine - wanted])

    guess = _first_guess(latitude, longitude, incidence, direction)
    # Near the turning points of the orbit the first guess may lead nowhere.
    for ahead in (0.0, -0.1, 0.1, -0.2, 0.2, -0.3, 0.3):
        solution = root(misses, guess + np.array([0.0, ahead]), tol=1e-14)
        orbit = CircularOrbit(*solution.x)
        if np.abs(solution.fun).max() < 1e-10 and _fits(orbit, target, direction):
            return orbit
    raise ConfigError(
        where="simulated radar orbit",
        expected="a place between 78 degrees south and north",
        found=f"latitude {latitude}",
        fix="choose another place",
    )


def _fits(orbit: CircularOrbit, target: Doubles, direction: Literal["ASC", "DES"]) -> bool:
    climbing = orbit.at(0.0)[1][2] > 0
    return is_right(orbit, target) and climbing == (direction == "ASC")


def _first_guess(
    latitude: float, longitude: float, incidence: float, direction: Literal["ASC", "DES"]
) -> Doubles:
    """Return node and argument of a satellite as far to the side as its height demands."""
    phi, east = np.radians(latitude), np.radians(longitude)
    argument = np.arcsin(np.clip(np.sin(phi) / np.sin(_INCLINATION), -1, 1))
    argument = argument if direction == "ASC" else np.pi - argument
    nadir = np.arcsin(np.sin(np.radians(incidence)) * 6_371_000.0 / _RADIUS_M)
    aside = (np.radians(incidence) - nadir) / np.cos(phi)
    below = np.arctan2(np.cos(_INCLINATION) * np.sin(argument), np.cos(argument))
    side = -aside if direction == "ASC" else aside
    return np.array([east + side - below, argument])


def is_right(orbit: Orbit, target: Doubles) -> bool:
    """Return whether a target lies to the right of the flight at time 0."""
    position, velocity, _ = orbit.at(0.0)
    return bool(np.cross(velocity, position) @ (target - position) > 0)


def earth_fixed(longitude: Doubles, latitude: Doubles, height: Doubles) -> Doubles:
    """Turn geodetic coordinates (degrees, metres) into Earth-fixed ones, (..., 3)."""
    phi, lam = np.radians(latitude), np.radians(longitude)
    ratio = (SEMI_MINOR_M / SEMI_MAJOR_M) ** 2
    across = SEMI_MAJOR_M / np.sqrt(1 - (1 - ratio) * np.sin(phi) ** 2)
    flat = (across + height) * np.cos(phi)
    up = (ratio * across + height) * np.sin(phi)
    return np.stack([flat * np.cos(lam), flat * np.sin(lam), up], axis=-1)


def geodetic(points: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Turn Earth-fixed points into longitude, latitude (degrees) and height (metres).

    Bowring (1976, Survey Review 23): below a micrometre at these heights after one more turn.
    """
    x, y, z = np.moveaxis(points, -1, 0)
    flat = np.hypot(x, y)
    first = 1 - (SEMI_MINOR_M / SEMI_MAJOR_M) ** 2
    second = (SEMI_MAJOR_M / SEMI_MINOR_M) ** 2 - 1
    beta = np.arctan2(SEMI_MAJOR_M * z, SEMI_MINOR_M * flat)
    for _ in range(2):
        up = z + second * SEMI_MINOR_M * np.sin(beta) ** 3
        out = flat - first * SEMI_MAJOR_M * np.cos(beta) ** 3
        phi = np.arctan2(up, out)
        beta = np.arctan(SEMI_MINOR_M / SEMI_MAJOR_M * np.tan(phi))
    across = SEMI_MAJOR_M / np.sqrt(1 - first * np.sin(phi) ** 2)
    height = flat * np.cos(phi) + z * np.sin(phi) - SEMI_MAJOR_M**2 / across
    return np.degrees(np.arctan2(y, x)), np.degrees(phi), height


def normal_of(longitude: Doubles, latitude: Doubles) -> Doubles:
    """Return the ellipsoid's upward normal, (..., 3)."""
    phi, lam = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def zero_doppler(orbit: Orbit, points: Doubles, start: Doubles | float = 0.0) -> Doubles:
    """Return when the satellite flies past each point, seconds.

    Newton's method on ``(P - S) . V = 0``.

    Parameters
    ----------
    points : (..., 3) Earth-fixed.
    start : first guess, within some ten seconds.
    """
    seconds = np.broadcast_to(np.asarray(start, np.float64), points.shape[:-1]).copy()
    for _ in range(6):
        position, velocity, acceleration = orbit.at(seconds)
        look = points - position
        miss = np.einsum("...i,...i", look, velocity)
        slope = np.einsum("...i,...i", look, acceleration) - np.einsum(
            "...i,...i", velocity, velocity
        )
        step = miss / slope
        seconds -= step
        if np.abs(step).max() < 1e-9:
            break
    return seconds
