"""How a Prefect run ends early: its subprocesses, Ctrl-C, SIGTERM and its own server."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import IO, Any, NoReturn, TypeAlias

import skymend.adapters.prefect_settings  # noqa: F401  isort: skip - before prefect
from prefect.server.api.server import SubprocessASGIServer

_SERVER_ENDS_S = 5.0

_Handler: TypeAlias = Callable[[int, FrameType | None], Any]


class Processes:
    """The subprocesses of a run, which :meth:`stop` ends together; none starts afterwards."""

    def __init__(self) -> None:
        self.stopped = False
        self._changing = threading.RLock()
        self._running: set[subprocess.Popen[bytes]] = set()

    def call(
        self, command: Sequence[str], *, log: IO[bytes], env: Mapping[str, str], timeout: float
    ) -> int:
        """Run a command to its end and return its exit code.

        Raises
        ------
        RuntimeError
            if the run was stopped before.
        subprocess.TimeoutExpired
            if it takes longer than ``timeout`` seconds; it is killed then.
        """
        with self._changing:
            if self.stopped:
                raise RuntimeError("not started: the run was stopped")
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=env
            )
            self._running.add(process)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            with self._changing:
                self._running.discard(process)

    def stop(self) -> None:
        """End what runs."""
        with self._changing:
            self.stopped = True
            for process in self._running:
                process.terminate()


def start_own_server() -> None:
    """Start the server that Prefect would start itself, but out of the reach of Ctrl-C.

    A terminal sends SIGINT to all processes of the run; without its server Prefect takes
    minutes to give up telling it that the run was stopped.
    """
    server = _OwnServer()
    try:
        server.start()
    except BaseException:
        server.stop()
        raise


class _OwnServer(SubprocessASGIServer):
    """The server of one process, shared with Prefect: there is one instance a port."""

    def _run_uvicorn_command(self) -> subprocess.Popen[Any]:
        # A signal before the process is known would leave it behind.
        with _later(signal.SIGINT, signal.SIGTERM):
            # A blocked signal stays so in a child.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                process: subprocess.Popen[Any] = super()._run_uvicorn_command()
                self.server_process = process
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return process


@contextmanager
def _later(*numbers: signal.Signals) -> Iterator[None]:
    """Let signals wait for the end of the block; only the main thread is ever interrupted."""
    if not _in_main_thread():
        yield
        return
    late: list[int] = []
    before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) is not None}
    for number in before:
        signal.signal(number, lambda which, _: late.append(which))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for which in late:
        signal.raise_signal(which)


class Termination:
    """What SIGTERM does to a run with a server of its own, while the context lasts.

    The jobs end, then the process with exit code 143. It does not wind down: SIGTERM may have
    ended the server too, which Prefect would try to reach for minutes. Where the program around
    the run handles SIGTERM itself, it is left to do so once the jobs have been ended.
    """

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._before: _Handler | int | None = None
        self._theirs: _Handler | None = None

    def __enter__(self) -> Termination:
        self._before = signal.getsignal(signal.SIGTERM)
        # Prefect's own, of a flow around this run, winds down.
        if callable(self._before) and not _is_prefects(self._before):
            self._theirs = self._before
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        if self._taken:
            signal.signal(signal.SIGTERM, self._before)

    def take(self) -> None:
        """Handle SIGTERM from here on; a flow that starts puts Prefect's handler in the place."""
        if self._taken:
            signal.signal(signal.SIGTERM, self._handle)

    @property
    def _taken(self) -> bool:
        # A handler that was not installed from Python could not be put back.
        return _in_main_thread() and self._before is not None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._theirs is None:
            _leave(self._processes)
        self._processes.stop()
        self._theirs(number, frame)


def _leave(processes: Processes) -> NoReturn:
    """End the run's processes, its server and this process; records tell what is done."""
    try:
        processes.stop()
        _end_own_server()
        # sys.stderr may be amid a write, and refuses another from a signal handler.
        os.write(2, b"skymend: stopped; run it again to go on, finished jobs are kept\n")
    finally:
        os._exit(128 + signal.SIGTERM)


def _end_own_server() -> None:
    process = SubprocessASGIServer().server_process
    if process is None:
        return
    process.terminate()
    try:
        process.wait(_SERVER_ENDS_S)
    except subprocess.TimeoutExpired:
        # Not waited for: what the signal interrupted may hold the lock for that.
        process.kill()


def _is_prefects(handler: _Handler) -> bool:
    return getattr(handler, "__module__", "").split(".")[0] == "prefect"


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
