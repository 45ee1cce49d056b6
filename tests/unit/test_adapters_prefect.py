"""How a Prefect run ends early: an error of its own, Ctrl-C, SIGTERM. No server, no engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from skymend.adapters import prefect as adapter
from skymend.adapters import prefect_stop
from skymend.adapters.jobs import RunOptions
from skymend.adapters.prefect_stop import Processes, Termination
from skymend.core.errors import RetryableError, StoppedError
from skymend.core.plan import Job
from skymend.core.store import open_store

HICCUP = RetryableError(where="s3://bucket", expected="an answer", found="none", fix="try again")


@pytest.fixture
def begin(monkeypatch, tmp_path):
    """Run a plan of one job whose flow is a plain function; its jobs are never started."""
    monkeypatch.setattr(adapter, "start_own_server", lambda: None)
    job = Job("1a2b3c4d" * 8, "mask", 1, {}, {}, {}, "scenes/x", {})
    plan = SimpleNamespace(name="tiny", jobs=[job], by_key={job.key: job})
    monkeypatch.setattr(adapter.Plan, "read", lambda path: plan)
    monkeypatch.setattr(adapter, "run_plan", adapter.run_plan.fn)
    monkeypatch.setattr(adapter, "_submit", lambda waiting, plan: {})
    store = open_store(tmp_path / "store")
    options = RunOptions(tmp_path / "plan.json", store.uri, 1)
    return lambda: adapter.run(plan, store, options)


def failing(error):
    def fail(*_):
        raise error

    return fail


@pytest.mark.parametrize("part", ["_submit", "_follow"])
def test_a_failure_within_the_flow_comes_out_as_itself(begin, monkeypatch, part):
    monkeypatch.setattr(adapter, part, failing(HICCUP))
    with pytest.raises(RetryableError) as caught:
        begin()
    assert caught.value is HICCUP
    assert caught.value.exit_code == 75
    assert adapter._RUNNING == {}
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_failure_within_the_flow_ends_its_jobs(begin, monkeypatch):
    seen = []

    def follow(*_):
        (running,) = adapter._RUNNING.values()
        seen.append(running.processes)
        raise HICCUP

    monkeypatch.setattr(adapter, "_follow", follow)
    with pytest.raises(RetryableError):
        begin()
    assert seen[0].stopped


@pytest.mark.parametrize("part", ["start_own_server", "_submit", "_follow"])
def test_ctrl_c_says_how_many_jobs_are_left(begin, monkeypatch, part):
    monkeypatch.setattr(adapter, part, failing(KeyboardInterrupt()))
    with pytest.raises(StoppedError, match="stopped with 1 of them left") as caught:
        begin()
    assert caught.value.exit_code == 130
    assert adapter._RUNNING == {}


def test_ctrl_c_is_told_though_the_store_fails_meanwhile(begin, monkeypatch):
    def follow(*_):
        monkeypatch.setattr("skymend.core.store.LocalStore.known", failing(HICCUP))
        raise KeyboardInterrupt

    monkeypatch.setattr(adapter, "_follow", follow)
    with pytest.raises(StoppedError, match="found that it was stopped; run it again"):
        begin()


def test_ctrl_c_is_told_though_prefect_fails_after_it(begin, monkeypatch):
    body = adapter.run_plan

    def flow(**parameters):
        try:
            body(**parameters)
        except KeyboardInterrupt:
            raise ConnectionError("no server") from None

    monkeypatch.setattr(adapter, "run_plan", flow)
    monkeypatch.setattr(adapter, "_follow", failing(KeyboardInterrupt()))
    with pytest.raises(StoppedError):
        begin()


def test_nothing_starts_once_stopped(tmp_path):
    processes, ended = Processes(), []

    def call():
        with (tmp_path / "log").open("wb") as log:
            command = [sys.executable, "-c", "import time; time.sleep(60)"]
            ended.append(processes.call(command, log=log, env=os.environ, timeout=60))

    thread = threading.Thread(target=call)
    thread.start()
    deadline = time.monotonic() + 30
    while not processes._running and time.monotonic() < deadline:
        time.sleep(0.01)
    processes.stop()
    thread.join(30)
    assert ended == [-signal.SIGTERM]
    with pytest.raises(RuntimeError, match="not started"):
        call()


class Ended(Exception):
    """Stands for the end of the process."""


def test_a_program_that_handles_sigterm_itself_still_does(monkeypatch):
    """It gets the signal after the jobs have; what it installed is put back."""
    asked, processes = [], Processes()
    monkeypatch.setattr(os, "_exit", failing(Ended()))

    def theirs(number, frame):
        asked.append((number, processes.stopped))

    before = signal.signal(signal.SIGTERM, theirs)
    try:
        with Termination(processes):
            signal.raise_signal(signal.SIGTERM)
        assert asked == [(signal.SIGTERM, True)]
        assert signal.getsignal(signal.SIGTERM) is theirs
    finally:
        signal.signal(signal.SIGTERM, before)


def test_sigterm_ends_the_process_though_its_messages_cannot_be_written(monkeypatch):
    codes, processes = [], Processes()

    def leave(code):
        codes.append(code)
        raise Ended

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(os, "write", failing(OSError("closed")))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Ended), Termination(processes):
        signal.raise_signal(signal.SIGTERM)
    assert codes == [143]
    assert processes.stopped
    assert signal.getsignal(signal.SIGTERM) is before


CHILD = """
import signal, time
print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []), flush=True)
time.sleep(60)
"""


@pytest.fixture
def started(monkeypatch):
    """What was started in the server's place."""
    started = []

    def command(self):
        process = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE)
        started.append(process)
        return process

    monkeypatch.setattr(prefect_stop.SubprocessASGIServer, "_run_uvicorn_command", command)
    monkeypatch.setattr(prefect_stop.SubprocessASGIServer, "_instances", {})
    yield started
    for process in started:
        process.kill()
        process.communicate()


def test_ctrl_c_while_the_server_is_being_started_leaves_none(started, monkeypatch):
    command = prefect_stop.SubprocessASGIServer._run_uvicorn_command

    def press(self):
        process = command(self)
        os.kill(os.getpid(), signal.SIGINT)
        return process

    monkeypatch.setattr(prefect_stop.SubprocessASGIServer, "_run_uvicorn_command", press)
    with pytest.raises(KeyboardInterrupt):
        prefect_stop.start_own_server()
    assert started[0].returncode is not None, "it was ended, and waited for"


def test_ctrl_c_works_while_the_server_is_waited_for(started):
    pressed = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    pressed.start()
    with pytest.raises(KeyboardInterrupt):
        prefect_stop.start_own_server()
    assert started[0].returncode is not None


@pytest.mark.parametrize("blocked", [False, True])
def test_the_server_is_out_of_the_reach_of_ctrl_c_and_nothing_else_changes(started, blocked):
    how = signal.SIG_BLOCK if blocked else signal.SIG_UNBLOCK
    mask = signal.pthread_sigmask(how, {signal.SIGINT})
    try:
        prefect_stop._OwnServer()._run_uvicorn_command()
        after = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert (signal.SIGINT in after) == blocked
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert started[0].stdout.readline() == b"True\n"
