"""Per-pixel SAR-optical regression: linear interpolation plus what radar saw change.

Between two clear dates optical interpolation assumes a steady transition. Radar, seen
through clouds, says how much of it was already done at the target and whether something
else happened meanwhile. The weight of each clue is learnt per band by ridge regression over
every clear date of the window held out in turn, and above all over the part of the target
date itself that is visible: same day, same haze, same gap.

Measured on the simulated season of the demo (hidden gaps over 20 days with a land change, mean
absolute error): linear 0.0190; this method 0.0137; without its radar clues 0.0145; with the
whole target date hidden 0.0179 against 0.0198. Most of the gain is thus what the visible part of
the date teaches; radar adds the rest, and is all there is under a closed cover.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.fusion.base import Answer, PixelMethod, Trial
from skymend.fusion.calibration import TARGET
from skymend.fusion.grams import Grams, Weights
from skymend.fusion.pixels import Anchors, Pixels, anchors, clip
from skymend.fusion.radar import RadarClues, clues, common_mode, noise_of
from skymend.fusion.stack import BoolArray
from skymend.fusion.temporal import interpolate

CHUNK_PX = 1 << 16
"""Pixels whose clues are in memory at a time."""


@dataclass(frozen=True, slots=True)
class RegressionModel:
    """What the regression learnt.

    Parameters
    ----------
    noise_db : (2,) noise of one filtered pass.
    common_db : (passes, 2) scene-wide departures, taken off before anything else.
    weights : (bands, features).
    """

    noise_db: FloatArray
    common_db: FloatArray
    weights: Weights


@dataclass(frozen=True, slots=True)
class Group:
    """Pixels that share both anchor dates, with their clues.

    ``members`` (pixels of the group,) are their places in the list.
    """

    members: npt.NDArray[np.intp]
    clues: RadarClues


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A trial with its features kept: (features, bands, pixels), zero where not ``good``."""

    trial: Trial
    found: Anchors
    features: FloatArray
    good: BoolArray


@dataclass(frozen=True)
class Regression(PixelMethod):
    """Linear interpolation corrected by a pooled ridge regression on radar clues.

    Parameters
    ----------
    max_gap_hours : passes farther than this from a date say nothing of it.
    ridge : penalty in units of the mean square of each feature.
    """

    name: str = "regression"
    window_days: float = 60.0
    prior: tuple[float, ...] = (0.006, 0.004, 0.002, 0.18, 0.004)
    max_gap_hours: float = 144.0
    ridge: float = 0.02
    margin: ClassVar[int] = 2
    needs_radar: ClassVar[bool] = True

    def learn(self, pixels: Pixels, trials: list[Trial]) -> tuple[Any, list[Answer]]:
        """Learn noise and common mode of the radar and the weight of each clue.

        The answer to a trial comes from weights that never saw its half of that date. Where
        part of the target is visible, they may have seen the other half: as at the target.
        """
        if pixels.radar is None:
            return None, [self.answer(trial.pixels, None) for trial in trials]
        bands = pixels.values.shape[1]
        model = RegressionModel(
            noise_of(pixels.radar), common_mode(pixels.radar), np.zeros((bands, count(bands)))
        )
        rehearsed = [self._rehearse(trial, model) for trial in trials]
        grams = Grams(bands, count(bands), self.ridge)
        for one in rehearsed:
            _add(grams, one)
        visible = any(trial.date == TARGET for trial in trials)
        answers = [_answer(grams, one, visible) for one in rehearsed]
        return replace(model, weights=grams.solve(favoured=TARGET if visible else None)), answers

    def answer(self, pixels: Pixels, model: Any) -> Answer:
        """Interpolate and correct where radar was seen near the target and both anchors."""
        found = anchors(pixels, self.window_days)
        mean = interpolate(found)
        used = np.zeros(pixels.count, bool)
        if model is not None and pixels.radar is not None:
            weights = model.weights.astype(np.float32)
            for group in self._groups(pixels, found, model):
                correction = np.zeros((mean.shape[0], group.members.size), np.float32)
                for index, feature in enumerate(_features(found, group)):
                    correction += weights[:, index, None] * feature
                mean[:, group.members] += np.where(group.clues.good, correction, np.float32(0))
                used[group.members] = group.clues.good
        return Answer(clip(mean), found, used)

    def _rehearse(self, trial: Trial, model: RegressionModel) -> Rehearsed:
        found = anchors(trial.pixels, self.window_days)
        bands, pixels = trial.truth.shape
        features = np.zeros((count(bands), bands, pixels), np.float32)
        good = np.zeros(pixels, bool)
        for group in self._groups(trial.pixels, found, model):
            good[group.members] = group.clues.good
            for index, feature in enumerate(_features(found, group)):
                features[index][:, group.members] = feature * group.clues.good
        return Rehearsed(trial, found, features, good)

    def _groups(self, pixels: Pixels, found: Anchors, model: RegressionModel) -> Iterator[Group]:
        """Yield the clues of pixels with two anchors, by pairs of anchor dates."""
        series = pixels.radar
        if series is None:
            return
        both = np.isfinite(found.days_before) & np.isfinite(found.days_after)
        common = model.common_db[:, :, None]
        for members in _same_anchors(found, both):
            first = pixels.target_time - float(found.days_before[members[0]])
            last = pixels.target_time + float(found.days_after[members[0]])
            for start in range(0, members.size, CHUNK_PX):
                part = members[start : start + CHUNK_PX]
                some = replace(series, db=np.take(series.db, part, axis=2) - common)
                seen = clues(
                    some, first, pixels.target_time, last, model.noise_db, self.max_gap_hours / 24
                )
                yield Group(part, seen)


