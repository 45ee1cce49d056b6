"""Limits of providers and quarantined files, shared by all processes of a machine.

A folder of small files; each is changed under ``flock``, so a process that dies frees what it
held. Clocks are wall clocks, because the ledger outlives processes and reboots.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skymend.core.errors import ConfigError, RetryableError
from skymend.core.files import store_errors
from skymend.sources.transfer.types import Remote

_HOUR = 3600.0
_WINDOW_HOURS = 30 * 24
_MINUTE = 60.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Limits:
    """What a provider allows; None is no limit.

    Parameters
    ----------
    connections : open at the same time.
    requests_per_minute : in any 60 seconds.
    bytes_per_30_days : in any 30 days, counted by hours.
    """

    connections: int | None = None
    requests_per_minute: int | None = None
    bytes_per_30_days: int | None = None

    def __post_init__(self) -> None:
        for name in ("connections", "requests_per_minute", "bytes_per_30_days"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(
                    where=name, expected="at least 1, or no limit", found=str(value), fix="raise it"
                )


class Slot:
    """One allowed connection; freed by :meth:`release` or by the end of the process."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Give it back; doing so twice is harmless."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Ledger:
    """The ledger of a machine.

    Parameters
    ----------
    folder : where it lies, the same for all processes; made when first needed.
    limits : provider -> its limits; a provider that is not named has none.
    clock : seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        limits: Mapping[str, Limits] | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self.limits = dict(limits or {})
        self._clock = clock

    def of(self, provider: str) -> Limits:
        """Return the limits of a provider."""
        return self.limits.get(provider, Limits())

    def try_connection(self, provider: str) -> Slot | None:
        """Take a connection if one is free."""
        allowed = self.of(provider).connections
        if allowed is None:
            return Slot(None)
        for number in range(allowed):
            descriptor = self._open(provider, f"connection-{number}.lock")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            return Slot(descriptor)
        return None

    def connection(self, provider: str, *, wait_s: float = 600.0) -> Slot:
        """Wait for a connection.

        Raises
        ------
        RetryableError
            if none became free in time.
        """
        end = time.monotonic() + wait_s
        while True:
            slot = self.try_connection(provider)
            if slot is not None:
                return slot
            if time.monotonic() >= end:
                raise RetryableError(
                    where=provider,
                    expected=f"one of {self.of(provider).connections} connections within "
                    f"{wait_s:.0f} s",
                    found="all in use by processes of this machine",
                    fix="run again later",
                )
            time.sleep(_POLL_S)

    def turn(self, provider: str) -> float:
        """Take the turn for one request: 0 when taken, else the seconds after which to ask again.

        A pause that the provider asked for (:meth:`pause`) holds for all processes.
        """
        now = self._clock()
        wait = min(self._usage(provider).get("pause_until", 0.0) - now, _HOUR)
        if wait > 0:
            return float(wait)
        allowed = self.of(provider).requests_per_minute
        if allowed is None:
            return 0.0
        with self._locked(provider):
            return self._take_turn(provider, now, allowed)

    def _take_turn(self, provider: str, now: float, allowed: int) -> float:
        """Keep the times of the last minute; those of a clock that was set back do not count."""
        path = self._path(provider, "requests.bin")
        raw = path.read_bytes() if path.exists() else b""
        times = struct.unpack(f"<{len(raw) // 8}d", raw[: len(raw) // 8 * 8])
        recent = sorted(t for t in times if now - _MINUTE < t <= now)
        if len(recent) >= allowed:
            return float(recent[-allowed]) + _MINUTE - now
        _replace(path, struct.pack(f"<{len(recent) + 1}d", *recent, now))
        return 0.0

    def pause(self, provider: str, seconds: float) -> None:
        """Let no process ask the provider for so long: it said 429 or 503."""
        with self._locked(provider):
            usage = self._usage(provider)
            until = self._clock() + seconds
            usage["pause_until"] = max(until, usage.get("pause_until", 0.0))
            self._write_usage(provider, usage)

    def spend(self, provider: str, count: int) -> None:
        """Count bytes received."""
        if self.of(provider).bytes_per_30_days is None or count <= 0:
            return
        with self._locked(provider):
            usage = self._usage(provider)
            hours = self._recent_hours(usage)
            hour = str(int(self._clock() // _HOUR))
            hours[hour] = hours.get(hour, 0) + count
            usage["hours"] = hours
            self._write_usage(provider, usage)

    def room(self, provider: str) -> int | None:
        """Return the bytes left of the 30 days' allowance, None without a limit."""
        allowed = self.of(provider).bytes_per_30_days
        if allowed is None:
            return None
        return max(0, allowed - sum(self._recent_hours(self._usage(provider)).values()))

    def _recent_hours(self, usage: dict[str, Any]) -> dict[str, int]:
        first = int(self._clock() // _HOUR) - _WINDOW_HOURS
        return {hour: n for hour, n in usage.get("hours", {}).items() if int(hour) > first}

    def quarantined(self, remote: Remote) -> str | None:
        """Return why a file is quarantined, None if it is not."""
        reason = self._quarantine().get(_identity(remote), {}).get("reason")
        return None if reason is None else str(reason)

    def bad_digest(self, remote: Remote, found: str) -> bool:
        """Note a digest that was not the stated one; True if the same was found before.

        The file is then quarantined: asking a third time would bring the same bytes again. A new
        digest stated by the provider makes it a new file.
        """
        key = _identity(remote)
        with self._locked("quarantine"):
            entries = self._quarantine()
            entry = entries.setdefault(key, {"found": []})
            again = found in entry["found"]
            if again:
                entry["reason"] = f"{remote.name} came twice with the same wrong {found}"
            else:
                entry["found"].append(found)
            _replace(self._quarantine_path, json.dumps(entries, indent=1).encode())
        return again

    def release(self, remote: Remote) -> None:
        """Take a file out of quarantine and forget its wrong digests."""
        with self._locked("quarantine"):
            entries = self._quarantine()
            if entries.pop(_identity(remote), None) is not None:
                _replace(self._quarantine_path, json.dumps(entries, indent=1).encode())

    @property
    def _quarantine_path(self) -> Path:
        return self._path("quarantine", "quarantine.json")

    def _quarantine(self) -> dict[str, Any]:
        return _read(self._quarantine_path)

    def _usage(self, provider: str) -> dict[str, Any]:
        return _read(self._path(provider, "usage.json"))

    def _write_usage(self, provider: str, usage: dict[str, Any]) -> None:
        _replace(self._path(provider, "usage.json"), json.dumps(usage).encode())

    def _path(self, provider: str, name: str) -> Path:
        return self.folder / re.sub(r"[^A-Za-z0-9-]", "_", provider) / name

    def _open(self, provider: str, name: str) -> int:
        path = self._path(provider, name)
        with store_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    @contextmanager
    def _locked(self, provider: str) -> Iterator[None]:
        descriptor = self._open(provider, "lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _identity(remote: Remote) -> str:
    stated = ",".join(sorted(str(digest) for digest in remote.digests))
    return f"{remote.provider}/{remote.name}/{stated}"


def _read(path: Path) -> dict[str, Any]:
    """Return the document, an empty one if it is not there or was torn by a power cut."""
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _replace(path: Path, content: bytes) -> None:
    with store_errors(path):
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(content)
        os.replace(part, path)
