"""Reading provider answers: what is not as documented gives one sentence that names the field."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar, overload

from skymend.core.errors import AnswerError

T = TypeVar("T")

_NAMES: Mapping[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}
_MISSING = object()


def read_json(text: str | bytes, where: str) -> dict[str, Any]:
    """Parse a JSON object.

    Raises
    ------
    AnswerError
        if it is no JSON, or no object.
    """
    try:
        document = json.loads(text, parse_constant=_not_json)
    except (ValueError, RecursionError):
        raise malformed(where, "a JSON object", f"{_start(text)!r}") from None
    if not isinstance(document, dict):
        raise malformed(where, "a JSON object", _named(document))
    return document


@overload
def field(document: Any, path: str, kind: type[T], where: str) -> T: ...
@overload
def field(document: Any, path: str, kind: type[T], where: str, default: T) -> T: ...
def field(document: Any, path: str, kind: type[T], where: str, default: Any = _MISSING) -> T:
    """Return a field of a nested answer.

    Parameters
    ----------
    path : such as ``value.0.ContentDate.Start``; numbers count in lists.
    kind : ``str``, ``int``, ``float`` (takes whole numbers too), ``bool``, ``list`` or ``dict``.
    where : which answer of which service, for the error.
    default : returned where the field is absent or null; without one that is an error.

    Raises
    ------
    AnswerError
        naming the field, what it should be and what it is.
    """
    value = document
    # A field may have dots in its own name: @odata.count.
    whole = isinstance(document, dict) and path in document
    for part in [path] if whole else path.split("."):
        value = _child(value, part)
    if value is None and default is not _MISSING:
        return default  # type: ignore[no-any-return]
    if value is None:
        raise malformed(where, f"{_NAMES[kind]} in field {path!r}", "no such field")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        with suppress(OverflowError):
            value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise malformed(where, f"{_NAMES[kind]} in field {path!r}", _named(value))
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise malformed(where, f"{_NAMES[kind]} in field {path!r}", _named(value))
    return value


def time_of(document: Any, path: str, where: str) -> datetime:
    """Return a field as a time in UTC (RFC 3339; one without a zone is taken as UTC)."""
    text = field(document, path, str, where)
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise malformed(where, f"a time in field {path!r}", repr(text[:80])) from None


def malformed(where: str, expected: str, found: str) -> AnswerError:
    """Build the error of an answer that is not as its provider documents it."""
    return AnswerError(
        where=" ".join(where.split())[:200],
        expected=expected,
        found=found,
        fix="the service may have changed or be disturbed; try again later, else report it",
    )


def _not_json(name: str) -> Any:
    """Refuse NaN and Infinity, which RFC 8259 does not know."""
    raise ValueError(name)


def _child(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return value.get(part)
    if isinstance(value, list) and part.isdigit() and int(part) < len(value):
        return value[int(part)]
    return None


def _named(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _start(text: str | bytes) -> str:
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return plain.strip()[:60]
