"""Sets of bytes of a file: sorted, disjoint, half-open intervals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Interval(NamedTuple):
    """The bytes ``start`` to ``end - 1``."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.end - self.start


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the set of all bytes in any interval; those that touch become one."""
    merged: list[Interval] = []
    for start, end in sorted(i for i in intervals if i.end > i.start):
        if merged and start <= merged[-1].end:
            merged[-1] = Interval(merged[-1].start, max(end, merged[-1].end))
        else:
            merged.append(Interval(start, end))
    return merged


def missing(have: Iterable[Interval], whole: Interval) -> list[Interval]:
    """Return the bytes of ``whole`` that are in no interval."""
    gaps = []
    position = whole.start
    for start, end in union(have):
        if start > position:
            gaps.append(Interval(position, min(start, whole.end)))
        position = max(position, end)
        if position >= whole.end:
            break
    if position < whole.end:
        gaps.append(Interval(position, whole.end))
    return [gap for gap in gaps if gap.length > 0]


def rolled_back(have: Iterable[Interval], length: int) -> list[Interval]:
    """Return the set without the last ``length`` bytes of each of its stretches."""
    return [Interval(i.start, i.end - length) for i in union(have) if i.length > length]


def split(interval: Interval, length: int) -> list[Interval]:
    """Cut an interval into pieces of at most ``length`` bytes."""
    starts = range(interval.start, interval.end, length)
    return [Interval(start, min(start + length, interval.end)) for start in starts]


def total(intervals: Iterable[Interval]) -> int:
    """Return the number of bytes of disjoint intervals."""
    return sum(interval.length for interval in intervals)
