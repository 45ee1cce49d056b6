"""The JSON API of USGS Machine-to-Machine: its envelope, its session, its refusals."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from skymend.core.errors import AccessError, RetryableError
from skymend.sources.answers import malformed
from skymend.sources.fetching import ledger_of
from skymend.sources.json_client import JsonClient
from skymend.sources.protocol import Settings

URL = "https://m2m.cr.usgs.gov/api/api/json/stable"

_EXPIRED = {"AUTH_EXPIRED", "AUTH_INVALID", "AUTH_KEY_INVALID", "UNAUTHORIZED_USER"}
_NOT_ALLOWED = {"AUTH_UNAUTHORIZED", "DATASET_AUTH", "DOWNLOAD_UNAUTHORIZED"}
_BUSY = {"RATE_LIMIT", "RATE_LIMIT_USER_DL", "SERVER_ERROR", "SERVICE_UNAVAILABLE", "UNKNOWN"}


class M2M:
    """The JSON API: one session, opened when first needed and again when it ends.

    Parameters
    ----------
    settings : endpoint, login and patience.
    sleep : waits while files are prepared; tests put their own.
    """

    def __init__(self, settings: Settings, sleep: Callable[[float], None] = time.sleep) -> None:
        self.url = settings.endpoint("landsat-m2m", URL)
        self.sleep = sleep
        self._settings = settings
        self._key = ""

    def call(self, name: str, **body: Any) -> Any:
        """Call a method of the API and return the ``data`` of its answer.

        Raises
        ------
        AccessError
            if the login or the account's permissions do not suffice.
        RetryableError
            if the API is busy.
        AnswerError
            if it refuses the call for another reason.
        """
        for fresh in (not self._key, True):
            if fresh:
                self._key = str(self._login())
            try:
                return self._data(name, self._client(self._key).post(f"{self.url}/{name}", body))
            except _ExpiredError:
                continue
            except AccessError:
                if fresh:
                    raise
        raise AccessError(
            where=f"landsat-m2m: {name}",
            expected="a session that M2M accepts",
            found="a new session refused at once",
            fix="check that the account has M2M access (ERS profile, access control)",
        )

    def _login(self) -> Any:
        login = self._settings.credentials.find("landsat-m2m", ["username", "token"])
        body = {"username": login["username"], "token": login["token"]}
        try:
            return self._data("login-token", self._client("").post(f"{self.url}/login-token", body))
        except _ExpiredError as error:
            raise AccessError(
                where="landsat-m2m: login-token",
                expected="a username and an application token",
                found=login.hide(str(error)),
                fix="make a token in the ERS profile (application tokens, scope M2M API)",
            ) from None

    def _client(self, key: str) -> JsonClient:
        headers = {"X-Auth-Token": key} if key else {}
        return JsonClient(
            "landsat-m2m",
            self._settings.timeout_s,
            headers,
            sleep=self.sleep,
            ledger=ledger_of(self._settings, "landsat-m2m"),
        )

    def _data(self, name: str, answer: Mapping[str, Any]) -> Any:
        code = answer.get("errorCode")
        where = f"landsat-m2m: {name}"
        if not code:
            if "data" not in answer:
                raise malformed(where, "an envelope with field 'data'", repr(dict(answer))[:60])
            return answer["data"]
        said = f"{code}: {str(answer.get('errorMessage') or '')[:160]}"
        if code in _EXPIRED:
            raise _ExpiredError(said)
        if code in _NOT_ALLOWED:
            fix = "ask for the access in the ERS profile"
            raise AccessError(where=where, expected="the permission", found=said, fix=fix)
        if code in _BUSY:
            raise RetryableError(where=where, expected="data", found=said, fix="try again later")
        raise malformed(where, "data", said)


class _ExpiredError(Exception):
    """The session has ended; a new login may help."""
