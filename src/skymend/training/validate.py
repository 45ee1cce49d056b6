"""What a trained net is worth: its error on held-out samples beside linear interpolation.

Sums run over hidden pixels with a known target only; they are the ones a net is for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.models.card import Calibration, GapScale
from skymend.training.samples import Feed, Feeder

GAP_LIMITS: tuple[float | None, ...] = (10.0, 20.0, 40.0, None)
"""Upper ends of the gap classes, days; the last is open."""

CHANGE = 0.05
"""A pixel changed if a band differs by more reflectance between before and after."""

ONE_SIGMA = 0.6827
"""Share of a normal distribution within one standard deviation."""

_MIN_PIXELS = 2000
_BATCH = 32


@dataclass(slots=True)
class Validation:
    """Errors on held-out pixels: one row per hidden pixel with a known target."""

    network: list[FloatArray] = field(default_factory=list)
    """(pixels, bands) signed errors of the mean."""
    linear: list[FloatArray] = field(default_factory=list)
    """The same of linear interpolation in time; NaN where neither date is usable."""
    sigma: list[FloatArray] = field(default_factory=list)
    """(pixels, bands) predicted, not calibrated; empty for nets without the head."""
    gap: list[FloatArray] = field(default_factory=list)
    """(pixels,) days between the dates before and after; NaN where unknown."""
    changed: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    """(pixels,) whether the land changed between the dates before and after."""

    def metrics(self) -> dict[str, float]:
        """Return mean absolute errors of both, over all pixels and over changed ones.

        Only pixels that interpolation can fill count, so that both are scored on the same.
        """
        if not self.network:
            return {}
        network, linear = np.concatenate(self.network), np.concatenate(self.linear)
        both = ~np.isnan(linear).any(axis=1)
        strata = {"": both, "_changed": both & np.concatenate(self.changed)}
        found = {"validation_pixels": float(both.sum())}
        for suffix, chosen in strata.items():
            if chosen.any():
                found[f"mae_network{suffix}"] = float(np.abs(network[chosen]).mean())
                found[f"mae_linear{suffix}"] = float(np.abs(linear[chosen]).mean())
        return found


def linear_interpolation(feed: Feed) -> FloatArray:
    """Interpolate between the dates before and after.

    Returns
    -------
    (samples, rows, columns, bands) reflectance: weighted by time (halves where dates are
    unknown), the one side where only that is usable, NaN where neither is.
    """
    span = feed.days.sum(axis=1)
    share = np.where(span > 0, feed.days[:, 0] / np.where(span > 0, span, 1), 0.5)
    weight = share[:, None, None, None].astype(np.float32)
    mixed = (1 - weight) * feed.before + weight * feed.after
    one_sided = np.where(np.isnan(feed.before), feed.after, feed.before)
    return np.asarray(np.where(np.isnan(mixed), one_sided, mixed), np.float32)


def validate(model: Any, feeder: Feeder, indices: npt.NDArray[np.int64]) -> Validation:
    """Compare a model with the truth of samples it has not seen."""
    found = Validation()
    for chunk in _chunks(indices):
        feed = feeder.feed(chunk)
        outputs = model.predict_on_batch(feed.inputs)
        listed = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        sigma = listed[-1] if len(listed) > 1 and _has_sigma(model) else None
        _collect(found, feed, np.asarray(listed[0]), sigma)
    return found


def _has_sigma(model: Any) -> bool:
    return str(model.output_names[-1]).endswith("_sigma")


def _chunks(indices: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    for first in range(0, len(indices), _BATCH):
        yield indices[first : first + _BATCH]


def _collect(found: Validation, feed: Feed, mean: FloatArray, sigma: Any) -> None:
    chosen = feed.hidden & ~np.isnan(feed.target).any(axis=-1)
    gap = np.broadcast_to(feed.days.sum(axis=1)[:, None, None], chosen.shape)
    change = np.abs(feed.after - feed.before).max(axis=-1) > CHANGE
    found.network.append((mean - feed.target)[chosen])
    found.linear.append((linear_interpolation(feed) - feed.target)[chosen])
    found.gap.append(gap[chosen])
    found.changed.append(change[chosen])
    if sigma is not None:
        found.sigma.append(np.asarray(sigma)[chosen])


def calibrate(found: Validation) -> Calibration:
    """Find the factors by which about 68 % of the truths fall within one sigma.

    Returns
    -------
    Calibration
        per gap class, the quantile 0.6827 of ``|error| / sigma``; a class with too few
        pixels takes the factor of all. A net without the head gets constant sigmas per band.
    """
    if not found.network or not sum(map(len, found.network)):
        return Calibration()
    errors = np.abs(np.concatenate(found.network))
    constant: tuple[float, ...] = ()
    if found.sigma:
        ratio = errors / np.concatenate(found.sigma)
    else:
        quantiles = np.quantile(errors, ONE_SIGMA, axis=0).astype(np.float32)
        quantiles = np.maximum(quantiles, np.float32(1e-4))
        constant = tuple(float(q) for q in quantiles)
        ratio = errors / quantiles
    return Calibration(gaps=_gap_scales(ratio, np.concatenate(found.gap)), sigma=constant)


def _gap_scales(ratio: npt.NDArray[Any], gap: FloatArray) -> tuple[GapScale, ...]:
    overall = _scale(ratio)
    limits = [np.inf if limit is None else limit for limit in GAP_LIMITS]
    classes = np.searchsorted(limits, np.nan_to_num(gap, nan=np.inf), side="left")
    scales = []
    for index, limit in enumerate(GAP_LIMITS):
        chosen = ratio[classes == index]
        scale = _scale(chosen) if len(chosen) >= _MIN_PIXELS else overall
        scales.append(GapScale(max_days=limit, scale=scale, pixels=len(chosen)))
    return tuple(scales)


def _scale(ratio: npt.NDArray[Any]) -> float:
    return max(float(np.quantile(ratio, ONE_SIGMA)), 1e-3)
