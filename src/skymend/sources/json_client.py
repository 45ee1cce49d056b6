"""Small JSON requests to a provider: retried with patience, bounded, refused in one sentence."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from skymend.core.errors import AccessError, AnswerError, RetryableError
from skymend.sources.answers import read_json
from skymend.sources.transfer.answers import retry_after
from skymend.sources.transfer.connections import pools, proxy_for

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

    from skymend.sources.transfer import Ledger

_MAX_BYTES = 128 * 2**20
_TRIES = 4
_LONGEST_WAIT_S = 30.0
BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Statuses that are worth another try."""

_REFUSED = {401, 403}


@dataclass(frozen=True)
class JsonClient:
    """Requests with JSON answers, in the name of one provider.

    Parameters
    ----------
    provider : name for errors.
    timeout_s : longest silence of the server, seconds.
    headers : sent with every request.
    tries : attempts before a busy or unreachable server is an error.
    ledger : limits and pauses shared by the processes of the machine, None for none.
    sleep : waits between attempts; tests put their own.
    """

    provider: str
    timeout_s: float = 60.0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tries: int = _TRIES
    ledger: Ledger | None = None
    sleep: Callable[[float], None] = time.sleep

    def get(self, url: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the JSON object at an address.

        Raises
        ------
        AccessError
            if the server refuses the login (401, 403).
        AnswerError
            if the answer is no JSON object, is too large, or the server rejects the request.
        RetryableError
            if the server cannot be reached or stays busy.
        """
        return self._ask("GET", f"{url}?{urlencode(query)}" if query else url, None)

    def post(self, url: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Send a JSON object, return the JSON object that answers it (errors as in ``get``)."""
        return self._ask("POST", url, document)

    def text(self, url: str) -> str:
        """Return the text at an address (errors as in ``get``)."""
        return self._bytes("GET", url, None).decode("utf-8", "replace")

    def _ask(self, method: str, url: str, document: Mapping[str, Any] | None) -> dict[str, Any]:
        return read_json(self._bytes(method, url, document), self._where(url))

    def _bytes(self, method: str, url: str, document: Mapping[str, Any] | None) -> bytes:
        reason = "no attempt"
        for attempt in range(self.tries):
            take_turn(self.ledger, self.provider, self.sleep)
            status, body, after, reason = self._once(method, url, document)
            if status is not None and status not in BUSY:
                return self._accepted(status, body, url)
            if self.ledger is not None and after > 0:
                self.ledger.pause(self.provider, after)
            if after > _LONGEST_WAIT_S:
                reason += f"; it asks to wait {after:.0f} s"
                break
            if attempt + 1 < self.tries:
                self.sleep(max(after, 0.25 * 2**attempt))
        raise RetryableError(
            where=self._where(url), expected="an answer", found=reason, fix="try again later"
        )

    def _once(
        self, method: str, url: str, document: Mapping[str, Any] | None
    ) -> tuple[int | None, bytes, float, str]:
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        wait = Timeout(connect=min(self.timeout_s, 20), read=self.timeout_s)
        headers = {"Accept-Encoding": "gzip", "Accept": "application/json", **self.headers}
        options: dict[str, Any] = {} if document is None else {"json": dict(document)}
        try:
            with pools(proxy_for(url), num_pools=1, timeout=wait, retries=False) as pool:
                response = pool.request(
                    method, url, headers=headers, preload_content=False, redirect=False, **options
                )
                body = self._read(response, url)
        except HTTPError as error:
            return None, b"", 0.0, f"{type(error).__name__} of the connection"
        after = retry_after(response.headers, datetime.now(UTC)) or 0.0
        return int(response.status), body, after, f"status {response.status}"

    def _read(self, response: BaseHTTPResponse, url: str) -> bytes:
        parts, total = [], 0
        for part in response.stream(2**20, decode_content=True):
            total += len(part)
            if total > _MAX_BYTES:
                raise AnswerError(
                    where=self._where(url),
                    expected=f"at most {_MAX_BYTES // 2**20} MiB",
                    found="a longer answer",
                    fix="ask for a shorter period or a smaller area",
                )
            parts.append(part)
        return b"".join(parts)

    def _accepted(self, status: int, body: bytes, url: str) -> bytes:
        if status < 300:
            return body
        said = " ".join(body[:300].decode("utf-8", "replace").split())[:200] or "no more"
        if status in _REFUSED:
            raise AccessError(
                where=self._where(url),
                expected="a login that the server accepts",
                found=f"status {status}: {said}",
                fix="check the login and what the account may do; `skymend doctor` tells more",
            )
        raise AnswerError(
            where=self._where(url),
            expected="a JSON answer",
            found=f"status {status}: {said}",
            fix="check the request; the service may also have moved",
        )

    def _where(self, url: str) -> str:
        return f"{self.provider}: {url.split('?', maxsplit=1)[0]}"


def take_turn(
    ledger: Ledger | None, provider: str, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Wait for the turn to send one request, as the provider's limits and pauses allow.

    Raises
    ------
    RetryableError
        if the provider asked this machine for a longer pause.
    """
    while ledger is not None:
        wait = ledger.turn(provider)
        if wait <= 0:
            return
        if wait > 2 * _LONGEST_WAIT_S:
            raise RetryableError(
                where=provider,
                expected="a provider that takes requests",
                found=f"a pause of {wait:.0f} s that it asked for",
                fix="run again later",
            )
        sleep(wait)
