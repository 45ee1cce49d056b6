"""The small parts of the download engine: digests, intervals, headers, pages, journal, progress."""

import base64
import hashlib
import json
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core.errors import ConfigError, ProductError, SkipJob
from skymend.sources.transfer import Digest, Remote, TransferOptions, answers, digests, sniff
from skymend.sources.transfer import download as fetch
from skymend.sources.transfer.answers import Version
from skymend.sources.transfer.intervals import (
    Interval,
    dwindling,
    missing,
    rolled_back,
    total,
    union,
)
from skymend.sources.transfer.part import ROLLBACK, Part
from skymend.sources.transfer.progress import Meter, Moment, terminal_bar

REMOTE = Remote("http://127.0.0.1:1/x?signature=secret", "test", "a.bin")


def test_multihash_of_the_copernicus_catalogue():
    # file:checksum of a CDSE item: code 0xd5 (md5) as the varint d5 01, then 16 bytes.
    found = Digest.from_multihash("d50110d9d04b980ce7f34055702e6e49c973b2")
    assert found == Digest("md5", "d9d04b980ce7f34055702e6e49c973b2")


@pytest.mark.parametrize(
    ("prefix", "name", "make"),
    [
        ("1114", "sha1", hashlib.sha1),
        ("1220", "sha256", hashlib.sha256),
        ("1340", "sha512", hashlib.sha512),
        ("1620", "sha3-256", hashlib.sha3_256),
    ],
)
def test_multihash_prefixes_of_the_multicodec_table(prefix, name, make):
    assert Digest.from_multihash(prefix + make(b"x").hexdigest()).algorithm == name


def test_blake3_published_vector():
    # The empty input, from the test vectors of the BLAKE3 paper's repository.
    empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert digests.start("blake3").hexdigest() == empty
    assert Digest.from_multihash("1e20" + empty).value == empty


@pytest.mark.parametrize("spelling", ["SHA-256", "sha256", "SHA2-256", "sha_256"])
def test_spellings(spelling):
    assert Digest(spelling, "0" * 64).algorithm == "sha256"
    assert digests.known(spelling)


@pytest.mark.parametrize(
    "text", ["", "md5", "md5:zz", "md5:00", "whirlpool:00", "md5:" + "0" * 31 + "g"]
)
def test_malformed_digest_is_one_sentence(text):
    with pytest.raises(ProductError, match="checksum: expected"):
        Digest.parse(text)


@pytest.mark.parametrize("text", ["", "zz", "d501", "d50110", "1220" + "00" * 31, "ff" * 20])
def test_malformed_multihash(text):
    with pytest.raises(ProductError, match="multihash"):
        Digest.from_multihash(text)


def test_strongest_of_several():
    pair = (Digest("md5", "0" * 32), Digest("blake3", "0" * 64))
    assert digests.strongest(pair).algorithm == "blake3"
    assert digests.strongest(()) is None


@given(st.binary(max_size=2000))
def test_crc32_agrees_with_zlib(data):
    hasher = digests.start("crc32")
    hasher.update(memoryview(data[:700]))
    hasher.update(memoryview(data[700:]))
    assert int(hasher.hexdigest(), 16) == zlib.crc32(data)


stretches = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=8).map(
    lambda pairs: [Interval(start, start + length) for start, length in pairs]
)


def numbers(intervals):
    return {n for i in intervals for n in range(i.start, i.end)}


@given(stretches)
def test_intervals_are_sets_of_bytes(have):
    assert numbers(union(have)) == numbers(have)
    assert total(union(have)) == len(numbers(have))
    gaps = missing(have, Interval(5, 70))
    assert numbers(gaps) == set(range(5, 70)) - numbers(have)


@given(stretches, st.integers(1, 30))
def test_rolling_back(have, length):
    kept = rolled_back(have, length)
    assert numbers(kept) <= numbers(have)
    assert all(not numbers(kept) & set(range(i.end - length, i.end)) for i in union(have))


@given(st.integers(0, 500), st.integers(1, 500), st.integers(1, 8), st.integers(1, 20))
def test_pieces_dwindle(start, length, workers, smallest):
    whole = Interval(start, start + length)
    pieces = list(dwindling(whole, workers, smallest, 3 * smallest))
    assert union(pieces) == [whole]
    assert total(pieces) == length
    sizes = [piece.length for piece in pieces]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) <= 3 * smallest
    assert all(size >= smallest for size in sizes[:-1])


