"""Several files, threads and processes at once: connections, allowances, one part for one."""

import subprocess
import sys
import threading
import time

import pytest

from skymend.core.errors import ProductError, RetryableError
from skymend.sources.transfer import Ledger, Limits, download, download_all
from tests.servers.faults import Case
from tests.transfer_case import FAST, MIB, log, md5, parts, remote

CASES = [
    Case("plain", 9 * MIB),
    Case("small", 1000),
    Case("bytes", 300_000, rate=2e6),
    Case("slow", 9 * MIB, rate=4e6),
    Case("drip", 30_000, rate=500.0, block=100),
    Case("gone", 30_000, status=404),
    *(Case(f"many-{n}", 20_000 + n, offset=n) for n in range(20)),
]


def test_many_files_share_the_connections(url, content, tmp_path):
    names = [f"many-{n}" for n in range(20)]
    receipts = download_all([remote(url, n) for n in names], tmp_path, options=FAST)
    assert [r.path.read_bytes() for r in receipts] == [content(n) for n in names]
    with pytest.raises(ProductError, match="404"):
        download_all([remote(url, n) for n in ("gone", *names)], tmp_path / "b", options=FAST)
    with pytest.raises(ProductError, match="twice"):
        download_all([remote(url, "small")] * 2, tmp_path / "c", options=FAST)


def test_the_first_error_ends_the_others(url, tmp_path):
    start = time.monotonic()
    with pytest.raises(ProductError, match="404"):
        download_all([remote(url, n) for n in ("drip", "bytes", "gone")], tmp_path, options=FAST)
    assert time.monotonic() - start < 3, "30 s and more would be needed for the first"


HOLD = """
import sys, time
from pathlib import Path
from skymend.sources.transfer import Ledger, Limits
slot = Ledger(Path(sys.argv[1]), {"p": Limits(connections=1)}).connection("p")
print("held", flush=True)
time.sleep(60)
"""


def test_connections_are_shared_by_processes_and_freed_by_their_death(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True
    )
    with holder.stdout:
        assert holder.stdout.readline() == "held\n"
        ledger = Ledger(tmp_path, {"p": Limits(connections=1)})
        assert ledger.try_connection("p") is None
        with pytest.raises(RetryableError, match="all in use"):
            ledger.connection("p", wait_s=0.1)
        holder.kill()
        holder.wait()
        with ledger.connection("p", wait_s=5.0):
            assert ledger.try_connection("p") is None
    assert ledger.try_connection("p") is not None


def test_the_ledger_limits_a_download(url, content, tmp_path):
    """One connection, though four are wanted; the bytes are counted, then used up."""
    limits = {"loopback": Limits(connections=1, requests_per_minute=100, bytes_per_30_days=40_000)}
    ledger = Ledger(tmp_path / "ledger", limits)
    receipt = download(remote(url, "many-0"), tmp_path, options=FAST, ledger=ledger)
    assert ledger.room("loopback") == 40_000 - receipt.bytes
    ledger.spend("loopback", 20_000)
    with pytest.raises(RetryableError, match="allowance"):
        download(remote(url, "many-1"), tmp_path, options=FAST, ledger=ledger)


def test_nobody_waits_for_a_connection_once_cancelled(tmp_path):
    from skymend.sources.transfer.budget import Budget
    from skymend.sources.transfer.trouble import Stopped

    ledger = Ledger(tmp_path, {"p": Limits(connections=1)})
    cancelled = threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    with ledger.connection("p"), pytest.raises(Stopped):
        Budget(4, ledger).take("p", time.monotonic() + 30.0, cancelled)


def test_an_error_ends_those_that_wait_for_a_part(url, tmp_path):
    from skymend.sources.transfer.part import Part

    held = Part(tmp_path / ".slow.bin.part", remote(url, "slow"))
    assert held.try_open()
    start = time.monotonic()
    with pytest.raises(ProductError, match="404"):
        download_all([remote(url, n) for n in ("slow", "gone")], tmp_path, options=FAST)
    assert time.monotonic() - start < FAST.wall_s - 10.0, "the wall was not waited for"
    held.close()


def test_two_processes_want_the_same_file(url, content, tmp_path):
    data = content("plain")
    wanted = remote(url, "plain", digests=md5(data))
    before = len(log(url, "plain"))
    threads = [
        threading.Thread(target=download, args=(wanted, tmp_path), kwargs={"options": FAST})
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "plain.bin").read_bytes() == data
    assert len(log(url, "plain")) - before < 12, "fetched once"
    assert parts(tmp_path) == []
