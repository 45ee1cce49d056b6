"""Harmonic fit of the seasonal course in a bounded window.

A ridge fit of level, trend, annual and semi-annual terms, weighted by closeness in time.
Which dates are usable decides the normal equations, not the values: pixels with the same
pattern of usable dates share one solution, so that whole tiles cost a few small systems.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.fusion.base import Answer, PixelMethod, Trial
from skymend.fusion.pixels import Pixels, anchors, clip
from skymend.fusion.stack import BoolArray, DayArray
from skymend.fusion.temporal import interpolate

YEAR_DAYS = 365.2425
MAX_DATES = 64
"""One bit each; of more candidates the closest to the target are taken."""

OUTLIER_ROUNDS = 2
SCALE_FLOOR = 0.005
"""Reflectance; residuals typical of a smooth series are no reason to drop its dates."""

_TERMS = 6


@dataclass(frozen=True)
class Harmonic(PixelMethod):
    """Robust ridge fit of annual and semi-annual harmonics.

    Parameters
    ----------
    closeness_days : weight 1 / (1 + (days / closeness)^2) of an observation.
    ridge : penalty of the trend, annual and semi-annual terms, in units of the summed weight.
    min_dates : fewer usable dates in the window: linear interpolation instead. The
        semi-annual terms join from twice as many.
    outlier : a date is left out of the next fit where a band misses the last one by more
        than this many typical residuals (an overlooked cloud or shadow).
    """

    name: str = "harmonic"
    window_days: float = 180.0
    prior: tuple[float, ...] = (0.008, 0.006, 0.002, 0.15, 0.004)
    closeness_days: float = 20.0
    ridge: tuple[float, float, float] = (0.02, 0.02, 0.05)
    min_dates: int = 5
    outlier: float = 4.0

    def learn(self, pixels: Pixels, trials: list[Trial]) -> tuple[Any, list[Answer]]:
        """Learn the typical residual of the fit per band, (bands,)."""
        scale = self._scale(pixels)
        return scale, [self.answer(trial.pixels, scale) for trial in trials]

    def _scale(self, pixels: Pixels) -> npt.NDArray[np.float64] | None:
        near = self._near(pixels)
        usable = near.usable
        if not len(near.times) or not usable.any():
            return None
        coefficients = self._solve(near, usable)
        residual = np.abs(_zeroed(near) - _fitted(self._basis(near), coefficients))
        return np.array([_typical(residual[:, b], usable) for b in range(residual.shape[1])])

    def answer(self, pixels: Pixels, model: Any) -> Answer:
        """Evaluate the fit at the target; linear interpolation where dates are few."""
        found = anchors(pixels, self.window_days)
        mean = interpolate(found)
        near = self._near(pixels)
        enough = near.usable.sum(axis=0) >= self.min_dates
        if enough.any():
            some = near.select(enough)
            mean[:, enough] = self._evaluate(some, model)
        return Answer(clip(mean), found, np.zeros(pixels.count, bool))

    def _near(self, pixels: Pixels) -> Pixels:
        distance = np.abs(pixels.times - pixels.target_time)
        keep = distance <= self.window_days
        if int(keep.sum()) > MAX_DATES:
            keep &= distance <= np.sort(distance)[MAX_DATES - 1]
        return pixels.keep(keep)

    def _evaluate(self, pixels: Pixels, scale: Any) -> FloatArray:
        coefficients = self._solve(pixels, pixels.usable)
        usable = pixels.usable
        for _ in range(OUTLIER_ROUNDS if scale is not None else 0):
            fewer = self._without_outliers(pixels, usable, coefficients, scale)
            again = (usable != fewer).any(axis=0)
            if not again.any():
                break
            usable = fewer
            coefficients[:, :, again] = self._solve(pixels.select(again), usable[:, again])
        # At the target the phase is zero: level plus both cosines.
        mean: FloatArray = coefficients[0] + coefficients[2] + coefficients[4]
        return _within_seen(mean, pixels)

    def _without_outliers(
        self,
        pixels: Pixels,
        usable: BoolArray,
        coefficients: FloatArray,
        scale: npt.NDArray[np.float64],
    ) -> BoolArray:
        """Leave out the worst dates of each pixel: an outlier spoils its neighbours' fit too."""
        unit = np.maximum(scale, SCALE_FLOOR).astype(np.float32)[:, None]
        miss = np.zeros(usable.shape, np.float32)
        for date, row in enumerate(self._basis(pixels).astype(np.float32)):
            fitted = np.tensordot(row, coefficients, axes=1)
            ratio = (np.abs(pixels.values[date] - fitted) / unit).max(axis=0)
            miss[date] = np.where(usable[date], ratio, np.float32(0))
        fewer = usable & ~((miss > self.outlier) & (miss > miss.max(axis=0) / 2))
        kept = fewer.sum(axis=0)
        few = (kept < self.min_dates) | (2 * kept < pixels.usable.sum(axis=0))
        fewer[:, few] = usable[:, few]
        return np.asarray(fewer, np.bool_)

    def _basis(self, pixels: Pixels) -> npt.NDArray[np.float64]:
        return basis(pixels.times - pixels.target_time, self.window_days)

    def _solve(self, pixels: Pixels, usable: BoolArray) -> FloatArray:
        """Return (terms, bands, pixels) coefficients for a pattern of usable dates."""
        patterns, which = _patterns(usable)
        operator = self._operators(pixels.times - pixels.target_time, patterns)
        bands = pixels.values.shape[1]
        coefficients = np.zeros((_TERMS, bands, pixels.count), np.float32)
        for date in range(len(pixels.times)):
            value = np.where(usable[date], pixels.values[date], np.float32(0))
            for term in range(_TERMS):
                coefficients[term] += operator[which, term, date] * value
        return coefficients

    def _operators(self, days: DayArray, patterns: BoolArray) -> FloatArray:
        """Return, per pattern, the (terms, dates) matrix that turns values into coefficients."""
        phi = basis(days, self.window_days)
        weight = patterns / (1.0 + (days / self.closeness_days) ** 2)
        total = weight.sum(axis=1)
        gram = np.einsum("un,nk,nl->ukl", weight, phi, phi)
        trend, annual, semi = self.ridge
        penalty = np.array([1e-6, trend, annual, annual, semi, semi])
        gram += total[:, None, None] * np.diag(penalty)
        gram += 1e-9 * np.eye(_TERMS)
        short = patterns.sum(axis=1) < 2 * self.min_dates
        gram[short, 4, 4] += 1e6
        gram[short, 5, 5] += 1e6
        right = weight[:, None, :] * phi.T[None]
        return np.linalg.solve(gram, right).astype(np.float32)


