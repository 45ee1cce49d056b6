"""Where a point on the ground lies in a GRD image.

Exactly: :class:`RadarImage` turns zero-Doppler time and slant range into line and sample.
Quickly: :class:`Lattice` holds the exact solution on a coarse lattice of map nodes as polynomials
of height, so that every pixel of a block costs a bilinear interpolation. At a spacing of 160 m
what bends between nodes, above all where two ground range polynomials meet, stays below 0.02
pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skymend.core.grid import Grid
from skymend.products.sentinel1 import Annotation, StateVectors
from skymend.products.sentinel1.annotation import GroundRangeRecords
from skymend.sar.doppler import (
    SPEED_OF_LIGHT,
    ellipsoid_normal,
    to_earth_fixed,
    zero_doppler,
)
from skymend.sar.geoid import Geoid
from skymend.sar.orbit import Track

Doubles = npt.NDArray[np.float64]

LATTICE_M = 160.0
"""Spacing of lattice nodes, metres."""

_LOWEST_HALF_M = 200.0
_STEP_M = 10.0


@dataclass(frozen=True, slots=True)
class RadarImage:
    """Timing of one GRD image.

    Parameters
    ----------
    line_interval : seconds between lines; the first line is at time 0.
    shape : (lines, samples).
    range_spacing : metres of ground range between samples.
    records : polynomials from slant to ground range, interpolated linearly between their times.
    middle_range_time : two-way time in seconds for which the processor corrected the motion of
        the satellite between transmission and reception (bistatic delay); NaN to leave the rest
        of that effect out.
    """

    line_interval: float
    shape: tuple[int, int]
    range_spacing: float
    records: GroundRangeRecords
    middle_range_time: float

    @classmethod
    def of(cls, annotation: Annotation, *, residual_bistatic: bool = True) -> RadarImage:
        """Describe an image from its annotation.

        Raises
        ------
        ProductError
            if the image has no ground range polynomials, as SLC have none.
        """
        if annotation.ground_range is None:
            from skymend.core.errors import ProductError

            raise ProductError(
                where="coordinateConversionList",
                expected="polynomials from slant to ground range",
                found="none",
                fix="give a GRD product",
            )
        middle = middle_range_time(annotation) if residual_bistatic else float("nan")
        return cls(
            annotation.line_interval,
            annotation.shape,
            annotation.range_spacing,
            annotation.ground_range,
            middle,
        )

    def line(self, seconds: Doubles, slant_range: Doubles) -> Doubles:
        """Return the line of a zero-Doppler time; see :func:`middle_range_time`."""
        if np.isnan(self.middle_range_time):
            return np.asarray(seconds / self.line_interval)
        late = (2 * slant_range / SPEED_OF_LIGHT - self.middle_range_time) / 2
        return np.asarray((seconds - late) / self.line_interval)

    def sample(self, seconds: Doubles, slant_range: Doubles, *, nearest: bool = False) -> Doubles:
        """Return the sample of a slant range.

        Parameters
        ----------
        nearest : take the record nearest in time instead of interpolating between two. The
            processor computed the annotation's geolocation grid that way.
        """
        records = self.records
        count = len(records.seconds)
        at = np.clip(np.interp(seconds, records.seconds, np.arange(count)), 0, count - 1)
        at = np.rint(at) if nearest else at
        low = np.minimum(np.floor(at).astype(np.intp), max(count - 2, 0))
        share = (at - low)[..., None]
        high = np.minimum(low + 1, count - 1)
        terms = records.to_ground[low] * (1 - share) + records.to_ground[high] * share
        origins = records.slant_origin
        origin = origins[low] * (1 - share[..., 0]) + origins[high] * share[..., 0]
        x = slant_range - origin
        ground = np.zeros_like(x)
        for k in range(terms.shape[-1] - 1, -1, -1):
            ground = ground * x + terms[..., k]
        return np.asarray(ground / self.range_spacing)


def middle_range_time(annotation: Annotation) -> float:
    """Return the two-way time at which line times are zero-Doppler times, seconds.

    The processor shifts all of a line by the bistatic delay of mid swath; a target at another
    range keeps half the difference of the two-way times. The geolocation grid shows it: its
    azimuth times less the times of its lines are ``(tau - tau_mid) / 2`` within 2 microseconds,
    up to 0.19 line at the edges of the swath (see also Gisinger et al. 2021, "In-depth
    verification of Sentinel-1 and TerraSAR-X geolocation accuracy", IEEE TGRS 59(2)).
    """
    grid = annotation.geolocation
    late = grid.seconds - grid.line * annotation.line_interval
    return float(np.median(grid.slant_range_time - 2 * late))


@dataclass(frozen=True, slots=True)
class Lattice:
    """Exact geometry on a lattice of map nodes.

    Parameters
    ----------
    step : pixels between nodes; node 0 lies on the centre of pixel (0, 0) of the block.
    middle, half : ellipsoidal heights in metres; ``u = (height - middle) / half``.
    fields : (16, rows, columns) float64, see the constants of this module.
    """

    step: int
    middle: float
    half: float
    fields: Doubles


LINE, SAMPLE, LOOK, UNDULATION, WIDTH, HEIGHT, BETA = 0, 3, 6, 12, 13, 14, 15
"""First field of: line (u^0..u^2), sample (u^0..u^2), unit vector to the sensor in map east, north
and up (u^0, then u^1), undulation, metres a pixel of the map along columns and rows, radar pixels
of the slant plane (``1 / A_beta``) a square metre."""


def lattice_of(
    grid: Grid,
    image: RadarImage,
    track: Track,
    geoid: Geoid | None,
    heights: tuple[float, float],
) -> Lattice:
    """Solve the geometry of a block.

    Parameters
    ----------
    grid : the block.
    image, track : timing and orbit.
    geoid : what the DEM's heights refer to; None if they are ellipsoidal.
    heights : lowest and highest DEM height of the block, metres.
    """
    longitude, latitude, step = _nodes(grid)
    undulation = geoid.at(longitude, latitude) if geoid else np.zeros_like(longitude)
    low, high = heights[0] + undulation.min(), heights[1] + undulation.max()
    middle, half = (low + high) / 2, max((high - low) / 2, _LOWEST_HALF_M)
    normal = ellipsoid_normal(longitude, latitude)
    levels = [to_earth_fixed(longitude, latitude, middle + u * half) for u in (-1, 0, 1)]
    solved = [zero_doppler(points, track) for points in levels]
    east, north, width, height = _frame(levels[1], normal, step)
    looks = [
        _look(p, s[2], east, north, normal) for p, s in zip(levels[::2], solved[::2], strict=True)
    ]
    fields = np.concatenate(
        [
            _parabola([image.line(t, r) for t, r, _ in solved]),
            _parabola([image.sample(t, r) for t, r, _ in solved]),
            (looks[0] + looks[1]) / 2,
            (looks[1] - looks[0]) / 2,
            [undulation, width, height, _per_beta(image, solved[1], step, width, height)],
        ]
    )
    return Lattice(step, middle, half, np.ascontiguousarray(fields))


def _nodes(grid: Grid) -> tuple[Doubles, Doubles, int]:
    """Return longitude and latitude of the nodes, and pixels between them."""
    from pyproj import CRS, Transformer

    crs = CRS.from_user_input(grid.crs)
    metres = grid.resolution * (111_320.0 if crs.is_geographic else 1.0)
    step = max(1, int(LATTICE_M / metres))
    a, _, c, _, e, f = grid.transform
    rows, columns = (int(np.ceil((n - 1) / step)) + 2 for n in grid.shape)
    x = c + a * (np.arange(columns) * step + 0.5)
    y = f + e * (np.arange(rows) * step + 0.5)
    transformer = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    longitude, latitude = transformer.transform(*np.meshgrid(x, y))
    return np.asarray(longitude), np.asarray(latitude), step


def _frame(
    points: Doubles, normal: Doubles, step: int
) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Return unit vectors of map east and north, and metres a pixel along columns and rows."""
    along_columns = np.gradient(points, axis=1) / step
    along_rows = np.gradient(points, axis=0) / step
    width = np.linalg.norm(along_columns, axis=-1)
    height = np.linalg.norm(along_rows, axis=-1)
    east = along_columns / width[..., None]
    east = east - normal * (east * normal).sum(axis=-1, keepdims=True)
    east /= np.linalg.norm(east, axis=-1, keepdims=True)
    return east, np.cross(normal, east), width, height


def _look(
    points: Doubles, satellite: Doubles, east: Doubles, north: Doubles, normal: Doubles
) -> Doubles:
    """Return the unit vector to the sensor in the map frame, (3, rows, columns)."""
    sight = satellite - points
    sight /= np.linalg.norm(sight, axis=-1, keepdims=True)
    return np.stack([(sight * axis).sum(axis=-1) for axis in (east, north, normal)])


def _parabola(values: list[Doubles]) -> Doubles:
    """Return coefficients of u^0, u^1, u^2 through the values at u = -1, 0, 1."""
    low, middle, high = values
    return np.stack([middle, (high - low) / 2, (high + low) / 2 - middle])


def _per_beta(
    image: RadarImage,
    solved: tuple[Doubles, Doubles, Doubles],
    step: int,
    width: Doubles,
    height: Doubles,
) -> Doubles:
    """Return ``1 / A_beta``, A_beta being azimuth spacing on the ground times slant spacing."""
    seconds, slant_range, _ = solved
    per_row, per_column = np.gradient(seconds)
    slowness = np.hypot(per_column / (step * width), per_row / (step * height))
    near, far = (image.sample(seconds, slant_range + k * _STEP_M) for k in (-1, 1))
    return np.asarray(slowness / image.line_interval * (far - near) / (2 * _STEP_M))


def track_of(states: StateVectors, annotation: Annotation) -> Track:
    """Return the orbit over an image, with its first line as origin of time."""
    lasting = (annotation.last_line - annotation.first_line).total_seconds()
    return Track.of(states, annotation.first_line, 0.0, lasting)
