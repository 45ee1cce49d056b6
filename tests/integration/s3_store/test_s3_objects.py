"""What travels to and from a bucket, and when it is believed."""

from __future__ import annotations

import time

import numpy as np
import pytest
from botocore.exceptions import ClientError

from skymend.core.cache import verify_store
from skymend.core.errors import RetryableError
from skymend.core.execute import run_job
from skymend.core.keys import file_sha256
from skymend.core.s3objects import Address, Objects
from tests.s3_case import a_plan, elsewhere, run_all
from tests.servers.routes import Response, serve


@pytest.mark.parametrize("size", [0, 1, 5 << 20, (5 << 20) + 1, (11 << 20) + 7])
def test_uploads_are_bit_exact_whole_and_in_parts(tmp_path, server, size):
    objects = Objects(Address("skymend-test", f"parts/{size}"), part_bytes=5 << 20)
    source = tmp_path / "data"
    source.write_bytes(np.random.default_rng(size).bytes(size))
    sha256 = file_sha256(source)
    stored = objects.upload(source, "data", sha256)
    assert stored.size == size
    assert ("-" in stored.etag) == (size > 5 << 20), "ETags of multipart uploads count parts"
    assert objects.sha256("data") == sha256
    objects.download("data", tmp_path / "back", sha256)
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert list(objects.unfinished("")) == []


def test_every_part_travels_with_its_sha256(tmp_path, server, monkeypatch):
    objects = Objects(Address("skymend-test", "sums"), part_bytes=5 << 20)
    source = tmp_path / "data"
    source.write_bytes(bytes(11 << 20))
    sent = []
    real = objects.client.upload_part
    monkeypatch.setattr(
        objects.client, "upload_part", lambda **k: (sent.append(k), real(**k))[1], raising=False
    )
    objects.upload(source, "data", file_sha256(source))
    assert sorted(k["PartNumber"] for k in sent) == [1, 2, 3]
    assert all(k["ChecksumSHA256"] for k in sent)


def test_a_server_that_confirms_no_checksum_is_read_back(tmp_path, server, monkeypatch):
    objects = Objects(Address("skymend-test", "mute"))
    source = tmp_path / "data"
    source.write_bytes(b"right")
    real = objects.client.put_object

    def altered(**k):
        real(**{**k, "Body": b"wrong"})
        return {"ETag": '"x"'}

    monkeypatch.setattr(objects.client, "put_object", altered, raising=False)
    with pytest.raises(RetryableError, match="another checksum"):
        objects.upload(source, "data", file_sha256(source))


def test_a_part_that_arrives_damaged_is_a_retry(tmp_path, monkeypatch):
    def bad(request, *_):
        return Response(b"<Error><Code>BadDigest</Code><Message>no</Message></Error>", 400)

    with serve({"PUT /.*": bad}) as wrong:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wrong.url)
        (tmp_path / "data").write_bytes(b"x")
        with pytest.raises(RetryableError, match="BadDigest"):
            Objects(Address("bucket", "p")).upload(tmp_path / "data", "data", "0")


def test_size_and_etag_are_trusted_and_verify_reads_the_bytes(tmp_path, store, server):
    plan, keys = a_plan(tmp_path)
    run_all(plan, store)
    record = store.record("s3-make", keys[0])
    file = record.outputs["image"].files[0]
    key = store.address.key(file.path)
    whole = server.read("skymend-test", key)
    client = server.client()
    # the same bytes under another ETag, as another way of encryption gives: no damage
    upload = client.create_multipart_upload(Bucket="skymend-test", Key=key)["UploadId"]
    part = client.upload_part(
        Bucket="skymend-test", Key=key, UploadId=upload, PartNumber=1, Body=whole
    )
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    client.complete_multipart_upload(
        Bucket="skymend-test", Key=key, UploadId=upload, MultipartUpload=parts
    )
    assert store.objects.head(file.path).etag != file.etag
    assert store.damaged(record) is None
    client.put_object(Bucket="skymend-test", Key=key, Body=whole[:-1] + b"?")
    assert "another checksum" in store.damaged(record)
    assert store.damage([record]).keys() == {record.key}
    text, ok = verify_store(store.uri)
    assert not ok
    assert "1 damaged jobs" in text
    assert run_job(plan, keys[0], store).status == "done", "damaged outputs are made anew"
    assert verify_store(store.uri)[1]
    client.delete_object(Bucket="skymend-test", Key=key)
    assert "is missing" in store.damaged(store.record("s3-make", keys[0]))


def test_a_file_is_only_brought_with_the_checksum_of_its_record(
    tmp_path, store, server, monkeypatch
):
    plan, keys = a_plan(tmp_path)
    run_all(plan, store)
    record = store.record("s3-make", keys[0])
    note = record.outputs["notes"].files[0]
    server.client().put_object(
        Bucket="skymend-test", Key=store.address.key(note.path), Body=b'{"ok":false}'
    )
    other = elsewhere(store, tmp_path, monkeypatch)
    with pytest.raises(RetryableError, match="the checksum of its record"):
        other.bring(record)
    assert not list(other.root.rglob("a.json*"))


def test_parts_that_somebody_dropped_are_a_retry(tmp_path, server, monkeypatch):
    objects = Objects(Address("skymend-test", "dropped"), part_bytes=5 << 20)
    (tmp_path / "data").write_bytes(bytes(6 << 20))
    real = objects.client.upload_part

    def dropped(**request):
        for path, upload in objects.unfinished(""):
            objects.abort(path, upload)
        return real(**request)

    monkeypatch.setattr(objects.client, "upload_part", dropped, raising=False)
    with pytest.raises(RetryableError, match="run again"):
        objects.upload(tmp_path / "data", "data", "0")


def test_what_failed_first_is_told_when_the_clearing_up_fails_too(tmp_path, server, monkeypatch):
    objects = Objects(Address("skymend-test", "down"), part_bytes=5 << 20)
    (tmp_path / "data").write_bytes(bytes(6 << 20))

    def fail(error):
        def raising(**_):
            raise error

        return raising

    first = ClientError({"Error": {"Code": "SlowDown"}}, "UploadPart")
    second = ClientError({"Error": {"Code": "AccessDenied"}}, "AbortMultipartUpload")
    monkeypatch.setattr(objects.client, "upload_part", fail(first), raising=False)
    monkeypatch.setattr(objects.client, "abort_multipart_upload", fail(second), raising=False)
    with pytest.raises(RetryableError, match="SlowDown"):
        objects.upload(tmp_path / "data", "data", "0")


def test_a_hasty_request_gives_up_soon_and_is_not_repeated(monkeypatch):
    asked = []

    def slow(request, *_):
        asked.append(request.path)
        time.sleep(1.5)
        return Response(b"")

    with serve({"PUT /.*": slow}) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", silent.url)
        with pytest.raises(RetryableError, match="an S3 endpoint that answers"):
            Objects(Address("bucket", "p")).hasty(0.3).put("a", b"")
    assert len(asked) == 1
