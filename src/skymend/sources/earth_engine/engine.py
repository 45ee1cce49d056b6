"""The Earth Engine client: one login for the process, patience, and errors as sentences."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from skymend.core.errors import AccessError, AnswerError, RetryableError, SkymendError
from skymend.sources.answers import malformed
from skymend.sources.protocol import Settings
from skymend.sources.sessions import explaining, patient, status_error
from skymend.sources.transfer import Limits

NAME = "earth-engine"
URL = "https://earthengine-highvolume.googleapis.com"
LIMITS = Limits(connections=40, requests_per_minute=6000)
"""Defaults of a project. Its monthly compute (EECU-hours) is counted by Google alone."""

_SCOPES = ("https://www.googleapis.com/auth/earthengine",)
_lock = threading.Lock()
_ready: list[tuple[str, str, str]] = []


class Engine:
    """Calls of Earth Engine in the name of one project.

    Parameters
    ----------
    settings : endpoint ``earth-engine``; credentials ``project``, and ``key_file`` of a service
        account or the login that ``earthengine authenticate`` left.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.url = settings.endpoint(NAME, URL)

    @contextmanager
    def calls(self) -> Iterator[Any]:
        """Yield the module ``ee``, logged in; turn its errors into sentences.

        Raises
        ------
        AccessError
            if there is no project, or no login, or it is refused.
        """
        project = self._settings.credentials.find(NAME, ["project"])["project"]
        with explaining(self._explained):  # it warns of deprecated data sets and of new names
            yield self._client(project)

    def _client(self, project: str) -> Any:
        """Log in; the client keeps one login for the whole process."""
        import ee

        key_file = self._settings.credentials.seek(NAME, ["key_file"]).get("key_file", "")
        wanted = (self.url, project, key_file)
        with _lock:
            if _ready != [wanted]:
                _ready.clear()
                ee.Initialize(
                    _credentials(key_file),
                    url=self.url,
                    project=project,
                    http_transport=_transport(self._settings),
                )
                ee.data.setMaxRetries(0)  # the transport tries again itself
                _ready.append(wanted)
        return ee

    def _explained(self, error: Exception) -> SkymendError:
        from google.auth.exceptions import GoogleAuthError

        where = f"{NAME}: {self.url}"
        answer = getattr(error, "resp", None) or getattr(error.__context__, "resp", None)
        said = " ".join(str(error).split())[:200]
        if answer is not None:
            return status_error(where, int(answer.status), said)
        if isinstance(error, GoogleAuthError) or "authorize" in said or "credentials" in said:
            return AccessError(
                where=where,
                expected="a login of Earth Engine",
                found=type(error).__name__,
                fix="run `earthengine authenticate`, or give key_file (of a service account) and"
                " register the project at code.earthengine.google.com",
            )
        if isinstance(error, (ConnectionError, TimeoutError)):
            found = f"{type(error).__name__} of the connection"
            return RetryableError(
                where=where, expected="an answer", found=found, fix="try again later"
            )
        if isinstance(error, (KeyError, TypeError, ValueError, AttributeError)):
            return malformed(where, "an answer as documented", said or type(error).__name__)
        return AnswerError(
            where=where, expected="an answer", found=said, fix="check the request and the project"
        )


def _credentials(key_file: str) -> Any:
    import ee

    if not key_file:
        return ee.data.get_persistent_credentials()
    from google.oauth2 import service_account

    read: Any = service_account.Credentials.from_service_account_file
    try:
        return read(key_file, scopes=_SCOPES)
    except (OSError, ValueError) as error:
        raise AccessError(
            where=f"key_file of {NAME}",
            expected="the JSON key of a service account",
            found=type(error).__name__,
            fix="download it from the Cloud console again",
        ) from None


def _transport(settings: Settings) -> Any:
    """Return what sends for the client: timeouts, retries with Retry-After, limits."""
    import httplib2  # type: ignore[import-untyped]
    import requests

    session = patient(requests.Session(), settings, NAME, LIMITS)

    class Transport:
        """The part of httplib2 that the client uses."""

        def request(
            self,
            uri: str,
            method: str = "GET",
            body: Any = None,
            headers: Any = None,
            **_: Any,
        ) -> tuple[Any, bytes]:
            try:
                answer = session.request(method, uri, data=body, headers=headers)
            except requests.Timeout as error:
                raise TimeoutError("no answer in time") from error
            except requests.RequestException as error:
                raise ConnectionError(type(error).__name__) from error
            return httplib2.Response(
                {**answer.headers, "status": answer.status_code}
            ), answer.content

        def close(self) -> None:
            session.close()

    return Transport()


__all__ = ["LIMITS", "NAME", "URL", "Engine"]
