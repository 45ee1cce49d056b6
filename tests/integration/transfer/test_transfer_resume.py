"""Downloads that broke off: a killed process, a changed file, a full disk."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skymend.core.errors import StoreError
from skymend.sources.transfer import download
from tests.servers.faults import Case
from tests.transfer_case import FAST, MIB, remote

CASES = [
    Case("plain", 9 * MIB),
    Case("small", 1000),
    Case("slow", 9 * MIB, rate=4e6),
    *(Case(f"full-{n}", 3 * MIB, offset=n) for n in range(2)),
]


def test_resume_after_a_kill_fetches_little_again(url, content, tmp_path):
    """8 MiB at most: the last MiB of each of four stretches, and what was not yet noted."""
    code = (
        "import sys; from pathlib import Path; from skymend.sources.transfer import *\n"
        f"download(Remote({url + '/slow'!r}, 'loopback', 'slow.bin'), Path(sys.argv[1]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path])
    journal = tmp_path / ".slow.bin.part.journal"
    while not (journal.exists() and journal.read_text().count("\n") > 5):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "slow.bin").exists()
    receipt = download(remote(url, "slow"), tmp_path, options=FAST)
    assert receipt.path.read_bytes() == content("slow")
    assert 0 < receipt.refetched_bytes <= 4 * MIB
    assert receipt.restarts == 0


def test_resume_where_the_file_has_changed_begins_again(url, content, tmp_path):
    part = tmp_path / ".plain.bin.part"
    part.write_bytes(bytes(5 * MIB))
    version = {"total": 9 * MIB, "validator": '"v0"', "ranged": True}
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    file = {"provider": "loopback", "name": "plain.bin", "stated": [f"{url}/plain"]}
    header = {"skymend-part": 1, "file": file, "version": version, "boot": boot}
    lines = [json.dumps(header), f"0 {5 * MIB} {5 * MIB}", ""]
    part.with_name(f"{part.name}.journal").write_text("\n".join(lines))
    receipt = download(remote(url, "plain"), tmp_path, options=FAST)
    assert receipt.path.read_bytes() == content("plain")
    assert (receipt.restarts, receipt.refetched_bytes >= 5 * MIB) == (1, True)


def can_mount():
    probe = (
        subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
        if shutil.which("unshare")
        else None
    )
    return probe is not None and probe.returncode == 0 and os.geteuid() == 0


@pytest.mark.skipif(not can_mount(), reason="mounting a small disk needs root")
def test_a_disk_that_is_really_full(url, content, tmp_path):
    """A tmpfs of 2 MiB, first with the size unknown until the bytes come, then in time."""
    disk = tmp_path / "disk"
    disk.mkdir()
    code = f"""
import subprocess
from pathlib import Path
from skymend.core.errors import StoreError
from skymend.sources.transfer import *
disk = Path({str(disk)!r})
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], check=True)
for name in ("full-0", "full-1"):
    try:
        download(Remote({url!r} + "/" + name, "loopback", "f.bin"), disk)
    except StoreError as error:
        print(error)
    assert not (disk / "f.bin").exists()
    (disk / "filler").write_bytes(bytes(2**20))
"""
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("MB of room") == 2


def test_a_disk_that_fills_up_keeps_the_part(url, content, tmp_path, monkeypatch):
    from skymend.sources.transfer import part

    def pwrite(descriptor, data, offset):
        if offset + len(data) > 2 * MIB:
            raise OSError(28, "No space left on device")
        return os.pwrite(descriptor, data, offset)

    class Disk:
        def __getattr__(self, name):
            return pwrite if name == "pwrite" else getattr(os, name)

    wanted = remote(url, "full-0")
    with monkeypatch.context() as patch:
        patch.setattr(part, "os", Disk())
        with pytest.raises(StoreError, match="full disk"):
            download(wanted, tmp_path, options=FAST)
    assert not (tmp_path / "full-0.bin").exists()
    receipt = download(wanted, tmp_path, options=FAST)
    assert receipt.path.read_bytes() == content("full-0")
    assert receipt.refetched_bytes <= MIB


def test_work_folder_apart(url, content, tmp_path):
    shm = Path("/dev/shm")
    work = (shm if shm.is_dir() else tmp_path) / f"skymend-test-{os.getpid()}"
    receipt = download(remote(url, "small"), tmp_path / "out", work=work, options=FAST)
    assert receipt.path.read_bytes() == content("small")
    assert list(work.iterdir()) == []
    work.rmdir()
