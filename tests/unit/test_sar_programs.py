"""Other people's programs: run, watched, and never left behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skymend.core.errors import RetryableError, StoreError, ToolMissingError
from skymend.sar.programs import (
    KEPT_LINES,
    LONGEST_LINE,
    Finished,
    check_killed,
    last_words,
    run_program,
)


def shell(script, **options):
    return run_program(["sh", "-c", script], **options)


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rsplit(")", 1)[1].split()[0] != "Z"


def pid_in(file):
    wait_for(lambda: file.exists() and file.read_text().endswith("\n"))
    return int(file.read_text())


def test_a_program_is_watched_while_it_runs(tmp_path):
    seen = []
    script = "printf 'ten 10%%'; printf '...20%%\\nError: no\\n' >&2; exit 3"
    finished = shell(script, on_text=seen.append, folder=tmp_path)
    assert finished.code == 3
    assert finished.lines == ("ten 10%...20%", "Error: no")
    assert "10%" in "".join(seen)


def test_it_gets_its_folder_variables_and_no_input(tmp_path):
    finished = shell("pwd; echo $COLOUR; cat", folder=tmp_path, environment={"COLOUR": "red"})
    assert finished.lines == (str(tmp_path), "red")


def test_what_cannot_be_started_is_one_sentence(tmp_path):
    with pytest.raises(ToolMissingError, match="a program that can be started, found no such"):
        run_program([str(tmp_path / "nothing")])
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    with pytest.raises(ToolMissingError, match="found exit code 127"):
        run_program([str(broken)])


def test_garbage_is_kept_within_bounds():
    """No UTF-8, no line ends, and more than anybody reads."""
    finished = shell("head -c 30000000 /dev/zero | tr '\\0' '\\377'; echo; seq 1000; exit 1")
    assert len(finished.lines) == KEPT_LINES
    assert finished.lines[-1] == "1000"
    endless = shell("head -c 30000000 /dev/zero | tr '\\0' x")
    assert endless.lines == ("x" * LONGEST_LINE,)


def test_a_process_with_many_open_files_can_watch_a_program():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] < 1400:
        pytest.skip("this system allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 1400), limits[1]))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        assert shell("echo yes").lines == ("yes",)
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_letters_cut_in_two_stay_letters():
    finished = shell("printf '\\303'; sleep 0.3; printf '\\244\\n'")
    assert finished.lines == ("\u00e4",)


def test_a_helper_that_stays_does_not_hold_the_run(tmp_path):
    """gpt may leave something that holds its output open; it goes with the run."""
    started = time.monotonic()
    finished = shell(f"sleep 60 & echo $! >{tmp_path}/pid; echo done")
    assert finished == Finished(0, ("done",))
    assert time.monotonic() - started < 20
    wait_for(lambda: not alive(pid_in(tmp_path / "pid")))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_program_outlives_a_killed_job(tmp_path, number):
    """Engines kill a job that takes too long: a hanging gpt, and what it started, must go too."""
    script = f"sleep 60 & echo $! >{tmp_path}/inner; echo $$ >{tmp_path}/outer; wait"
    code = f"from skymend.sar.programs import run_program as r; r(['sh', '-c', {script!r}])"
    job = subprocess.Popen([sys.executable, "-c", code])
    pids = [pid_in(tmp_path / name) for name in ("outer", "inner")]
    assert all(map(alive, pids))
    job.send_signal(number)
    job.wait(timeout=20)
    wait_for(lambda: not any(map(alive, pids)))


def test_an_interrupted_run_ends_its_program(tmp_path):
    def stop(text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shell(f"echo $$ >{tmp_path}/pid; echo go; sleep 60", on_text=stop)
    wait_for(lambda: not alive(pid_in(tmp_path / "pid")))


def test_a_container_goes_with_its_client(tmp_path, monkeypatch):
    """Docker lets a container run on when its client is killed: it is removed by name."""
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/calls\n[ "$1" = rm ] || sleep 60\n')
    docker.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    code = (
        "from skymend.sar.programs import run_program as r;"
        "r(['docker', 'run', 'image'], container='skymend-snap-1')"
    )
    job = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PATH": path})
    calls = tmp_path / "calls"
    wait_for(lambda: calls.exists() and "run image" in calls.read_text())
    job.kill()
    job.wait()
    wait_for(lambda: "rm --force skymend-snap-1" in calls.read_text())


def test_death_and_a_full_disk_are_outcomes():
    check_killed(Finished(0, ("No space left on device",)), "gpt")
    check_killed(Finished(78, ()), "S1Processor")
    killed = shell("kill -KILL $$")
    with pytest.raises(RetryableError, match=r"gpt: expected to run to its end.*signal 9"):
        check_killed(killed, "gpt")
    with pytest.raises(RetryableError, match=r"gpt: expected to run to its end.*signal 9"):
        check_killed(shell("kill -KILL $PPID; sleep 5"), "gpt")
    with pytest.raises(StoreError, match="a full disk"):
        check_killed(Finished(1, ("java.io.IOException: No space left on device",)), "gpt")


def test_the_last_words_are_the_last_marked_line():
    said = ("Error: first", "Error: second", "bye")
    assert last_words(Finished(1, said), "Error") == "exit code 1: Error: second"
    assert last_words(Finished(1, said)) == "exit code 1: bye"
    assert last_words(Finished(4, ())) == "exit code 4: no output at all"
