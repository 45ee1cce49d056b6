"""Locks, garbage and other things that several processes do at once."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time

import pytest
from botocore.exceptions import ClientError

from skymend.core import s3lock
from skymend.core.cache import collect_garbage, list_store
from skymend.core.execute import run_job
from skymend.core.s3objects import Objects
from skymend.core.s3store import S3Store
from skymend.core.store import open_store
from tests.s3_case import a_plan, run_all


def test_listing_and_garbage_work_as_in_a_folder(tmp_path, store, server):
    plan, keys = a_plan(tmp_path)
    run_all(plan, store)
    other, _ = a_plan(tmp_path, sum_label="again")
    run_all(other, store)
    other.write(tmp_path / "keep.json")
    counts = json.loads(list_store(store.uri, as_json=True))
    assert counts["s3-make"]["done"] == counts["s3-sum"]["done"] == 2
    orphan = store.address.key("scenes/31TCJ/20200101/s3-make-0badc0de/image.tif")
    server.client().put_object(Bucket="skymend-test", Key=orphan, Body=b"left")
    part = store.address.key("scenes/31TCJ/20200101/s3-make-0badc0de/big.tif")
    server.client().create_multipart_upload(Bucket="skymend-test", Key=part)
    told = collect_garbage(store.uri, [tmp_path / "keep.json"], remove=False)
    assert told.startswith("1 unneeded jobs")
    assert "2 leftovers" in told
    assert orphan in server.keys("skymend-test")
    collect_garbage(store.uri, [tmp_path / "keep.json"], remove=True)
    assert orphan not in server.keys("skymend-test")
    assert list(store.objects.unfinished("")) == []
    assert store.record("s3-sum", keys[2]) is None
    assert run_all(other, store) == ["cached"] * 3
    assert "0 unneeded jobs of 0.0 MB and 0 leftovers" in collect_garbage(
        store.uri, [tmp_path / "keep.json"], remove=False
    )


def test_garbage_spares_a_running_job(store, server):
    folder = "scenes/31TCJ/20200101/s3-make-aaaaaaaa"
    server.client().put_object(
        Bucket="skymend-test", Key=store.address.key(f"{folder}/image.tif"), Body=b"half"
    )
    with store.lock("a" * 64):
        assert store.litter([]) == []
    assert store.litter([]) == [folder]


def _add_one(uri, environment, key, rounds):
    os.environ.update(environment)
    objects = S3Store(uri).objects
    for _ in range(rounds):
        with s3lock.hold(objects, f"locks/{key}.json", stale_s=30):
            number = int(objects.get("counter").data)
            time.sleep(0.01)
            objects.put("counter", str(number + 1).encode())


def test_one_holder_at_a_time_among_processes(store, server):
    store.objects.put("counter", b"0")
    context = multiprocessing.get_context("fork")
    arguments = (store.uri, server.environment, "k" * 64, 3)
    workers = [context.Process(target=_add_one, args=arguments) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert store.objects.get("counter").data == b"12"


def _foreign_lock(store, path):
    """Write the lock of a process of another machine."""
    body = json.dumps({"holder": "other-boot:pid:[1]:42:99", "beat": 3}).encode()
    return store.objects.put(path, body)


def test_a_silent_holder_is_replaced_after_the_timeout_and_not_before(store):
    _foreign_lock(store, "locks/x.json")
    begun = time.monotonic()
    with s3lock.hold(store.objects, "locks/x.json", stale_s=3):
        waited = time.monotonic() - begun
    # the server tells whole seconds, so up to one may be missing
    assert 2 <= waited < 30


def test_a_heartbeat_keeps_a_slow_holder(store):
    taken = []

    def second():
        with s3lock.hold(store.objects, "locks/y.json", stale_s=4):
            taken.append(time.monotonic())

    with s3lock.hold(store.objects, "locks/y.json", stale_s=4):
        waiter = threading.Thread(target=second)
        waiter.start()
        time.sleep(7)
        assert taken == []
        freed = time.monotonic()
    waiter.join()
    assert taken[0] >= freed


def test_a_holder_that_lost_its_lock_does_not_free_the_next_ones(store, caplog):
    with s3lock.hold(store.objects, "locks/z.json", stale_s=6):
        etag = _foreign_lock(store, "locks/z.json")
        deadline = time.monotonic() + 60
        while "another process" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.05)
    assert store.objects.get("locks/z.json").etag == etag
    assert "another process took the lock" in caplog.text


def test_two_writers_of_one_record_leave_the_first(tmp_path, store):
    plan, keys = a_plan(tmp_path)
    record = run_job(plan, keys[0], store).record
    store.write_record(record.model_copy(update={"seconds": 1e9}))
    assert store.objects.get(f"records/s3-make/{keys[0]}.json").data.count(b"1000000000") == 0


def test_a_living_process_of_this_machine_keeps_its_lock_even_without_a_heartbeat(
    store, monkeypatch
):
    # Both would work in the same folder, and one would upload what the other is writing.
    monkeypatch.setenv(s3lock.STALE_VARIABLE, "1")
    monkeypatch.setattr(s3lock, "_beat", lambda *_: None)
    taken = []

    def second():
        with open_store(store.uri).lock("b" * 64):
            taken.append(time.monotonic())

    with store.lock("b" * 64):
        waiter = threading.Thread(target=second)
        waiter.start()
        time.sleep(4)
        assert taken == []
        freed = time.monotonic()
    waiter.join()
    assert taken[0] >= freed


class DeafObjects(Objects):
    """Some conditional writes succeed, but their answer is lost and the repetition refused."""

    lost = 0

    def put(self, path, data, **condition):
        etag = super().put(path, data, **condition)
        if etag is not None and self.lost:
            self.lost -= 1
            return None
        return etag

    def hasty(self, patience_s):
        return self


def test_a_write_whose_answer_was_lost_is_known_as_our_own(store, caplog):
    objects = DeafObjects(store.address)
    objects.lost = 1
    begun = time.monotonic()
    with s3lock.hold(objects, "locks/deaf.json", stale_s=30):
        assert time.monotonic() - begun < 20, "it waits for nobody but itself"
    with s3lock.hold(objects, "locks/deaf.json", stale_s=1.2):
        objects.lost = 1
        deadline = time.monotonic() + 30
        while objects.lost and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        objects.lost = 1
    assert "another process took the lock" not in caplog.text
    assert json.loads(store.objects.get("locks/deaf.json").data)["holder"] is None


def test_a_heartbeat_is_not_patient(store, monkeypatch):
    asked, beaten = [], threading.Event()

    def hasty(self, patience_s):
        asked.append(patience_s)
        beaten.set()
        return self

    monkeypatch.setattr(Objects, "hasty", hasty)
    with s3lock.hold(store.objects, "locks/haste.json", stale_s=1.2):
        assert beaten.wait(30), "a busy machine may take a while to beat"
    assert asked == [pytest.approx(0.2)]


def test_two_processes_may_make_a_store_at_once(store):
    other = S3Store(f"{store.uri}/new")

    class Late(Objects):
        def list(self, prefix, *, most=None):
            other.prepare()
            yield from super().list(prefix, most=most)

    slow = S3Store(other.uri, objects=Late(other.address))
    slow.prepare()
    slow.withdraw()
    other.check()


def test_a_record_that_a_conflict_kept_out_is_written_all_the_same(tmp_path, store, monkeypatch):
    plan, keys = a_plan(tmp_path)
    record = run_job(plan, keys[0], store).record
    store.forget(record.step, record.key)
    client = store.objects.client
    real, refused = client.put_object, []

    def conflict(**request):
        if "/records/" in request["Key"] and not refused:
            refused.append(request["Key"])
            code = {"Error": {"Code": "ConditionalRequestConflict"}}
            raise ClientError(code, "PutObject")
        return real(**request)

    monkeypatch.setattr(client, "put_object", conflict, raising=False)
    store.write_record(record)
    assert refused
    assert store.record(record.step, record.key) == record


def test_garbage_spares_a_job_that_ended_since_the_records_were_read(tmp_path, store):
    plan, _ = a_plan(tmp_path)
    run_all(plan, store)
    assert store.litter([]) == []


def test_an_upload_that_has_ended_already_is_no_error(store):
    name = {"Bucket": store.address.bucket, "Key": store.address.key("a/b.tif")}
    upload = store.objects.client.create_multipart_upload(**name)["UploadId"]
    store.objects.abort("a/b.tif", upload)
    store.objects.abort("a/b.tif", upload)