def basis(days: DayArray, window_days: float) -> npt.NDArray[np.float64]:
    """Return (dates, 6): 1, trend, annual and semi-annual cosine and sine.

    ``days`` counts from the target: there the phase is zero and the fit is level + cosines.
    """
    phase = 2 * np.pi * days / YEAR_DAYS
    return np.stack(
        [
            np.ones_like(days),
            days / window_days,
            np.cos(phase),
            np.sin(phase),
            np.cos(2 * phase),
            np.sin(2 * phase),
        ],
        axis=1,
    )


def _patterns(usable: BoolArray) -> tuple[BoolArray, npt.NDArray[np.intp]]:
    """Return the distinct columns of ``usable`` (dates, pixels) and which one a pixel has."""
    key = np.zeros(usable.shape[1], np.uint64)
    for date, row in enumerate(usable):
        key |= row.astype(np.uint64) << np.uint64(date)
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    return usable[:, first].T, which


def _fitted(phi: npt.NDArray[np.float64], coefficients: FloatArray) -> FloatArray:
    return np.tensordot(phi.astype(np.float32), coefficients, axes=1)


def _zeroed(pixels: Pixels) -> FloatArray:
    return np.where(pixels.usable[:, None], pixels.values, np.float32(0))


def _typical(residual: FloatArray, usable: BoolArray) -> float:
    return float(np.quantile(residual[usable], 0.6827))


def _within_seen(mean: FloatArray, pixels: Pixels) -> FloatArray:
    """Clip to the range seen in the window, widened by a tenth of it."""
    values = np.where(pixels.usable[:, None], pixels.values, np.float32(np.nan))
    low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
    spare = 0.1 * (high - low)
    return np.clip(mean, low - spare, high + spare)
