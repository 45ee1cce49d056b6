"""One chain of tokens: passwords of time, refresh before login, patience with busy accounts."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from skymend.core.errors import AccessError, ConfigError, RetryableError
from skymend.sources.credentials import Credentials
from skymend.sources.tokens import TokenChain, totp
from tests.servers import routes
from tests.servers.cdse import Account
from tests.servers.routes import Response

ASCII = {
    "sha1": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
    "sha256": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA",
    "sha512": (
        "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
        "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNA"
    ),
}
"""The secrets 12345678901234567890... of RFC 6238, appendix B, in base32."""


@pytest.mark.parametrize(
    ("moment", "sha1", "sha256", "sha512"),
    [
        (59, "94287082", "46119246", "90693936"),
        (1111111109, "07081804", "68084774", "25091201"),
        (1111111111, "14050471", "67062674", "99943326"),
        (1234567890, "89005924", "91819424", "93441116"),
        (2000000000, "69279037", "90698825", "38618901"),
        (20000000000, "65353130", "77737706", "47863826"),
    ],
)
def test_one_time_passwords_of_rfc_6238_appendix_b(moment, sha1, sha256, sha512):
    for name, expected in (("sha1", sha1), ("sha256", sha256), ("sha512", sha512)):
        assert totp(ASCII[name], moment, digits=8, name=name) == expected


def test_secrets_are_taken_as_authenticators_show_them():
    assert totp("jbsw y3dp ehpk 3pxp", 59) == totp("JBSWY3DPEHPK3PXP", 59)
    with pytest.raises(ConfigError, match="base32") as caught:
        totp("not-a-secret-1890", 59)
    assert "1890" not in str(caught.value)


class Clock:
    """Time that a test turns."""

    def __init__(self):
        self.now = 1_600_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def account():
    # The server's own clock is the real one: its tokens never end there.
    return Account(access_s=600, refresh_s=3600)


@pytest.fixture
def server(account):
    with routes.serve({"POST /token": account.answer}) as running:
        yield running


def chain_at(server, cache: Path, clock=None, **login):
    login = login or {"username": "someone@example.org", "password": "correct horse"}
    credentials = Credentials({"cdse": login}, {}, cache / "none")
    url = f"{server.url}/token"
    return TokenChain("cdse", url, "cdse-public", credentials, cache, 5.0, clock or Clock())


def test_a_token_serves_until_it_grows_old(server, account, tmp_path):
    clock = Clock()
    chain = chain_at(server, tmp_path, clock)
    first = chain.access()
    clock.now += 560
    assert chain.access() == first
    assert server.count("/token") == 1
    clock.now += 20  # 580 of 600 s: too little left for a request
    assert chain.access() != first
    assert (account.sessions, account.refreshed) == (1, 1)


def test_the_refresh_chain_keeps_one_session_for_a_day(server, account, tmp_path):
    clock = Clock()
    chain = chain_at(server, tmp_path, clock)
    for _ in range(24 * 6):
        chain.access()
        clock.now += 600
    assert account.sessions == 1
    assert account.refreshed == 24 * 6 - 1


def test_the_password_is_sent_again_when_the_refresh_token_is_gone(server, account, tmp_path):
    clock = Clock()
    chain = chain_at(server, tmp_path, clock)
    chain.access()
    clock.now += 3700
    chain.access()
    assert (account.sessions, account.refreshed) == (2, 0)
    account.refresh.clear()  # the service forgets the session before its time
    clock.now += 700
    chain.access()
    assert (account.sessions, account.refreshed) == (3, 0)


def test_a_refused_token_is_replaced_once_for_many_threads(server, account, tmp_path):
    chain = chain_at(server, tmp_path)
    stale = chain.access()
    got = []
    threads = [
        threading.Thread(target=lambda: got.append(chain.access(rejected=stale))) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(got)) == 1
    assert stale not in got
    assert (account.sessions, account.refreshed) == (1, 1)


PROCESS = """
import sys
from pathlib import Path
from skymend.sources.credentials import Credentials
from skymend.sources.tokens import TokenChain
url, cache = sys.argv[1], Path(sys.argv[2])
login = {"username": "someone@example.org", "password": "correct horse"}
credentials = Credentials({"cdse": login}, {}, cache / "none")
chain = TokenChain("cdse", url, "cdse-public", credentials, cache, 20.0)
print("ready", flush=True)
sys.stdin.readline()
print(chain.access(rejected=sys.argv[3] or None), flush=True)
"""


def together(url, cache, rejected="", count=3):
    """Start processes, let them all ask at once, and return the tokens they got."""
    command = [sys.executable, "-c", PROCESS, url, str(cache), rejected]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as stack:
        running = [stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(count)]
        for process in running:
            assert process.stdout.readline() == "ready\n"
        for process in running:
            process.stdin.write("go\n")
            process.stdin.flush()
        return {process.stdout.readline().strip() for process in running}


def test_processes_share_one_login_and_one_rotated_refresh_token(server, account, tmp_path):
    """The server takes each refresh token once, so a second refresh would cost a session."""
    url = f"{server.url}/token"
    (first,) = together(url, tmp_path)
    assert (account.sessions, account.refreshed) == (1, 0)
    (second,) = together(url, tmp_path, rejected=first)
    assert second != first
    assert (account.sessions, account.refreshed) == (1, 1)


def test_the_cache_is_for_its_owner_only(server, tmp_path):
    chain = chain_at(server, tmp_path)
    chain.access()
    files = [p for p in (tmp_path / "tokens").iterdir() if p.suffix in {".json", ".lock"}]
    assert len(files) == 2
    assert all(p.stat().st_mode & 0o777 == 0o600 for p in files)
    assert (tmp_path / "tokens").stat().st_mode & 0o777 == 0o700
    chain.forget()
    assert not list((tmp_path / "tokens").glob("*.json"))


def test_two_accounts_do_not_share_tokens(server, account, tmp_path):
    first = chain_at(server, tmp_path).access()
    account.username = "other"
    second = chain_at(server, tmp_path, username="other", password="correct horse").access()
    assert first != second


@pytest.mark.parametrize("content", ["", "{", "[]", '{"access": 1, "nonsense": 2}', "{}"])
def test_a_damaged_cache_starts_the_chain_anew(server, account, tmp_path, content):
    chain = chain_at(server, tmp_path)
    chain.access()
    (file,) = (tmp_path / "tokens").glob("*.json")
    file.write_text(content)
    assert chain.access()
    assert account.sessions == 2


def test_a_full_account_is_left_in_peace_until_its_time(server, account, tmp_path):
    account.cap = 0
    clock = Clock()
    for _ in range(5):
        with pytest.raises(RetryableError, match="Max session number exceeded"):
            chain_at(server, tmp_path, clock).access()
    assert server.count("/token") == 1
    account.cap = 1
    clock.now += 61
    assert chain_at(server, tmp_path, clock).access()


def test_retry_after_of_a_full_account_is_kept(tmp_path):
    full = Response({"error": "Max session number exceeded"}, 429, {"Retry-After": "1800"})
    with routes.serve({"POST /token": lambda _: full}) as server:
        clock = Clock()
        with pytest.raises(RetryableError, match="wait 1800 s"):
            chain_at(server, tmp_path, clock).access()
        clock.now += 1790
        with pytest.raises(RetryableError, match="wait 10 s"):
            chain_at(server, tmp_path, clock).access()
        assert server.count("/token") == 1


def test_retry_after_as_a_date_is_understood(tmp_path):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=900), usegmt=True)
    full = Response({"error": "Max session number exceeded"}, 429, {"Retry-After": date})
    with (
        routes.serve({"POST /token": lambda _: full}) as server,
        pytest.raises(RetryableError, match=r"wait (89\d|900) s"),
    ):
        chain_at(server, tmp_path).access()


def test_a_pause_of_years_ends_after_a_day(tmp_path):
    full = Response({"error": "Max session number exceeded"}, 429, {"Retry-After": "9" * 12})
    with routes.serve({"POST /token": lambda _: full}) as server:
        clock = Clock()
        with pytest.raises(RetryableError, match="wait 86400 s"):
            chain_at(server, tmp_path, clock).access()
        clock.now -= 10 * 86400
        with pytest.raises(RetryableError, match="wait 86400 s"):
            chain_at(server, tmp_path, clock).access()
        assert server.count("/token") == 2, "a clock that was set back does not lock the door"


def test_a_full_account_still_refreshes_its_own_session(server, account, tmp_path):
    clock = Clock()
    chain = chain_at(server, tmp_path, clock)
    chain.access()
    account.cap = 0
    clock.now += 700
    assert chain.access()
    assert (account.sessions, account.refreshed) == (1, 1)


def test_a_wrong_password_is_one_sentence_without_it(server, tmp_path):
    chain = chain_at(server, tmp_path, username="someone@example.org", password="hunter2!")
    with pytest.raises(AccessError) as caught:
        chain.access()
    assert "hunter2" not in f"{caught.value} {chain!r} {caught.value.__context__}"
    assert "totp_secret" in str(caught.value)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_disturbed_service_is_worth_another_try(tmp_path, status):
    busy = Response({"error": "x"}, status)
    with (
        routes.serve({"POST /token": lambda _: busy}) as server,
        pytest.raises(RetryableError, match=f"status {status}"),
    ):
        chain_at(server, tmp_path).access()


def test_an_unreachable_service_is_worth_another_try(server, tmp_path):
    class Gone:
        url = "http://127.0.0.1:9"

    with pytest.raises(RetryableError, match="token service of cdse") as caught:
        chain_at(Gone, tmp_path).access()
    assert "correct horse" not in str(caught.value)


def test_a_redirect_with_the_password_is_not_followed(tmp_path):
    table = {
        "POST /token": lambda _: routes.redirect("/elsewhere"),
        "(GET|POST) /elsewhere": lambda *_: Response({"access_token": "t", "expires_in": 1}),
    }
    with routes.serve(table) as server:
        with pytest.raises(Exception, match="status 302"):
            chain_at(server, tmp_path).access()
        assert server.count("/elsewhere") == 0


def test_the_cache_never_holds_the_password(server, tmp_path):
    chain_at(server, tmp_path).access()
    (file,) = (tmp_path / "tokens").glob("*.json")
    assert "correct" not in file.read_text()
    assert set(json.loads(file.read_text())) == {
        *("access", "refresh", "access_until", "refresh_until", "busy_until")
    }


def test_the_proxy_of_the_environment_is_used(account, tmp_path, monkeypatch):
    class Far:
        url = "http://far.invalid"

    with routes.serve({"POST .*": account.answer}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "localhost")
        assert chain_at(Far, tmp_path).access()
    assert account.sessions == 1
