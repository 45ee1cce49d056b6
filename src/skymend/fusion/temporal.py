"""Nearest clear date and linear interpolation between the nearest usable dates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.fusion.base import Answer, PixelMethod
from skymend.fusion.pixels import Anchors, Pixels, anchors, clip


def interpolate(found: Anchors) -> FloatArray:
    """Interpolate linearly between two anchors; one anchor alone is carried over.

    Returns
    -------
    (bands, pixels) float32 in the physical range; NaN where there is no anchor.
    """
    position = found.position
    one_sided = np.isinf(found.days_before) | np.isinf(found.days_after)
    mean = found.before + position * (found.after - found.before)
    if one_sided.any():
        only = np.where(np.isinf(found.days_after), found.before, found.after)
        np.copyto(mean, only, where=one_sided)
    return clip(mean)


@dataclass(frozen=True)
class Nearest(PixelMethod):
    """The usable observation closest in time; of two equally close ones the earlier."""

    name: str = "nearest"
    window_days: float = 60.0
    prior: tuple[float, ...] = (0.006, 0.004, 0.006, 0.35, 0.002)

    def answer(self, pixels: Pixels, model: Any) -> Answer:
        """Copy the closer anchor."""
        found = anchors(pixels, self.window_days)
        later = found.days_after < found.days_before
        mean = np.where(later, found.after, found.before)
        return Answer(clip(mean), found, np.zeros(pixels.count, bool))


@dataclass(frozen=True)
class Linear(PixelMethod):
    """Linear interpolation in time between the nearest usable dates before and after."""

    name: str = "linear"
    window_days: float = 60.0
    prior: tuple[float, ...] = (0.006, 0.004, 0.002, 0.20, 0.004)

    def answer(self, pixels: Pixels, model: Any) -> Answer:
        """Interpolate between the anchors."""
        found = anchors(pixels, self.window_days)
        return Answer(interpolate(found), found, np.zeros(pixels.count, bool))
