"""Backscatter as a regressor: speckle filter, orbit offsets, and when a change happened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.fusion.pixels import RadarSeries
from skymend.fusion.stack import BoolArray, DayArray, IntArray, Stack

DB_FLOOR = 1e-5
"""Linear power below this (-50 dB) is noise."""

NEAR_DAYS = 4.0
"""Time constant of the average of passes around a date, days."""


def radar_series(stack: Stack, margin: int) -> RadarSeries | None:
    """Return the wanted pixels' speckle-filtered backscatter in dB, None without radar.

    Each orbit is filtered by itself (Quegan & Yu 2001, IEEE TGRS 39(11), eq. 12 with equal
    weights): a boxcar of 2*margin + 1 pixels in space, whose detail is shared over time.
    Orbits are then brought to one level per pixel by their difference of means.
    """
    if stack.radar is None or stack.radar_times is None or not len(stack.radar_times):
        return None
    times = stack.radar_times
    orbits = stack.radar_orbits
    if orbits is None:
        orbits = np.zeros(len(times), np.int64)
    index = np.arange(stack.shape[0] * stack.shape[1])
    if stack.wanted is not None:
        index = np.flatnonzero(stack.wanted)
    db = np.empty((len(times), 2, index.size), np.float32)
    for orbit in np.unique(orbits):
        for channel in range(2):
            members = np.flatnonzero(orbits == orbit)
            _filter(stack.radar, members, channel, margin, index, db)
    _level_orbits(db, orbits)
    return RadarSeries(times, orbits, db)


def _filter(
    radar: FloatArray,
    members: IntArray,
    channel: int,
    margin: int,
    index: IntArray,
    db: FloatArray,
) -> None:
    """Multi-temporal speckle filter of one orbit's passes, written to ``db`` in dB."""
    smooth = np.empty((len(members), index.size), np.float32)
    detail = np.zeros(index.size, np.float32)
    count = np.zeros(index.size, np.float32)
    for place, member in enumerate(members):
        power = radar[member, channel]
        mean = boxcar(power, margin).ravel()[index]
        ratio = power.ravel()[index] / mean
        good = np.isfinite(ratio) & (mean > 0)
        smooth[place] = mean
        detail += np.where(good, ratio, np.float32(0))
        count += good
    with np.errstate(invalid="ignore", divide="ignore"):
        detail /= count
    for place, member in enumerate(members):
        value = smooth[place] * detail
        with np.errstate(invalid="ignore"):
            db[member, channel] = 10 * np.log10(np.maximum(value, np.float32(DB_FLOOR)))


def boxcar(values: FloatArray, radius: int) -> FloatArray:
    """Average over a square of ``2*radius + 1`` pixels, ignoring NaN and what is outside.

    Sums run over shifted copies, not along the row, so that a pixel's result does not
    depend on where its block begins.
    """
    good = np.isfinite(values)
    total = _shifted_sum(np.where(good, values, np.float32(0)), radius)
    count = _shifted_sum(good.astype(np.float32), radius)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(good, total / count, np.float32(np.nan))


def _shifted_sum(values: FloatArray, radius: int) -> FloatArray:
    for axis in (0, 1):
        length = values.shape[axis]
        width = [(radius, radius) if a == axis else (0, 0) for a in (0, 1)]
        padded = np.pad(values, width)
        values = np.zeros_like(values)
        for shift in range(2 * radius + 1):
            part = slice(shift, shift + length)
            values += padded[part] if axis == 0 else padded[:, part]
    return values


def _level_orbits(db: FloatArray, orbits: IntArray) -> None:
    """Move every orbit to the mean level of all, per pixel and polarisation, in place."""
    distinct = np.unique(orbits)
    if distinct.size < 2:
        return
    means = np.stack([_mean(db[orbits == orbit]) for orbit in distinct])
    overall = _mean(means)
    for orbit, mean in zip(distinct, means, strict=True):
        db[orbits == orbit] += overall - mean


def _mean(values: FloatArray) -> FloatArray:
    good = np.isfinite(values)
    total = np.where(good, values, np.float32(0)).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: FloatArray = total / good.sum(axis=0).astype(np.float32)
    return mean


@dataclass(frozen=True, slots=True)
class RadarClues:
    """What radar says of a transition between two dates, for pixels that share them.

    Parameters
    ----------
    deviation : (2, pixels) dB by which VV, VH at the target depart from a straight line
        between the two dates.
    linear_share : (pixels,) projection of the target on the radar change, 0 before, 1 after.
    step_share : (pixels,) probability that an abrupt change came before the target.
    step_evidence : (pixels,) 0..1, how much a step explains of the radar variance.
    good : (pixels,) bool, radar seen near all three dates.
    """

    deviation: FloatArray
    linear_share: FloatArray
    step_share: FloatArray
    step_evidence: FloatArray
    good: BoolArray


def level_at(series: RadarSeries, time: float, max_gap_days: float) -> FloatArray:
    """Return (2, pixels) dB near a time: passes weighted by exp(-days / 4), NaN if too far."""
    days = np.abs(series.times - time)
    near = days <= max_gap_days
    weight = np.where(near, np.exp(-days / NEAR_DAYS), 0.0).astype(np.float32)
    total = np.zeros(series.db.shape[1:], np.float32)
    share = np.zeros_like(total)
    for index in np.flatnonzero(near):
        good = np.isfinite(series.db[index])
        total += weight[index] * np.where(good, series.db[index], np.float32(0))
        share += weight[index] * good
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(share > 0, total / share, np.float32(np.nan))


