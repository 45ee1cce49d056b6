"""One IW GRD image before any pixel: its timing, and its ground-range polynomials."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from skymend.simulate.s1_orbit import (
    Doubles,
    Orbit,
    earth_fixed,
    geodetic,
    normal_of,
    zero_doppler,
)

SPEED_OF_LIGHT = 299_792_458.0
SPACING_M = 10.0
"""Ground-range and azimuth spacing of high-resolution IW GRD."""

_RECORD_S = 1.0
_EARLY_S = 2.0


@dataclass(frozen=True)
class GroundRange:
    """Polynomials between slant and ground range, one record a second.

    Parameters
    ----------
    seconds : (records,) azimuth time.
    origin : (records,) slant range of ground range 0, metres.
    to_ground : (records, terms) of ``slant - origin``, lowest power first.
    to_slant : (records, terms) of ground range, to the whole slant range.
    """

    seconds: Doubles
    origin: Doubles
    to_ground: Doubles
    to_slant: Doubles

    def ground(self, seconds: Doubles, slant: Doubles) -> Doubles:
        """Return ground range, metres; terms are interpolated linearly in time."""
        near = np.interp(seconds, self.seconds, self.origin)
        return self._evaluate(self.to_ground, seconds, slant - near)

    def slant(self, seconds: Doubles, ground: Doubles) -> Doubles:
        """Return slant range, metres."""
        return self._evaluate(self.to_slant, seconds, ground)

    def _evaluate(self, terms: Doubles, seconds: Doubles, x: Doubles) -> Doubles:
        total = np.zeros(np.broadcast(seconds, x).shape)
        for power in range(terms.shape[1] - 1, -1, -1):
            total = total * x + np.interp(seconds, self.seconds, terms[:, power])
        return total


@dataclass(frozen=True)
class Frame:
    """Where an image lies in time and range. Times are seconds after ``epoch``.

    Parameters
    ----------
    orbit : of the satellite.
    epoch : UTC.
    first : zero-Doppler time of the first line.
    interval : seconds between lines.
    shape : (lines, samples).
    ground_range : polynomials; sample k lies at ground range k x ``spacing_m``.
    middle_time : two-way time for which lines are corrected of the bistatic delay; other
        ranges keep half of their difference from it, as in real products.
    spacing_m : metres between samples.
    """

    orbit: Orbit
    epoch: datetime
    first: float
    interval: float
    shape: tuple[int, int]
    ground_range: GroundRange
    middle_time: float
    spacing_m: float = SPACING_M

    def utc(self, seconds: float) -> datetime:
        """Return a time as UTC, to the microsecond."""
        return self.epoch + timedelta(seconds=seconds)

    @property
    def last(self) -> float:
        """Time of the last line."""
        return self.first + (self.shape[0] - 1) * self.interval

    def late(self, slant: npt.ArrayLike) -> Doubles:
        """Return how late zero Doppler is after the time of the line, seconds."""
        return np.asarray((2 * np.asarray(slant) / SPEED_OF_LIGHT - self.middle_time) / 2)

    def pixel(self, seconds: Doubles, slant: Doubles) -> tuple[Doubles, Doubles]:
        """Return line and sample of a zero-Doppler time and slant range."""
        line = (seconds - self.late(slant) - self.first) / self.interval
        return line, self.ground_range.ground(seconds, slant) / self.spacing_m

    def times(self, line: Doubles, sample: Doubles) -> tuple[Doubles, Doubles]:
        """Return zero-Doppler time and slant range of pixels."""
        at = self.first + line * self.interval
        slant = self.ground_range.slant(at, sample * self.spacing_m)
        return at + self.late(slant), slant

    def locate(self, line: Doubles, sample: Doubles, height: npt.ArrayLike = 0.0) -> Doubles:
        """Return where a pixel lies at a height above the ellipsoid, (..., 3)."""
        seconds, slant = self.times(line, sample)
        return place(self.orbit, seconds, slant, np.asarray(height, np.float64))

    def rows(self, first: int, count: int) -> Frame:
        """Return the frame of consecutive lines."""
        return replace(self, first=self.first + first * self.interval, shape=(count, self.shape[1]))


def place(orbit: Orbit, seconds: Doubles, slant: Doubles, height: Doubles) -> Doubles:
    """Return the point to the right of the flight at a time, range and height, (..., 3).

    Newton's method on the look angle in the plane across the flight, to a micrometre.
    """
    position, velocity, _ = orbit.at(seconds)
    right = np.cross(velocity, position)
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    down = np.cross(velocity, right)
    down /= np.linalg.norm(down, axis=-1, keepdims=True)
    radius = np.linalg.norm(position, axis=-1)
    earth = 6_368_000.0 + height
    cosine = (radius**2 + slant**2 - earth**2) / (2 * radius * slant)
    angle = np.arccos(np.clip(cosine, -1, 1))
    for _ in range(8):
        ray = np.cos(angle)[..., None] * down + np.sin(angle)[..., None] * right
        point = position + slant[..., None] * ray
        longitude, latitude, found = geodetic(point)
        aside = -np.sin(angle)[..., None] * down + np.cos(angle)[..., None] * right
        slope = slant * np.einsum("...i,...i", aside, normal_of(longitude, latitude))
        step = (found - height) / slope
        angle = angle - step
        if np.abs(step * slant).max() < 1e-6:
            break
    ray = np.cos(angle)[..., None] * down + np.sin(angle)[..., None] * right
    return np.asarray(position + slant[..., None] * ray)


def fit_ground_range(orbit: Orbit, seconds: Doubles, near: float, width_m: float) -> GroundRange:
    """Fit the polynomials of a swath: ground range is distance over the ellipsoid.

    Parameters
    ----------
    seconds : (records,) azimuth times.
    near : slant range of the first sample, metres.
    width_m : ground range to cover.
    """
    degree = 8 if width_m > 60_000 else 5
    far = _far_range(orbit, float(np.mean(seconds)), near, width_m * 1.02 + 200)
    slant = np.linspace(near, far, 257)
    ground_terms, slant_terms = [], []
    for time in seconds:
        points = place(orbit, np.full(slant.shape, time), slant, np.zeros(slant.shape))
        steps = np.linalg.norm(np.diff(points, axis=0), axis=-1)
        ground = np.concatenate([[0.0], np.cumsum(steps)])
        ground_terms.append(_fit(slant - near, ground, degree))
        slant_terms.append(_fit(ground, slant, degree))
    origin = np.full(seconds.shape, near)
    return GroundRange(seconds, origin, np.stack(ground_terms), np.stack(slant_terms))


def _far_range(orbit: Orbit, time: float, near: float, width_m: float) -> float:
    """Return the slant range some ground distance beyond the near one."""
    start = place(orbit, np.array([time]), np.array([near]), np.zeros(1))[0]
    slant = near + np.linspace(0, width_m, 200)
    points = place(orbit, np.full(200, time), slant, np.zeros(200))
    return float(np.interp(width_m, np.linalg.norm(points - start, axis=-1), slant))


def _fit(x: Doubles, y: Doubles, degree: int) -> Doubles:
    """Fit a polynomial in a scaled variable and return its plain terms, 9 of them."""
    scale = float(np.abs(x).max())
    terms = np.polynomial.polynomial.polyfit(x / scale, y, degree)
    return np.pad(terms / scale ** np.arange(degree + 1), (0, 8 - degree))


def frame_over(
    orbit: Orbit, epoch: datetime, corners: Doubles, *, margin_m: float = 600.0
) -> Frame:
    """Return the frame that holds an area.

    Parameters
    ----------
    orbit : time 0 is ``epoch``, when the area is seen.
    corners : (points, 3) Earth-fixed, around the area and at its lowest and highest heights.
    margin_m : added on each side.
    """
    seconds = zero_doppler(orbit, corners)
    position = orbit.at(seconds)[0]
    slant = np.linalg.norm(corners - position, axis=-1)
    near = float(slant.min()) - margin_m * 0.7
    middle = float(slant.mean())
    speed = _footprint_speed(orbit, middle)
    interval = SPACING_M / speed
    first = float(seconds.min()) - margin_m / speed
    lines = int(np.ceil((seconds.max() + margin_m / speed - first) / interval))
    records = np.arange(first - _EARLY_S, first + lines * interval + _EARLY_S, _RECORD_S)
    width = (float(slant.max()) - near + margin_m) / np.sin(np.radians(20))
    ground_range = fit_ground_range(orbit, records, near, width)
    far = np.array([float(slant.max()) + margin_m * 0.7])
    samples = int(np.ceil(ground_range.ground(np.zeros(1), far)[0] / SPACING_M))
    return Frame(
        orbit=orbit,
        epoch=epoch,
        first=first,
        interval=interval,
        shape=(lines, samples),
        ground_range=ground_range,
        middle_time=2 * middle / SPEED_OF_LIGHT,
    )


def _footprint_speed(orbit: Orbit, slant: float) -> float:
    """Return how fast the footprint moves over the ellipsoid at a slant range, m/s."""
    times = np.array([-0.5, 0.5])
    points = place(orbit, times, np.full(2, slant), np.zeros(2))
    return float(np.linalg.norm(points[1] - points[0]))


def corners_of(longitude: Doubles, latitude: Doubles, heights: tuple[float, float]) -> Doubles:
    """Return an outline at two heights as Earth-fixed points, (2 x points, 3)."""
    levels = [earth_fixed(longitude, latitude, np.full(longitude.shape, h)) for h in heights]
    return np.concatenate(levels)
