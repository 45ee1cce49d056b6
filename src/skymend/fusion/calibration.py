"""How wrong a method is: one standard deviation learnt from leave-one-date-out residuals.

The size of an error is modelled as a non-negative sum of features of the pixel's own gap,
fitted to absolute residuals of the job's own window, then scaled so that about 68 % of the
residuals of each gap class lie within it (split-conformal scaling, dates as its units). Few
dates lean on a documented prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.fusion.pixels import Anchors

GAP_CLASSES = ((0.0, 10.0), (10.0, 20.0), (20.0, 40.0), (40.0, np.inf))
"""Days between the nearest usable observations, lower bound excluded except 0; one-sided
gaps make a class of their own."""

COVERAGE = 0.6827
"""Share of a normal distribution within one standard deviation."""

FLOOR = 0.002
"""No estimate is better than the sensor: reflectance noise of a clear pixel."""

TARGET = -1
"""The target among held-out dates: its visible part."""

TARGET_SHARE = 0.65
"""Weight of the target's own residuals: same haze, same season, same gap."""

PRIOR_DATES = 2.0
_SCALE_DAYS = 20.0
_FEATURES = 5


@dataclass(frozen=True, slots=True)
class Residuals:
    """What a rehearsal got wrong: ``error`` (bands, pixels), NaN where no estimate."""

    error: FloatArray
    anchors: Anchors
    date: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """The error model of one fitted method.

    Parameters
    ----------
    weights : (bands, features) non-negative, reflectance.
    factors : (classes, bands) scale per gap class; the last class is one-sided.
    """

    weights: npt.NDArray[np.float64]
    factors: npt.NDArray[np.float64]

    def sigma(self, anchors: Anchors) -> FloatArray:
        """Return one standard deviation, (bands, pixels) float32 reflectance."""
        size = _size(self.weights, anchors)
        size *= self.factors.astype(np.float32)[gap_class(anchors)].T
        return np.maximum(size, np.float32(FLOOR), out=size)


def features(anchors: Anchors) -> FloatArray:
    """Return what errors grow with, (features, bands, pixels) float32, all >= 0.

    1; sqrt(d1 d2 / (d1 + d2)), the spread of a Brownian bridge at the target (of a random
    walk from the only anchor, when there is one); distance to the closer anchor;
    |after - before| times the distance to the closer anchor as a share of the gap; one for
    one-sided gaps times the square root of the distance. Days are scaled by 20.
    """
    shared = _shared(anchors)
    change = np.abs(anchors.change) * _leverage(anchors)
    stacked = np.empty((_FEATURES, *change.shape), np.float32)
    for index, feature in zip((0, 1, 2, 4), shared, strict=True):
        stacked[index] = feature
    stacked[3] = change
    return stacked


def gap_class(anchors: Anchors) -> npt.NDArray[np.intp]:
    """Return the index of the gap class per pixel; the last one is one-sided or empty."""
    edges = [high for _, high in GAP_CLASSES[:-1]]
    gap = anchors.days_before + anchors.days_after
    index = np.searchsorted(edges, gap, side="left")
    return np.where(np.isfinite(gap), index, len(GAP_CLASSES)).astype(np.intp)


def calibrate(residuals: Sequence[Residuals], prior: Sequence[float], bands: int) -> Calibration:
    """Fit the error model to residuals.

    Every trial weighs the same, but those of the target itself, where part of it is
    visible, together about two thirds of all.
    With no residuals the prior stands alone; n dates outweigh it as n / (n + 2).
    """
    start = np.tile(np.asarray(prior, np.float64), (bands, 1))
    dates = len({r.date for r in residuals})
    weights = start
    if dates:
        trust = dates / (dates + PRIOR_DATES)
        weights = trust * _fit_size(residuals, bands) + (1 - trust) * start
    return Calibration(weights, _fit_factors(residuals, weights, bands))


def _shared(anchors: Anchors) -> tuple[FloatArray, ...]:
    d1, d2 = anchors.days_before, anchors.days_after
    near = np.minimum(d1, d2)
    near = np.where(np.isfinite(near), near, np.float32(0))
    with np.errstate(invalid="ignore"):
        bridge = d1 * d2 / (d1 + d2)
    one_sided = ~np.isfinite(bridge)
    bridge = np.where(one_sided, near, bridge)
    scaled = np.sqrt(bridge / np.float32(_SCALE_DAYS))
    alone = np.where(one_sided, np.sqrt(near / np.float32(_SCALE_DAYS)), np.float32(0))
    shared = (np.ones_like(near), scaled, near / np.float32(_SCALE_DAYS), alone)
    return tuple(np.asarray(feature, np.float32) for feature in shared)


