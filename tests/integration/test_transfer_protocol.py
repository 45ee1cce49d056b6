"""Each rule of the download engine against the fault-injecting server, in a process of its own."""

import gzip
import hashlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest

from skymend.core.errors import AccessError, ProductError, RetryableError, SkipJob, StoreError
from skymend.sources.transfer import (
    Digest,
    Ledger,
    Limits,
    QuarantinedError,
    Remote,
    TransferOptions,
    download,
    download_all,
)
from tests.servers.faults import Case, serving, write_pattern

MIB = 2**20
FAST = TransferOptions(stall_s=1.0, wall_s=30.0, connect_s=2.0, attempts=4, backoff_s=0.05)
OLD = format_datetime(datetime.now(UTC) - timedelta(days=9), usegmt=True)
CASES = [
    Case("plain", 9 * MIB),
    Case("empty", 0),
    Case("small", 1000),
    Case("bytes", 300_000, rate=2e6),
    Case("slow", 9 * MIB, rate=4e6),
    Case("drip", 30_000, rate=500.0, block=100),
    Case("gzip", -1, path="compressed", ranged=False, headers={"Content-Encoding": "gzip"}),
    Case("weak", 9 * MIB, etag='W/"v1"', cuts=[5 * MIB]),
    Case("modified", 9 * MIB, etag=None, modified=OLD, cuts=[5 * MIB]),
    Case("dated", 30_000, busy={"at": -1, "times": 2, "after": 1, "date": True}),
    Case("later", 30_000, busy={"at": -1, "times": 9, "after": 3600}),
    Case("limited", 30_000, token=True, unauthorized={"at": 20_000}, cuts=[10_000]),
    Case("refused", 30_000, status=403),
    Case("gone", 30_000, status=404),
    Case("offline", 30_000, status=202),
    Case("page", 30_000, page={"at": -1, "times": 99}),
    Case("silent", 30_000, stalls=[15_000] * 99),
    Case("bad", 50_000, wrong=[{"at": 70, "length": 20, "times": 10**6}]),
    Case("endless", 30_000, ranged=False, length=False),
    Case("sha", 30_000, headers={"Repr-Digest": "sha-256=:" + "A" * 43 + "=:"}),
    *(Case(f"many-{n}", 20_000 + n, offset=n) for n in range(20)),
    *(Case(f"full-{n}", 3 * MIB, offset=n) for n in range(2)),
]


@pytest.fixture(scope="module")
def pattern(tmp_path_factory):
    return write_pattern(tmp_path_factory.mktemp("server") / "pattern", 10 * MIB)


@pytest.fixture(scope="module")
def url(pattern):
    compressed = pattern.with_name("compressed")
    compressed.write_bytes(gzip.compress(b"text " * 5000))
    cases = [replace(case, path=str(compressed)) if case.path else case for case in CASES]
    with serving(cases, pattern, pattern.parent) as address:
        yield address


@pytest.fixture
def content(pattern):
    data = pattern.read_bytes()
    cases = {case.name: case for case in CASES}
    return lambda name: data[cases[name].offset :][: cases[name].size]


def remote(url, name, **facts):
    return Remote(f"{url}/{name}", "loopback", f"{name}.bin", **facts)


def md5(data):
    return (Digest("md5", hashlib.md5(data).hexdigest()),)


def log(url, name):
    with urlopen(f"{url}/log") as answer:
        return json.load(answer)[name]


class Tokens:
    """Counts how often it was refreshed."""

    def __init__(self, fixed=False):
        self.generation, self.fixed = 0, fixed

    def headers(self, remote, *, refresh):
        if not self.fixed:
            self.generation += refresh
        return {"Authorization": f"Bearer token-{self.generation}"}

    def url(self, remote, *, refresh):
        return remote.url


