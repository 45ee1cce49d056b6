"""Time stamps in the names of products."""

from __future__ import annotations

from datetime import UTC, datetime


def utc(day: str, clock: str = "000000", milliseconds: str = "0") -> datetime:
    """Read ``YYYYMMDD`` and ``HHMMSS`` strictly, digit by digit.

    ``strptime`` would take ``20181301`` for 3 January of a longer text.

    Raises
    ------
    ValueError
        if there is no such time.
    """
    return datetime(
        int(day[:4]),
        int(day[4:6]),
        int(day[6:]),
        int(clock[:2]),
        int(clock[2:4]),
        int(clock[4:]),
        int(milliseconds) * 1000,
        tzinfo=UTC,
    )
