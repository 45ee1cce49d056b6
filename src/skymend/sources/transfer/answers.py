"""Reading the headers of an answer (RFC 9110; digests: RFC 9530 and its forerunners)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from skymend.core.errors import ProductError
from skymend.sources.transfer.digests import Digest, known

# Eighteen digits are more than any file has, and int() takes them.
_CONTENT_RANGE = re.compile(r"\s*bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\s*", re.IGNORECASE)
_UNSATISFIED = re.compile(r"\s*bytes\s+\*/(\d{1,18})\s*", re.IGNORECASE)
_COUNT = re.compile(r"\d{1,18}")
_CLOCK_SKEW = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Version:
    """Which bytes a server has under an address.

    Parameters
    ----------
    total : bytes; None while the server has not said.
    validator : what ``If-Range`` sends: a strong ETag, or a Last-Modified that is one.
    ranged : whether the server answers ranges.
    """

    total: int | None
    validator: str | None
    ranged: bool


def validator(headers: Mapping[str, str]) -> str | None:
    """Return what tells two versions of a file apart, byte for byte; None if nothing does.

    A weak ETag (``W/``) does not. Last-Modified does if it is a minute older than Date, so that
    the file cannot have changed twice in one second (RFC 9110, section 8.8.2.2).
    """
    etag = headers.get("ETag", "").strip()
    if etag:
        return etag if re.fullmatch(r'"[^"]*"', etag) else None
    modified, date = _date(headers.get("Last-Modified")), _date(headers.get("Date"))
    if modified is None or date is None or date - modified < _CLOCK_SKEW:
        return None
    return headers["Last-Modified"]


def content_range(headers: Mapping[str, str]) -> tuple[int, int, int | None] | None:
    """Return start, end (exclusive) and total of ``Content-Range``; None if it is not one."""
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if match is None or int(match[2]) < int(match[1]):
        return None
    return int(match[1]), int(match[2]) + 1, None if match[3] == "*" else int(match[3])


def unsatisfied_total(headers: Mapping[str, str]) -> int | None:
    """Return the total that comes with status 416."""
    match = _UNSATISFIED.fullmatch(headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def content_length(headers: Mapping[str, str]) -> int | None:
    """Return ``Content-Length`` of a body that is not encoded."""
    text = headers.get("Content-Length", "").strip()
    return int(text) if _COUNT.fullmatch(text) and not encoded(headers) else None


def encoded(headers: Mapping[str, str]) -> bool:
    """Say whether the body is compressed on the way."""
    return headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity")


def delimited(headers: Mapping[str, str]) -> bool:
    """Say whether the end of the body can be told from a cut."""
    chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
    return chunked or headers.get("Content-Length", "").strip().isdecimal()


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds to wait, from seconds or an HTTP date; None if not stated."""
    text = headers.get("Retry-After", "").strip()
    if _COUNT.fullmatch(text):
        return float(text)
    date = _date(text)
    return None if date is None else max(0.0, (date - now).total_seconds())


def _date(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def digests(headers: Mapping[str, str]) -> tuple[Digest, ...]:
    """Return the digests of the whole file that a server sends along.

    ``Repr-Digest`` (RFC 9530), ``Digest`` (RFC 3230) and ``x-goog-hash``, in base64; never an
    ETag, which promises nothing about the bytes.
    """
    found = []
    for name in ("Repr-Digest", "Digest", "x-goog-hash"):
        for entry in headers.get(name, "").split(","):
            algorithm, equals, value = entry.strip().partition("=")
            if equals and known(algorithm):
                found.append(_decoded(algorithm, value.strip(":")))
    return tuple(digest for digest in found if digest is not None)


def _decoded(algorithm: str, value: str) -> Digest | None:
    try:
        return Digest(algorithm, base64.b64decode(value, validate=True).hex())
    except (ValueError, ProductError):
        return None