def test_validators():
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    date = format_datetime(now, usegmt=True)
    old = format_datetime(now - timedelta(hours=1), usegmt=True)
    assert answers.validator({"ETag": '"abc"'}) == '"abc"'
    assert answers.validator({"ETag": 'W/"abc"'}) is None
    assert answers.validator({"Last-Modified": old, "Date": date}) == old
    # A file changed within the same second as the answer may change again in it.
    assert answers.validator({"Last-Modified": date, "Date": date}) is None
    assert answers.validator({"Last-Modified": "yesterday", "Date": date}) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes 0-9/100", (0, 10, 100)),
        ("bytes 5-5/*", (5, 6, None)),
        ("bytes 9-5/100", None),
        ("bytes */100", None),
        ("", None),
    ],
)
def test_content_range(text, expected):
    assert answers.content_range({"Content-Range": text}) == expected


def test_retry_after_in_seconds_and_as_date():
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    later = format_datetime(now + timedelta(seconds=90), usegmt=True)
    assert answers.retry_after({"Retry-After": "7"}, now) == 7.0
    assert answers.retry_after({"Retry-After": later}, now) == 90.0
    assert answers.retry_after({"Retry-After": later}, now + timedelta(hours=1)) == 0.0
    assert answers.retry_after({"Retry-After": "soon"}, now) is None
    assert answers.retry_after({}, now) is None


def test_digests_that_servers_send_along():
    value = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
    expected = (Digest("sha256", hashlib.sha256(b"x").hexdigest()),)
    assert answers.digests({"Repr-Digest": f"sha-256=:{value}:"}) == expected
    assert answers.digests({"Digest": f"SHA-256={value},unixsum=30637"}) == expected
    assert answers.digests({"x-goog-hash": "crc32c=n03x6A==,md5=!!"}) == ()


@pytest.mark.parametrize(
    ("kind", "name", "content_type", "head", "says"),
    [
        ("file", "a.bin", "text/html", b"<p>no</p>", "a web page"),
        (
            "file",
            "a.bin",
            "application/zip",
            b"\n<!DOCTYPE html><title>Log in</title>",
            "page (Log in)",
        ),
        ("zip", "a.zip", "application/zip", b"PK\x07\x08zzzz", "begins with"),
        ("hdf", "a.hdf", "", b"<Error><Code>NoSuchKey</Code><Message>gone</Message>", "(gone)"),
        ("file", "a.tif", "application/json", b'{"error": "quota"}', "quota"),
        ("geotiff", "a.tif", "image/tiff", b"JFIF1234", "begins with"),
        ("xml", "a.xml", "text/xml", b"oops", "no tag"),
    ],
)
def test_error_pages_with_status_200(kind, name, content_type, head, says):
    assert says in sniff.objection(kind, name, content_type, head)


@pytest.mark.parametrize(
    ("kind", "name", "content_type", "head"),
    [
        ("file", "report.html", "text/html", b"<html>"),
        ("file", "item.json", "application/json", b'{"type": "Feature"}'),
        ("file", "a.bin", "text/html", b"\x00\x01"),
        ("hdf", "a.hdf", "", b"\x0e\x03\x13\x01...."),
        ("hdf", "a.nc", "", b"\x89HDF\r\n\x1a\n"),
        ("geotiff", "a.tif", "", b"II+\0...."),
        ("safe-zip", "a.zip", "application/octet-stream", b"PK\x03\x04"),
        ("xml", "m.xml", "application/xml", b'<?xml version="1.0"?><a/>'),
        ("file", "a.bin", "", b""),
    ],
)
def test_files_are_no_pages(kind, name, content_type, head):
    assert sniff.objection(kind, name, content_type, head) is None


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".hidden", "a\0b", "x" * 300])
def test_names_of_remotes_are_plain(name):
    with pytest.raises(ProductError, match="plain file name"):
        Remote("http://h/x?sig=secret", "test", name)


def test_secrets_of_addresses_are_not_shown():
    assert REMOTE.public_url == "http://127.0.0.1:1/x"
    assert Remote("https://u:pw@h/x#f", "t", "n").public_url == "https://h/x"


def test_options_are_checked():
    with pytest.raises(ConfigError, match="stall_s"):
        TransferOptions(stall_s=0)


def opened(path, remote=REMOTE):
    part = Part(path, remote)
    assert part.try_open()
    return part


VERSION = Version(10 * ROLLBACK, '"v"', ranged=True)


