"""Small JSON requests: patience with busy servers, sentences for the rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from skymend.core.errors import AccessError, AnswerError, RetryableError
from skymend.sources import json_client
from skymend.sources.json_client import JsonClient
from skymend.sources.transfer import Ledger, Limits
from tests.servers.routes import Request, Response, serve


def client(waits: list[float], **changes) -> JsonClient:
    return JsonClient("made-up", timeout_s=3.0, sleep=waits.append, **changes)


def test_gzip_query_and_headers():
    def answer(request: Request) -> Response:
        assert request.headers["Accept-Encoding"] == "gzip"
        assert request.headers["X-Key"] == "k"
        return Response({"asked": request.query, "sent": request.body.decode()})

    with serve({"(GET|POST) /x": lambda r, _: answer(r)}) as server:
        own = client([], headers={"X-Key": "k"})
        assert own.get(f"{server.url}/x", {"a": "b c&d"})["asked"] == {"a": "b c&d"}
        assert own.post(f"{server.url}/x", {"a": 1})["sent"] == '{"a":1}'


@pytest.mark.parametrize("after", ["7", None, "date"])
def test_busy_servers_are_asked_again_when_they_say(after):
    answers = [503, 429]
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=9), usegmt=True)
    headers = {} if after is None else {"Retry-After": when if after == "date" else after}

    def answer(_: Request) -> Response:
        return Response({}, answers.pop(), headers) if answers else Response({"ok": True})

    waits: list[float] = []
    with serve({"GET /x": answer}) as server:
        assert client(waits).get(f"{server.url}/x") == {"ok": True}
    expected = {"7": [7.0, 7.0], None: [0.25, 0.5], "date": [9.0, 9.0]}[after]
    assert waits == pytest.approx(expected, abs=1.5)  # dates have whole seconds


def test_a_long_pause_is_left_to_the_caller():
    waits: list[float] = []
    with serve({"GET /x": lambda _: Response({}, 429, {"Retry-After": "3600"})}) as server:
        with pytest.raises(RetryableError, match="status 429; it asks to wait 3600 s"):
            client(waits).get(f"{server.url}/x")
        assert server.count("/x") == 1
    assert waits == []


def test_a_pause_holds_for_all_processes_of_the_machine(tmp_path):
    clock = [1000.0]
    ledger = Ledger(tmp_path, {"made-up": Limits(requests_per_minute=2)}, clock=lambda: clock[0])
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(round(seconds))
        clock[0] += seconds

    own = JsonClient("made-up", 3.0, sleep=sleep, ledger=ledger)
    answers = [Response({}, 503, {"Retry-After": "5"}), *([Response({"ok": True})] * 4)]
    with serve({"GET /x": lambda _: answers.pop(0)}) as server:
        own.get(f"{server.url}/x")
        assert waits == [5], "as the server asked"
        own.get(f"{server.url}/x")
        assert waits == [5, 55], "two requests a minute"
        ledger.pause("made-up", 3600)
        with pytest.raises(RetryableError, match="a pause of 3600 s that it asked for"):
            own.get(f"{server.url}/x")


def test_servers_out_of_reach():
    with pytest.raises(RetryableError, match="of the connection"):
        client([]).get("http://127.0.0.1:9/x")


@pytest.mark.parametrize(
    ("response", "error", "sentence"),
    [
        (Response(b"<html>login</html>"), AnswerError, r"a JSON object, found '<html>login"),
        (Response(b"[1]"), AnswerError, "a JSON object, found"),
        (Response({"m": "no"}, 401), AccessError, "a login that the server accepts"),
        (Response({"m": "bad filter"}, 400), AnswerError, "status 400: .*bad filter"),
        (Response(b"", 302, {"Location": "http://127.0.0.1/"}), AnswerError, "status 302"),
    ],
)
def test_other_answers_say_what_they_were(response, error, sentence):
    with serve({"GET /x": lambda _: response}) as server, pytest.raises(error, match=sentence):
        client([]).get(f"{server.url}/x")


def test_endless_answers_are_cut_off(monkeypatch):
    monkeypatch.setattr(json_client, "_MAX_BYTES", 1000)
    long = Response({"a": "b" * 2000})
    with serve({"GET /x": lambda _: long}) as server, pytest.raises(AnswerError, match="longer"):
        client([]).get(f"{server.url}/x")


def test_errors_show_no_query():
    with serve({}) as server, pytest.raises(AnswerError) as caught:
        client([]).get(f"{server.url}/x", {"token": "secret"})
    assert "secret" not in str(caught.value)


def test_the_proxy_of_the_environment_is_used(monkeypatch):
    """Where all traffic must go through a proxy, searches do so as downloads do."""
    with serve({"GET .*": lambda _: Response({"through": "proxy"})}) as server:
        monkeypatch.setenv("http_proxy", server.url)
        monkeypatch.setenv("no_proxy", "localhost")
        assert JsonClient("p").get("http://far.invalid/x") == {"through": "proxy"}
