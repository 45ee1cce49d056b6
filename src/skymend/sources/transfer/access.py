"""Asking for bytes of a remote: signatures, redirects, and what each status means."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit

from skymend.core.errors import AccessError, ProductError, RetryableError, SkipJob
from skymend.sources.transfer import answers, sniff
from skymend.sources.transfer.connections import Connections
from skymend.sources.transfer.trouble import Busy, Cut, Page, Refused
from skymend.sources.transfer.types import Orders, Remote, Signer, public

_REDIRECTS = {301, 302, 303, 307, 308}
_MAX_REDIRECTS = 8
_BUSY = {408, 425, 429, 500, 502, 503, 504}
_GONE = {404, 410}
_MAX_REFUSALS = 2
_ERROR_BODY = 4096
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Question:
    """Which bytes to ask for.

    Parameters
    ----------
    start, end : half-open; ``end`` None asks for the whole file without a range.
    validator : for ``If-Range``; None asks without.
    """

    start: int
    end: int | None
    validator: str | None = None

    def headers(self) -> dict[str, str]:
        """Return the request's headers (RFC 9110, section 14)."""
        if self.end is None:
            return {}
        wanted = {"Range": f"bytes={self.start}-{self.end - 1}"}
        return {**wanted, "If-Range": self.validator} if self.validator else wanted


class Access:
    """The way to one remote, shared by the threads that fetch it.

    Parameters
    ----------
    remote : the file.
    signer : what the provider wants to see.
    connections : to send requests on.
    orders : the provider's way to order what is offline.
    """

    def __init__(
        self,
        remote: Remote,
        signer: Signer,
        connections: Connections,
        orders: Orders | None = None,
    ) -> None:
        self._remote = remote
        self._signer = signer
        self._connections = connections
        self._orders = orders
        self._lock = threading.Lock()
        self._generation = 0
        self._refusals = 0
        self._shortcut: str | None = None

    def ask(self, question: Question, *, limit_s: float) -> Any:
        """Return the answer with status 200, 206 or 416 and its body unread.

        Raises
        ------
        Cut, Busy
            if it is worth another try.
        AccessError
            if the credentials are refused also after a refresh.
        ProductError
            if the file is not there.
        """
        generation = self._generation
        response, direct = self._follow(question.headers(), limit_s)
        if response.status in (200, 206, 416):
            self._refusals = 0
            return response
        try:
            self._explain(response, direct)
        except Refused as refused:
            if direct:
                self._renew(generation, refused)
            raise Cut(str(refused)) from refused

    def page(self, words: str) -> Page:
        """Return the event of a page instead of the file; the signer is asked anew for the next.

        Providers answer an expired session with a login page and status 200.
        """
        with self._lock:
            self._shortcut = None
            self._signer.headers(self._remote, refresh=True)
        return Page(words)

    def _follow(self, headers: Mapping[str, str], limit_s: float) -> tuple[Any, bool]:
        """Send the request along its redirects; say whether it began at the signer's address."""
        with self._lock:
            origin = _checked(self._signer.url(self._remote, refresh=False))
            secret = self._signer.headers(self._remote, refresh=False)
            url = self._shortcut or origin
        direct = url == origin
        for _ in range(_MAX_REDIRECTS):
            visible = secret if self._trusted(origin, url) else {}
            response = self._connections.get(url, {**headers, **visible}, limit_s=limit_s)
            if response.status not in _REDIRECTS:
                self._remember(url, origin, response.status)
                return response, direct
            url = self._target(url, response)
        raise ProductError(
            where=public(origin),
            expected="a file",
            found=f"more than {_MAX_REDIRECTS} redirects",
            fix="report it to the provider",
        )

    def _trusted(self, origin: str, url: str) -> bool:
        """Say whether a host may see the signer's headers: the same, or one named as trusted."""
        first, now = _place(origin), _place(url)
        secure = now[0] == "https" or first[0] == "http"
        return first == now or (secure and now[1] in self._remote.trusted_hosts)

    def _target(self, url: str, response: Any) -> str:
        stated = str(response.headers.get("Location", ""))
        _finish(response)
        try:
            location = urljoin(url, stated)
            scheme, host, _ = _place(location)
        except ValueError:
            location, scheme, host = stated, "", ""
        downgrade = url.startswith("https:") and scheme != "https"
        if scheme not in _PORTS or downgrade or not host:
            raise ProductError(
                where=public(url),
                expected="a redirect to an address that is as safe",
                found=public(location)[:120],
                fix="report it to the provider",
            )
        return location

    def _remember(self, url: str, origin: str, status: int) -> None:
        """Ask the target of redirects directly from now on, as long as it answers."""
        with self._lock:
            self._shortcut = url if url != origin and status in (200, 206) else None

    def _renew(self, generation: int, refused: Refused) -> None:
        """Let the signer make new credentials, once for all threads that were refused."""
        with self._lock:
            if generation != self._generation:
                return
            self._generation += 1
            self._refusals += 1
            if self._refusals <= _MAX_REFUSALS:
                self._signer.headers(self._remote, refresh=True)
                self._signer.url(self._remote, refresh=True)
                return
        raise AccessError(
            where=self._remote.public_url,
            expected=f"credentials that {self._remote.provider} accepts for this file",
            found=str(refused),
            fix="check them with `skymend doctor`; the provider may want a licence agreed to first",
        )

    def _explain(self, response: Any, direct: bool) -> NoReturn:
        """Raise what a status without the file means.

        The target of a redirect may have expired: then the signer's address is asked again.
        """
        status, body = response.status, _beginning(response)
        words = sniff.excerpt(body)
        if status in (401, 403):
            raise Refused(status, words)
        if status in _BUSY:
            raise Busy(status, answers.retry_after(response.headers, datetime.now(UTC)))
        if status == 202 or (status == 204 and not self._remote.online):
            raise self.offline(words)
        if status in _GONE and not direct:
            raise Refused(status, words)
        raise ProductError(
            where=self._remote.public_url,
            expected=sniff.expected(self._remote.kind),
            found=f"status {status}" + (f" ({words})" if words else ""),
            fix="search again: it may have been withdrawn or replaced"
            if status in _GONE
            else "report it to the provider",
        )

    def offline(self, words: str = "") -> Exception:
        """Order a file that the provider keeps offline; return how the download ends."""
        remote = self._remote
        when = self._orders.order(remote) if self._orders else None
        if when is None:
            said = f": {words}" if words else ""
            return SkipJob(f"{remote.provider} keeps {remote.name} offline, to be ordered{said}")
        return RetryableError(
            where=remote.name,
            expected="a file that is online",
            found="one that had to be ordered",
            fix=f"run again {when}",
        )


def _place(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of an address; ValueError if it is none."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)


def _checked(url: str) -> str:
    """Return an address as it is; one that cannot be read is refused."""
    try:
        _place(url)
    except ValueError:
        raise ProductError(
            where=public(url)[:120],
            expected="the address of a file",
            found="one that cannot be read",
            fix="report the answer to its provider",
        ) from None
    return url


def _finish(response: Any) -> None:
    """Keep the connection of a redirect whose body is short; never read a long one."""
    length = answers.content_length(response.headers)
    if length is not None and length <= _ERROR_BODY:
        response.drain_conn()
        response.release_conn()
    else:
        response.close()


def _beginning(response: Any) -> bytes:
    """Return the first bytes of an error body, and give the connection up."""
    import urllib3

    try:
        body = bytes(response.read(_ERROR_BODY))
    except (urllib3.exceptions.HTTPError, OSError):
        body = b""
    response.close()
    return body
