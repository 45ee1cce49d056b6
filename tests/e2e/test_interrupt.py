"""Ctrl-C or SIGTERM in the middle of a run: it ends soon, with one sentence; the next goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.e2e.conftest import skymend, tally

pytestmark = pytest.mark.e2e

SOON_S = 40.0
"""Seconds a stopped run may take to end; it took minutes when it waited for its own server."""


def _records(store):
    return len(list(store.glob("records/*/*.json")))


def _interrupted(region, store, log, number=signal.SIGINT):
    """Run a region, signal its group once two jobs are done; return exit code and seconds."""
    command = [sys.executable, "-m", "skymend", "run", str(region), "--store", str(store)]
    with log.open("wb") as stream:
        # As in a terminal, where the whole group of the foreground gets the signal.
        running = subprocess.Popen(
            command, stdout=stream, stderr=stream, start_new_session=True, env=os.environ
        )
        try:
            deadline = time.monotonic() + 300
            while _records(store) < 2 and running.poll() is None and time.monotonic() < deadline:
                time.sleep(0.2)
            pressed = time.monotonic()
            os.killpg(running.pid, number)
            code = running.wait(timeout=SOON_S)
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
    return code, time.monotonic() - pressed


def test_ctrl_c_ends_a_prefect_run_and_the_next_one_goes_on(region, tmp_path):
    store, log = tmp_path / "store", tmp_path / "log"
    path = region("2018-06-16")
    code, seconds = _interrupted(path, store, log)
    said = log.read_text()
    done = _records(store)
    assert code == 130, said
    assert seconds < SOON_S
    assert "run it again to go on" in said.splitlines()[-1]
    assert "Traceback" not in said
    counted = tally(skymend("run", path, "--store", store, "--json", "-q"))
    assert counted["failed"] == 0
    assert counted["cached"] + counted["skipped"] >= done


def test_sigterm_ends_a_prefect_run_without_waiting_for_its_server(region, tmp_path):
    log = tmp_path / "log"
    code, seconds = _interrupted(region("2018-06-16"), tmp_path / "store", log, signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    assert seconds < SOON_S
    assert "run it again to go on" in log.read_text().splitlines()[-1]
    assert "EventsWorker" not in log.read_text()
