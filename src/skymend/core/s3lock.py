"""The lock of a job in a bucket: a conditional write, kept alive by a heartbeat.

The lock is one object, ``{"holder": ..., "beat": n}``. Who creates it (``If-None-Match: *``) or
replaces a free or dead one (``If-Match`` on the ETag it saw) holds it. The holder rewrites it
regularly; one that has not changed for a while, by the server's own clock, is dead. Freeing is
a conditional write too, so that nobody frees the lock of another.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from skymend.core.errors import SkymendError
from skymend.core.s3objects import Objects, Text

LOG = logging.getLogger("skymend.lock")

STALE_VARIABLE = "SKYMEND_LOCK_STALE_SECONDS"
"""Environment variable: silence after which a holder counts as dead; 60 s when unset."""

_BEATS_PER_LIFE = 6
_POLL_S = 1.0


def stale_seconds() -> float:
    """Return the silence after which a holder counts as dead."""
    return float(os.environ.get(STALE_VARIABLE, "60"))


@dataclass(slots=True)
class _Held:
    """The state of our own lock object."""

    etag: str
    beat: int = 0
    lost: bool = False


@contextmanager
def hold(objects: Objects, path: str, *, stale_s: float | None = None) -> Iterator[None]:
    """Hold the lock object at ``path`` until the block ends.

    Parameters
    ----------
    stale_s : silence after which another holder counts as dead; see :data:`STALE_VARIABLE`.

    Raises
    ------
    StoreError, RetryableError
        if the bucket cannot be used.
    """
    life = stale_seconds() if stale_s is None else stale_s
    held = _Held(_acquire(objects, path, life))
    done = threading.Event()
    beating = threading.Thread(
        target=_beat, args=(objects, path, held, life / _BEATS_PER_LIFE, done), daemon=True
    )
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()
        if not held.lost:
            with suppress(SkymendError):  # a lock that cannot be freed dies by itself
                objects.put(path, _body(None, held.beat + 1), match=held.etag)


def is_live(found: Text, stale_s: float) -> bool:
    """Tell whether a lock object has a holder that may still be working."""
    holder = _holder(found)
    if holder is None or _dead_here(holder):
        return False
    return found.age_s is None or found.age_s <= stale_s


def _acquire(objects: Objects, path: str, stale_s: float) -> str:
    own = _body(_identity(os.getpid()), 0)
    seen, since = "", time.monotonic()
    while True:
        etag = objects.put(path, own, absent=True)
        if etag is not None:
            return etag
        found = objects.get(path)
        if found is None:
            continue
        if found.etag != seen:
            seen, since = found.etag, time.monotonic()
        # A server that tells no time is watched with our own clock.
        if not is_live(found, stale_s) or time.monotonic() - since > stale_s:
            etag = objects.put(path, own, match=found.etag)
            if etag is not None:
                return etag
        time.sleep(min(_POLL_S, stale_s / _BEATS_PER_LIFE))


def _beat(objects: Objects, path: str, held: _Held, pause_s: float, done: threading.Event) -> None:
    identity = _identity(os.getpid())
    while not done.wait(pause_s):
        held.beat += 1
        try:
            etag = objects.put(path, _body(identity, held.beat), match=held.etag)
        except SkymendError as error:
            LOG.warning("heartbeat missed: %s", error)
            continue
        if etag is None:
            held.lost = True
            LOG.warning("%s: another process took the lock; both make the same files", path)
            return
        held.etag = etag


def _body(holder: str | None, beat: int) -> bytes:
    return json.dumps({"holder": holder, "beat": beat}).encode()


def _holder(found: Text) -> str | None:
    try:
        holder = json.loads(found.data)["holder"]
    except (ValueError, KeyError, TypeError):
        return None
    return holder if isinstance(holder, str) else None


def _identity(pid: int) -> str:
    """Name a process: this boot, its process namespace, its number and when it started."""
    return f"{_machine()}:{pid}:{_started(pid)}"


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return "unknown"


def _started(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "gone"


def _dead_here(holder: str) -> bool:
    """Tell whether the holder was a process of this machine that is no more."""
    machine, _, rest = holder.rpartition(":")[0].rpartition(":")
    if machine != _machine() or machine == "unknown" or not rest.isdigit():
        return False
    return holder != _identity(int(rest))
