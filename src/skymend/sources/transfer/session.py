"""Fetching one remote into its part: a thread for each connection, and one that watches.

Pieces are asked for in the order of the file, so that the digest can follow closely. A failed
piece goes back in line from the byte it had come to. Whatever makes the bytes at hand worthless
(another version at the server, a server without ranges that cut, a wrong digest) ends the pass,
and the next begins at byte 0.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from skymend.core.errors import ProductError, RetryableError, SkymendError
from skymend.sources.transfer import sniff
from skymend.sources.transfer.answers import Version
from skymend.sources.transfer.budget import Budget, Permit
from skymend.sources.transfer.connections import Connections
from skymend.sources.transfer.following import Flusher, Follower
from skymend.sources.transfer.intervals import Interval, dwindling, missing
from skymend.sources.transfer.ledger import Ledger
from skymend.sources.transfer.part import Part
from skymend.sources.transfer.trouble import Busy, Cut, Page, Restart, Stopped
from skymend.sources.transfer.types import Remote, TransferOptions

UNKNOWN = 2**62
"""The end of a body whose length the server does not say."""

_FIRST = 4 * 2**20
_SMALLEST = 2 * 2**20
_LARGEST = 32 * 2**20
_TICK_S = 0.1
_LONGEST_BACKOFF_S = 60.0
_SHORTEST_PAUSE_S = 0.1


@dataclass(slots=True)
class Errand:
    """A piece on its way: bytes ``position`` to ``end - 1`` are still to come."""

    position: int
    end: int
    failures: int = 0


@dataclass(slots=True)
class Counts:
    """What a download has cost so far."""

    received: int = 0
    spent: int = 0
    cuts: int = 0
    restarts: int = 0


class Session:
    """One pass after the other over one remote, until a pass is complete.

    Parameters
    ----------
    remote : what is fetched.
    part : opened and locked.
    fetch : gets one errand over one connection; a function of the session and the errand.
    connections, budget, options, ledger : as given to the download.
    algorithm : of the digest to compute on the way; None computes none.
    tick : called with the bytes here and in all, ten times a second.
    cancelled : set by another thread to end the download.
    """

    def __init__(
        self,
        remote: Remote,
        part: Part,
        fetch: Callable[[Session, Errand], None],
        connections: Connections,
        budget: Budget,
        options: TransferOptions,
        ledger: Ledger | None,
        algorithm: str | None,
        tick: Callable[[int, int | None], None],
        cancelled: threading.Event,
    ) -> None:
        self.remote = remote
        self.part = part
        self.options = options
        self.counts = Counts()
        self.whole = False
        self.deadline = time.monotonic() + options.wall_s
        self.follower = Follower(part, None)
        self._flusher = Flusher(part)
        self._fetch = fetch
        self._connections = connections
        self._budget = budget
        self._ledger = ledger
        self._algorithm = algorithm
        self._tick = tick
        self._cancelled = cancelled
        self._change = threading.Condition()
        self._todo: deque[Errand] = deque()
        self._workers: set[threading.Thread] = set()
        self._end: BaseException | None = None
        self._allowed = options.connections
        self._not_before = 0.0
        self._busy = 0

    def run(self) -> tuple[int, str]:
        """Complete the part; return its size and digest (hexadecimal, or empty).

        Raises
        ------
        SkymendError
            if it cannot be completed; the part stays.
        Stopped
            if it was cancelled.
        """
        while True:
            try:
                return self._pass()
            except Restart as restart:
                self.begin_again(restart)

    def begin_again(self, restart: Restart) -> None:
        """Throw away what is here.

        Raises
        ------
        RetryableError
            if that happened too often.
        """
        self.part.reset()
        self._busy = 0
        if restart.counts:
            self.counts.restarts += 1
        if self.counts.restarts > self.options.attempts:
            raise self._gives_up(str(restart))

    def _pass(self) -> tuple[int, str]:
        self._todo = deque(Errand(i.start, i.end) for i in self._pieces())
        self._end = None
        self._allowed = 1 if self.whole else self.options.connections
        self.follower = Follower(self.part, self._algorithm)
        self.follower.poke()
        self._flusher = Flusher(self.part)
        try:
            self._supervise()
        finally:
            self._flusher.close()
            self._stop_workers()
            self._spend()
            self.follower.close()
        if self._end is not None:
            raise self._end
        return self._complete()

    def _complete(self) -> tuple[int, str]:
        version = self.part.version
        done = self.part.done
        if version is None or (version.total is not None and done != version.total):
            raise Restart("the part has gaps that nobody fetched")
        self._tick(done, done)
        return done, self.follower.finish(done)

    def _pieces(self) -> list[Interval]:
        """Return what is still to be fetched: all of it, a first piece, or the gaps."""
        if self.whole:
            return [Interval(0, UNKNOWN)]
        version = self.part.version
        if version is None or version.total is None:
            size = self.remote.size
            return [Interval(0, _FIRST)] if not size else self._pieces_of(Interval(0, size))[:1]
        gaps = missing(self.part.have, Interval(0, version.total))
        return [piece for gap in gaps for piece in self._pieces_of(gap)]

    def _pieces_of(self, interval: Interval) -> list[Interval]:
        return list(dwindling(interval, self.options.connections, _SMALLEST, _LARGEST))

    def _supervise(self) -> None:
        while True:
            with self._change:
                if self._end is not None or not (self._workers or self._todo):
                    return
            if self._cancelled.is_set():
                raise Stopped
            if time.monotonic() >= self.deadline:
                raise self._gives_up("the wall timeout")
            self._grow()
            with self._change:
                if self._workers and self._end is None:
                    self._change.wait(_TICK_S)
            version, done = self.part.version, self.part.done
            self._flusher.poke(done)
            self._tick(done, version.total if version else self.remote.size)
            self._spend()

    def _grow(self) -> None:
        """Start workers while there is work for them; the first waits for its permit."""
        while True:
            with self._change:
                count = len(self._workers)
                if not self._todo or count >= self._allowed or self._end is not None:
                    return
            provider = self.remote.provider
            if count == 0:
                permit: Permit | None = self._budget.take(provider, self.deadline, self._cancelled)
            else:
                permit = self._budget.try_take(provider)
            if permit is None:
                return
            self._start(permit)

    def _start(self, permit: Permit) -> None:
        thread = threading.Thread(
            target=self._work, args=(permit,), name=f"fetch {self.remote.name}", daemon=True
        )
        with self._change:
            self._workers.add(thread)
        thread.start()

    def _work(self, permit: Permit) -> None:
        try:
            while (errand := self._next()) is not None:
                self._try(errand)
        except Stopped:
            pass
        except BaseException as error:
            self._finish(error)
        finally:
            self._connections.finished()
            permit.release()
            with self._change:
                self._workers.discard(threading.current_thread())
                self._change.notify_all()

    def _finish(self, error: BaseException) -> None:
        with self._change:
            if self._end is None or isinstance(self._end, Restart):
                self._end = error
            self._change.notify_all()

    def _stop_workers(self) -> None:
        """End all workers, also those that wait for a silent server."""
        if self._workers and self._end is None:
            self._finish(Stopped())
        while self._workers:
            with self._change:
                workers = list(self._workers)
                self._change.notify_all()
            for worker in workers:
                if worker.ident is not None:
                    self._connections.interrupt(worker.ident)
                worker.join(_TICK_S)

    def _next(self) -> Errand | None:
        """Return the next piece once it may be asked for; None when there is none."""
        with self._change:
            if not self._todo:
                return None
            errand = self._todo.popleft()
        try:
            self._await_turn()
        except BaseException:
            self.put_back(errand)
            raise
        return errand

    def _await_turn(self) -> None:
        """Wait for the end of a pause, then for the ledger's consent to one more request."""
        while True:
            self.check()
            wait = self._not_before - time.monotonic()
            if wait <= 0 and self._ledger is not None:
                wait = self._ledger.turn(self.remote.provider)
            if wait <= 0:
                return
            if time.monotonic() + wait > self.deadline:
                raise self._gives_up(f"a pause of {wait:.0f} s before the next request")
            with self._change:
                self._change.wait(min(wait, _TICK_S))

    def check(self) -> None:
        """Raise :class:`Stopped` once the pass has ended."""
        if self._end is not None:
            raise Stopped

    def left_s(self) -> float:
        """Return the seconds until the wall timeout, a moment at least."""
        return max(0.01, self.deadline - time.monotonic())

    def put_back(self, errand: Errand) -> None:
        """Let the rest of a piece be fetched next."""
        with self._change:
            if errand.position < errand.end:
                self._todo.appendleft(errand)
            self._change.notify_all()

    def _try(self, errand: Errand) -> None:
        before = errand.position
        try:
            self._fetch(self, errand)
        except Busy as busy:
            self.put_back(errand)
            self._pause(busy)
        except Cut as cut:
            self.check()
            self.counts.cuts += 1
            errand.failures = 1 if errand.position > before else errand.failures + 1
            if self.whole and errand.position > 0:
                raise Restart(f"{cut}, and the server has no ranges") from cut
            self.put_back(errand)
            self._stumble(errand, cut)

    def _stumble(self, errand: Errand, cut: Cut) -> None:
        """Pause after a failure, longer each time; give up after too many without a byte."""
        if errand.failures > self.options.attempts:
            raise self._gives_up(str(cut), page=isinstance(cut, Page))
        if errand.failures > 1:
            pause = self.options.backoff_s * 2 ** (errand.failures - 2)
            self._not_before = time.monotonic() + min(pause, _LONGEST_BACKOFF_S)

    def _pause(self, busy: Busy) -> None:
        """Do what a busy server asks, and use one connection less from now on."""
        with self._change:
            self._busy += 1
            self._allowed = max(1, self._allowed - 1)
            least = min(_SHORTEST_PAUSE_S * 2 ** (self._busy - 1), _LONGEST_BACKOFF_S)
        if busy.wait_s is None:
            least = max(least, self.options.backoff_s)
            if self._busy > self.options.attempts + self.options.connections:
                raise self._gives_up(str(busy))
        wait = max(busy.wait_s or 0.0, least)
        self._not_before = max(self._not_before, time.monotonic() + wait)
        if self._ledger is not None and busy.wait_s is not None:
            self._ledger.pause(self.remote.provider, busy.wait_s)

    def answered(self) -> None:
        """Note that the server is not busy."""
        self._busy = 0

    def begin(self, version: Version, piece: Errand) -> None:
        """Take the version that the first answer shows, and line up the rest of the file."""
        self.part.begin(version)
        with self._change:
            if version.ranged and version.total is not None:
                rest = Interval(min(piece.end, version.total), version.total)
                self._todo.extend(Errand(i.start, i.end) for i in self._pieces_of(rest))
                piece.end = min(piece.end, version.total)
            self._change.notify_all()

    def received(self, count: int) -> None:
        """Count bytes of a body."""
        with self._change:
            self.counts.received += count

    def _spend(self) -> None:
        """Tell the ledger what came; end when the provider's allowance is used up."""
        if self._ledger is None:
            return
        count = self.counts.received - self.counts.spent
        self.counts.spent += count
        self._ledger.spend(self.remote.provider, count)
        if self._ledger.room(self.remote.provider) == 0 and self._workers:
            self._finish(no_allowance(self.remote.provider))

    def _gives_up(self, found: str, *, page: bool = False) -> SkymendError:
        if page:
            return ProductError(
                where=self.remote.public_url,
                expected=sniff.expected(self.remote.kind),
                found=f"{found}, again and again",
                fix="check the credentials and whether a licence must be agreed to first",
            )
        return RetryableError(
            where=self.remote.public_url,
            expected=f"the whole file within {self.options.wall_s:g} s and "
            f"{self.options.attempts} attempts in a row",
            found=found,
            fix="run again later; what has come is kept",
        )


def no_allowance(provider: str) -> RetryableError:
    """Return the error of an allowance that is used up."""
    return RetryableError(
        where=provider,
        expected="room in its allowance of bytes in 30 days",
        found="an allowance that is used up",
        fix="run again when some of the 30 days have passed",
    )