def clues(
    series: RadarSeries,
    before: float,
    target: float,
    after: float,
    noise_db: FloatArray,
    max_gap_days: float,
) -> RadarClues:
    """Compare radar at the target with radar at the two optical dates.

    Parameters
    ----------
    series : filtered radar of pixels that share both anchor dates.
    noise_db : (2,) standard deviation of one filtered pass, VV and VH.
    max_gap_days : passes farther from a date say nothing of it.
    """
    position = np.float32((target - before) / max(after - before, 1e-6))
    first, now, last = (level_at(series, t, max_gap_days) for t in (before, target, after))
    change = (last - first) / noise_db[:, None]
    moved = (now - first) / noise_db[:, None]
    # One noise variance per channel pulls the share to the time share where nothing moved.
    power = (change**2).sum(axis=0)
    share = ((change * moved).sum(axis=0) + 2 * position) / (power + 2)
    share = np.clip(share, 0, 1).astype(np.float32)
    deviation = now - first - position * (last - first)
    step, evidence = step_before(series, before, target, after, noise_db)
    good = np.asarray(np.isfinite(deviation).all(axis=0))
    for array in (deviation, share):
        array[..., ~good] = 0.0
    share[~good] = position
    step = np.where(good, step, position).astype(np.float32)
    evidence = np.where(good, evidence, np.float32(0)).astype(np.float32)
    return RadarClues(deviation, share, step, evidence, good)


def step_before(
    series: RadarSeries, before: float, target: float, after: float, noise_db: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the probability that a step change came before the target, and its evidence.

    One change point between the dates, levels to either side estimated from the passes,
    Gaussian noise, uniform prior in time: the posterior of each interval between passes is
    proportional to its length times exp(-residual sum of squares / 2); an interval that
    holds the target counts with its part before it.
    """
    inside = np.flatnonzero((series.times >= before - 3) & (series.times <= after + 3))
    count = series.db.shape[2]
    position = (target - before) / max(after - before, 1e-6)
    if inside.size < 2:
        return np.full(count, position, np.float32), np.zeros(count, np.float32)
    scaled = series.db[inside] / noise_db[:, None]
    good = np.isfinite(scaled)
    scaled = np.where(good, scaled, np.float32(0))
    sums, counts = np.cumsum(scaled, axis=0), np.cumsum(good, axis=0, dtype=np.float32)
    edges = np.clip(series.times[inside], before, after)
    edges = np.concatenate([[before], edges, [after]])
    log_odds = np.empty((inside.size + 1, count), np.float32)
    for split in range(inside.size + 1):
        gain = _explained(sums, counts, split)
        log_odds[split] = gain / 2 + np.log(max(edges[split + 1] - edges[split], 1e-3))
    none = log_odds[0] - np.log(max(edges[1] - edges[0], 1e-3))
    best = log_odds.max(axis=0)
    weight = np.exp(log_odds - best)
    weight /= weight.sum(axis=0)
    done = np.clip((target - edges[:-1]) / np.maximum(np.diff(edges), 1e-3), 0, 1)
    share = (weight * done.astype(np.float32)[:, None]).sum(axis=0)
    # Three free parameters (place and two channels' heights) buy about this much by chance.
    excess = np.maximum(2 * (best - none) - 6, 0)
    return share.astype(np.float32), (excess / (excess + 6)).astype(np.float32)


def _explained(sums: FloatArray, counts: FloatArray, split: int) -> FloatArray:
    """Sum of squares explained by two means instead of none, over both channels."""
    total, number = sums[-1], counts[-1]
    left = sums[split - 1] if split else np.zeros_like(total)
    left_n = counts[split - 1] if split else np.zeros_like(number)
    right, right_n = total - left, number - left_n
    one = np.maximum(np.float32(1), left_n), np.maximum(np.float32(1), right_n)
    explained: FloatArray = (left**2 / one[0] + right**2 / one[1]).sum(axis=0)
    return explained


def noise_of(series: RadarSeries) -> FloatArray:
    """Return (2,) the noise of one pass in dB, from differences of neighbouring passes.

    The median absolute difference is blind to the few pixels that really change.
    """
    spreads = []
    for orbit in np.unique(series.orbits):
        passes = series.db[series.orbits == orbit]
        if len(passes) > 1:
            spreads.append(np.abs(np.diff(passes, axis=0)).transpose(1, 0, 2).reshape(2, -1))
    if not spreads:
        return np.full(2, 1.0, np.float32)
    joined = np.concatenate(spreads, axis=1)
    noise = np.array([_median_finite(channel) for channel in joined]) / 0.6745 / np.sqrt(2)
    return np.asarray(np.clip(noise, 0.2, 3.0), np.float32)


def common_mode(series: RadarSeries) -> FloatArray:
    """Return (m, 2) the median over pixels of each pass relative to the pixels' own means.

    Rain and instrument drifts move a whole scene; land change moves single fields.
    """
    departure = series.db - _mean(series.db)[None]
    return np.array([[_median_finite(channel) for channel in one] for one in departure], np.float32)


def _median_finite(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else 0.0


def days_to_nearest(times: DayArray | None, target: float) -> float:
    """Return the distance in days to the nearest time, infinite if there is none."""
    if times is None or not len(times):
        return float("inf")
    return float(np.min(np.abs(times - target)))