def test_a_part_resumes_less_its_last_mebibyte(tmp_path):
    first = opened(tmp_path / ".a.part")
    first.begin(VERSION)
    data = bytes(range(256)) * (3 * ROLLBACK // 256)
    first.write(data, 0)
    first.note(Interval(0, len(data)))
    first.close()

    second = opened(tmp_path / ".a.part")
    second.resume(verifiable=False)
    assert second.version == VERSION
    assert second.have == [Interval(0, 2 * ROLLBACK)]
    assert second.write(data[2 * ROLLBACK :], 2 * ROLLBACK)
    assert not second.write(b"other", 2 * ROLLBACK), "bytes that contradict those on disk"
    second.close()


@pytest.mark.parametrize(
    "harm", ["digest", "boot", "shorter", "garbage", "missing", "version of the format"]
)
def test_a_journal_that_may_lie_is_not_believed(tmp_path, harm):
    path = tmp_path / ".a.part"
    part = opened(path)
    part.begin(VERSION)
    part.write(bytes(3 * ROLLBACK), 0)
    part.note(Interval(0, 3 * ROLLBACK))
    part.close()
    journal = path.with_name(".a.part.journal")
    header, rest = journal.read_text().split("\n", 1)
    document = json.loads(header)
    remote = REMOTE
    if harm == "digest":
        remote = Remote(REMOTE.url, "test", "a.bin", digests=(Digest("md5", "0" * 32),))
    elif harm == "boot":
        document["boot"] = "another"
    elif harm == "shorter":
        with path.open("r+b") as stream:
            stream.truncate(ROLLBACK)
    elif harm == "version of the format":
        document["skymend-part"] = 99
    if harm == "missing":
        journal.unlink()
    else:
        journal.write_text(("{" if harm == "garbage" else json.dumps(document)) + "\n" + rest)
    again = opened(path, remote)
    again.resume(verifiable=False)
    assert again.done == 0
    assert path.stat().st_size == 0
    again.close()


def test_after_a_reboot_only_verifiable_parts_are_kept(tmp_path):
    path = tmp_path / ".a.part"
    part = opened(path)
    part.begin(VERSION)
    part.write(bytes(3 * ROLLBACK), 0)
    part.note(Interval(0, 3 * ROLLBACK))
    part.close()
    journal = path.with_name(".a.part.journal")
    header, rest = journal.read_text().split("\n", 1)
    journal.write_text(json.dumps(json.loads(header) | {"boot": "another"}) + "\n" + rest)
    again = opened(path)
    again.resume(verifiable=True)
    assert again.done == 2 * ROLLBACK
    again.close()


@given(st.integers(0, 200))
def test_a_torn_journal_claims_only_what_is_there(cut):
    lines = ['{"skymend-part": 1}', *(f"{n * 10} {n * 10 + 10} 10" for n in range(20))]
    text = "\n".join(lines) + "\n"
    torn = text[: len(lines[0]) + 1 + cut]

    class Stub:
        journal = type("P", (), {"read_bytes": staticmethod(torn.encode)})

    _, have = Part._read_journal(Stub)
    complete = torn.count("\n") - 1
    assert numbers(have) == set(range(complete * 10))


def test_two_cannot_have_the_same_part(tmp_path):
    first = opened(tmp_path / ".a.part")
    assert not Part(tmp_path / ".a.part", REMOTE).try_open()
    first.close()
    opened(tmp_path / ".a.part").close()


def test_rate_and_time_left():
    clock = iter([0.0, 1.0, 2.0, 3.0])
    meter = Meter("a", clock=lambda: next(clock))
    meter.moment(0, 1000)
    meter.moment(100, 1000)
    moment = meter.moment(200, 1000)
    assert (moment.rate, moment.eta_s) == (100.0, 8.0)
    assert meter.moment(0, 1000).eta_s is None, "a restart begins a new rate"


def test_a_bar_on_a_terminal_shows_each_file(capsys):
    with terminal_bar() as show:
        show(Moment("a.zip", 0, None, 0.0, None))
        show(Moment("a.zip", 50, 100, 10.0, 5.0))
        show(Moment("b.zip", 100, 100, 10.0, 0.0))
    assert {"a.zip", "b.zip"} <= set(capsys.readouterr().out.split())


def test_offline_files_are_ordered_or_skipped(tmp_path):
    remote = Remote(REMOTE.url, "test", "a.bin", online=False)
    with pytest.raises(SkipJob, match="offline"):
        fetch(remote, tmp_path)

    class Shop:
        def order(self, remote):
            return "in an hour"

    with pytest.raises(Exception, match="run again in an hour"):
        fetch(remote, tmp_path, orders=Shop())
