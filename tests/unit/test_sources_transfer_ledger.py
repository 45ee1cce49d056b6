"""The ledger: what a provider allows, counted over all processes of a machine."""

import threading
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core.errors import ConfigError, RetryableError
from skymend.sources.transfer import Digest, Ledger, Limits, Remote


class Clock:
    def __init__(self, now=1_800_000_000.0):
        self.now = now

    def __call__(self):
        return self.now


def ledger(folder, clock=None, **limits):
    return Ledger(folder, {"p": Limits(**limits)}, clock=clock or Clock())


def test_without_limits_everything_is_allowed(tmp_path):
    book = Ledger(tmp_path)
    assert book.turn("p") == 0.0
    assert book.room("p") is None
    assert all(book.try_connection("p") for _ in range(50))


def test_connections(tmp_path):
    book = ledger(tmp_path, connections=2)
    first, second = book.try_connection("p"), book.try_connection("p")
    assert first is not None
    assert second is not None
    assert Ledger(tmp_path, book.limits).try_connection("p") is None, "another object, same limits"
    first.release()
    first.release()
    assert book.try_connection("p") is not None


@pytest.mark.parametrize("seed", range(3))
def test_never_more_requests_than_allowed_in_any_minute(tmp_path, seed):
    import random

    rng, clock = random.Random(seed), Clock()
    book = ledger(tmp_path, clock, requests_per_minute=7)
    taken = []
    for _ in range(60):
        wait = book.turn("p")
        if wait == 0.0:
            taken.append(clock.now)
            clock.now += rng.choice((0.0, 0.5, 3.0, 20.0))
        else:
            clock.now += wait
    assert all(b - a >= 60 for a, b in zip(taken, taken[7:], strict=False))
    assert len(taken) > 30


def test_the_last_moment_of_the_minute(tmp_path):
    clock = Clock()
    book = ledger(tmp_path, clock, requests_per_minute=2)
    assert book.turn("p") == 0.0
    clock.now += 10
    assert book.turn("p") == 0.0
    assert book.turn("p") == pytest.approx(50.0)
    clock.now += 50.0
    assert book.turn("p") == 0.0


def test_a_clock_that_is_set_back_blocks_nothing(tmp_path):
    clock = Clock()
    book = ledger(tmp_path, clock, requests_per_minute=1)
    assert book.turn("p") == 0.0
    clock.now -= 7200
    assert book.turn("p") == 0.0


def test_a_pause_holds_for_all_and_ends(tmp_path):
    clock = Clock()
    book = ledger(tmp_path, clock)
    book.pause("p", 30)
    book.pause("p", 5)
    assert Ledger(tmp_path, clock=clock).turn("p") == pytest.approx(30.0)
    assert book.turn("other") == 0.0
    clock.now += 31
    assert book.turn("p") == 0.0


def test_a_pause_without_reason_ends_after_a_day(tmp_path):
    """A Retry-After of years, or one that a clock set back has left, blocks nobody for ever."""
    clock = Clock()
    book = ledger(tmp_path, clock)
    book.pause("p", float("inf"))
    assert book.turn("p") == 24 * 3600
    clock.now -= 10 * 24 * 3600
    assert book.turn("p") == 0.0
    book.pause("p", 5)
    assert book.turn("p") == pytest.approx(5.0)


def test_requests_and_units_of_a_month(tmp_path):
    clock = Clock(datetime(2026, 1, 31, 23, 0, tzinfo=UTC).timestamp())
    book = ledger(tmp_path, clock, requests_per_month=3, units_per_month=10)
    assert [book.turn("p") for _ in range(3)] == [0.0] * 3
    with pytest.raises(RetryableError, match=r"3 requests a month.*next month.*limits\.json"):
        book.turn("p")
    clock.now += 2 * 3600
    assert book.turn("p") == 0.0, "February"
    book.spend_units("p", 9.5)
    assert book.turn("p") == 0.0
    book.spend_units("p", 0.6)
    assert (book.monthly("p").requests, book.monthly("p").units) == (2, pytest.approx(10.1))
    with pytest.raises(RetryableError, match="10 processing units a month"):
        Ledger(tmp_path, book.limits, clock=clock).turn("p")


def test_the_minute_is_kept_beside_the_month(tmp_path):
    book = ledger(tmp_path, requests_per_minute=1, requests_per_month=5)
    assert book.turn("p") == 0.0
    assert book.turn("p") > 0.0
    assert book.monthly("p").requests == 1, "a turn that was not taken does not count"