def parts(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_parallel_ranges_and_a_digest(url, content, tmp_path):
    data = content("plain")
    receipt = download(remote(url, "plain", digests=md5(data)), tmp_path, options=FAST)
    assert receipt.path.read_bytes() == data
    assert (receipt.verified, receipt.bytes, receipt.refetched_bytes) == ("md5", len(data), 0)
    requests = log(url, "plain")
    assert len(requests) >= 3
    assert all(r["range"].startswith("bytes=") for r in requests)
    assert all(r["if-range"] == '"v1"' for r in requests[1:])
    assert parts(tmp_path) == []


def test_a_file_that_is_there_and_passes_is_not_fetched(url, content, tmp_path):
    wanted = remote(url, "small", digests=md5(content("small")))
    download(wanted, tmp_path, options=FAST)
    count = len(log(url, "small"))
    assert download(wanted, tmp_path, options=FAST).verified == "md5"
    assert len(log(url, "small")) == count
    (tmp_path / "small.bin").write_bytes(b"x" * 1000)
    download(wanted, tmp_path, options=FAST)
    assert (tmp_path / "small.bin").read_bytes() == content("small")


def test_a_body_compressed_on_the_way_is_unpacked(url, tmp_path):
    wanted = remote(url, "gzip", digests=md5(b"text " * 5000))
    assert download(wanted, tmp_path, options=FAST).bytes == 25_000


def test_an_empty_file(url, tmp_path):
    assert download(remote(url, "empty"), tmp_path, options=FAST).bytes == 0
    assert (tmp_path / "empty.bin").read_bytes() == b""


def test_weak_etags_do_not_join_ranges_without_a_digest(url, content, tmp_path):
    receipt = download(remote(url, "weak"), tmp_path, options=FAST)
    assert receipt.path.read_bytes() == content("weak")
    assert receipt.restarts == 1, "the cut came after ranges had been given up"
    assert "range" not in log(url, "weak")[-1]


def test_an_old_last_modified_joins_ranges(url, content, tmp_path):
    receipt = download(remote(url, "modified"), tmp_path, options=FAST)
    assert receipt.path.read_bytes() == content("modified")
    assert (receipt.restarts, receipt.refetched_bytes, receipt.cuts) == (0, 0, 1)
    assert log(url, "modified")[-1]["if-range"] == OLD


def test_retry_after_as_a_date(url, tmp_path):
    start = time.monotonic()
    download(remote(url, "dated"), tmp_path, options=FAST)
    assert 0.1 < time.monotonic() - start < 8


def test_retry_after_beyond_the_wall_ends_at_once(url, tmp_path):
    start = time.monotonic()
    with pytest.raises(RetryableError, match="a pause of 36"):
        download(remote(url, "later"), tmp_path, options=FAST)
    assert time.monotonic() - start < 3


def test_401_mid_way_refreshes_once(url, content, tmp_path):
    signer = Tokens()
    receipt = download(
        remote(url, "limited", digests=md5(content("limited"))),
        tmp_path,
        signer=signer,
        options=FAST,
    )
    assert receipt.verified == "md5"
    assert signer.generation == 1


def test_credentials_that_stay_refused(url, tmp_path):
    with pytest.raises(AccessError, match="credentials that loopback accepts"):
        download(remote(url, "refused"), tmp_path, signer=Tokens(fixed=True), options=FAST)
    assert len(log(url, "refused")) == 3


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("gone", ProductError, "status 404 .as told.; search again"),
        ("offline", SkipJob, "offline"),
        ("page", ProductError, r"a web page \(Please sign in\)"),
        ("endless", ProductError, "a length, a size or a digest"),
    ],
)
def test_answers_that_are_no_file(url, tmp_path, name, error, words):
    with pytest.raises(error, match=words):
        download(remote(url, name), tmp_path, options=FAST)
    assert list(tmp_path.iterdir()) == []


def test_endless_bodies_are_taken_where_a_digest_tells(url, content, tmp_path):
    wanted = remote(url, "endless", digests=md5(content("endless")))
    assert download(wanted, tmp_path, options=FAST).verified == "md5"


def test_a_server_that_stays_silent_does_not_hang(url, tmp_path):
    start = time.monotonic()
    options = TransferOptions(stall_s=0.3, wall_s=2.0, attempts=50, backoff_s=0.01)
    with pytest.raises(RetryableError):
        download(remote(url, "silent"), tmp_path, options=options)
    assert time.monotonic() - start < 4
    assert parts(tmp_path), "what came is kept"
    assert not (tmp_path / "silent.bin").exists()


def test_two_equal_bad_digests_quarantine(url, content, tmp_path):
    ledger = Ledger(tmp_path / "ledger")
    wanted = remote(url, "bad", digests=md5(content("bad")))
    for _ in range(2):
        with pytest.raises(QuarantinedError, match="twice with the same wrong md5"):
            download(wanted, tmp_path / "out", options=FAST, ledger=ledger)
    assert len(log(url, "bad")) == 2, "the second call asks no more"
    assert not (tmp_path / "out/bad.bin").exists()


def test_digests_the_server_sends_along_are_checked(url, tmp_path):
    with pytest.raises(QuarantinedError, match="wrong sha256"):
        download(remote(url, "sha"), tmp_path, options=FAST)


def test_a_stated_size_is_held_against_the_file(url, tmp_path):
    with pytest.raises(RetryableError, match="1000 bytes are announced instead of 1001"):
        download(remote(url, "small", size=1001), tmp_path, options=FAST)


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


def test_a_connection_that_drips_is_given_up(url, tmp_path):
    options = replace(FAST, stall_s=0.2, wall_s=2.5)
    with pytest.raises(RetryableError, match=r"within 2\.5 s"):
        download(remote(url, "drip"), tmp_path, options=options)
    assert len(log(url, "drip")) >= 3


def test_progress_has_rate_and_time_left(url, tmp_path):
    moments = []
    options = TransferOptions(connections=1)
    download(remote(url, "bytes", size=300_000), tmp_path, options=options, progress=moments.append)
    assert moments[-1].done == moments[-1].total == 300_000
    assert any(m.rate > 0 and m.eta_s is not None for m in moments)


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