def count(bands: int) -> int:
    """Return the number of features for a number of bands."""
    return 8 + 4 * bands


def _features(found: Anchors, group: Group) -> Iterator[FloatArray]:
    """Yield features, (bands or 1, pixels): the change moved in time, departures, levels.

    Scales bring them to a like size, so that one ridge suits all: a reflectance change, a
    departure of a few dB.
    """
    seen, members = group.clues, group.members
    change = found.after[:, members] - found.before[:, members]
    position = found.position[members]
    level = found.before[:, members] + position * change
    stepped = change * (seen.step_share - position)
    yield stepped
    yield stepped * seen.step_evidence
    yield change * (seen.linear_share - position)
    yield np.full((1, members.size), 0.02, np.float32)
    for departure in seen.deviation:
        yield departure[None] * np.float32(0.02)
        yield change * departure * np.float32(0.05)
    for band in range(len(change)):
        yield level[band][None] * np.float32(0.2)
        yield change[band][None] * np.float32(0.3)
        for departure in seen.deviation:
            yield (level[band] * departure)[None] * np.float32(0.05)


def _same_anchors(found: Anchors, which: BoolArray) -> list[npt.NDArray[np.intp]]:
    """Return groups of pixels that share both anchor dates."""
    index = np.flatnonzero(which)
    if not index.size:
        return []
    key = found.days_before[index].astype(np.float64) * 4096.0 + found.days_after[index]
    order = np.argsort(key, kind="stable")
    edges = np.flatnonzero(np.diff(key[order])) + 1
    return [index[part] for part in np.split(order, edges)]


def _add(grams: Grams, one: Rehearsed) -> None:
    error = one.trial.truth - interpolate(one.found)
    for fold, half in enumerate(_halves(one)):
        grams.add((one.trial.date, fold), one.features[:, :, half], error[:, half])


def _answer(grams: Grams, one: Rehearsed, visible: bool) -> Answer:
    mean = interpolate(one.found)
    date = one.trial.date
    for fold, half in enumerate(_halves(one)):
        without = {(date, fold)} if visible else {(date, 0), (date, 1)}
        weights = grams.solve(frozenset(without), favoured=date if visible else None)
        mean[:, half] += np.einsum(
            "bk,kbp->bp", weights.astype(np.float32), one.features[:, :, half]
        )
    return Answer(clip(mean), one.found, one.good)


def _halves(one: Rehearsed) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the good pixels of either half of the sample."""
    fold = one.trial.pixels.fold
    left = np.ones(one.good.size, bool) if fold is None else fold
    return np.flatnonzero(one.good & left), np.flatnonzero(one.good & ~left)
