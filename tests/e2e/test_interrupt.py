"""Ctrl-C or SIGTERM amid a run: it ends soon, whole, with one sentence; the next goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import skymend, tally

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SOON_S = 75.0
"""Seconds a stopped run may take to end: 3 s at load 6, 157 s when Ctrl-C ended its server."""

PATIENCE_S = 300.0
LAST_WORDS_S = 20.0

FAILING = """
from skymend.adapters import prefect
from skymend.cli import main
from skymend.core.errors import RetryableError

def follow(*_):
    raise RetryableError(where="the bucket", expected="an answer", found="none", fix="wait a bit")

prefect._follow = follow
main()
"""


def _records(store):
    return len(list(store.glob("records/*/*.json")))


def _session(leader):
    """Return the command lines of what lives in a session, zombies left out."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader and state != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found


def _wait(ready, seconds):
    deadline = time.monotonic() + seconds
    while not ready() and time.monotonic() < deadline:
        time.sleep(0.1)
    return ready()


def _interrupted(region, store, log, ready, signalled):
    """Start a run, signal it once it is ready; return its exit code, and seconds to its end."""
    command = [sys.executable, "-m", "skymend", "run", str(region), "--store", str(store)]
    with log.open("wb") as stream:
        # As in a terminal, where the whole group of the foreground gets Ctrl-C.
        running = subprocess.Popen(
            command, stdout=stream, stderr=stream, start_new_session=True, env=os.environ
        )
        try:
            assert _wait(lambda: ready(running) or running.poll() is not None, PATIENCE_S)
            assert running.poll() is None, "it is stopped before its end"
            pressed = time.monotonic()
            signalled(running.pid)
            code = running.wait(timeout=SOON_S)
            seconds = time.monotonic() - pressed
            assert _wait(lambda: not _session(running.pid), LAST_WORDS_S), _session(running.pid)
        finally:
            for left in _session(running.pid):
                os.kill(left, signal.SIGKILL)
    return code, seconds


def _two_records(store):
    return lambda running: _records(store) >= 2


def _server(running):
    """Tell whether the server's process is there, though it may not answer yet."""
    return any("uvicorn" in command for command in _session(running.pid).values())


def _ctrl_c(leader):
    os.killpg(leader, signal.SIGINT)


def _group_sigterm(leader):
    os.killpg(leader, signal.SIGTERM)


def _sigterm(leader):
    os.kill(leader, signal.SIGTERM)


def test_ctrl_c_ends_a_prefect_run_and_the_next_one_goes_on(region, tmp_path):
    store, log = tmp_path / "store", tmp_path / "log"
    path = region("2018-06-16")
    code, seconds = _interrupted(path, store, log, _two_records(store), _ctrl_c)
    said = log.read_text()
    done = _records(store)
    assert code == 130, said
    assert seconds < SOON_S
    assert "run it again to go on" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert done >= 2
    counted = tally(skymend("run", path, "--store", store, "--json", "-q"))
    assert counted["failed"] == 0
    assert counted["cached"] + counted["skipped"] >= done


@pytest.mark.parametrize("signalled", [_group_sigterm, _sigterm])
def test_sigterm_ends_a_prefect_run_without_waiting_for_its_server(region, tmp_path, signalled):
    store, log = tmp_path / "store", tmp_path / "log"
    path = region("2018-06-16")
    code, seconds = _interrupted(path, store, log, _two_records(store), signalled)
    said = log.read_text()
    assert code == 128 + signal.SIGTERM, said
    assert seconds < SOON_S
    assert "run it again to go on" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert "EventsWorker" not in said


@pytest.mark.parametrize(("signalled", "expected"), [(_ctrl_c, 130), (_sigterm, 143)])
def test_a_run_ends_while_its_server_starts(region, tmp_path, signalled, expected):
    log = tmp_path / "log"
    code, _ = _interrupted(region("2018-06-16"), tmp_path / "store", log, _server, signalled)
    said = log.read_text()
    assert code == expected, said
    assert "run it again to go on" in said.splitlines()[-1]
    assert "Traceback" not in said


def test_a_failure_of_the_run_itself_is_not_taken_for_ctrl_c(region, tmp_path):
    run = ["run", str(region("2018-06-16")), "--store", str(tmp_path / "store")]
    command = [sys.executable, "-c", FAILING, *run]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 75, done.stderr
    assert done.stderr.splitlines()[-1] == (
        "skymend: the bucket: expected an answer, found none; wait a bit"
    )
    assert "Traceback" not in done.stderr
