"""Progress of downloads: bytes, rate and time left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

_WINDOW_S = 10.0


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a download stands.

    Parameters
    ----------
    name : of the file.
    done : bytes here.
    total : bytes in all; None while unknown.
    rate : bytes a second over the last ten seconds.
    eta_s : seconds left at that rate; None while unknown.
    """

    name: str
    done: int
    total: int | None
    rate: float
    eta_s: float | None


class Progress(Protocol):
    """Is told a few times a second; called from one thread for each file."""

    def __call__(self, moment: Moment, /) -> None:
        """Take note."""


def silent(moment: Moment, /) -> None:
    """Take no note."""


class Meter:
    """Turns counts of bytes into moments.

    Parameters
    ----------
    name : of the file.
    clock : seconds that only grow.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._points: deque[tuple[float, int]] = deque()

    def moment(self, done: int, total: int | None) -> Moment:
        """Return the moment with so many bytes here; a restart begins a new rate."""
        now = self._clock()
        if self._points and done < self._points[-1][1]:
            self._points.clear()
        self._points.append((now, done))
        while len(self._points) > 2 and now - self._points[0][0] > _WINDOW_S:
            self._points.popleft()
        start, first = self._points[0]
        rate = (done - first) / (now - start) if now > start else 0.0
        eta = (total - done) / rate if total is not None and rate > 0 else None
        return Moment(self._name, done, total, rate, eta)


@contextmanager
def terminal_bar() -> Iterator[Progress]:
    """Show bars on a terminal, one for each file, with rate and time left."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns) as bars:
        tasks = {}

        def show(moment: Moment, /) -> None:
            if moment.name not in tasks:
                tasks[moment.name] = bars.add_task(moment.name, total=moment.total)
            bars.update(tasks[moment.name], completed=moment.done, total=moment.total)

        yield show
