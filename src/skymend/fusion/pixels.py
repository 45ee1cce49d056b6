"""Stacks as flat pixel lists, and the nearest usable observations around a date."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.fusion.stack import BoolArray, DayArray, IntArray, Stack

PHYSICAL = (0.0, 1.0)
"""Range of a surface reflectance; every estimate is clipped to it."""


@dataclass(frozen=True, slots=True)
class RadarSeries:
    """Speckle-filtered backscatter of a pixel list.

    Parameters
    ----------
    times : (m,) days.
    orbits : (m,) relative orbits.
    db : (m, 2, pixels) float32, VV and VH in dB (10*log10), NaN where invalid.
    """

    times: DayArray
    orbits: IntArray
    db: FloatArray


@dataclass(frozen=True, slots=True)
class Pixels:
    """A stack without its geometry.

    Parameters
    ----------
    times : (n,) days, ascending.
    values : (n, bands, pixels) float32, NaN where not usable.
    usable : (n, pixels) bool, True where all bands are finite.
    target_time : days.
    target : (bands, pixels) float32 visible part of the target, or None.
    radar : filtered radar, or None.
    fold : (pixels,) bool, the left or the right half of the stack: halves that lie apart.
    """

    times: DayArray
    values: FloatArray
    usable: BoolArray
    target_time: float
    target: FloatArray | None = None
    radar: RadarSeries | None = None
    fold: BoolArray | None = None

    @property
    def count(self) -> int:
        """Number of pixels."""
        return int(self.values.shape[2])

    def select(self, which: BoolArray) -> Pixels:
        """Return the pixels where ``which`` (pixels,) is True."""
        index = np.flatnonzero(which)
        radar = self.radar
        if radar is not None:
            radar = replace(radar, db=np.take(radar.db, index, axis=2))
        return replace(
            self,
            values=np.take(self.values, index, axis=2),
            usable=np.take(self.usable, index, axis=1),
            target=None if self.target is None else np.take(self.target, index, axis=1),
            radar=radar,
            fold=None if self.fold is None else self.fold[index],
        )

    def keep(self, dates: BoolArray) -> Pixels:
        """Return the same pixels with only some of the candidate dates."""
        return replace(
            self, times=self.times[dates], values=self.values[dates], usable=self.usable[dates]
        )


@dataclass(frozen=True, slots=True)
class Anchors:
    """Nearest usable observations before and after the target.

    Parameters
    ----------
    before, after : (bands, pixels) float32, NaN where none.
    days_before, days_after : (pixels,) float32, distance in days, infinite where none.
    outside : (pixels,) bool, True where nothing usable lies within the window and an
        observation farther away was taken.
    """

    before: FloatArray
    after: FloatArray
    days_before: FloatArray
    days_after: FloatArray
    outside: BoolArray

    @property
    def gap_days(self) -> FloatArray:
        """(pixels,) days between the two; infinite with one side only, NaN with none."""
        gap = self.days_before + self.days_after
        gap[np.isinf(self.days_before) & np.isinf(self.days_after)] = np.nan
        return gap

    @property
    def position(self) -> FloatArray:
        """(pixels,) 0 at the observation before, 1 at the one after; the only one if one."""
        with np.errstate(invalid="ignore"):
            share = self.days_before / (self.days_before + self.days_after)
        share = np.where(np.isinf(self.days_after), np.float32(0), share)
        share = np.where(np.isinf(self.days_before), np.float32(1), share)
        return share.astype(np.float32)

    @property
    def change(self) -> FloatArray:
        """(bands, pixels) after minus before, 0 where one side is missing."""
        change = self.after - self.before
        change[np.isnan(change)] = 0.0
        return change


def flatten(stack: Stack, radar: RadarSeries | None = None) -> Pixels:
    """Return the wanted pixels of a stack as a list, row by row."""
    n, bands = stack.optical.shape[:2]
    count = stack.shape[0] * stack.shape[1]
    flat = stack.optical.reshape(n, bands, count)
    target = None if stack.target is None else stack.target.reshape(bands, count)
    if stack.wanted is not None and not stack.wanted.all():
        index = np.flatnonzero(stack.wanted)
        flat = np.take(flat, index, axis=2)
        target = None if target is None else np.take(target, index, axis=1)
    usable = np.ones((n, flat.shape[2]), bool)
    for band in range(bands):
        usable &= np.isfinite(flat[:, band])
    fold = np.broadcast_to(np.arange(stack.shape[1]) * 2 < stack.shape[1], stack.shape).ravel()
    if fold.size != flat.shape[2]:
        fold = fold[index]
    return Pixels(stack.times, flat, usable, stack.target_time, target, radar, fold)


def anchors(pixels: Pixels, window_days: float) -> Anchors:
    """Find the nearest usable observations before and after the target, per pixel.

    Only observations within ``window_days`` count, unless a pixel has none there at all:
    then the nearest ones at any distance are taken and ``outside`` is set. A candidate at
    exactly the target time counts as before.
    """
    bands, count = pixels.values.shape[1:]
    days = pixels.times - pixels.target_time
    before, days_before = _nearest(pixels, np.flatnonzero(days <= 0)[::-1], bands, count)
    after, days_after = _nearest(pixels, np.flatnonzero(days > 0), bands, count)
    far_before, far_after = days_before > window_days, days_after > window_days
    outside = far_before & far_after
    for values, distance, far in (
        (before, days_before, far_before),
        (after, days_after, far_after),
    ):
        drop = far & ~outside
        if drop.any():
            values[:, drop] = np.nan
            distance[drop] = np.inf
    outside &= ~(np.isinf(days_before) & np.isinf(days_after))
    return Anchors(before, after, days_before, days_after, outside)


def _nearest(
    pixels: Pixels, order: IntArray, bands: int, count: int
) -> tuple[FloatArray, FloatArray]:
    """Walk dates from near to far and keep the first usable value of each pixel."""
    values = np.full((bands, count), np.nan, np.float32)
    distance = np.full(count, np.inf, np.float32)
    missing = np.ones(count, bool)
    for index in order:
        take = missing & pixels.usable[index]
        if take.any():
            np.copyto(values, pixels.values[index], where=take)
            distance[take] = abs(pixels.times[index] - pixels.target_time)
            missing &= ~take
        if not missing.any():
            break
    return values, distance


def clip(values: FloatArray) -> FloatArray:
    """Clip to the physical range in place; NaN stays NaN."""
    return np.clip(values, *PHYSICAL, out=values)
