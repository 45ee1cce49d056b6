"""The core image, in a real Docker: fenced in, mortal, and giving the same bytes as a plain run.

Needs a daemon and the image: ``make container-check`` brings both.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from skymend.core import container
from skymend.core.task import load_task
from tests.servers.s3 import SECRET_KEY, serve_s3

pytestmark = pytest.mark.container

IMAGE = "skymend-core"
UID = container.IMAGE_UID


def command(
    program: list[str],
    store: Path,
    name: str,
    read_only: tuple[Path, ...] = (),
    *,
    image: str = IMAGE,
    reach: container.Reach = "nothing",
) -> list[str]:
    """The command line of a job, with another program in place of ``skymend``."""
    argv = container.docker_command(
        program[1:], image, store, read_only, UID, UID, cpus=1, memory_gb=1, name=name, reach=reach
    )
    watcher = argv.index("-c") + 1
    argv[watcher] = argv[watcher].replace("skymend", program[0])
    return argv


def python(code: str, store: Path, *read_only: Path) -> subprocess.CompletedProcess[str]:
    argv = command(["python3", "-c", code], store, f"skymend-test-{os.getpid()}", read_only)
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    os.chown(folder, UID, UID)
    return folder


def test_the_image_is_there() -> None:
    container.check_ready(IMAGE)


def test_an_absent_image_is_named() -> None:
    with pytest.raises(container.ToolMissingError, match="none of that name in the local Docker"):
        container.check_ready("skymend-no-such-image")


def test_the_command_line_answers(store: Path) -> None:
    done = subprocess.run(
        command(["skymend", "--help"], store, "skymend-test-help"),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "clouds" in done.stdout


def test_a_job_is_nobody_special_and_alone(store: Path, tmp_path: Path) -> None:
    product = tmp_path / "product.tif"
    product.write_bytes(b"pixels")
    product.chmod(0o666)  # so that only the mount can refuse
    code = f"""
import json, os, pathlib, socket
def refused(action):
    try:
        action()
    except OSError as error:
        return error.errno
interfaces = [name for _, name in socket.if_nameindex()]
lines = open("/proc/self/status").read().splitlines()
status = dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
print(json.dumps({{
    "uid": os.getuid(), "interfaces": interfaces, "capabilities": int(status["CapEff"], 16),
    "new_privileges": int(status["NoNewPrivs"]),
    "root": refused(lambda: open("/etc/mark", "w")),
    "product": refused(lambda: open({str(product)!r}, "a")),
    "read": open({str(product)!r}).read(),
    "tmp": refused(lambda: open("/tmp/mark", "w")),
    "store": refused(lambda: open("mark", "w")), "cwd": os.getcwd(),
}}))
"""
    done = python(code, store, product)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    read_only_file_system = 30
    assert found == {
        "uid": UID,
        "interfaces": ["lo"],
        "capabilities": 0,
        "new_privileges": 1,
        "root": read_only_file_system,
        "product": read_only_file_system,
        "read": "pixels",
        "tmp": None,
        "store": None,
        "cwd": str(store),
    }
    assert (store / "mark").stat().st_uid == UID


def test_what_the_steps_need_can_be_imported(store: Path) -> None:
    done = python("import pyarrow.parquet, rasterio, scipy.ndimage, onnxruntime", store)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("reach", ["store", "providers"])
def test_a_job_with_network_reaches_a_loopback_server_and_trusts_the_usual_certificates(
    store: Path, reach: container.Reach, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    login = tmp_path / "credentials"
    login.write_text("[default]")
    login.chmod(0o644)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(login))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "never in a command line")
    code = """
import json, os, socket, ssl
socket.create_connection(("127.0.0.1", int(os.environ["AWS_PORT"])), 5).close()
trusted = ssl.create_default_context().cert_store_stats()["x509_ca"]
print(json.dumps({
    "trusted": trusted > 50, "secret": os.environ["AWS_SECRET_ACCESS_KEY"],
    "login": open(os.environ["AWS_SHARED_CREDENTIALS_FILE"]).read(),
    "uid": os.getuid(), "cache": os.access(os.path.dirname(os.environ["SKYMEND_CACHE"]), os.W_OK),
}))
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("AWS_PORT", str(server.getsockname()[1]))
        argv = command(["python3", "-c", code], store, "skymend-test-reach", reach=reach)
        done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        **{"trusted": True, "secret": "never in a command line", "login": "[default]"},
        **{"uid": UID, "cache": True},
    }
    assert not any("never in a command line" in part for part in argv)


