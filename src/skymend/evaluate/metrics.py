"""Metrics of an estimated image against the truth, NaN-safe and per mask.

Images are ``(bands, rows, columns)`` reflectances; a pixel counts where truth and estimate are
finite in every band and, if a mask is given, the mask is True.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray, FloatArray
from skymend.core.errors import GridError
from skymend.evaluate.scores import GAP_CLASSES, STRATA, ScoreRow, gap_index

Flags = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]

PSNR_RANGE = 1.0
"""Declared data range of PSNR: reflectance 0..1, as in published comparisons."""

SSIM_RANGE = 0.4
"""Declared data range of SSIM. Most land reflectances stay below 0.4; a range of 1.0 lets the
stabilising constants hide real differences."""

SSIM_SIGMA = 1.5
SSIM_RADIUS = 5
"""Gaussian window of 11 x 11 pixels (Wang et al. 2004, section III-B)."""


def valid_pixels(truth: FloatArray, estimate: FloatArray, mask: Flags | None = None) -> Flags:
    """Return (rows, columns) True where a pixel can be scored.

    Raises
    ------
    GridError
        if the shapes differ.
    """
    if truth.shape != estimate.shape or (mask is not None and mask.shape != truth.shape[1:]):
        raise GridError(
            where="metrics",
            expected=f"an estimate of shape {truth.shape} and a mask of its rows and columns",
            found=f"{estimate.shape}" + (f" and {mask.shape}" if mask is not None else ""),
            fix="bring truth, estimate and mask to one grid",
        )
    valid = np.isfinite(truth).all(axis=0) & np.isfinite(estimate).all(axis=0)
    return np.asarray(valid if mask is None else valid & mask)


def mae(truth: FloatArray, estimate: FloatArray, mask: Flags | None = None) -> float:
    """Return the mean absolute error; NaN when no pixel counts."""
    return _mean(np.abs(_errors(truth, estimate, mask)))


def rmse(truth: FloatArray, estimate: FloatArray, mask: Flags | None = None) -> float:
    """Return the root of the mean squared error; NaN when no pixel counts."""
    return float(np.sqrt(_mean(_errors(truth, estimate, mask) ** 2)))


def psnr(
    truth: FloatArray,
    estimate: FloatArray,
    mask: Flags | None = None,
    *,
    data_range: float = PSNR_RANGE,
) -> float:
    """Return the peak signal-to-noise ratio in dB: ``10 log10(range^2 / MSE)``.

    MSE is taken over all bands and pixels at once (PSNR of the mean, not mean of PSNRs);
    infinite for equal images, NaN when no pixel counts.
    """
    return float(psnr_of(_mean(_errors(truth, estimate, mask) ** 2), data_range))


def psnr_of(mse: npt.ArrayLike, data_range: float = PSNR_RANGE) -> Doubles:
    """Return the PSNR in dB of mean squared errors."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(10.0 * np.log10(data_range**2 / np.asarray(mse, np.float64)))