class Hosts(BaseHTTPRequestHandler):
    """Redirects to another port, or back and forth; keeps what Authorization it saw."""

    seen: list

    def do_GET(self):
        self.seen.append((self.path, self.headers.get("Authorization")))
        target = self.targets.get(self.path)
        self.send_response(302 if target else 200)
        body = b"" if target else b"content"
        if target:
            self.send_header("Location", target)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def hosts():
    """Two servers of different ports: different hosts in the sense of credentials."""
    servers = []
    for _ in range(2):
        handler = type("Handler", (Hosts,), {"seen": [], "targets": {}})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append((f"http://127.0.0.1:{server.server_port}", handler, server))
    yield servers
    for *_, server in servers:
        server.shutdown()
        server.server_close()


def test_authorization_stays_with_its_host(hosts, tmp_path):
    (first, here, _), (second, there, _) = hosts
    here.targets |= {"/a": f"{second}/b", "/same": "/c"}
    download(Remote(f"{first}/a", "p", "a"), tmp_path, signer=Tokens(), options=FAST)
    download(Remote(f"{first}/same", "p", "c"), tmp_path, signer=Tokens(), options=FAST)
    assert there.seen == [("/b", None)]
    assert [auth for _, auth in here.seen] == ["Bearer token-0"] * 3
    trusted = Remote(f"{first}/a", "p", "d", trusted_hosts=("127.0.0.1",))
    download(trusted, tmp_path, signer=Tokens(), options=FAST)
    assert there.seen[-1] == ("/b", "Bearer token-0")


def test_a_proxy_of_the_environment(hosts, tmp_path, monkeypatch):
    (first, here, _), (_, there, server) = hosts
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    download(Remote("http://far.invalid/x", "p", "a"), tmp_path, options=FAST)
    assert there.seen == [("http://far.invalid/x", None)]
    download(Remote(f"{first}/y", "p", "b"), tmp_path, options=FAST)
    assert here.seen == [("/y", None)]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://h/x", "/loop"])
def test_redirects_that_are_not_followed(hosts, tmp_path, target):
    (first, here, _), _ = hosts
    here.targets["/loop"] = target
    with pytest.raises(ProductError, match="redirect"):
        download(Remote(f"{first}/loop", "p", "a"), tmp_path, options=FAST)


@pytest.mark.parametrize("target", ["http://127.0.0.1:99999999/x", "http://[::1/x"])
def test_a_redirect_that_is_no_address_is_one_sentence(hosts, tmp_path, target):
    (first, here, _), _ = hosts
    here.targets["/odd"] = target
    with pytest.raises(ProductError, match="as safe"):
        download(Remote(f"{first}/odd", "p", "a"), tmp_path, options=FAST)


def test_an_address_that_cannot_be_read_is_one_sentence(tmp_path):
    with pytest.raises(ProductError, match="the address of a file"):
        download(Remote("http://127.0.0.1:99999999/x", "p", "a"), tmp_path, options=FAST)


def test_the_usual_port_is_the_same_host():
    from skymend.sources.transfer.access import _place

    assert _place("https://h/a") == _place("https://h:443/b") != _place("https://h:8443/a")


def test_https_with_its_own_authority_and_no_way_down(hosts, tmp_path):
    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    handler = type("Handler", (Hosts,), {"seen": [], "targets": {"/down": f"{hosts[0][0]}/x"}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://127.0.0.1:{server.server_port}"
    certs = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(certs)
    trusting = TransferOptions(attempts=1, backoff_s=0.01, ca_certs=certs)
    try:
        assert download(Remote(f"{url}/a", "p", "a"), tmp_path, options=trusting).bytes == 7
        with pytest.raises(ProductError, match="as safe"):
            download(Remote(f"{url}/down", "p", "b"), tmp_path, options=trusting)
        with pytest.raises(RetryableError, match="certificate"):
            download(Remote(f"{url}/a", "p", "c"), tmp_path, options=FAST)
    finally:
        server.shutdown()
        server.server_close()


def test_headers_that_trickle_end_at_the_wall(tmp_path):
    """A byte now and then keeps every stall timeout content; the wall timeout is not fooled."""
    import socket

    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def trickle():
        while not stop.is_set():
            sock, _ = listener.accept()
            with sock:
                try:
                    sock.sendall(b"HTTP/1.1 200 OK\r\n")
                    while not stop.wait(0.1):
                        sock.sendall(b"X")
                except OSError:
                    continue

    threading.Thread(target=trickle, daemon=True).start()
    start = time.monotonic()
    options = TransferOptions(stall_s=1.0, wall_s=1.5)
    wanted = Remote(f"http://127.0.0.1:{listener.getsockname()[1]}/x", "p", "a")
    with pytest.raises(RetryableError, match="wall timeout"):
        download(wanted, tmp_path, options=options)
    assert time.monotonic() - start < 4
    stop.set()
    listener.close()


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
    assert time.monotonic() - start < 5
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


def test_work_folder_apart(url, content, tmp_path):
    shm = Path("/dev/shm")
    work = (shm if shm.is_dir() else tmp_path) / f"skymend-test-{os.getpid()}"
    receipt = download(remote(url, "small"), tmp_path / "out", work=work, options=FAST)
    assert receipt.path.read_bytes() == content("small")
    assert list(work.iterdir()) == []
    work.rmdir()
