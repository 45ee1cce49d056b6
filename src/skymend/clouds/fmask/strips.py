"""Running compiled kernels on strips of rows, in threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy.typing as npt

Result = TypeVar("Result")

ROWS = 256
"""Rows of a strip; the kernels release the interpreter lock."""


ENOUGH = 2_000_000
"""Pixels from which a quantile is taken: more change it by less than the noise of the bands."""


def thinned(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return at most about :data:`ENOUGH` of the values, evenly spaced."""
    return values[:: max(1, values.size // ENOUGH)]


def over_strips(work: Callable[[int, int], Result], rows: int, cpus: int) -> list[Result]:
    """Call ``work(first, last)`` for each strip of rows and return the answers in order."""
    starts = range(0, rows, ROWS)
    with ThreadPoolExecutor(max_workers=max(1, cpus)) as pool:
        return list(pool.map(lambda first: work(first, min(first + ROWS, rows)), starts))
