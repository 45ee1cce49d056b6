"""A server of files that goes wrong on purpose, in a process of its own.

    python -m tests.servers.faults CASES.json       prints its port, then serves until killed

Files are windows of one pattern file, or files of their own, sent with ``sendfile``. Each case
says what goes wrong, and at which byte; what has gone wrong its number of times is right
afterwards. ``/log`` tells which requests came, ``/sent`` how many bytes went out (hand-built, no
recording of any provider).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from email.utils import formatdate
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = b"<!DOCTYPE html><html><head><title>Please sign in</title></head><body>%s</body></html>"
STALL_S = 60.0


@dataclass
class Case:
    """One file and its faults; positions are bytes of the file. A size of -1 is that of ``path``.

    ``cuts`` and ``stalls`` are positions; ``reset`` cuts by RST instead of FIN. ``page``,
    ``busy``, ``unauthorized`` and ``change`` cut the connection at their position ``at`` (-1: begin
    with it) and then answer so. ``truncate`` sends less than the file as if that were all of it.
    ``wrong`` inverts bytes, ``times`` times.
    """

    name: str
    size: int
    path: str = ""
    offset: int = 0
    etag: str | None = '"v1"'
    modified: str | None = None
    ranged: bool = True
    length: bool = True
    chunked: bool = False
    rate: float = 0.0
    block: int = 128 * 1024
    token: bool = False
    reset: bool = False
    content_type: str = "application/octet-stream"
    cuts: list[int] = field(default_factory=list)
    stalls: list[int] = field(default_factory=list)
    page: dict = field(default_factory=dict)
    busy: dict = field(default_factory=dict)
    unauthorized: dict = field(default_factory=dict)
    change: dict = field(default_factory=dict)
    truncate: dict = field(default_factory=dict)
    wrong: list[dict] = field(default_factory=list)
    status: int = 0
    redirect: str = ""
    headers: dict = field(default_factory=dict)


class State:
    """A case while it is served."""

    def __init__(self, case: Case, pattern: str) -> None:
        self.case = case
        self.lock = threading.Lock()
        self.path = case.path or pattern
        self.offset, self.size, self.etag = case.offset, case.size, case.etag
        self.generation = 0
        self.pages = self.waits = self.sent = 0
        self.events: dict[int, list[str]] = {}
        self.log: list[dict] = []
        for kind in ("cuts", "stalls"):
            for position in getattr(case, kind):
                self.events.setdefault(position, []).append(kind)
        for kind in ("page", "busy", "unauthorized", "change"):
            fault = getattr(case, kind)
            if fault and fault["at"] < 0:
                self.begin(kind)
            elif fault:
                self.events.setdefault(fault["at"], []).append(kind)

    def begin(self, kind: str) -> None:
        """Let a fault that answers requests begin."""
        fault = getattr(self.case, kind)
        if kind == "page":
            self.pages = fault["times"]
        elif kind == "busy":
            self.waits = fault["times"]
        elif kind == "unauthorized":
            self.generation += 1
        else:
            self.offset = fault.get("offset", self.offset)
            self.size = fault.get("size", self.size)
            self.path = fault.get("path", self.path)
            self.etag = fault["etag"]

    def next_event(self, start: int, end: int) -> tuple[int, str] | None:
        """Return the first position in the window where something goes wrong, once."""
        with self.lock:
            inside = [p for p, kinds in self.events.items() if start <= p < end and kinds]
            if not inside:
                return None
            position = min(inside)
            return position, self.events[position].pop(0)


class Handler:
    """One connection."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.state: State | None = None
        self.buffer = b""

    def run(self) -> None:
        with contextlib.suppress(OSError), self.sock:
            while (request := self.read_request()) is not None:
                if not self.answer(*request):
                    return

    def read_request(self) -> tuple[str, dict[str, str]] | None:
        while b"\r\n\r\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                return None
            self.buffer += data
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:])
        return lines[0].split()[1], {k.lower(): v.strip() for k, _, v in pairs}

    def answer(self, target: str, headers: dict[str, str]) -> bool:
        """Answer one request; False if the connection is closed."""
        if target in ("/log", "/sent"):
            told = {name: getattr(s, target[1:]) for name, s in self.server.states.items()}
            return self.simple(200, json.dumps(told).encode(), {})
        state = self.server.states.get(target.partition("?")[0].strip("/"))
        if state is None:
            return self.simple(404, b"no such file", {})
        with state.lock:
            state.log.append({"target": target, **headers})
            refused = self.refusal(state, headers)
        if refused:
            return self.simple(*refused)
        return self.serve(state, headers)

    def refusal(self, state: State, headers: dict[str, str]) -> tuple[int, bytes, dict] | None:
        case = state.case
        if case.redirect:
            return 302, b"", {"Location": case.redirect}
        if case.status:
            return case.status, b"<title>as told</title>", case.headers
        if case.token and not self.valid(state, headers.get("authorization", "")):
            return 401, b'{"error": "token expired"}', {"Content-Type": "application/json"}
        if state.waits > 0:
            state.waits -= 1
            return case.busy.get("status", 429), b"slow down", self.wait_headers(case.busy)
        if state.pages > 0:
            state.pages -= 1
            kind = case.page.get("type", "text/html; charset=utf-8")
            return 200, PAGE % (b"sign in " * 200), {"Content-Type": kind}
        return None

    @staticmethod
    def valid(state: State, header: str) -> bool:
        match = re.fullmatch(r"Bearer token-(\d+)", header)
        return match is not None and int(match[1]) >= state.generation

    @staticmethod
    def wait_headers(fault: dict) -> dict[str, str]:
        after = fault.get("after")
        if after is None:
            return {}
        if fault.get("date"):
            return {"Retry-After": formatdate(time.time() + after, usegmt=True)}
        return {"Retry-After": str(after)}

    def simple(self, status: int, body: bytes, headers: dict[str, str]) -> bool:
        lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}"]
        lines += [f"{k}: {v}" for k, v in headers.items()]
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return True

    def serve(self, state: State, headers: dict[str, str]) -> bool:
        case, self.state = state.case, state
        with state.lock:
            size, etag, base, path = state.size, state.etag, state.offset, state.path
        if size < 0:
            size = Path(path).stat().st_size
        start, end, status = 0, size, 200
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", ""))
        condition = headers.get("if-range")
        if case.ranged and match and condition in (None, etag, case.modified):
            start, status = int(match[1]), 206
            end = min(size, int(match[2] or size - 1) + 1)
            if start >= size:
                return self.simple(416, b"", {"Content-Range": f"bytes */{size}"})
        stop = self.truncated(state, start, end)
        shown = end
        if stop < end and case.truncate.get("claims"):
            shown = end = stop
        self.sock.sendall(self.head(case, status, start, shown, size, etag))
        keep = self.body(state, path, base, start, min(stop, end))
        return keep and stop >= end and case.length

    def truncated(self, state: State, start: int, end: int) -> int:
        """Return where the body ends instead of at ``end``, a number of times."""
        fault = state.case.truncate
        with state.lock:
            if fault and fault["times"] > 0 and start < fault["at"] < end:
                fault["times"] -= 1
                return fault["at"]
        return end

    @staticmethod
    def head(case: Case, status: int, start: int, end: int, size: int, etag: str | None) -> bytes:
        total = size
        if status == 200 and end < size:
            total = end
        lines = [f"HTTP/1.1 {status} x", f"Content-Type: {case.content_type}"]
        lines += [f"Date: {formatdate(usegmt=True)}"]
        lines += [f"ETag: {etag}"] if etag else []
        lines += [f"Last-Modified: {case.modified}"] if case.modified else []
        lines += [f"Content-Range: bytes {start}-{end - 1}/{total}"] if status == 206 else []
        if case.length:
            lines += [f"Content-Length: {end - start}"]
        else:
            lines += ["Connection: close"]
        lines += [f"{k}: {v}" for k, v in case.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    def body(self, state: State, path: str, base: int, start: int, end: int) -> bool:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            while True:
                event = state.next_event(start, end)
                stop = event[0] if event else end
                self.send(state, descriptor, base, start, stop)
                if event is None:
                    return True
                start = stop
                if not self.happens(state, event[1]):
                    return False
        finally:
            os.close(descriptor)

    def happens(self, state: State, kind: str) -> bool:
        """Let a fault happen; False if it ends the connection."""
        if kind == "stalls":
            self.sock.settimeout(STALL_S)
            with contextlib.suppress(TimeoutError):
                self.sock.recv(1)
            return False
        if kind != "cuts":
            with state.lock:
                state.begin(kind)
        if state.case.reset:
            linger = struct.pack("ii", 1, 0)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return False

    def send(self, state: State, descriptor: int, base: int, start: int, end: int) -> None:
        for first, last, fault in self.stretches(state, start, end):
            if fault:
                data = os.pread(descriptor, last - first, base + first)
                self.sock.sendall(bytes(byte ^ 0x5A for byte in data))
                self.count(len(data))
            elif state.case.rate:
                self.paced(descriptor, base + first, last - first, state.case)
            else:
                self.sendfile(descriptor, base + first, last - first)

    @staticmethod
    def stretches(state: State, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Yield windows of right and of wrong bytes."""
        with state.lock:
            faults = [f for f in state.case.wrong if f["times"] > 0]
            hit = [f for f in faults if f["at"] < end and f["at"] + f["length"] > start]
            for fault in hit:
                if fault["at"] + fault["length"] <= end:
                    fault["times"] -= 1
        position = start
        for fault in sorted(hit, key=lambda f: f["at"]):
            first = max(position, fault["at"])
            last = min(end, fault["at"] + fault["length"])
            if first < last:
                yield position, first, False
                yield first, last, True
                position = last
        yield position, end, False

    def sendfile(self, descriptor: int, offset: int, count: int) -> None:
        while count > 0:
            sent = os.sendfile(self.sock.fileno(), descriptor, offset, count)
            if sent == 0:
                raise OSError("the file is shorter than its case says")
            offset, count = offset + sent, count - sent
            self.count(sent)

    def count(self, sent: int) -> None:
        """Count bytes given to the network, read by the client or not."""
        with self.state.lock:
            self.state.sent += sent

    def paced(self, descriptor: int, offset: int, count: int, case: Case) -> None:
        """Send blocks at a steady rate of bytes a second."""
        begin, sent, rate = time.monotonic(), 0, case.rate
        while sent < count:
            step = min(case.block, count - sent)
            self.sendfile(descriptor, offset + sent, step)
            sent += step
            ahead = begin + sent / rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)


class Server:
    """Listens on a free port of this machine."""

    def __init__(self, cases: Sequence[Case], pattern: str) -> None:
        self.states = {case.name: State(case, pattern) for case in cases}
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]

    def run(self) -> None:
        while True:
            sock, _ = self.listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=Handler(self, sock).run, daemon=True).start()


@contextlib.contextmanager
def serving(cases: Sequence[Case], pattern: Path, folder: Path) -> Iterator[str]:
    """Serve cases in a process of its own; gives the address."""
    document = folder / "cases.json"
    document.write_text(json.dumps([asdict(case) for case in cases]))
    command = [sys.executable, "-m", "tests.servers.faults", document, "--pattern", pattern]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def write_pattern(path: Path, size: int, seed: int = 3) -> Path:
    """Write random bytes that are always the same."""
    import numpy as np

    random = np.random.default_rng(seed)
    with path.open("wb") as stream:
        for start in range(0, size, 2**24):
            stream.write(random.bytes(min(2**24, size - start)))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--pattern", required=True)
    options = parser.parse_args()
    cases = [Case(**document) for document in json.loads(options.cases.read_text())]
    server = Server(cases, options.pattern)
    print(server.port, flush=True)
    server.run()


if __name__ == "__main__":
    main()