def test_limits_of_the_machine_go_before_the_built_in(tmp_path):
    book = ledger(tmp_path, connections=4, requests_per_month=5)
    own = tmp_path / "limits.json"
    own.write_text('{"p": {"requests_per_month": null, "connections": 2}}')
    assert book.of("p") == Limits(connections=2)
    assert book.of("q") == Limits()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "a JSON object of limits"),
        ("[]", "an object of limits"),
        ('{"p": 3}', "an object of limits under 'p'"),
        ('{"p": {"conections": 3}}', "conections"),
        ('{"p": {"connections": "3"}}', "connections"),
        ('{"p": {"connections": true}}', "connections"),
        ('{"p": {"connections": 0}}', "at least 1"),
    ],
)
def test_limits_that_cannot_be_read_are_told(tmp_path, text, words):
    (tmp_path / "limits.json").write_text(text)
    with pytest.raises(ConfigError, match=words):
        ledger(tmp_path, connections=4).of("p")


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 100)), max_size=12))
def test_bytes_of_thirty_days(tmp_path_factory, steps):
    """Against a plain list: hours older than 720 do not count."""
    clock = Clock(0.0)
    book = ledger(tmp_path_factory.mktemp("l"), clock, bytes_per_30_days=500)
    spent = []
    for hours, count in steps:
        clock.now += hours * 3600
        book.spend("p", count)
        spent.append((clock.now // 3600, count))
        recent = sum(n for hour, n in spent if hour > clock.now // 3600 - 720)
        assert book.room("p") == max(0, 500 - recent)


def test_many_threads_lose_no_byte(tmp_path):
    book = ledger(tmp_path, bytes_per_30_days=10**9)
    threads = [
        threading.Thread(target=lambda: [book.spend("p", 1) for _ in range(25)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert book.room("p") == 10**9 - 200


def test_quarantine_needs_the_same_wrong_digest_twice(tmp_path):
    book = Ledger(tmp_path)
    remote = Remote("http://h/a", "p", "a.zip", digests=(Digest("md5", "0" * 32),))
    assert not book.bad_digest(remote, "md5 1")
    assert not book.bad_digest(remote, "md5 2")
    assert book.quarantined(remote) is None
    assert book.bad_digest(remote, "md5 1")
    assert "twice" in Ledger(tmp_path).quarantined(remote)
    renewed = Remote("http://h/a", "p", "a.zip", digests=(Digest("md5", "1" * 32),))
    assert book.quarantined(renewed) is None, "a new digest makes it a new file"
    book.release(remote)
    assert book.quarantined(remote) is None
    assert not book.bad_digest(remote, "md5 1"), "what was wrong before is forgotten"


def test_files_of_one_name_without_digest_are_told_apart_by_their_address(tmp_path):
    """Each product has a manifest.safe; one that is damaged says nothing of the others."""
    book = Ledger(tmp_path)
    bad, good = (Remote(f"http://h/{p}/manifest.safe?key=1", "p", "manifest.safe") for p in "ab")
    assert not book.bad_digest(bad, "sha256 1")
    assert book.bad_digest(bad, "sha256 1")
    assert book.quarantined(bad) is not None
    assert book.quarantined(good) is None
    renewed = Remote("http://h/a/manifest.safe?key=2", "p", "manifest.safe")
    assert book.quarantined(renewed) is not None, "another signature, the same file"
    assert not book.bad_digest(good, "sha256 1")


@pytest.mark.parametrize("spoilt", ["[]", '{"a": 3}', '{"hours": 4, "pause_until": "x"}', "{"])
def test_spoilt_files_count_as_empty(tmp_path, spoilt):
    book = ledger(tmp_path, bytes_per_30_days=100, requests_per_month=5)
    remote = Remote("http://h/a", "p", "a")
    for path in (tmp_path / "p/usage.json", tmp_path / "quarantine/quarantine.json"):
        path.parent.mkdir()
        path.write_text(spoilt)
    assert book.turn("p") == 0.0
    assert book.room("p") == 100
    assert book.quarantined(remote) is None
    assert not book.bad_digest(remote, "md5 1")
    book.pause("p", 3)


def test_files_torn_by_a_power_cut_are_taken_as_empty(tmp_path):
    book = ledger(tmp_path, bytes_per_30_days=100, requests_per_minute=5)
    book.spend("p", 40)
    book.turn("p")
    (tmp_path / "p/usage.json").write_bytes(b'{"hours": {"5')
    (tmp_path / "p/requests.bin").write_bytes(b"\0\0\0")
    assert book.room("p") == 100
    assert book.turn("p") == 0.0


def test_names_of_providers_make_no_paths(tmp_path):
    book = Ledger(tmp_path / "l", {"../x/y": Limits(connections=1)})
    assert book.try_connection("../x/y") is not None
    assert [p.name for p in tmp_path.iterdir()] == ["l"]


def test_limits_are_checked():
    with pytest.raises(ConfigError, match="connections"):
        Limits(connections=0)
