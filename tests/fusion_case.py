"""Small stacks with a known course, shared by the fusion tests."""

from __future__ import annotations

import numpy as np

from skymend.fusion import Stack

BANDS = ("B04", "B08")


def stack(
    times: list[float], values: list[list[float]], target_time: float, **options: object
) -> Stack:
    """Return a stack of one row: ``values[date][pixel]``, the same in both bands."""
    one = np.array(values, np.float32).reshape(len(times), 1, 1, -1)
    optical = np.repeat(one, len(BANDS), axis=1)
    return Stack(np.array(times, np.float64), optical, target_time, BANDS, **options)  # type: ignore[arg-type]


def season(
    rng: np.random.Generator,
    *,
    dates: int = 20,
    side: int = 24,
    every: float = 6.0,
    noise: float = 0.01,
    cloud: float = 0.3,
) -> tuple[Stack, np.ndarray]:
    """Return a cloudy series of a random walk per pixel plus noise, and the truth at target.

    The target lies in the middle and is not among the candidates.
    """
    times = np.arange(dates) * every
    steps = rng.normal(0, 0.01, (dates, 2, side, side)).cumsum(axis=0) + 0.3
    seen = (steps + rng.normal(0, noise, steps.shape)).astype(np.float32)
    hidden = rng.random((dates, side, side)) < cloud
    seen[np.repeat(hidden[:, None], 2, axis=1)] = np.nan
    middle = dates // 2
    truth = (steps[middle] + rng.normal(0, noise, steps[middle].shape)).astype(np.float32)
    keep = np.arange(dates) != middle
    return Stack(times[keep], seen[keep], float(times[middle]), BANDS), truth
