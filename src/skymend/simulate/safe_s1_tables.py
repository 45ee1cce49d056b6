"""Calibration and noise of simulated GRD: the tables, and their annotation files.

Sentinel-1 Product Specification (S1-RS-MDA-52-7441), sections on the calibration and noise
data sets: vectors about every second, values every 40 samples and at the last one.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from skymend.simulate.markup import Node, listing, node
from skymend.simulate.s1_frame import Frame
from skymend.simulate.s1_orbit import Doubles, geodetic, normal_of
from skymend.simulate.s1_product import Slice, iso, numbers
from skymend.simulate.safe_s1_records import SWATHS

BETA_NOUGHT = 473.9733
"""A of ``beta nought = DN^2 / A^2``, as in products of the Rome scene."""

_STEP = 40
_BURST_S = 2.758
_SCALLOP = 0.09


@dataclass(frozen=True)
class Tables:
    """Tables of one image at given samples of given lines.

    Parameters
    ----------
    lines, pixels : where calibration is given; lines end beyond the image, as in real
        products, and pixels with the last sample.
    incidence : (lines, pixels) on the ellipsoid, radians.
    sigma, gamma : (lines, pixels), A of ``DN^2 / A^2``.
    noise_lines : where noise is given; they end with the last line.
    noise : (noise lines, pixels) DN squared, the range part.
    """

    lines: Doubles
    pixels: Doubles
    incidence: Doubles
    sigma: Doubles
    gamma: Doubles
    noise_lines: Doubles
    noise: Doubles

    def noise_image(self, frame: Frame) -> Doubles:
        """Return the range part of the noise at every pixel, interpolated bilinearly."""
        samples = np.arange(frame.shape[1], dtype=np.float64)
        rows = np.stack([np.interp(samples, self.pixels, row) for row in self.noise])
        lines = self.noise_lines
        at = np.interp(np.arange(frame.shape[0]), lines, np.arange(len(lines)))
        low = np.minimum(at.astype(np.int64), len(lines) - 2)
        share = (at - low)[:, None]
        return np.asarray(rows[low] * (1 - share) + rows[low + 1] * share)


def tables_of(part: Slice, polarisation: str) -> Tables:
    """Compute the tables of an image.

    ``A_sigma = A_beta / sqrt(sin)`` and ``A_gamma = A_sigma sqrt(cos)`` of the incidence angle
    on the ellipsoid. The noise follows the slice's noise-equivalent sigma nought, 1.5 dB
    higher at the edges of the sub-swaths, as the antenna pattern makes it.
    """
    frame = part.frame
    step = max(1, round(1.0 / frame.interval))
    lines = np.arange(0, frame.shape[0] + 2 * step, step, dtype=np.float64)
    noise_lines = _nodes(frame.shape[0], step)
    pixels = _nodes(frame.shape[1], _STEP)
    incidence = incidence_at(frame, lines, pixels, part.terrain_m)
    sigma = BETA_NOUGHT / np.sqrt(np.sin(incidence))
    swath = np.mod(3 * pixels / frame.shape[1], 1.0)
    edges_db = 1.5 * (2 * swath - 1) ** 2
    nesz = part.sigma_noise[polarisation] * 10 ** (edges_db / 10)
    under = BETA_NOUGHT / np.sqrt(np.sin(incidence_at(frame, noise_lines, pixels, part.terrain_m)))
    return Tables(
        lines=lines,
        pixels=pixels,
        incidence=incidence,
        sigma=_rounded(sigma),
        gamma=_rounded(sigma * np.sqrt(np.cos(incidence))),
        noise_lines=noise_lines,
        noise=_rounded(nesz * under**2),
    )


def incidence_at(frame: Frame, lines: Doubles, pixels: Doubles, height_m: float) -> Doubles:
    """Return ellipsoid incidence angles, (lines, pixels) radians."""
    line, pixel = np.meshgrid(lines, pixels, indexing="ij")
    points = frame.locate(line, pixel, height_m)
    longitude, latitude, _ = geodetic(points)
    look = frame.orbit.at(frame.times(line, pixel)[0])[0] - points
    cosine = np.einsum("...i,...i", look, normal_of(longitude, latitude))
    return np.asarray(np.arccos(cosine / np.linalg.norm(look, axis=-1)))


def azimuth_factors(part: Slice) -> list[tuple[int, int, Doubles, Doubles]]:
    """Return (first sample, last sample, lines, factors) of each sub-swath.

    Bursts scan the antenna along azimuth, and noise rises towards their edges by 10 %.
    """
    frame = part.frame
    edges = np.rint(np.linspace(0, frame.shape[1], 4)).astype(int)
    lines = _nodes(frame.shape[0], 10)
    found = []
    for number, (first, after) in enumerate(itertools.pairwise(edges)):
        seconds = frame.first + lines * frame.interval
        phase = np.mod(seconds / _BURST_S + number / 3, 1.0)
        factor = _rounded(1 + _SCALLOP * (2 * phase - 1) ** 2 - _SCALLOP / 3)
        found.append((int(first), int(after) - 1, lines, factor))
    return found


def noise_power(part: Slice, tables: Tables) -> Doubles:
    """Return the thermal noise of every pixel in DN squared, as the annotation describes it."""
    power = tables.noise_image(part.frame)
    if not part.two_dimensional_noise:
        return power
    rows = np.arange(part.frame.shape[0])
    for first, last, lines, factor in azimuth_factors(part):
        power[:, first : last + 1] *= np.interp(rows, lines, factor)[:, None]
    return power


def _nodes(count: int, step: int) -> Doubles:
    """Return 0, step, ... and the last index."""
    return np.unique([*range(0, count, step), count - 1]).astype(np.float64)


def _rounded(values: Doubles) -> Doubles:
    """Round to the seven digits that annotations carry, so that truth equals annotation."""
    return np.array([float(f"{v:.6e}") for v in np.ravel(values)]).reshape(np.shape(values))


def calibration_xml(part: Slice, header: Node, tables: Tables) -> Node:
    """Return the calibration annotation."""
    vectors = []
    for row, line in enumerate(tables.lines):
        count = len(tables.pixels)
        flat = np.full(count, BETA_NOUGHT)
        vectors.append(
            node(
                "calibrationVector",
                node("azimuthTime", _time(part, line)),
                node("line", int(line)),
                node("pixel", _whole(tables.pixels), count=count),
                node("sigmaNought", numbers(tables.sigma[row]), count=count),
                node("betaNought", numbers(flat), count=count),
                node("gamma", numbers(tables.gamma[row]), count=count),
                node("dn", numbers(flat * 0.85), count=count),
            )
        )
    return node(
        "calibration",
        header,
        node("calibrationInformation", node("absoluteCalibrationConstant", "1.393000e+00")),
        listing("calibrationVectorList", vectors),
    )


def noise_xml(part: Slice, header: Node, tables: Tables) -> Node:
    """Return the noise annotation, in the layout of the slice's IPF."""
    kind = "Range" if part.two_dimensional_noise else ""
    vectors = [
        node(
            f"noise{kind}Vector",
            node("azimuthTime", _time(part, line)),
            node("line", int(line)),
            node("pixel", _whole(tables.pixels), count=len(tables.pixels)),
            node(f"noise{kind}Lut", numbers(row), count=len(tables.pixels)),
        )
        for line, row in zip(tables.noise_lines, tables.noise, strict=True)
    ]
    parts = [header, listing(f"noise{kind}VectorList", vectors)]
    if part.two_dimensional_noise:
        parts.append(listing("noiseAzimuthVectorList", _azimuth_vectors(part)))
    return node("noise", *parts)


def _azimuth_vectors(part: Slice) -> list[Node]:
    return [
        node(
            "noiseAzimuthVector",
            node("swath", swath),
            node("firstAzimuthLine", 0),
            node("firstRangeSample", first),
            node("lastAzimuthLine", part.frame.shape[0] - 1),
            node("lastRangeSample", last),
            node("line", _whole(lines), count=len(lines)),
            node("noiseAzimuthLut", numbers(factor), count=len(lines)),
        )
        for swath, (first, last, lines, factor) in zip(SWATHS, azimuth_factors(part), strict=True)
    ]


def _time(part: Slice, line: float) -> str:
    return iso(part.frame.utc(part.frame.first + float(line) * part.frame.interval))


def _whole(values: Doubles) -> str:
    return " ".join(str(int(v)) for v in values)
