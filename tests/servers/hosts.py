"""Other hosts' names on 127.0.0.1, for clients whose https addresses are built in.

A test-only resolver (this process alone) and certificates of a test-only authority.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from tests.servers.routes import Handler, Loopback, serve


@contextmanager
def serve_as(
    hosts: Sequence[str], routes: Mapping[str, Handler], folder: Path, patch: pytest.MonkeyPatch
) -> Iterator[Loopback]:
    """Serve routes as ``https://<host>/`` for each of the hosts, until the block ends."""
    authority = trustme.CA()
    bundle = folder / "authority.pem"
    authority.cert_pem.write_to_path(bundle)
    for variable in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        patch.setenv(variable, str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*hosts).configure_cert(context)
    with serve(routes, context) as server:
        port = int(server.url.rsplit(":", 1)[1])
        _resolve(hosts, port, patch)
        yield server


def _resolve(hosts: Sequence[str], port: int, patch: pytest.MonkeyPatch) -> None:
    genuine = socket.getaddrinfo

    def resolve(host: str, service: object, *arguments: object, **options: object) -> object:
        if host in hosts:
            assert service == 443, f"{host} is asked on port {service}"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        assert host in {"127.0.0.1", "localhost", None}, f"{host} is asked, which is outside"
        return genuine(host, service, *arguments, **options)

    patch.setattr(socket, "getaddrinfo", resolve)
