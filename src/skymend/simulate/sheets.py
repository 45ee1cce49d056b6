"""Clouds as thin sheets at their own heights: opacity, view displacement, shadow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.simulate.noise import blur, fractal, generator

_WATER_ALBEDO = {"B11": 0.80, "B12": 0.60}
_ICE_ALBEDO = {"B11": 0.48, "B12": 0.36}
_BACKSCATTER = 0.13
"""(1 - g) sqrt(3)/2 with an asymmetry g of 0.85: reflectance of a cloud per optical depth."""
_OFF_BEAM = {False: 0.5, True: 0.3}
"""Share of scattering that leaves the direct beam, for water and for ice."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Clouds at one height, in a field that repeats in both directions.

    Parameters
    ----------
    depth : (rows, columns) optical depth at 550 nm, at 10 m, wrapping around.
    height_m : above sea level.
    ice : cirrus, else droplets.
    """

    depth: FloatArray
    height_m: float
    ice: bool = False

    def reflectance(self, band: str, depth: FloatArray) -> FloatArray:
        """Return the reflectance of a piece of the cloud.

        Two-stream solution without absorption, ``g tau / (1 + g tau)`` (Coakley & Chylek
        1975, J. Atmos. Sci. 32(2)); absorption in the short-wave infrared grows with depth.
        """
        share = _BACKSCATTER * depth
        white = share / (1 + share)
        albedo = (_ICE_ALBEDO if self.ice else _WATER_ALBEDO).get(band, 1.0)
        return np.asarray(white * (1 - (1 - albedo) * np.sqrt(white)), np.float32)

    def along(self, east: npt.ArrayLike, north: npt.ArrayLike, elevation: FloatArray) -> FloatArray:
        """Return the optical depth that rays from the ground meet.

        Parameters
        ----------
        east, north : direction of the rays, metres per metre of height.
        elevation : (rows, columns) of the ground, metres; its first pixel is the field's.
        """
        from scipy.ndimage import map_coordinates

        climb = (self.height_m - elevation) / 10.0
        rows, columns = np.meshgrid(*(np.arange(n) for n in elevation.shape), indexing="ij")
        places = np.stack([rows - climb * np.asarray(north), columns + climb * np.asarray(east)])
        depth = map_coordinates(self.depth, places, order=1, mode="grid-wrap")
        # Peaks above the sheet look down on it.
        return np.asarray(depth * (climb > 0), np.float32)

    def direct(self, depth: FloatArray, sun_zenith: float) -> FloatArray:
        """Return the share of the sun's beam that passes, 0..1."""
        slant = 1 / np.cos(np.radians(sun_zenith))
        return np.asarray(np.exp(-_OFF_BEAM[self.ice] * depth * slant), np.float32)


def cumulus(
    seed: int, size_px: int, cover: float, base_m: float, scale: float = 1.0
) -> list[Sheet]:
    """Return broken clouds of many sizes; bigger ones are denser and stand higher.

    A fractal field cut at the quantile of the cover, with finer detail at the edges; each
    cloud lies at one of five heights within 900 m above the base.

    Parameters
    ----------
    scale : size of the clouds; at 1 the large ones are a kilometre wide.
    """
    from scipy.ndimage import label, sum_labels

    rng = generator(seed, "cumulus")
    shape = (size_px, size_px)
    field = fractal(shape, rng, slope=3.8, longest_px=210 * scale)
    field = field + 0.04 * fractal(shape, rng, slope=2.4, longest_px=30)
    level = np.quantile(field, 1 - cover)
    excess = np.clip(field - level, 0, None)
    depth = blur(np.asarray(26 * excess**1.1, np.float32), 1.0)
    clouds, count = label(depth > 0.05)
    area = sum_labels(np.ones(shape), clouds, np.arange(count + 1))
    tall = np.clip(np.log10(np.maximum(area, 10)) / 4.5, 0, 1)
    lift = np.clip(tall + rng.normal(0, 0.12, count + 1), 0, 1)
    step = np.minimum((5 * lift).astype(int), 4)[clouds]
    return [
        Sheet(np.where(step == n, depth, 0).astype(np.float32), base_m + 100 + 180 * n)
        for n in range(5)
        if (depth[step == n] > 0.05).any()
    ]


def bank(seed: int, size_px: int, cover: float, height_m: float, scale: float = 1.0) -> Sheet:
    """Return a bank of stratocumulus: one large, dense cloud with a ragged rim."""
    rng = generator(seed, "bank")
    shape = (size_px, size_px)
    field = fractal(shape, rng, slope=3.6, longest_px=500 * scale)
    field = field + 0.06 * fractal(shape, rng, slope=2.4, longest_px=40)
    excess = np.clip(field - np.quantile(field, 1 - cover), 0, None)
    return Sheet(blur(np.asarray(22 * excess, np.float32), 1.5), height_m)


def cirrus(seed: int, size_px: int, cover: float, height_m: float) -> Sheet:
    """Return thin streaks of ice clouds with soft edges, optical depth up to about 2."""
    rng = generator(seed, "cirrus")
    shape = (size_px, size_px)
    stretch = (0.5, 1.6) if rng.uniform() < 0.5 else (1.6, 0.5)
    field = fractal(shape, rng, slope=3.5, longest_px=300, stretch=stretch)
    excess = np.clip(field - np.quantile(field, 1 - cover), 0, None)
    return Sheet(np.asarray(1.6 * (1 - np.exp(-1.1 * excess)), np.float32), height_m, ice=True)