def spectral_angle(truth: FloatArray, estimate: FloatArray) -> Doubles:
    """Return the angle between the two spectra of each pixel.

    ``arccos(<t, e> / (|t| |e|))`` (Kruse et al. 1993, equation 1).

    Returns
    -------
    (rows, columns) float64, radians, 0..pi; NaN where a band is NaN or a spectrum is zero.
    """
    t, e = truth.astype(np.float64), estimate.astype(np.float64)
    norms = np.sqrt((t * t).sum(axis=0) * (e * e).sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = (t * e).sum(axis=0) / norms
    return np.asarray(np.arccos(np.clip(cosine, -1.0, 1.0)))


def within_sigma(truth: FloatArray, estimate: FloatArray, sigma: FloatArray) -> Flags:
    """Return (bands, rows, columns) True where the truth lies within one sigma."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(estimate - truth) <= sigma)


def coverage(
    truth: FloatArray, estimate: FloatArray, sigma: FloatArray, mask: Flags | None = None
) -> float:
    """Return the share of truths within one sigma over all bands; NaN when no pixel counts."""
    valid = valid_pixels(truth, estimate, mask)
    return _mean(within_sigma(truth, estimate, sigma)[:, valid].astype(np.float64))


def ssim_map(
    truth: FloatArray,
    estimate: FloatArray,
    mask: Flags | None = None,
    *,
    data_range: float = SSIM_RANGE,
) -> Doubles:
    """Return the local structural similarity of each pixel, mean over bands.

    Equation 13 of Wang et al. (2004) with K1 = 0.01, K2 = 0.03 and a Gaussian window. The
    window sees only pixels that count (its weights are renormalised), so that neighbours
    which were never hidden cannot flatter the score.

    Returns
    -------
    (rows, columns) float64, -1..1; NaN where the pixel does not count or less than half of
    its window's weight does.
    """
    valid = valid_pixels(truth, estimate, mask)
    weight = _blur(valid.astype(np.float64))
    kept = valid & (weight >= 0.5)
    total = np.zeros(valid.shape)
    for t, e in zip(truth, estimate, strict=True):
        x = np.where(valid, t, 0.0).astype(np.float64)
        y = np.where(valid, e, 0.0).astype(np.float64)
        total += _ssim_band(x, y, np.where(kept, weight, 1.0), data_range)
    return np.where(kept, total / len(truth), np.nan)


def ssim(
    truth: FloatArray,
    estimate: FloatArray,
    mask: Flags | None = None,
    *,
    data_range: float = SSIM_RANGE,
) -> float:
    """Return the mean of :func:`ssim_map`; NaN when no window counts."""
    values = ssim_map(truth, estimate, mask, data_range=data_range)
    return _mean(values[np.isfinite(values)])


def score_rows(
    truth: FloatArray,
    estimate: FloatArray,
    sigma: FloatArray,
    hidden: Flags,
    *,
    gap_days: npt.NDArray[Any],
    changed: Flags,
    bands: Sequence[str],
    date: str,
    shape: str,
    method: str,
) -> list[ScoreRow]:
    """Score one method on the hidden pixels of one date under one cloud shape.

    Parameters
    ----------
    truth, estimate, sigma : (bands, rows, columns) float32 reflectance; NaN where unknown.
    hidden : (rows, columns) True where pixels were hidden.
    gap_days : (rows, columns) days between the nearest usable observations before and after;
        NaN or infinite where a side has none.
    changed : (rows, columns) True where those observations differ (stratum ``changed``).
    bands, date, shape, method : what the rows are named.

    Returns
    -------
    One row per gap class and stratum that holds a pixel, in a fixed order.
    """
    valid = valid_pixels(truth, estimate, hidden)
    valid &= np.isfinite(sigma).all(axis=0)
    similarity = ssim_map(truth, estimate, valid)
    angle = spectral_angle(truth, estimate)
    classes = gap_index(gap_days).astype(np.uint8)
    rows = []
    for index, gap_class in enumerate(GAP_CLASSES):
        for stratum in STRATA:
            here = valid & (classes == index) & (changed == (stratum == "changed"))
            if here.any():
                names = (date, shape, method, gap_class, stratum)
                sums = _sums(truth, estimate, sigma, similarity, angle, here)
                rows.append(_row(names, bands, sums))
    return rows


def changed_pixels(before: FloatArray, after: FloatArray, limit: float) -> Flags:
    """Return (rows, columns) True where the two differ by more than ``limit`` in any band.

    Pixels without both observations count as stable: nothing proves a change.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(after - before) > limit).any(axis=0))


def qa_shares(qa: ByteArray) -> dict[str, float]:
    """Return the share of each QA class among the pixels that have data (``"1"``..``"5"``)."""
    counts = np.bincount(qa.ravel(), minlength=6)[1:6]
    total = max(int(counts.sum()), 1)
    return {str(i + 1): round(int(n) / total, 6) for i, n in enumerate(counts) if n}


def _errors(truth: FloatArray, estimate: FloatArray, mask: Flags | None) -> Doubles:
    valid = valid_pixels(truth, estimate, mask)
    return estimate[:, valid].astype(np.float64) - truth[:, valid].astype(np.float64)


def _mean(values: Doubles) -> float:
    return float(values.mean()) if values.size else float("nan")


def _blur(image: Doubles) -> Doubles:
    from scipy.ndimage import correlate1d

    offsets = np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1)
    kernel = np.exp(-0.5 * (offsets / SSIM_SIGMA) ** 2)
    kernel /= kernel.sum()
    blurred = correlate1d(image, kernel, axis=0, mode="constant")
    return np.asarray(correlate1d(blurred, kernel, axis=1, mode="constant"))


def _ssim_band(x: Doubles, y: Doubles, weight: Doubles, data_range: float) -> Doubles:
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_x, mean_y = _blur(x) / weight, _blur(y) / weight
    # rounding can leave a variance of a flat patch slightly below zero
    var_x = np.maximum(_blur(x * x) / weight - mean_x**2, 0.0)
    var_y = np.maximum(_blur(y * y) / weight - mean_y**2, 0.0)
    covariance = _blur(x * y) / weight - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return np.asarray(luminance * structure)


def _sums(
    truth: FloatArray,
    estimate: FloatArray,
    sigma: FloatArray,
    similarity: Doubles,
    angle: Doubles,
    here: Flags,
) -> dict[str, Any]:
    error = estimate[:, here].astype(np.float64) - truth[:, here].astype(np.float64)
    local = similarity[here]
    return {
        "pixels": int(here.sum()),
        "abs_sum": _numbers(np.abs(error).sum(axis=1)),
        "sq_sum": _numbers((error**2).sum(axis=1)),
        "err_sum": _numbers(error.sum(axis=1)),
        "within": _numbers((np.abs(error) <= sigma[:, here]).sum(axis=1)),
        "sam_sum": float(np.nansum(angle[here])),
        "ssim_sum": float(np.nansum(local)),
        "ssim_pixels": int(np.isfinite(local).sum()),
    }


def _numbers(values: npt.NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


def _row(names: tuple[str, ...], bands: Sequence[str], sums: dict[str, Any]) -> ScoreRow:
    date, shape, method, gap_class, stratum = names
    return ScoreRow(
        date=date,
        shape=shape,
        method=method,
        gap_class=gap_class,
        stratum=stratum,
        bands=tuple(bands),
        **sums,
    )
