"""Per-pixel SAR-optical regression: linear interpolation plus what radar saw change.

Between two clear dates optical interpolation assumes a steady transition. Radar, seen
through clouds, says how much of it was already done at the target and whether something
else happened meanwhile. The weight of each clue is learnt per band, by ridge regression
over every clear date of the window held out in turn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.fusion.base import Answer, PixelMethod, Trial
from skymend.fusion.pixels import Anchors, Pixels, anchors, clip
from skymend.fusion.radar import RadarClues, clues, common_mode, noise_of
from skymend.fusion.stack import BoolArray
from skymend.fusion.temporal import interpolate

FEATURES = 9


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
    weights: npt.NDArray[np.float64]


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
        """Learn noise and common mode of the radar and the weight of each clue."""
        if pixels.radar is None:
            return None, [self.answer(trial.pixels, None) for trial in trials]
        bands = pixels.values.shape[1]
        model = RegressionModel(
            noise_of(pixels.radar), common_mode(pixels.radar), np.zeros((bands, FEATURES))
        )
        grams, designs = _Grams(bands), []
        for trial in trials:
            found = anchors(trial.pixels, self.window_days)
            design = self._design(trial.pixels, found, model)
            grams.add(trial.date, design, trial.truth - interpolate(found))
            designs.append((found, design))
        weights = {date: grams.solve(date, self.ridge) for date in {t.date for t in trials}}
        answers = [
            _correct(found, design, weights[trial.date])
            for trial, (found, design) in zip(trials, designs, strict=True)
        ]
        return replace(model, weights=grams.solve(None, self.ridge)), answers

    def answer(self, pixels: Pixels, model: Any) -> Answer:
        """Interpolate and correct where radar was seen near the target and both anchors."""
        found = anchors(pixels, self.window_days)
        if model is None or pixels.radar is None:
            return Answer(interpolate(found), found, np.zeros(pixels.count, bool))
        return _correct(found, self._design(pixels, found, model), model.weights)

    def _design(self, pixels: Pixels, found: Anchors, model: RegressionModel) -> _Design:
        assert pixels.radar is not None
        series = replace(pixels.radar, db=pixels.radar.db - model.common_db[:, :, None])
        bands = pixels.values.shape[1]
        design = np.zeros((FEATURES, bands, pixels.count), np.float32)
        good = np.zeros(pixels.count, bool)
        both = np.isfinite(found.days_before) & np.isfinite(found.days_after)
        for members in _same_anchors(found, both):
            some = replace(series, db=series.db[:, :, members])
            first = pixels.target_time - float(found.days_before[members[0]])
            last = pixels.target_time + float(found.days_after[members[0]])
            seen = clues(
                some, first, pixels.target_time, last, model.noise_db, self.max_gap_hours / 24
            )
            design[:, :, members] = _features(found, members, seen)
            good[members] = seen.good
        return _Design(design, good)


@dataclass(frozen=True, slots=True)
class _Design:
    """``features`` (features, bands, pixels); ``good`` (pixels,), radar and anchors there."""

    features: FloatArray
    good: BoolArray


def _correct(found: Anchors, design: _Design, weights: npt.NDArray[np.float64]) -> Answer:
    """Add the weighted clues to linear interpolation where there are any."""
    mean = interpolate(found)
    correction = np.zeros_like(mean)
    for feature, weight in zip(design.features, weights.T.astype(np.float32), strict=True):
        correction += weight[:, None] * feature
    mean += np.where(design.good, correction, np.float32(0))
    return Answer(clip(mean), found, design.good)


def _same_anchors(found: Anchors, which: BoolArray) -> list[npt.NDArray[np.intp]]:
    """Return groups of pixels that share both anchor dates."""
    index = np.flatnonzero(which)
    if not index.size:
        return []
    key = found.days_before[index].astype(np.float64) * 4096.0 + found.days_after[index]
    order = np.argsort(key, kind="stable")
    edges = np.flatnonzero(np.diff(key[order])) + 1
    return [index[part] for part in np.split(order, edges)]


def _features(found: Anchors, members: npt.NDArray[np.intp], seen: RadarClues) -> FloatArray:
    """Return (features, bands, pixels): the optical change moved in time, and departures."""
    change = found.after[:, members] - found.before[:, members]
    position = found.position[members]
    level = found.before[:, members] + position * change
    stepped = change * (seen.step_share - position)
    ones = np.ones_like(change)
    vv, vh = seen.deviation
    return np.stack(
        [
            stepped,
            stepped * seen.step_evidence,
            change * (seen.linear_share - position),
            ones * vv * 0.02,
            ones * vh * 0.02,
            level * vv * 0.05,
            level * vh * 0.05,
            change * vv * 0.05,
            change * vh * 0.05,
        ]
    )


class _Grams:
    """Normal equations per held-out date, so that any date can be left out of the fit."""

    def __init__(self, bands: int) -> None:
        self._bands = bands
        self._parts: dict[int, list[npt.NDArray[np.float64]]] = {}

    def add(self, date: int, design: _Design, error: FloatArray) -> None:
        """Add one rehearsal; each weighs the same however many pixels it has."""
        count = int(design.good.sum())
        if not count:
            return
        x = design.features[:, :, design.good].transpose(1, 0, 2).astype(np.float64)
        y = error[:, design.good].astype(np.float64)
        limit = np.quantile(np.abs(y), 0.99, axis=1, keepdims=True)
        gram = x @ x.transpose(0, 2, 1) / count
        right = (x @ np.clip(y, -limit, limit)[:, :, None])[:, :, 0] / count
        self._parts.setdefault(date, []).append(np.concatenate([gram, right[:, :, None]], 2))

    def solve(self, without: int | None, ridge: float) -> npt.NDArray[np.float64]:
        """Return (bands, features) fitted to all dates but one; zeros without any."""
        parts = [p for d, group in self._parts.items() if d != without for p in group]
        if not parts:
            return np.zeros((self._bands, FEATURES))
        total = np.mean(parts, axis=0)
        gram, right = total[:, :, :-1], total[:, :, -1]
        # Bands share one unit, so the penalty is the mean square of the feature that counts.
        dates = len({d for d in self._parts if d != without})
        size = np.einsum("bkk->bk", gram)
        strength = ridge * (1 + 4 / dates)
        penalty = strength * (size + 1e-9)[:, :, None] * np.eye(FEATURES)
        return np.linalg.solve(gram + penalty, right[:, :, None])[:, :, 0]
