"""What follows a growing part, so that little is left to do after the last byte."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from skymend.sources.transfer import digests
from skymend.sources.transfer.part import Part

_BLOCK = 2**20
_WORTH_A_THREAD = 8 * 2**20
_WORTH_A_FLUSH = 64 * 2**20


class _Companion:
    """A thread beside the download: started when there is work, woken for more, ended at close.

    Parameters
    ----------
    name : of the thread.
    work : done at each wake-up.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._name = name
        self._work = work
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def started(self) -> bool:
        """Whether the thread has been started."""
        return self._thread is not None

    def wake(self) -> None:
        """Start the thread if it is not there yet, and let it work."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._wake.set()

    def close(self) -> None:
        """End the thread once its work at hand is done."""
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._closed:
                return
            self._work()


class Follower:
    """Computes the digest of a part from its beginning, as far as it has no gap.

    Reads back what was just written: that comes from the page cache and keeps memory constant
    however many connections write out of order.

    Parameters
    ----------
    part : the part.
    algorithm : of the digest; None computes nothing.
    """

    def __init__(self, part: Part, algorithm: str | None) -> None:
        self._part = part
        self._hash = digests.start(algorithm) if algorithm else None
        self._position = 0
        self._companion = _Companion("digest", lambda: self._advance(part.frontier))

    def poke(self) -> None:
        """Say that the part has grown."""
        if self._hash is None:
            return
        if self._companion.started or self._part.frontier > _WORTH_A_THREAD:
            self._companion.wake()

    def finish(self, total: int) -> str:
        """Return the digest of ``total`` bytes, hexadecimal; empty without an algorithm."""
        self.close()
        if self._hash is None:
            return ""
        self._advance(total)
        return self._hash.hexdigest()

    def close(self) -> None:
        """End the thread."""
        self._companion.close()

    def _advance(self, end: int) -> None:
        assert self._hash is not None
        buffer = memoryview(bytearray(min(_BLOCK, max(0, end - self._position))))
        while self._position < end:
            wanted = buffer[: min(_BLOCK, end - self._position)]
            count = self._part.read_into(wanted, self._position)
            if count == 0:
                return
            self._hash.update(wanted[:count])
            self._position += count


class Flusher:
    """Sends a part to the disk while it grows, so that the last flush is short.

    Parameters
    ----------
    part : the part.
    """

    def __init__(self, part: Part) -> None:
        self._part = part
        self._flushed = part.done
        self._companion = _Companion("flush", self._flush)

    def poke(self, done: int) -> None:
        """Say how many bytes of the part are here."""
        if done - self._flushed < _WORTH_A_FLUSH:
            return
        self._flushed = done
        self._companion.wake()

    def close(self) -> None:
        """End the thread."""
        self._companion.close()

    def _flush(self) -> None:
        with contextlib.suppress(OSError):  # the flush before the move reports it
            self._part.flush()
