"""The errors of eodag as sentences."""

from __future__ import annotations

from skymend.core.errors import (
    AccessError,
    AnswerError,
    ConfigError,
    RetryableError,
    SkymendError,
)
from skymend.sources.answers import malformed
from skymend.sources.sessions import status_error


def explained(error: Exception, where: str) -> SkymendError:
    """Return what an error of eodag means to the user."""
    import requests
    from eodag.utils import exceptions as theirs

    said = " ".join(str(error).split())[:200]
    status = getattr(error, "status_code", None) or _status(error)
    if isinstance(error, (theirs.AuthenticationError, theirs.MisconfiguredError)):
        fix = "check the login of the provider; names: username and password, or apikey"
        return AccessError(where=where, expected="a login", found=said, fix=fix)
    if status is not None:
        return status_error(where, int(status), said)
    unknown = (theirs.UnsupportedCollection, theirs.UnsupportedProvider)
    if isinstance(error, (*unknown, theirs.NoMatchingCollection, theirs.ValidationError)):
        fix = "check provider and collection with `eodag list`"
        return ConfigError(where=where, expected="what eodag knows", found=said, fix=fix)
    if isinstance(error, (theirs.RequestError, theirs.DownloadError, requests.RequestException)):
        fix = "try again later"
        return RetryableError(where=where, expected="an answer", found=said, fix=fix)
    if isinstance(error, (KeyError, TypeError, ValueError, AttributeError)):
        return malformed(where, "an answer as documented", f"{type(error).__name__}: {said}")
    fix = "check the request; the provider may also have changed"
    return AnswerError(where=where, expected="an answer", found=said, fix=fix)


def _status(error: BaseException | None) -> int | None:
    """Return the HTTP status behind an error of eodag."""
    while error is not None:
        answer = getattr(error, "response", None)
        if getattr(answer, "status_code", None):
            return int(answer.status_code)  # type: ignore[union-attr]
        error = error.__cause__ or error.__context__
    return None
