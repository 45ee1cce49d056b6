"""The tiler in a process of its own: killed and resumed, and measured."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.nets import david

ROOT = Path(__file__).parents[2]
ROWS, COLUMNS = 1100, 2000


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "model.onnx"
    david(path, widths=(6, 8, 8, 4))
    return path


def start(model, out, rows, columns, delay=0.0, block=512):
    out.mkdir(exist_ok=True)
    arguments = [model, out, rows, columns, delay, block]
    return subprocess.Popen(
        [sys.executable, ROOT / "tests/integration/tiler_job.py", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process):
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return tuple(int(word) for word in printed.split())


def recorded(out):
    record = out / "work" / "tiler.jsonl"
    return len(record.read_text().splitlines()) - 1 if record.exists() else 0


def kill_after(process, out, lines):
    deadline = time.monotonic() + 60
    while recorded(out) < lines:
        assert process.poll() is None, "finished before the kill"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_a_killed_run_goes_on_and_leaves_the_same_bytes(model, tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert finish(start(model, straight, ROWS, COLUMNS, block=256))[:2] == (12, 0)
    for lines in (2, 6):
        kill_after(start(model, killed, ROWS, COLUMNS, 0.05, 256), killed, lines)
        assert not (killed / "out.tif").exists()
    cells, resumed, _ = finish(start(model, killed, ROWS, COLUMNS, block=256))
    assert cells == 12
    assert resumed >= 6
    assert (killed / "out.tif").read_bytes() == (straight / "out.tif").read_bytes()
    assert not list((killed / "work").iterdir())


def test_memory_is_bounded_by_the_block_not_the_image(model, tmp_path):
    small = finish(start(model, tmp_path / "small", 512, 2048))[2]
    large = finish(start(model, tmp_path / "large", 512, 12288))[2]
    # The inputs of the larger image are 400 MB larger as float32 and its stored output 42 MB,
    # which the GDAL cache may hold; the rest is room for the allocators.
    assert large - small < 120
