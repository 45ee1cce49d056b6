"""From an estimate to the three layers of a reconstruction: values, QA and uncertainty."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import REFLECTANCE, ByteArray, FloatArray
from skymend.fusion.feather import rim, seam
from skymend.fusion.pixels import clip
from skymend.fusion.stack import BoolArray, Estimate, Fitted, Stack

NODATA, OBSERVED, WITH_RADAR, TIME_ONLY, OUTSIDE, SAME_DATE = range(6)
"""QA codes."""

UNKNOWN_SIGMA = 0.05
"""Where a method states no uncertainty."""

SENSOR_SIGMA = (0.002, 0.02)
"""Noise of an observed reflectance: a constant and a share of the value (Sentinel-2 L2A
random noise after atmospheric correction; calibration biases are common to all dates)."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """What is said of a pixel that no date saw clear: the scene's median, and its spread.

    ``level``, ``spread`` : (bands,) float32 reflectance.
    """

    level: FloatArray
    spread: FloatArray


@dataclass(frozen=True, slots=True)
class Layers:
    """One block of the result.

    Parameters
    ----------
    stored : (bands, rows, columns) int16, encoded reflectance.
    qa : (rows, columns) uint8.
    sigma : (bands, rows, columns) float32.
    """

    stored: npt.NDArray[np.int16]
    qa: ByteArray
    sigma: FloatArray


def fallback_of(sample: Stack) -> Fallback | None:
    """Return median and spread (half of the 16-84 % range) of all clear values, or None."""
    values = sample.optical
    if sample.target is not None:
        values = np.concatenate([values, sample.target[None]])
    good = np.isfinite(values).all(axis=1)
    if not good.any():
        return None
    clear = np.moveaxis(values, 1, 0)[:, good]
    low, level, high = np.quantile(clear, (0.16, 0.5, 0.84), axis=1).astype(np.float32)
    return Fallback(level, np.maximum((high - low) / 2, np.float32(0.02)))


def fill(
    stack: Stack,
    inside: BoolArray,
    observed: npt.NDArray[np.int16] | None,
    fitted: Fitted,
    fallback: Fallback,
    *,
    mode: Literal["fill", "full"],
    feather_px: float,
) -> Layers:
    """Rebuild one block.

    Parameters
    ----------
    stack : the block with its margin; ``stack.target`` is what is visible of the target.
    inside : (rows, columns) bool, inside the swath of any date.
    observed : (bands, rows, columns) stored reflectance of the target; kept bit by bit where
        visible, unless ``mode`` is ``full``.
    feather_px : width of the seam inside the gap; 0 for none.
    """
    visible = np.zeros(stack.shape, bool)
    if stack.target is not None:
        visible = np.asarray(np.isfinite(stack.target).all(axis=0))
    keep = visible if mode == "fill" else np.zeros_like(visible)
    hidden = ~keep
    around = rim(hidden, keep, feather_px) if feather_px > 0 and keep.any() else None
    wanted = hidden if around is None else hidden | around
    if not hidden.any():
        return _observed(stack, keep, observed)
    estimate = fitted.predict(replace(stack, wanted=wanted))
    mean, sigma = estimate.mean, np.where(np.isnan(estimate.sigma), UNKNOWN_SIGMA, estimate.sigma)
    if around is not None and stack.target is not None and around.any():
        mean = _feathered(mean, sigma, stack.target, around, feather_px)
    qa = _qa(estimate, hidden)
    empty = hidden & ~np.isfinite(mean).all(axis=0)
    mean, sigma = _fall_back(mean, sigma, empty, inside, fallback)
    qa[empty] = np.where(inside[empty], OUTSIDE, NODATA)
    base = _observed(stack, keep, observed)
    stored = np.where(hidden, REFLECTANCE.encode(mean), base.stored).astype(np.int16)
    spread = np.where(hidden, sigma, base.sigma).astype(np.float32)
    return Layers(stored, np.where(hidden, qa, base.qa).astype(np.uint8), spread)


def sensor_sigma(reflectance: FloatArray) -> FloatArray:
    """Return the noise of observed values, one standard deviation."""
    constant, share = SENSOR_SIGMA
    spread: FloatArray = np.float32(constant) + np.float32(share) * np.abs(reflectance)
    return spread


def _observed(stack: Stack, keep: BoolArray, observed: npt.NDArray[np.int16] | None) -> Layers:
    shape = (len(stack.bands), *stack.shape)
    nodata = np.int16(REFLECTANCE.nodata or 0)
    if observed is None or stack.target is None:
        empty = np.full(shape, np.nan, np.float32)
        return Layers(np.full(shape, nodata), np.zeros(stack.shape, np.uint8), empty)
    stored = np.where(keep, observed, nodata).astype(np.int16)
    sigma = np.where(keep, sensor_sigma(stack.target), np.float32(np.nan))
    return Layers(stored, np.where(keep, OBSERVED, NODATA).astype(np.uint8), sigma)


def _feathered(
    mean: FloatArray, sigma: FloatArray, target: FloatArray, around: BoolArray, width: float
) -> FloatArray:
    """Add the seam; offsets beyond two sigma are an overlooked cloud rim and count as two."""
    known = around & np.isfinite(mean).all(axis=0)
    offset = np.clip(target - mean, -2 * sigma, 2 * sigma)
    return clip((mean + seam(offset, known, width)).astype(np.float32))


def _qa(estimate: Estimate, hidden: BoolArray) -> ByteArray:
    qa = np.where(estimate.used_radar, WITH_RADAR, TIME_ONLY)
    if estimate.same_date is not None:
        qa[estimate.same_date] = SAME_DATE
    qa[estimate.outside] = OUTSIDE
    qa[~hidden] = NODATA
    return qa.astype(np.uint8)


def _fall_back(
    mean: FloatArray,
    sigma: FloatArray,
    empty: BoolArray,
    inside: BoolArray,
    fallback: Fallback,
) -> tuple[FloatArray, FloatArray]:
    if not empty.any():
        return mean, sigma
    fill_in = empty & inside
    mean, sigma = mean.copy(), sigma.astype(np.float32)
    mean[:, empty], sigma[:, empty] = np.nan, np.nan
    mean[:, fill_in] = fallback.level[:, None]
    sigma[:, fill_in] = fallback.spread[:, None]
    return mean, sigma
