"""Each rule of the download engine against the fault-injecting server, in a process of its own."""

import gzip
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from skymend.core.errors import AccessError, ProductError, RetryableError, SkipJob
from skymend.sources.transfer import Ledger, QuarantinedError, Remote, TransferOptions, download
from tests.servers.faults import Case
from tests.servers.routes import Response, serve
from tests.transfer_case import FAST, MIB, Tokens, log, md5, parts, remote, shop

OLD = format_datetime(datetime.now(UTC) - timedelta(days=9), usegmt=True)
CASES = [
    Case("plain", 9 * MIB),
    Case("empty", 0),
    Case("small", 1000),
    Case("bytes", 300_000, rate=2e6),
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
]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    compressed = folder / "compressed"
    compressed.write_bytes(gzip.compress(b"text " * 5000))
    cases = [replace(case, path=str(compressed)) if case.path else case for case in CASES]
    with shop(cases, folder) as running:
        yield running


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


def test_a_server_that_only_knows_ranges_without_total_is_given_up(tmp_path):
    """Asked for the whole it sends a range again; that must not go on until the wall."""
    odd = Response(b"content", 206, {"Content-Range": "bytes 0-6/*"})
    with serve({"GET /odd": lambda _: odd}) as server:
        began = time.monotonic()
        with pytest.raises(RetryableError, match="cannot be told apart"):
            download(Remote(f"{server.url}/odd", "p", "odd"), tmp_path, options=FAST)
        assert time.monotonic() - began < FAST.wall_s - 10.0
        assert server.count("/odd") < 10
    assert not (tmp_path / "odd").exists()
