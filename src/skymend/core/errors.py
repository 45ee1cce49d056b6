"""Errors that teach: what was expected, what was found, where, and what to do.

Each class owns one exit code, so that a script can tell causes apart.
"""

from __future__ import annotations

from pathlib import Path

_LONGEST = 500
"""Characters that a damaged file may contribute to a sentence."""


class SkymendError(Exception):
    """Base of all errors meant for the user.

    Parameters
    ----------
    where : the file, field or option at fault.
    expected : what skymend looked for.
    found : what was there instead.
    fix : what the user can do about it.

    Whatever the parts hold, the message is one printable line: control characters, line ends and
    lone surrogates of damaged files are escaped, and very long texts cut.
    """

    exit_code = 1

    def __init__(
        self,
        *,
        where: str | Path,
        expected: str,
        found: str,
        fix: str,
    ) -> None:
        self.where = str(where)
        self.expected = expected
        self.found = found
        self.fix = fix
        parts = [_line(part) for part in (self.where, expected, found, fix)]
        super().__init__("{}: expected {}, found {}; {}".format(*parts))


def _line(text: str) -> str:
    """Return a text as part of one printable line."""
    plain = " ".join(text.split("\n"))
    if len(plain) > _LONGEST:
        plain = f"{plain[: _LONGEST - 3]}..."
    if plain.isprintable():
        return plain
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in plain)


class ConfigError(SkymendError):
    """A region file, option or parameter is wrong (exit code 2)."""

    exit_code = 2


class ProductError(SkymendError):
    """A product on disk is damaged, incomplete or of an unknown kind (exit code 65)."""

    exit_code = 65


class GridError(SkymendError):
    """Rasters that must share a grid do not (exit code 66)."""

    exit_code = 66


class NoImageError(SkymendError):
    """The region has no image at all in its area and period (exit code 67)."""

    exit_code = 67


class BundleError(SkymendError):
    """A model bundle is damaged or does not fit the scenes (exit code 68)."""

    exit_code = 68


class ToolMissingError(SkymendError):
    """An external program or optional package is not installed (exit code 69)."""

    exit_code = 69


class InternalError(SkymendError):
    """A step broke its own contract; a defect of skymend or of a plug-in (exit code 70)."""

    exit_code = 70


class StoreError(SkymendError):
    """The store cannot be written: full, read-only or locked away (exit code 73)."""

    exit_code = 73


class RetryableError(SkymendError):
    """The cause may go away by itself: network, quota, lost lock (exit code 75)."""

    exit_code = 75


class AnswerError(SkymendError):
    """A provider's answer lacks a field or carries a wrong one (exit code 76)."""

    exit_code = 76


class AccessError(SkymendError):
    """A provider wants a login, or refuses the one given (exit code 77)."""

    exit_code = 77


class StoppedError(SkymendError):
    """A run was stopped from the keyboard; what is done stays done (exit code 130)."""

    exit_code = 130


class SkipJob(Exception):  # noqa: N818 - an outcome, not an error
    """Raised by a step that has, for a good reason, nothing to do.

    The job then ends as *skipped*: a record with the reason and exit code 0.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)
