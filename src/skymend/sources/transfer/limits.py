"""What providers allow: built in, and replaced by the user's own file."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from skymend.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a provider allows; None is no limit.

    Parameters
    ----------
    connections : open at the same time.
    requests_per_minute : in any 60 seconds.
    bytes_per_30_days : in any 30 days, counted by hours.
    requests_per_month : in a calendar month (UTC).
    units_per_month : what the provider counts beside requests (processing units), in such a month.
    """

    connections: int | None = None
    requests_per_minute: int | None = None
    bytes_per_30_days: int | None = None
    requests_per_month: int | None = None
    units_per_month: int | None = None

    def __post_init__(self) -> None:
        for name in NAMES:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(
                    where=name, expected="at least 1, or no limit", found=str(value), fix="raise it"
                )

    @property
    def counts_months(self) -> bool:
        """Whether months are counted."""
        return self.requests_per_month is not None or self.units_per_month is not None

    @property
    def counts_requests(self) -> bool:
        """Whether each request must take its turn."""
        return self.requests_per_minute is not None or self.counts_months


NAMES = tuple(Limits.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Month:
    """What a calendar month has taken: requests, and the provider's own units."""

    requests: int
    units: float


def stated_limits(path: Path, provider: str, built_in: Limits) -> Limits:
    """Return the limits of a provider with those of a file in place of the built-in ones.

    Parameters
    ----------
    path : JSON, provider -> name of the limit -> whole number, or null for no limit.

    Raises
    ------
    ConfigError
        if the file holds anything else.
    """
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return built_in
    except ValueError:
        raise _unreadable(path, "a JSON object of limits by provider", "something else") from None
    own = document.get(provider, {}) if isinstance(document, dict) else None
    if not isinstance(own, dict):
        raise _unreadable(path, f"an object of limits under {provider!r}", repr(own)[:60])
    for name, value in own.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        if name not in NAMES or not (value is None or whole):
            expected = f"whole numbers or null for {', '.join(NAMES)}"
            raise _unreadable(path, expected, f"{name!r}: {value!r}"[:80])
    return replace(built_in, **own)


def _unreadable(path: Path, expected: str, found: str) -> ConfigError:
    return ConfigError(where=path, expected=expected, found=found, fix="correct the file")