def _leverage(anchors: Anchors) -> FloatArray:
    position = anchors.position
    return 2 * np.minimum(position, 1 - position)


def _size(weights: npt.NDArray[np.float64], anchors: Anchors) -> FloatArray:
    w = weights.astype(np.float32)
    one, bridge, near, alone = _shared(anchors)
    size = np.abs(anchors.change)
    size *= _leverage(anchors)
    for band in range(len(w)):
        c = w[band]
        size[band] *= c[3]
        size[band] += c[0] * one + c[1] * bridge + c[2] * near + c[4] * alone
    return size


def _fit_size(residuals: Sequence[Residuals], bands: int) -> npt.NDArray[np.float64]:
    """Non-negative least squares of |error| on the features, per band."""
    gram = np.zeros((bands, _FEATURES, _FEATURES))
    right = np.zeros((bands, _FEATURES))
    trials = _trial_weights([r.date for r in residuals])
    for residual, trial in zip(residuals, trials, strict=True):
        design = features(residual.anchors)
        for band in range(bands):
            good = np.isfinite(residual.error[band])
            if not good.any():
                continue
            x = design[:, band, good].astype(np.float64)
            y = np.abs(residual.error[band, good]).astype(np.float64)
            y = np.minimum(y, np.quantile(y, 0.95))
            gram[band] += trial * (x @ x.T) / y.size
            right[band] += trial * (x @ y) / y.size
    gram += 1e-6 * np.eye(_FEATURES)
    weights = np.empty((bands, _FEATURES))
    for band in range(bands):
        weights[band] = _non_negative(gram[band], right[band])
    return weights


def _non_negative(
    gram: npt.NDArray[np.float64], right: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Solve non-negative least squares by trying every subset of the few features."""
    best, weights = 0.0, np.zeros(len(right))
    for subset in range(1, 2 ** len(right)):
        use = np.array([bool(subset >> bit & 1) for bit in range(len(right))])
        solution = np.linalg.solve(gram[np.ix_(use, use)], right[use])
        # At a minimum the objective is -right.w / 2, so the largest right.w wins.
        if bool((solution >= 0).all()) and float(right[use] @ solution) > best:
            best = float(right[use] @ solution)
            weights = np.zeros(len(right))
            weights[use] = solution
    return weights


def _fit_factors(
    residuals: Sequence[Residuals], weights: npt.NDArray[np.float64], bands: int
) -> npt.NDArray[np.float64]:
    classes = len(GAP_CLASSES) + 1
    factors = np.ones((classes, bands))
    if not residuals:
        return factors
    sizes = [np.maximum(_size(weights, r.anchors), FLOOR) for r in residuals]
    kinds = [gap_class(r.anchors) for r in residuals]
    for band in range(bands):
        ratios = [np.abs(r.error[band]) / s[band] for r, s in zip(residuals, sizes, strict=True)]
        total, dates = _scale(ratios, residuals, None)
        overall = np.exp(np.log(total) * dates / (dates + PRIOR_DATES))
        for kind in range(classes):
            found, dates = _scale(ratios, residuals, [k == kind for k in kinds])
            share = dates / (dates + PRIOR_DATES)
            factors[kind, band] = np.exp(share * np.log(found) + (1 - share) * np.log(overall))
    return factors


def _scale(
    ratios: Sequence[FloatArray],
    residuals: Sequence[Residuals],
    masks: Sequence[npt.NDArray[np.bool_]] | None,
) -> tuple[float, int]:
    """Return the weighted 68 % quantile of |error| / size and how many dates gave it."""
    values, dates = [], []
    for index, ratio in enumerate(ratios):
        good = np.isfinite(ratio)
        if masks is not None:
            good &= masks[index]
        if good.any():
            values.append(ratio[good])
            dates.append(residuals[index].date)
    if not values:
        return 1.0, 0
    trials = _trial_weights(dates)
    shares = [np.full(v.size, w / v.size) for v, w in zip(values, trials, strict=True)]
    quantile = _weighted_quantile(np.concatenate(values), np.concatenate(shares), COVERAGE)
    return max(quantile, 1e-3), len(set(dates))


def _trial_weights(dates: Sequence[int]) -> list[float]:
    """Weigh trials alike, but those of the target together as TARGET_SHARE of all."""
    own = sum(date == TARGET for date in dates)
    rest = len(dates) - own
    if not own or not rest:
        return [1.0] * len(dates)
    weight = {True: 2 * TARGET_SHARE / own, False: 2 * (1 - TARGET_SHARE) / rest}
    return [len(dates) / 2 * weight[date == TARGET] for date in dates]


def _weighted_quantile(values: FloatArray, weights: npt.NDArray[np.float64], level: float) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, level * total[-1])])