def test_a_job_that_fetches_counts_in_the_ledger_of_its_user(
    store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache = tmp_path / "a machine, its cache"
    for folder in (cache / "ledger", cache / "tokens"):
        folder.mkdir(parents=True)
        os.chown(folder, UID, UID)
    monkeypatch.setenv("SKYMEND_CACHE", str(cache))
    code = """
import os, pathlib
for name in ("ledger", "tokens", "eodag"):
    folder = pathlib.Path(os.environ["SKYMEND_CACHE"], name)
    folder.mkdir(exist_ok=True)
    (folder / "mark").touch()
"""
    argv = command(["python3", "-c", code], store, "skymend-test-ledger", reach="providers")
    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    marks = sorted(path.parent.name for path in cache.rglob("mark"))
    assert marks == ["ledger", "tokens"]  # the rest of the cache was in memory


def test_the_image_of_fetch_has_every_provider_s_client(store: Path) -> None:
    code = (
        "import earthaccess, ee, eodag, pystac_client, sentinelhub, rasterio, skymend.steps.fetch"
    )
    argv = command(["python3", "-c", code], store, "skymend-test-sources", image="skymend-sources")
    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    container.check_ready(load_task("fetch").image)


def test_memory_is_bounded_by_the_task(store: Path) -> None:
    done = python("bytearray(2 << 30)[::4096].count(1)", store)

    assert done.returncode in (1, 137)  # MemoryError, or killed by the kernel


def test_a_lock_taken_inside_holds_outside_and_dies_with_the_run(store: Path) -> None:
    lock = store / "job.lock"
    lock.touch(mode=0o666)
    os.chown(lock, UID, UID)
    code = (
        "import fcntl, os, pathlib, time; d = os.open('job.lock', os.O_RDWR);"
        "fcntl.flock(d, fcntl.LOCK_EX); pathlib.Path('taken').touch(); time.sleep(600)"
    )
    name = "skymend-test-lock"
    run = subprocess.Popen(command(["python3", "-c", code], store, name), process_group=0)
    wait_for((store / "taken").exists)

    with lock.open("r+") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        started = time.monotonic()
        fcntl.flock(file, fcntl.LOCK_EX)
    # Docker notices the closed connection at once; the allowance is for a busy machine.
    assert time.monotonic() - started < 20
    wait_for(lambda: name not in _containers())


def _containers() -> list[str]:
    listed = subprocess.run(
        ["docker", "ps", "--all", "--format", "{{.Names}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.split()


REGION = """\
name: contained
area: {{tiles: [{tile}], bounds: [{bounds}]}}
period: {{start: {start}, end: {end}}}
sources:
  s2: {{provider: theia, path: theia}}
  s1: {{provider: s1tiling, path: s1tiling}}
  dem: {{provider: dem, path: dem}}
outputs:
  - reconstruct: {{method: regression}}
"""

EVALUATION = """\
  - evaluate: {methods: [linear, regression], widen_days: [0]}
"""


def make_region(folder: Path, days: int, more: str = "") -> Path:
    """Simulate a season and write the region that asks for it."""
    from skymend import simulate

    scenario = simulate.tiny(days=days)
    simulate.write(folder, scenario, formats=("theia", "s1tiling", "dem"))
    readable_by_all(folder)
    grid = scenario.grid
    path = folder / "region.yaml"
    end = scenario.optical_dates()[-1]
    bounds = ", ".join(map(str, grid.bounds))
    text = REGION.format(tile=scenario.tile, bounds=bounds, start=scenario.start, end=end)
    path.write_text(text + more)
    return path


def readable_by_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def skymend_run(region: Path, store: Path | str, *options: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "skymend", "run", region, "--store", store, "--json", *options],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    counts: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return counts


def rasters(store: Path) -> dict[str, str]:
    """Path in the store -> sha256, as recorded, of every raster."""
    found = {}
    for record in (store / "records").glob("*/*.json"):
        for output in json.loads(record.read_text())["outputs"].values():
            for file in output["files"]:
                if file["path"].endswith(".tif"):
                    found[file["path"]] = file["sha256"]
    return found


def test_a_run_in_containers_gives_the_rasters_of_a_plain_run(tmp_path: Path) -> None:
    region = make_region(tmp_path, days=20, more=EVALUATION)
    plain, contained = tmp_path / "store-a", tmp_path / "store-c"

    counts = skymend_run(region, plain)
    in_containers = skymend_run(region, contained, "--engine", "snakemake", "--in-containers")

    assert in_containers | {"store": ""} == counts | {"store": ""}
    assert counts["failed"] == 0
    assert len(rasters(plain)) > 0
    assert rasters(contained) == rasters(plain)
    again = skymend_run(region, contained, "--engine", "snakemake")
    assert again["executed"] == again["failed"] == 0


BUCKET = "skymend-contained"


def test_a_run_in_containers_into_a_bucket_gives_the_rasters_of_a_plain_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    region = make_region(tmp_path, days=8)
    plain = tmp_path / "store-a"
    counts = skymend_run(region, plain)
    monkeypatch.setenv("SKYMEND_CACHE", str(tmp_path / "cache"))
    with serve_s3(BUCKET) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        uri = f"s3://{BUCKET}/series"
        contained = skymend_run(region, uri, "--engine", "snakemake", "--in-containers")
        again = skymend_run(region, uri, "--engine", "prefect", "--in-containers")
        made = {
            key.removeprefix("series/"): hashlib.sha256(server.read(BUCKET, key)).hexdigest()
            for key in server.keys(BUCKET)
            if key.endswith(".tif")
        }
        texts = [server.read(BUCKET, k) for k in server.keys(BUCKET) if k.endswith(".json")]

    assert contained | {"store": ""} == counts | {"store": ""}
    assert counts["failed"] == 0
    assert made == rasters(plain)
    assert again["executed"] == again["failed"] == 0
    logs = [path.read_bytes() for path in (tmp_path / "cache").rglob("*.log")]
    assert logs
    assert not any(SECRET_KEY.encode() in text for text in (*texts, *logs))
