"""Everything that is wrong with a bucket, in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from skymend.core.errors import ConfigError, RetryableError, StoreError
from skymend.core.store import open_store
from tests.s3_case import a_plan, run_all
from tests.servers.routes import Response, serve
from tests.servers.s3 import SECRET_KEY


def test_a_prefix_with_other_things_is_refused(server, tmp_path):
    server.client().put_object(Bucket="skymend-test", Key="photos/cat.jpg", Body=b"")
    with pytest.raises(StoreError, match=r"other objects and no store\.json"):
        open_store("s3://skymend-test/photos").prepare()
    with pytest.raises(StoreError, match=r"no store\.json"):
        open_store("s3://skymend-test/photos").check()
    neighbour = open_store("s3://skymend-test/photo")
    neighbour.prepare()  # a prefix is a folder: photos/ is not below photo/
    assert list(neighbour.objects.list("")) != []


def test_a_whole_bucket_can_be_a_store(server, tmp_path):
    server.make_bucket("whole")
    store = open_store("s3://whole")
    store.prepare()
    plan, _ = a_plan(tmp_path, seeds=(1,))
    assert run_all(plan, store) == ["done", "done"]
    assert "store.json" in server.keys("whole")
    server.client().put_object(Bucket="whole", Key="store.json", Body=b'{"skymend-store": 9}')
    with pytest.raises(StoreError, match="store format"):
        store.prepare()


@pytest.mark.parametrize(
    "uri",
    [
        "s3://",
        "s3://B/x",
        "s3://key:secret@bucket/x",
        "s3://bucket/../x",
        "ftp://bucket",
        "s3://a//b",
    ],
)
def test_addresses_are_checked_and_not_repeated(uri):
    with pytest.raises(ConfigError, match="s3://bucket/prefix") as caught:
        open_store(uri)
    assert "secret@" not in str(caught.value)


def test_a_missing_bucket_is_one_sentence(server):
    with pytest.raises(StoreError, match="no bucket of that name"):
        open_store("s3://no-such-bucket/x").prepare()


def test_missing_credentials_are_one_sentence(monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreError, match="expected S3 credentials, found none that are complete"):
        open_store("s3://skymend-test/x").prepare()


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("AccessDenied", 403, "access denied"),
        ("InvalidAccessKeyId", 403, "credentials that the server refuses"),
        ("SignatureDoesNotMatch", 403, "credentials that the server refuses"),
        ("ExpiredToken", 400, "credentials that the server refuses"),
        ("NotImplemented", 501, "the error NotImplemented"),
    ],
)
def test_refusals_are_one_sentence(monkeypatch, code, status, words):
    def refuse(request, *_):
        return Response(f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode(), status)

    with serve({"GET /.*": refuse}) as wrong:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wrong.url)
        with pytest.raises(StoreError, match=words) as caught:
            open_store("s3://skymend-test/x").prepare()
    assert "\n" not in str(caught.value)
    assert SECRET_KEY not in str(caught.value)


def test_an_endpoint_that_does_not_answer_is_a_retry(monkeypatch):
    with serve({}) as gone:
        pass
    monkeypatch.setenv("AWS_ENDPOINT_URL", gone.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(RetryableError, match=r"an S3 endpoint that answers at 127\.0\.0\.1"):
        open_store("s3://skymend-test/x").prepare()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not an address")
    with pytest.raises(ConfigError, match="https://host:port"):
        open_store("s3://skymend-test/x").prepare()


def test_the_command_line_says_it_in_one_line(server):
    environment = {**os.environ, **server.environment}
    done = subprocess.run(
        [sys.executable, "-m", "skymend", "cache", "list", "s3://no-such-bucket/x"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == StoreError.exit_code
    assert done.stderr.count("\n") == 1
    assert "no bucket of that name" in done.stderr


def test_the_secret_is_nowhere(tmp_path, store, server):
    plan, _ = a_plan(tmp_path)
    run_all(plan, store)
    secret = SECRET_KEY.encode()
    for key in server.keys("skymend-test", store.address.prefix):
        assert secret not in server.read("skymend-test", key)
    for path in Path(store.root).rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes()


def test_the_endpoint_of_the_store_is_not_that_of_providers(server, tmp_path):
    from skymend.sources.aws import client
    from skymend.sources.credentials import Credentials
    from skymend.sources.protocol import Settings

    settings = Settings({}, Credentials({}, {}, tmp_path / "no-netrc"), tmp_path / "cache")
    assert "amazonaws.com" in client(settings, "usgs-landsat", unsigned=True).meta.endpoint_url
    assert client(settings, "s3", unsigned=True).meta.endpoint_url == server.url
