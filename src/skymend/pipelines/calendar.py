"""Which dates come out: acquisitions, and regular dates besides them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from skymend.pipelines.region import Period

NOON = time(12, tzinfo=UTC)


def regular_dates(every: str, period: Period) -> tuple[datetime, ...]:
    """Return the regular output dates of a period.

    Parameters
    ----------
    every : ``acquisition`` (none), ``N days`` or ``month``.
    period : first and last day, both included.

    Returns
    -------
    Noon UTC of each date. Days are counted from 1 January 1970, not from the start of the
    period, and months have their 15th, so that extending a period moves no date.
    """
    if every == "acquisition":
        return ()
    if every == "month":
        return tuple(_at_noon(d) for d in _days(period) if d.day == 15)
    step = int(every.split(maxsplit=1)[0])
    epoch = date(1970, 1, 1)
    return tuple(_at_noon(d) for d in _days(period) if (d - epoch).days % step == 0)


def _days(period: Period) -> list[date]:
    count = (period.end - period.start).days + 1
    return [period.start + timedelta(days=n) for n in range(count)]


def _at_noon(day: date) -> datetime:
    return datetime.combine(day, NOON)
