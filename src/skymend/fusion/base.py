"""What all pixel-wise methods share: leave-one-date-out trials, fitting and prediction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.fusion.calibration import Calibration, Residuals, calibrate
from skymend.fusion.pixels import Anchors, Pixels, flatten
from skymend.fusion.radar import radar_series
from skymend.fusion.stack import BoolArray, Estimate, Stack

WIDEN_DAYS = (0.0, 10.0, 20.0, 30.0)
"""Neighbours this close are removed too, so that long gaps are rehearsed as well."""

MIN_TRIAL_PIXELS = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """Mean of a method for a pixel list, the anchors it saw and where radar took part.

    ``mean`` is (bands, pixels); ``used_radar`` (pixels,) bool.
    """

    mean: FloatArray
    anchors: Anchors
    used_radar: BoolArray


@dataclass(frozen=True, slots=True)
class Trial:
    """One rehearsal: a date of the window is held out and its neighbours may be too.

    ``date`` is the index of the held-out candidate, -1 for the visible part of the target
    itself; ``truth`` (bands, pixels) holds what was seen there.
    """

    pixels: Pixels
    truth: FloatArray
    date: int


def rehearse(pixels: Pixels) -> Iterator[Trial]:
    """Hold out each date in turn, alone and with its neighbours within some days.

    The visible part of the target is one more rehearsal: same date, same gap.
    """
    for date, time in enumerate(pixels.times):
        seen = pixels.usable[date]
        if int(seen.sum()) < MIN_TRIAL_PIXELS:
            continue
        some = pixels.select(seen)
        truth = some.values[date]
        tried = set()
        for widen in WIDEN_DAYS:
            keep = np.abs(pixels.times - time) > widen
            keep[date] = False
            if keep.any() and keep.tobytes() not in tried:
                tried.add(keep.tobytes())
                held = replace(some.keep(keep), target_time=float(time), target=None)
                yield Trial(held, truth, date)
    if pixels.target is not None and len(pixels.times):
        seen = np.isfinite(pixels.target).all(axis=0)
        if int(seen.sum()) >= MIN_TRIAL_PIXELS:
            some = pixels.select(seen)
            truth = some.target
            assert truth is not None  # noqa: S101 - select keeps it
            yield Trial(replace(some, target=None), truth, -1)


@dataclass(frozen=True)
class PixelMethod:
    """Base of the methods that look at one pixel at a time (after speckle filtering).

    Subclasses give ``answer`` and, if they learn across pixels, ``learn`` and ``without``.
    ``prior`` are the coefficients of the error model when there is nothing to learn from.
    """

    name: str = ""
    window_days: float = 60.0
    prior: tuple[float, ...] = ()
    margin: ClassVar[int] = 0
    needs_radar: ClassVar[bool] = False

    def fit(self, sample: Stack) -> FittedPixels:
        """Learn from a sample: the method's own model first, then the size of its errors."""
        pixels = self.pixels(sample)
        trials = list(rehearse(pixels))
        model = self.learn(pixels, trials)
        residuals = []
        for trial in trials:
            answer = self.answer(trial.pixels, self.without(model, trial.date))
            residuals.append(Residuals(answer.mean - trial.truth, answer.anchors, trial.date))
        bands = len(sample.bands)
        return FittedPixels(self, model, calibrate(residuals, self.prior, bands))

    def pixels(self, stack: Stack) -> Pixels:
        """Flatten a stack, with filtered radar if the method can use it."""
        radar = radar_series(stack, self.margin) if self.needs_radar else None
        return flatten(stack, radar)

    def learn(self, pixels: Pixels, trials: list[Trial]) -> Any:
        """Return the model that ``answer`` takes; None for methods without any."""
        return None

    def without(self, model: Any, date: int) -> Any:
        """Return the model as if ``date`` had never been seen, for honest residuals."""
        return model

    def answer(self, pixels: Pixels, model: Any) -> Answer:
        """Estimate the target date of a pixel list."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class FittedPixels:
    """A pixel method with its model and its error model."""

    method: PixelMethod
    model: Any
    calibration: Calibration

    def predict(self, block: Stack) -> Estimate:
        """Estimate the wanted pixels of a block, with one standard deviation each."""
        answer = self.method.answer(self.method.pixels(block), self.model)
        sigma = self.calibration.sigma(answer.anchors)
        sigma[np.isnan(answer.mean)] = np.nan
        return _unflatten(block, answer, sigma)


def _unflatten(block: Stack, answer: Answer, sigma: FloatArray) -> Estimate:
    bands, shape = len(block.bands), block.shape
    wanted = slice(None) if block.wanted is None else np.flatnonzero(block.wanted)
    mean = np.full((bands, shape[0] * shape[1]), np.nan, np.float32)
    spread = mean.copy()
    gap = mean[0].copy()
    outside, radar = np.zeros(gap.shape, bool), np.zeros(gap.shape, bool)
    mean[:, wanted], spread[:, wanted] = answer.mean, sigma
    gap[wanted] = answer.anchors.gap_days
    outside[wanted], radar[wanted] = answer.anchors.outside, answer.used_radar
    return Estimate(
        mean.reshape(bands, *shape),
        spread.reshape(bands, *shape),
        outside.reshape(shape),
        gap.reshape(shape),
        radar.reshape(shape),
    )
