"""Programs of the external engines in a real Docker: they see their files, and end with the job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skymend.sar.external import Fence, Tool, launch

pytestmark = pytest.mark.container

IMAGE = "skymend-core"
# The core image's entry point is skymend, which stands in for S1Processor here.
NAME = f"skymend-test-{os.getpid()}"
SKYMEND = Tool(engine="test", name="skymend", fix="", entry_point=True)


def fence(tmp_path: Path, *read: Path) -> Fence:
    work = tmp_path / "work"
    work.mkdir()
    return Fence(read=read, write=[work], memory_gb=1, cpus=1)


def containers() -> str:
    listed = ["docker", "ps", "--all", "--format", "{{.Names}}"]
    return subprocess.run(listed, capture_output=True, text=True, check=True).stdout


def test_a_program_runs_fenced_in_and_says_how_it_ended(tmp_path: Path) -> None:
    done = launch(SKYMEND, ["--help"], IMAGE, fence(tmp_path))

    assert done.code == 0, done.text
    assert "skymend-test-" not in containers()


def test_it_reads_its_files_and_writes_its_folder(tmp_path: Path) -> None:
    product = tmp_path / "a,b.txt"
    product.write_text("pixels")
    room = fence(tmp_path, product)
    command = room.command(IMAGE, ["-c", f"cat '{product}' >copy; id -u; touch /etc/x"], NAME, {})
    command[command.index(IMAGE) : command.index(IMAGE)] = ["--entrypoint", "/bin/sh"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (tmp_path / "work" / "copy").is_file(), done.stderr
    assert (tmp_path / "work" / "copy").read_text() == "pixels"
    assert done.stdout.strip() == str(os.getuid())
    assert "Read-only file system" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_its_container_ends_with_the_job(tmp_path: Path, number: signal.Signals) -> None:
    name = f"{NAME}-{int(number)}"
    command = fence(tmp_path).command(IMAGE, ["600"], name, {})
    command[command.index(IMAGE) : command.index(IMAGE)] = ["--entrypoint", "sleep"]
    code = f"from skymend.sar.programs import run_program as r; r({command!r}, container={name!r})"
    job = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while name not in containers():
        assert time.monotonic() < deadline
        time.sleep(0.1)

    job.send_signal(number)
    job.wait(timeout=20)

    while name in containers():
        assert time.monotonic() < deadline + 60
        time.sleep(0.1)
