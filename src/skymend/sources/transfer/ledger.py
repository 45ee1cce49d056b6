"""Limits of providers and quarantined files, shared by all processes of a machine.

A folder of small files; each is changed under ``flock``, so a process that dies frees what it
held. Clocks are wall clocks, because the ledger outlives processes and reboots.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from skymend.core.errors import RetryableError
from skymend.sources.transfer.book import Book
from skymend.sources.transfer.limits import Limits, Month, stated_limits
from skymend.sources.transfer.quarantine import Quarantine
from skymend.sources.transfer.types import Remote

_HOUR = 3600.0
_WINDOW_HOURS = 30 * 24
_MINUTE = 60.0
_MOST = 1e18
_POLL_S = 0.05
_USAGE = "usage.json"
LONGEST_PAUSE_S = 24 * _HOUR
"""A provider that asks for more is asked again after this; so a mistake of its ends."""


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
        self.quarantine = Quarantine(folder)
        self._clock = clock

    def of(self, provider: str) -> Limits:
        """Return the limits of a provider; ``limits.json`` in the folder goes before the built-in.

        Raises
        ------
        ConfigError
            if that file holds no limits.
        """
        built_in = self.limits.get(provider, Limits())
        return stated_limits(self._own, provider, built_in)

    def try_connection(self, provider: str) -> Slot | None:
        """Take a connection if one is free."""
        allowed = self.of(provider).connections
        if allowed is None:
            return Slot(None)
        for number in range(allowed):
            descriptor = self._book(provider).open(f"connection-{number}.lock")
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

        Raises
        ------
        RetryableError
            if the allowance of the month is used up.
        """
        now = self._clock()
        wait = _number(self._book(provider).document(_USAGE), "pause_until") - now
        if 0 < wait <= LONGEST_PAUSE_S:  # one that is longer comes of a clock that was set back
            return float(wait)
        limits = self.of(provider)
        if limits.counts_requests:
            with self._book(provider).locked():
                return self._take_turn(provider, now, limits)
        return 0.0

    def _take_turn(self, provider: str, now: float, limits: Limits) -> float:
        self._check_month(provider, limits)
        wait = 0.0
        if limits.requests_per_minute is not None:
            wait = self._wait_in_minute(provider, now, limits.requests_per_minute)
        if wait <= 0 and limits.counts_months:
            self._count(provider, Month(1, 0.0))
        return wait

    def _wait_in_minute(self, provider: str, now: float, allowed: int) -> float:
        """Keep the times of the last minute; those of a clock that was set back do not count."""
        book = self._book(provider)
        path = book.path("requests.bin")
        raw = path.read_bytes() if path.exists() else b""
        times = struct.unpack(f"<{len(raw) // 8}d", raw[: len(raw) // 8 * 8])
        recent = sorted(t for t in times if now - _MINUTE < t <= now)
        if len(recent) >= allowed:
            return float(recent[-allowed]) + _MINUTE - now
        book.write("requests.bin", struct.pack(f"<{len(recent) + 1}d", *recent, now))
        return 0.0

    def pause(self, provider: str, seconds: float) -> None:
        """Let no process ask the provider for so long (a day at most): it said 429 or 503."""
        book = self._book(provider)
        with book.locked():
            usage = book.document(_USAGE)
            now = self._clock()
            before = _number(usage, "pause_until")
            until = now + min(seconds, LONGEST_PAUSE_S)
            usage["pause_until"] = max(until, before if before <= now + LONGEST_PAUSE_S else 0.0)
            book.write(_USAGE, usage)

    def spend(self, provider: str, count: int) -> None:
        """Count bytes received."""
        if self.of(provider).bytes_per_30_days is None or count <= 0:
            return
        book = self._book(provider)
        with book.locked():
            usage = book.document(_USAGE)
            hours = self._recent_hours(usage)
            hour = str(int(self._clock() // _HOUR))
            hours[hour] = hours.get(hour, 0) + count
            usage["hours"] = hours
            book.write(_USAGE, usage)

    def room(self, provider: str) -> int | None:
        """Return the bytes left of the 30 days' allowance, None without a limit."""
        allowed = self.of(provider).bytes_per_30_days
        if allowed is None:
            return None
        return max(
            0, allowed - sum(self._recent_hours(self._book(provider).document(_USAGE)).values())
        )

    def _recent_hours(self, usage: dict[str, Any]) -> dict[str, int]:
        first = int(self._clock() // _HOUR) - _WINDOW_HOURS
        hours = usage.get("hours")
        stated = hours if isinstance(hours, dict) else {}
        recent = (hour for hour in stated if hour.isdecimal() and int(hour) > first)
        return {hour: int(_number(stated, hour)) for hour in recent}

    def monthly(self, provider: str) -> Month:
        """Return what this calendar month (UTC) has taken of the provider's allowance."""
        usage = self._book(provider).document(_USAGE)
        if usage.get("month") != self._month():
            return Month(0, 0.0)
        return Month(int(_number(usage, "requests")), _number(usage, "units"))

    def spend_units(self, provider: str, units: float) -> None:
        """Count what a request has cost in the provider's own unit."""
        if self.of(provider).units_per_month is not None and units > 0:
            with self._book(provider).locked():
                self._count(provider, Month(0, units))

    def _count(self, provider: str, more: Month) -> None:
        """Add to this month, under the lock."""
        before, usage = self.monthly(provider), self._book(provider).document(_USAGE)
        usage["month"] = self._month()
        usage["requests"] = before.requests + more.requests
        usage["units"] = before.units + more.units
        self._book(provider).write(_USAGE, usage)

    def _check_month(self, provider: str, limits: Limits) -> None:
        """Raise if the allowance of the month is used up."""
        month = self.monthly(provider)
        for most, used, what in (
            (limits.requests_per_month, month.requests, "requests"),
            (limits.units_per_month, month.units, "processing units"),
        ):
            if most is not None and used >= most:
                raise RetryableError(
                    where=provider,
                    expected=f"room in its allowance of {most:g} {what} a month",
                    found="an allowance that is used up",
                    fix=f"run again next month, or state a larger one in {self._own}",
                )

    def _month(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m")

    @property
    def _own(self) -> Path:
        return self.folder / "limits.json"

    def quarantined(self, remote: Remote) -> str | None:
        """Return why a file is quarantined, None if it is not."""
        return self.quarantine.reason(remote)

    def bad_digest(self, remote: Remote, found: str) -> bool:
        """Note a digest that was not the stated one; True if the same was found before.

        The file is then quarantined: asking a third time would bring the same bytes again. A new
        digest stated by the provider makes it a new file.
        """
        return self.quarantine.note(remote, found)

    def release(self, remote: Remote) -> None:
        """Let a quarantined file be fetched again, and others of its name.

        Raises
        ------
        ConfigError
            if it is not quarantined.
        """
        self.quarantine.release(remote.name)

    def _book(self, provider: str) -> Book:
        return Book(self.folder / re.sub(r"[^A-Za-z0-9-]", "_", provider))


def _number(document: Mapping[str, Any], name: str) -> float:
    """Return a number of a file that a power cut or a hand may have spoilt; 0 if it is none."""
    value = document.get(name)
    return float(value) if isinstance(value, (int, float)) and abs(value) < _MOST else 0.0
