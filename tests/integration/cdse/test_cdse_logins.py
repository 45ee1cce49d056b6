"""Logins at the loopback Data Space: one chain of tokens, second factors, what the doctor says."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from skymend.core.errors import AccessError, ProductError, RetryableError
from skymend.sources.credentials import Credentials
from skymend.sources.protocol import Filters
from skymend.sources.registry import open_source
from skymend.sources.tokens import totp
from tests.cdse_case import L2A, PERIOD, area, settings_of
from tests.servers import cdse, routes
from tests.servers.routes import Response, redirect


def test_the_account_opens_one_session_for_many_processes(products, tmp_path):
    """Four processes whose tokens are refused: one password login, the rest is refreshed."""
    with cdse.serve(products) as server:
        code = (
            "import sys, json, pathlib\n"
            "from skymend.sources.credentials import Credentials\n"
            "from skymend.sources.tokens import TokenChain\n"
            "url, cache = sys.argv[1:]\n"
            "login = {'cdse': {'username': 'someone@example.org', 'password': 'correct horse'}}\n"
            "found = Credentials(login, {}, pathlib.Path('none'))\n"
            "chain = TokenChain('cdse', url, 'cdse-public', found, pathlib.Path(cache))\n"
            "tokens = []\n"
            "for _ in range(5):\n"
            "    tokens.append(chain.access())\n"
            "    tokens.append(chain.access(rejected=tokens[-1]))\n"
            "print(json.dumps(tokens))\n"
        )
        command = [sys.executable, "-c", code, server.endpoints["cdse.token"], str(tmp_path)]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
        outputs = [process.communicate(timeout=120)[0] for process in running]
        assert all(process.returncode == 0 for process in running)
        assert server.account.sessions == 1
        tokens = [t for output in outputs for t in json.loads(output)]
        assert len(tokens) == 40
        assert set(tokens) <= set(server.account.tokens)
        # A refused token is replaced once, for whoever comes first.
        assert 1 <= server.account.refreshed <= 20


def test_an_expired_token_is_renewed_in_the_middle_of_a_product(products, tmp_path):
    with cdse.serve(products) as server:
        source = open_source("cdse-odata", settings_of(server, tmp_path))
        (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
        source.fetch(item, ["metadata"], tmp_path / "first")
        server.account.tokens.clear()
        source.fetch(item, ["B04"], tmp_path / "second")
        assert (server.account.sessions, server.account.refreshed) == (1, 1)


def test_too_many_sessions_are_told_and_not_asked_for_again(products, tmp_path):
    with cdse.serve(products, account=cdse.Account(cap=0)) as server:
        source = open_source("cdse-odata", settings_of(server, tmp_path))
        (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
        for _ in range(3):
            with pytest.raises(RetryableError, match="Max session number exceeded"):
                source.fetch(item, ["B04"], tmp_path / "here")
        assert server.count("/token") == 1


def test_a_second_factor_is_sent_along(products, tmp_path):
    import time

    secret = "JBSWY3DPEHPK3PXP"
    account = cdse.Account(totp=lambda: totp(secret, time.time()))
    with cdse.serve(products, account=account) as server:
        login = {"username": account.username, "password": account.password}
        for extra, works in (({}, False), ({"totp_secret": secret}, True)):
            settings = settings_of(server, tmp_path / str(works), **login, **extra)
            finding = open_source("cdse", settings).check()[1]
            assert finding.ok == works, finding.sentence
            assert works or "totp_secret" in finding.sentence


def test_without_login_one_sentence_names_the_three_places(server, tmp_path):
    settings = replace(
        settings_of(server, tmp_path),
        credentials=Credentials({}, {}, tmp_path / "no-netrc"),
    )
    source = open_source("cdse", settings)
    (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
    with pytest.raises(AccessError) as caught:
        source.fetch(item, ["B04"], tmp_path / "here")
    for place in ("argument", "SKYMEND_CDSE_USERNAME", ".netrc"):
        assert place in str(caught.value)


def test_a_wrong_password_shows_nowhere(server, tmp_path, caplog):
    settings = settings_of(server, tmp_path, username="someone@example.org", password="hunter2!")
    source = open_source("cdse", settings)
    (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
    with pytest.raises(AccessError) as caught:
        source.fetch(item, ["B04"], tmp_path / "here")
    shown = f"{caught.value!r} {caught.value} {source.check()} {settings!r} {caplog.text}"
    assert "hunter2!" not in shown
    assert "refusal" in shown
    cached = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()]
    assert not any(b"hunter2!" in content for content in cached)


def test_tokens_are_for_the_owner_only_and_not_in_what_is_fetched(server, settings, tmp_path):
    source = open_source("cdse", settings)
    (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
    source.fetch(item, ["metadata"], tmp_path / "here")
    (file,) = (settings.cache / "tokens").glob("*.json")
    assert file.stat().st_mode & 0o777 == 0o600
    access = json.loads(file.read_text())["access"]
    others = [p for p in tmp_path.rglob("*") if p.is_file() and p != file]
    assert not any(access.encode() in p.read_bytes() for p in others)


def test_a_secret_in_the_environment_is_found(server, tmp_path):
    environment = {"CDSE_USERNAME": "someone@example.org", "SKYMEND_CDSE_PASSWORD": "correct horse"}
    settings = replace(
        settings_of(server, tmp_path),
        credentials=Credentials({}, environment, tmp_path / "no-netrc"),
    )
    assert [f.ok for f in open_source("cdse", settings).check()] == [True, True]


def test_a_redirect_within_the_service_is_followed(products, tmp_path):
    """Downloads may be sent on; the token goes along only where the service is the same."""
    seen = []

    def elsewhere(request, path):
        seen.append(request.headers.get("Authorization"))
        return Response(b"<html>not here</html>", 404)

    with routes.serve({"GET /other/(.*)": elsewhere}) as other:
        on = {
            r"GET /odata/v1/Products\((.*)\)/Nodes.*": lambda *_: redirect(f"{other.url}/other/x")
        }
        with cdse.serve(products, extra=on) as server:
            source = open_source("cdse-odata", settings_of(server, tmp_path))
            (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
            with pytest.raises((ProductError, RetryableError, AccessError)):
                source.fetch(item, ["B04"], tmp_path / "here")
    assert seen
    assert set(seen) == {None}


@pytest.mark.parametrize("way", ["cdse", "cdse-odata", "cdse-s3"])
def test_the_doctor_tries_what_a_fetch_would_use(way, server, tmp_path):
    keys = {"access_key": "a-key-for-tests", "secret_key": "a-secret-for-tests"}
    settings = settings_of(server, tmp_path, **(keys if way == "cdse-s3" else {}))
    catalogue, login = open_source(way, settings).check()
    assert catalogue.ok
    assert login.ok
    assert ("S3 keys" in login.sentence) == (way == "cdse-s3")
    assert ("OData" in catalogue.sentence) == (way == "cdse-odata")
    assert {catalogue.provider, login.provider} == {way}


def test_the_doctor_says_what_is_wrong(products, tmp_path):
    refusal = {"GET /eodata/?": lambda _: Response(b"", 403)}
    keys = {"access_key": "a-key-for-tests", "secret_key": "a-secret-for-tests"}
    with cdse.serve(products, extra=refusal) as server:
        settings = settings_of(server, tmp_path, **keys)
        endpoints = {**server.endpoints, "cdse.s3": server.web.url}
        refused = open_source("cdse-s3", replace(settings, endpoints=endpoints)).check()
        nobody = replace(settings, credentials=Credentials({}, {}, tmp_path / "none"))
        missing = open_source("cdse-s3", nobody).check()
    assert [f.ok for f in (*refused, *missing)] == [True, False, True, False]
    assert "403" in refused[1].sentence
    assert "SKYMEND_CDSE_ACCESS_KEY" in missing[1].sentence
    assert "a-secret" not in f"{refused}"
