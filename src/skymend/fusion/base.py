"""What all pixel-wise methods share: leave-one-date-out trials, fitting and prediction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.fusion.calibration import TARGET, Calibration, Residuals, calibrate
from skymend.fusion.pixels import Anchors, Pixels, flatten
from skymend.fusion.radar import radar_series
from skymend.fusion.stack import BoolArray, DayArray, Estimate, Stack

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

    The visible part of the target is held out likewise: same date, same gap.
    """
    truths = [(d, float(t), pixels.values[d]) for d, t in enumerate(pixels.times)]
    if pixels.target is not None:
        truths.append((TARGET, pixels.target_time, pixels.target))
    for date, time, truth in truths:
        seen = np.isfinite(truth).all(axis=0)
        if int(seen.sum()) < MIN_TRIAL_PIXELS:
            continue
        some = replace(pixels.select(seen), target=None, target_time=time)
        for keep in _kept(pixels.times, date, time):
            yield Trial(some.keep(keep), truth[:, seen], date)


def _kept(times: DayArray, date: int, time: float) -> Iterator[BoolArray]:
    """Yield which dates remain when neighbours are removed too, each set once."""
    tried = set()
    for widen in WIDEN_DAYS:
        keep = np.abs(times - time) > widen
        if date != TARGET:
            keep[date] = False
        if keep.any() and keep.tobytes() not in tried:
            tried.add(keep.tobytes())
            yield keep


@dataclass(frozen=True)
class PixelMethod:
    """Base of the methods that look at one pixel at a time (after speckle filtering).

    Subclasses give ``answer`` and, if they learn anything, ``learn``.
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
        model, answers = self.learn(pixels, trials)
        residuals = [
            Residuals(a.mean - t.truth, a.anchors, t.date)
            for t, a in zip(trials, answers, strict=True)
        ]
        return FittedPixels(self, model, calibrate(residuals, self.prior, len(sample.bands)))

    def pixels(self, stack: Stack) -> Pixels:
        """Flatten a stack, with filtered radar if the method can use it."""
        radar = radar_series(stack, self.margin) if self.needs_radar else None
        return flatten(stack, radar)

    def learn(self, pixels: Pixels, trials: list[Trial]) -> tuple[Any, list[Answer]]:
        """Return the model that ``answer`` takes and the answers to the trials.

        A method that learns across pixels answers each trial with a model that never saw
        its date: only then are the residuals honest.
        """
        return None, [self.answer(trial.pixels, None) for trial in trials]

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
