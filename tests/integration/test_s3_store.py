"""The store in a bucket, against moto's server process: jobs, locks, trust, errors."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from skymend.core import cog, execute, mounts, raster, s3lock, task
from skymend.core.cache import collect_garbage, list_store, verify_store
from skymend.core.encoding import BACKSCATTER
from skymend.core.errors import ConfigError, RetryableError, StoreError
from skymend.core.execute import run_job
from skymend.core.grid import Grid, Window
from skymend.core.keys import file_sha256
from skymend.core.plan import FrozenFile, FrozenProduct, PlanBuilder
from skymend.core.s3objects import Address, Objects
from skymend.core.s3store import S3Store
from skymend.core.step import Artifact, StepInputs, StepOutputs, StepParams, step
from skymend.core.store import LocalStore, open_store
from tests.servers.routes import Response, serve
from tests.servers.s3 import SECRET_KEY, serve_s3

GRID = Grid("EPSG:32631", (10.0, 0.0, 300000.0, 0.0, -10.0, 4800000.0), (1100, 1300))
RUNS: list[str] = []


class MakeInputs(StepInputs):
    product: Artifact


class MakeParams(StepParams):
    label: str = ""


class MakeOutputs(StepOutputs):
    image: str = "image.tif"
    notes: str = "notes/"


@step("s3-make", version=1, inputs=MakeInputs, params=MakeParams, outputs=MakeOutputs)
def make(inputs, params, out, context):
    RUNS.append("make")
    values = _image(int(inputs.product.file("product").read_text()))
    cog.write_cog(out / "image.tif", values, GRID, ("VV",), BACKSCATTER)
    (out / "notes").mkdir()
    (out / "notes" / "a.json").write_text('{"ok": true}')
    return {}


class SumInputs(StepInputs):
    images: tuple[Artifact, ...]


class SumParams(StepParams):
    label: str = ""


class SumOutputs(StepOutputs):
    total: str = "total.json"


@step("s3-sum", version=1, inputs=SumInputs, params=SumParams, outputs=SumOutputs)
def add(inputs, params, out, context):
    RUNS.append("sum")
    window = Window(1000, 1200, 50, 60)
    paths = [a.file("image") for a in inputs.images]
    sums = [float(raster.read(p, window=window).sum()) for p in paths]
    notes = [json.loads((a.file("notes") / "a.json").read_text()) for a in inputs.images]
    text = {"sums": sums, "notes": notes, "local": [p.exists() for p in paths]}
    (out / "total.json").write_text(json.dumps(text))
    return {}


def _image(seed):
    return np.random.default_rng(seed).random((1, *GRID.shape), np.float32)


@pytest.fixture(scope="module")
def server():
    with serve_s3("skymend-test") as running:
        yield running


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path, server):
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    # monkeypatch removes afterwards what the store sets for GDAL
    for name in ("AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_VIRTUAL_HOSTING", "AWS_REGION"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SKYMEND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(execute, "load_task", lambda name: task.Task(step=name))
    monkeypatch.setattr(mounts, "_MOUNTS", {})
    RUNS.clear()


@pytest.fixture
def store(tmp_path):
    made = open_store(f"s3://skymend-test/{tmp_path.name}")
    made.prepare()
    return made


def a_plan(tmp_path, *, make_label="", sum_label="", seeds=(1, 2)):
    builder = PlanBuilder()
    made = []
    for seed in seeds:
        path = tmp_path / f"p{seed}.txt"
        path.write_text(str(seed))
        frozen = FrozenFile(str(path), path.stat().st_size, file_sha256(path))
        tags = {"id": f"p{seed}", "datetime": "2020-01-01T00:00:00+00:00"}
        ref = builder.product(FrozenProduct(f"p{seed}", "text", str(path), tags, (frozen,)))
        tags = {"tile": "31TCJ", "date": f"2020010{seed}"}
        made.append(builder.add("s3-make", {"label": make_label}, {"product": ref}, tags))
    last = builder.add("s3-sum", {"label": sum_label}, {"images": made}, {"tile": "31TCJ"})
    return builder.build("test", "small", [last]), (*made, last)


def run_all(plan, store):
    return [run_job(plan, job.key, store).status for job in plan.jobs]


def output(store, server, record, name):
    key = store.address.key(record.outputs[name].files[0].path)
    return server.read("skymend-test", key)


def elsewhere(store, tmp_path, monkeypatch):
    """The same store as another machine sees it."""
    monkeypatch.setenv("SKYMEND_CACHE", str(tmp_path / "other machine"))
    return open_store(store.uri)


def test_jobs_run_once_and_read_rasters_by_windows_through_gdal(tmp_path, store, server):
    plan, keys = a_plan(tmp_path)
    assert run_all(plan, store) == ["done"] * 3
    assert run_all(plan, store) == ["cached"] * 3
    total = json.loads(output(store, server, store.record("s3-sum", keys[2]), "total"))
    expected = [float(_image(s)[:, 1000:1050, 1200:1260].sum()) for s in (1, 2)]
    # the same float32 numbers, summed in another order of blocks
    assert total["sums"] == pytest.approx(expected, rel=1e-5)
    assert total["notes"] == [{"ok": True}] * 2
    assert total["local"] == [False, False], "rasters stay in the bucket"


def test_the_rasters_are_those_of_a_local_store(tmp_path, store, server):
    plan, keys = a_plan(tmp_path)
    run_all(plan, store)
    local = LocalStore(tmp_path / "local")
    local.prepare()
    run_all(plan, local)
    ours, theirs = store.record("s3-make", keys[0]), local.record("s3-make", keys[0])
    assert ours.checksums() == theirs.checksums()
    path = local.root / theirs.outputs["image"].path
    assert output(store, server, ours, "image") == path.read_bytes()


def test_another_machine_finds_everything_done(tmp_path, store, monkeypatch):
    plan, keys = a_plan(tmp_path)
    run_all(plan, store)
    other = elsewhere(store, tmp_path, monkeypatch)
    other.check()
    assert other.root != store.root
    assert run_all(plan, other) == ["cached"] * 3
    assert set(other.known((j.step, j.key) for j in plan.jobs)) == set(keys)
    assert other.damage(other.records()) == {}
    path = other.bring(other.record("s3-make", keys[1]))["image"]
    assert not path.exists()
    assert raster.describe(path).grid == GRID
    assert np.array_equal(raster.read(path), _image(2))
    assert (
        mounts.content(path).sha256
        == other.record("s3-make", keys[1]).outputs["image"].files[0].sha256
    )


def test_programs_outside_get_a_file(tmp_path, store, server, monkeypatch):
    plan, keys = a_plan(tmp_path)
    run_all(plan, store)
    record = store.record("s3-make", keys[0])
    path = store.bring(record)["image"]
    assert not path.exists()
    assert mounts.local(path) == path
    assert file_sha256(path) == record.outputs["image"].files[0].sha256
    key = store.address.key(record.outputs["image"].path)
    server.client().put_object(Bucket="skymend-test", Key=key, Body=b"other")
    other = elsewhere(store, tmp_path, monkeypatch)
    with pytest.raises(RetryableError, match="the checksum of its record"):
        mounts.local(other.bring(record)["image"])


def test_equal_content_is_adopted_by_a_copy_within_the_bucket(tmp_path, store, server):
    run_all(a_plan(tmp_path)[0], store)
    twin, keys = a_plan(tmp_path, make_label="renamed")
    RUNS.clear()
    # another parameter of the maker: made again, the same bytes; the sum is taken over
    assert run_all(twin, store) == ["done", "done", "adopted"]
    assert RUNS == ["make", "make"]
    record = store.record("s3-sum", keys[2])
    assert record.adopted_from is not None
    assert store.damaged(record, verify=True) is None
    assert record.outputs["total"].path.startswith(twin.job(keys[2]).folder)


def test_the_record_is_written_last(tmp_path, store, server, monkeypatch):
    plan, keys = a_plan(tmp_path)
    written = []
    client = store.objects.client
    real = client.put_object
    monkeypatch.setattr(
        client, "put_object", lambda **k: (written.append(k["Key"]), real(**k))[1], raising=False
    )
    run_job(plan, keys[0], store)
    rooms = [key.split("/")[1] for key in written]
    assert rooms[0] == "locks"
    assert rooms[1:4] == ["scenes", "scenes", "records"]


def test_a_failed_upload_leaves_nothing_that_looks_finished(tmp_path, store, monkeypatch):
    plan, keys = a_plan(tmp_path)

    def broken(self, source, path, sha256):
        raise RetryableError(where=path, expected="an answer", found="none", fix="wait")

    with monkeypatch.context() as patch:
        patch.setattr(Objects, "upload", broken)
        with pytest.raises(RetryableError):
            run_job(plan, keys[0], store)
    assert store.record("s3-make", keys[0]) is None
    assert list(store.records()) == []
    assert run_job(plan, keys[0], store).status == "done"


def test_a_job_killed_in_its_upload_is_taken_up_at_once_on_the_same_machine(tmp_path, store):
    plan, keys = a_plan(tmp_path)
    plan.write(tmp_path / "plan.json")
    child = os.fork()
    if child == 0:  # pragma: no cover - the child dies
        Objects.upload = lambda *_: os.kill(os.getpid(), 9)
        run_job(plan, keys[0], open_store(store.uri))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    assert store.record("s3-make", keys[0]) is None
    begun = time.monotonic()
    assert run_job(plan, keys[0], store).status == "done"
    assert time.monotonic() - begun < 20, "no waiting for the minute after which locks go stale"


def test_kills_at_any_moment_leave_nothing_that_looks_finished(tmp_path, store):
    plan, keys = a_plan(tmp_path)
    random = np.random.default_rng(7)
    killed = 0
    for _ in range(12):
        child = os.fork()
        if child == 0:  # pragma: no cover - the child dies
            other = open_store(store.uri)
            for job in plan.jobs:
                run_job(plan, job.key, other)
            os._exit(0)
        time.sleep(float(random.uniform(0.02, 0.8)))
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        for record in store.records():
            assert store.damaged(record, verify=True) is None
            for output in store.bring(record).values():
                assert output.suffix == ".tif" or output.exists()
    assert killed > 0
    statuses = run_all(plan, store)
    assert set(statuses) <= {"done", "cached"}
    assert verify_store(store.uri)[1]
    assert len(store.known((j.step, j.key) for j in plan.jobs)) == len(keys)


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
    with s3lock.hold(store.objects, "locks/z.json", stale_s=0.6):
        etag = _foreign_lock(store, "locks/z.json")
        deadline = time.monotonic() + 30
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.05)
    assert store.objects.get("locks/z.json").etag == etag
    assert "another process took the lock" in caplog.text


def test_two_writers_of_one_record_leave_the_first(tmp_path, store):
    plan, keys = a_plan(tmp_path)
    record = run_job(plan, keys[0], store).record
    store.write_record(record.model_copy(update={"seconds": 1e9}))
    assert store.objects.get(f"records/s3-make/{keys[0]}.json").data.count(b"1000000000") == 0


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
