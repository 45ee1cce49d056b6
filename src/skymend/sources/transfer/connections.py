"""Connections to servers: kept alive, interruptible, proxies of the environment respected."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from skymend.sources.transfer.trouble import Cut

if TYPE_CHECKING:
    from skymend.sources.transfer.types import TransferOptions

AGENT = "skymend"


class Connections:
    """The connections of one download, or of several that run together.

    Parameters
    ----------
    options : timeouts and certificates.
    """

    def __init__(self, options: TransferOptions) -> None:
        self._options = options
        self._managers: dict[str | None, Any] = {}
        self._active: dict[int, Any] = {}
        self._lock = threading.Lock()

    def get(self, url: str, headers: Mapping[str, str], *, limit_s: float) -> Any:
        """Send a GET request; return urllib3's response with its body still to be read.

        Parameters
        ----------
        url : http or https.
        headers : sent as they are.
        limit_s : nothing may wait longer than this.

        Raises
        ------
        Cut
            if no answer comes.
        """
        import urllib3

        options = self._options
        timeout = urllib3.Timeout(
            connect=min(options.connect_s, limit_s), read=min(options.stall_s, limit_s)
        )
        try:
            return self._manager(url).request(
                "GET",
                url,
                headers={"Accept-Encoding": "identity", "User-Agent": AGENT, **headers},
                timeout=timeout,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise Cut(describe(error)) from error

    def interrupt(self, thread: int) -> None:
        """End what a thread is waiting for, from another thread."""
        connection = self._active.get(thread)
        sock = getattr(connection, "sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def finished(self) -> None:
        """Say that the calling thread waits for nothing any more."""
        self._active.pop(threading.get_ident(), None)

    def close(self) -> None:
        """Close all connections."""
        for manager in self._managers.values():
            manager.clear()

    def _manager(self, url: str) -> Any:
        """Return the pool manager for an address: direct, or through the proxy for its scheme."""
        proxy = proxy_for(url)
        with self._lock:
            if proxy not in self._managers:
                self._managers[proxy] = self._make(proxy)
            return self._managers[proxy]

    def _make(self, proxy: str | None) -> Any:
        certs = self._options.ca_certs
        shared = {
            "maxsize": self._options.connections,
            "num_pools": 8,
            **({"ca_certs": str(certs)} if certs else {}),
        }
        manager = pools(proxy, **shared)
        manager.pool_classes_by_scheme = _watched_pools(self._active)
        return manager


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for an address, None to ask it directly."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    return None if proxy and proxy_bypass(parts.hostname or "") else proxy


def pools(proxy: str | None, **options: Any) -> Any:
    """Return a pool manager of urllib3 that goes through a proxy, or directly.

    A proxy's name and password stand in its address, ``http://`` may be left out.
    """
    import urllib3
    from urllib3.util import make_headers, parse_url

    if not proxy:
        return urllib3.PoolManager(**options)
    address = proxy if "://" in proxy else f"http://{proxy}"
    login = parse_url(address).auth
    headers = make_headers(proxy_basic_auth=unquote(login)) if login else None
    return urllib3.ProxyManager(address, proxy_headers=headers, **options)


def _watched_pools(active: dict[int, Any]) -> dict[str, Any]:
    """Return urllib3's pools with connections that say which thread waits for them."""
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.connection import HTTPConnection, HTTPSConnection

    class Plain(HTTPConnection):  # type: ignore[misc]
        def request(self, *arguments: Any, **options: Any) -> None:
            active[threading.get_ident()] = self
            super().request(*arguments, **options)

    class Secure(HTTPSConnection):  # type: ignore[misc]
        def request(self, *arguments: Any, **options: Any) -> None:
            active[threading.get_ident()] = self
            super().request(*arguments, **options)

    class PlainPool(HTTPConnectionPool):  # type: ignore[misc]
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):  # type: ignore[misc]
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def describe(error: BaseException) -> str:
    """Return what went wrong, without addresses or object names."""
    import urllib3.exceptions as kinds

    words: tuple[tuple[type[BaseException], str], ...] = (
        (kinds.NameResolutionError, "the name of the host was not found"),
        (kinds.NewConnectionError, "no connection could be made"),
        (kinds.ConnectTimeoutError, "no connection was made in time"),
        (kinds.ReadTimeoutError, "nothing came for the whole stall timeout"),
        (kinds.SSLError, "the server's certificate was not accepted"),
        (kinds.ProxyError, "the proxy could not be used"),
        (kinds.IncompleteRead, "the body ended early"),
        (kinds.ProtocolError, "the connection was cut"),
    )
    for kind, sentence in words:
        if isinstance(error, kind):
            return sentence
    return type(error).__name__
