"""Running compiled kernels on strips of rows, in threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

ROWS = 256
"""Rows of a strip; the kernels release the interpreter lock."""


def over_strips(work: Callable[[int, int], Result], rows: int, cpus: int) -> list[Result]:
    """Call ``work(first, last)`` for each strip of rows and return the answers in order."""
    starts = range(0, rows, ROWS)
    with ThreadPoolExecutor(max_workers=max(1, cpus)) as pool:
        return list(pool.map(lambda first: work(first, min(first + ROWS, rows)), starts))
