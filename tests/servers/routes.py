"""A loopback HTTP server made of routes: it logs requests, gzips JSON and answers ranges."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Response:
    """What it gets back; JSON bodies are gzipped if the client takes that.

    ``cut_after`` bytes of the body the connection is closed, whatever the headers promised.
    """

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None


Handler = Callable[..., Response]


@dataclass
class Loopback:
    """A running server: its address and the requests so far."""

    url: str
    log: list[Request]

    def count(self, path: str) -> int:
        return sum(1 for r in self.log if re.search(path, r.path))


def file_response(
    request: Request, data: bytes, mime: str = "application/octet-stream"
) -> Response:
    """Answer a whole file or the range asked for; If-Range with another ETag gets the whole."""
    tag = f'"{hashlib.md5(data).hexdigest()}"'
    headers = {"ETag": tag, "Accept-Ranges": "bytes", "Content-Type": mime}
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    if wanted is None or request.headers.get("If-Range", tag) != tag:
        return Response(data, 200, headers)
    first, last = int(wanted[1]), min(int(wanted[2] or len(data) - 1), len(data) - 1)
    if first >= len(data):
        return Response(b"", 416, {"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    return Response(data[first : last + 1], 206, headers)


def redirect(url: str) -> Response:
    return Response(b"", 302, {"Location": url})


@contextmanager
def serve(routes: Mapping[str, Handler], tls: ssl.SSLContext | None = None) -> Iterator[Loopback]:
    """Serve routes ``"GET /path/(group)"`` (regular expressions) until the block ends."""
    compiled = [(re.compile(pattern), handler) for pattern, handler in routes.items()]
    log: list[Request] = []

    class Serving(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            request = Request(self.command, parts.path, query, self.headers, body)
            log.append(request)
            verb = "GET" if self.command == "HEAD" else self.command
            answer = Response({"message": f"no route for {self.command} {parts.path}"}, 404)
            for pattern, handler in compiled:
                match = pattern.fullmatch(f"{verb} {parts.path}")
                if match:
                    answer = handler(request, *match.groups())
                    break
            self._send(answer)

        do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = _answer  # noqa: N815

        def _send(self, response: Response) -> None:
            body, headers = response.body, dict(response.headers)
            if not isinstance(body, bytes):
                body = json.dumps(body).encode()
                headers.setdefault("Content-Type", "application/json")
                if "gzip" in self.headers.get("Accept-Encoding", ""):
                    body = gzip.compress(body, mtime=0)
                    headers["Content-Encoding"] = "gzip"
            self.send_response(response.status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            with suppress(BrokenPipeError, ConnectionResetError):  # who asked may be gone
                self.wfile.write(body[: response.cut_after])
            if response.cut_after is not None and response.cut_after < len(body):
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Serving)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Loopback(f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}", log)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
