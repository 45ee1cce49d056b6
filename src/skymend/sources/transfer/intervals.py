"""Sets of bytes of a file: sorted, disjoint, half-open intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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


def dwindling(interval: Interval, workers: int, smallest: int, largest: int) -> Iterator[Interval]:
    """Cut an interval into pieces for several workers: large at first, small towards the end.

    Each piece is half a worker's share of what is left (guided self-scheduling), so there are
    few requests, all workers end at about the same time, and a digest that follows has little
    left to read when they do.

    Parameters
    ----------
    interval : what to cut.
    workers : how many take pieces.
    smallest, largest : bounds of a piece, bytes.
    """
    position = interval.start
    while position < interval.end:
        fair = (interval.end - position) // (2 * workers)
        end = min(position + min(max(fair, smallest), largest), interval.end)
        yield Interval(position, end)
        position = end


def total(intervals: Iterable[Interval]) -> int:
    """Return the number of bytes of disjoint intervals."""
    return sum(interval.length for interval in intervals)
