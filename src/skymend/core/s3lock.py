"""The lock of a job in a bucket: a conditional write, kept alive by a heartbeat.

The lock is one object, ``{"holder": ..., "beat": n, "token": ...}``. Who creates it
(``If-None-Match: *``) or replaces a free or dead one (``If-Match`` on the ETag it saw) holds it.
The holder rewrites it regularly; one that has not changed for a while, by the server's own
clock, is dead. Freeing is a conditional write too, so that nobody frees the lock of another. The
token tells a write of our own whose answer was lost on the way, and which was repeated in vain,
from one of another.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import uuid
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
    token: str
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
    token = uuid.uuid4().hex
    held = _Held(_acquire(objects, path, life, token), token)
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
                _rewrite(objects, path, held, None)


def is_live(found: Text, stale_s: float) -> bool:
    """Tell whether a lock object has a holder that may still be working."""
    holder = _holder(found)
    if holder is None or _dead_here(holder):
        return False
    return found.age_s is None or found.age_s <= stale_s


def _acquire(objects: Objects, path: str, stale_s: float, token: str) -> str:
    own = _body(_identity(os.getpid()), 0, token)
    seen, since = "", time.monotonic()
    while True:
        etag = objects.put(path, own, absent=True)
        if etag is not None:
            return etag
        found = objects.get(path)
        if found is None:
            continue
        if _token(found) == token:
            return found.etag
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
    hasty = None
    while not done.wait(pause_s):
        # One request without answer must not cost the lock its life.
        hasty = hasty or objects.hasty(pause_s)
        try:
            held.lost = not _rewrite(hasty, path, held, identity)
        except SkymendError as error:
            LOG.warning("heartbeat missed: %s", error)
            continue
        if held.lost:
            LOG.warning("%s: another process took the lock; both make the same files", path)
            return


def _rewrite(objects: Objects, path: str, held: _Held, holder: str | None) -> bool:
    """Write over our own lock object; return False if it is another's by now."""
    held.beat += 1
    body = _body(holder, held.beat, held.token)
    etag = objects.put(path, body, match=held.etag)
    if etag is None:
        found = objects.get(path)
        if found is None or _token(found) != held.token:
            return False
        etag = found.etag if found.data == body else objects.put(path, body, match=found.etag)
    held.etag = etag or held.etag
    return etag is not None


def _body(holder: str | None, beat: int, token: str) -> bytes:
    return json.dumps({"holder": holder, "beat": beat, "token": token}).encode()


def _holder(found: Text) -> str | None:
    return _field(found, "holder")


def _token(found: Text) -> str | None:
    return _field(found, "token")


def _field(found: Text, name: str) -> str | None:
    try:
        value = json.loads(found.data)[name]
    except (ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, str) else None


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
