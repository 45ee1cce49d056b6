"""How many connections may be open: of this call, and of all processes of the machine."""

from __future__ import annotations

import threading
import time

from skymend.core.errors import RetryableError
from skymend.sources.transfer.ledger import Ledger, Slot
from skymend.sources.transfer.trouble import Stopped

_POLL_S = 0.05


class Permit:
    """One allowed connection of a :class:`Budget`."""

    def __init__(self, semaphore: threading.Semaphore, slot: Slot | None) -> None:
        self._semaphore = semaphore
        self._slot = slot

    def release(self) -> None:
        """Give it back, once."""
        if self._slot is not None:
            self._slot.release()
        self._semaphore.release()


class Budget:
    """The connections of one call, under the limits of the ledger.

    Parameters
    ----------
    connections : of this call.
    ledger : of the machine; None has no limits.
    """

    def __init__(self, connections: int, ledger: Ledger | None) -> None:
        self._semaphore = threading.Semaphore(connections)
        self._ledger = ledger

    def try_take(self, provider: str) -> Permit | None:
        """Return a permit if one is free."""
        if not self._semaphore.acquire(blocking=False):
            return None
        if self._ledger is None:
            return Permit(self._semaphore, None)
        slot = self._ledger.try_connection(provider)
        if slot is None:
            self._semaphore.release()
            return None
        return Permit(self._semaphore, slot)

    def take(self, provider: str, deadline: float, cancelled: threading.Event) -> Permit:
        """Wait for a permit until a moment of ``time.monotonic``.

        Raises
        ------
        RetryableError
            if none became free.
        Stopped
            if the download was cancelled meanwhile.
        """
        while time.monotonic() < deadline:
            if cancelled.is_set():
                raise Stopped
            permit = self.try_take(provider)
            if permit is not None:
                return permit
            time.sleep(_POLL_S)
        raise RetryableError(
            where=provider,
            expected="a free connection before the wall timeout",
            found="all in use by processes of this machine",
            fix="run again later",
        )
