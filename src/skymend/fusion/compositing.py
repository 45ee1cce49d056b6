"""Composites of one side of a target date: clear first, then closest in time."""

from __future__ import annotations

from typing import Literal

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.core.errors import ConfigError
from skymend.fusion.stack import Stack


def composite(
    stack: Stack, side: Literal["before", "after"], window_days: float
) -> tuple[FloatArray, FloatArray]:
    """Take, per pixel, the usable observation closest to the target on one side.

    The candidates of a stack are NaN where a cloud or shadow hides them, so "clear first"
    is met before "closest" is asked (decloud's compositing takes the farthest date and
    ignores clouds: decloud specification sections 16, 18 and 23.4).

    Parameters
    ----------
    stack : candidates; the order of equal times decides nothing but which comes first.
    side : ``before`` takes times up to and including the target's, ``after`` later ones.
    window_days : candidates farther away are left alone; the limit itself is inside.

    Returns
    -------
    values : (bands, rows, columns) float32, NaN where nothing usable lies in the window.
    age_days : (rows, columns) float32 distance in days, NaN likewise.
    """
    if side not in ("before", "after"):
        raise ConfigError(
            where="side", expected="before or after", found=repr(side), fix="choose one"
        )
    days = stack.times - stack.target_time
    inside = (days <= 0 if side == "before" else days > 0) & (np.abs(days) <= window_days)
    order = np.flatnonzero(inside)
    order = order[np.argsort(np.abs(days[order]), kind="stable")]
    values = np.full(stack.optical.shape[1:], np.nan, np.float32)
    age = np.full(stack.shape, np.nan, np.float32)
    for index in order:
        take = np.isnan(age) & np.isfinite(stack.optical[index]).all(axis=0)
        np.copyto(values, stack.optical[index], where=take)
        age[take] = abs(days[index])
    return values, age
