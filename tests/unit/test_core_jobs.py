"""Jobs on a made pipeline: keys, records, adoption, skips, damage, failures."""

import json
import os
from pathlib import Path

import pytest

from skymend.core import execute, task
from skymend.core.errors import (
    ConfigError,
    InternalError,
    ProductError,
    RetryableError,
    SkipJob,
    StoreError,
)
from skymend.core.execute import run_job
from skymend.core.layout import FORMAT
from skymend.core.plan import FrozenFile, FrozenProduct, Plan, PlanBuilder
from skymend.core.step import Artifact, StepInputs, StepOutputs, StepParams, step
from skymend.core.store import LocalStore

RUNS: list[str] = []


class MakeInputs(StepInputs):
    product: Artifact


class MakeParams(StepParams):
    times: int = 1
    fail: str = ""


class TextOutputs(StepOutputs):
    text: str = "text.txt"
    extra: str | None = "extra.txt"


@step("test-make", version=1, inputs=MakeInputs, params=MakeParams, outputs=TextOutputs)
def make(inputs, params, out, context):
    RUNS.append("make")
    if params.fail == "skip":
        raise SkipJob("nothing there")
    if params.fail == "retry" and RUNS.count("make") < 3:
        raise RetryableError(where="net", expected="an answer", found="none", fix="wait")
    if params.fail == "full":
        raise OSError(28, "No space left on device", str(out / "text.txt"))
    if params.fail == "forgets":
        return {}
    (out / "text.txt").write_text(inputs.product.file("product").read_text() * params.times)
    return {"length": 3}


class JoinInputs(StepInputs):
    parts: tuple[Artifact, ...]
    main: Artifact


class JoinParams(StepParams):
    sep: str = "+"


class JoinOutputs(StepOutputs):
    text: str = "joined/"


@step("test-join", version=1, inputs=JoinInputs, params=JoinParams, outputs=JoinOutputs)
def join(inputs, params, out, context):
    RUNS.append("join")
    (out / "joined").mkdir()
    texts = [a.file("text").read_text() if a.absent is None else a.absent for a in inputs.parts]
    (out / "joined" / "all.txt").write_text(params.sep.join(texts))
    return {}


@pytest.fixture(autouse=True)
def quick_tasks(monkeypatch):
    RUNS.clear()
    monkeypatch.setattr(
        execute, "load_task", lambda name: task.Task(step=name, retry_delay_seconds=0)
    )


@pytest.fixture
def store(tmp_path):
    made = LocalStore(tmp_path / "store")
    made.prepare()
    return made


def product(builder, path, text, name):
    from skymend.core.keys import file_sha256

    path.write_text(text)
    frozen = FrozenFile(str(path), path.stat().st_size, file_sha256(path))
    tags = {"id": name, "kind": "text", "datetime": "2020-01-01T00:00:00+00:00"}
    return builder.product(FrozenProduct(name, "text", str(path), tags, (frozen,)))


def small_plan(tmp_path, *, fail="", times=1, text="abc", sep="+"):
    builder = PlanBuilder()
    one = product(builder, tmp_path / "p1.txt", text, "p1")
    two = product(builder, tmp_path / "p2.txt", "xyz", "p2")
    tags = {"tile": "31TCJ", "date": "20200101"}
    a = builder.add("test-make", {"times": times}, {"product": one}, tags)
    b = builder.add("test-make", {"fail": fail}, {"product": two}, tags)
    joined = builder.add("test-join", {"sep": sep}, {"parts": [a, b], "main": a}, {"tile": "31TCJ"})
    return builder.build("test", "small", [joined]), (a, b, joined)


def run_all(plan, store):
    return [run_job(plan, job.key, store).status for job in plan.jobs]


def test_a_plan_runs_once_and_is_cached_after(tmp_path, store):
    plan, keys = small_plan(tmp_path)
    assert run_all(plan, store) == ["done", "done", "done"]
    assert run_all(plan, store) == ["cached"] * 3
    assert RUNS == ["make", "make", "join"]
    record = store.record("test-join", keys[2])
    path = store.root / record.outputs["text"].files[0].path
    assert path.read_text() == "abc+xyz"
    assert path.parent.parent.name == f"test-join-{keys[2][:8]}"


def test_the_same_region_planned_twice_has_the_same_bytes(tmp_path):
    first, _ = small_plan(tmp_path)
    second, _ = small_plan(tmp_path)
    assert first.as_text() == second.as_text()


def test_a_plan_survives_its_file(tmp_path):
    plan, _ = small_plan(tmp_path)
    plan.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == plan


def test_moving_a_product_changes_no_key_but_its_content_does(tmp_path):
    _, keys = small_plan(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    assert small_plan(tmp_path / "elsewhere")[1] == keys
    assert small_plan(tmp_path, text="abd")[1][0] != keys[0]


def test_equal_content_is_adopted_without_running(tmp_path, store):
    plan, _ = small_plan(tmp_path)
    run_all(plan, store)
    # Another parameter that changes nothing: a new key for the maker, the same bytes out.
    twin, keys = small_plan(tmp_path, fail="none")
    RUNS.clear()
    assert run_all(twin, store) == ["cached", "done", "adopted"]
    assert RUNS == ["make"]
    record = store.record("test-join", keys[2])
    assert record.adopted_from is not None
    assert store.damaged(record, verify=True) is None


def test_a_skipped_input_is_absent_in_a_list_and_skips_where_required(tmp_path, store):
    plan, keys = small_plan(tmp_path, fail="skip")
    assert run_all(plan, store) == ["done", "skipped", "done"]
    path = store.root / store.record("test-join", keys[2]).outputs["text"].files[0].path
    assert path.read_text() == "abc+nothing there"
    builder = PlanBuilder()
    one = product(builder, tmp_path / "p1.txt", "q", "p1")
    skipped = builder.add("test-make", {"fail": "skip"}, {"product": one}, {})
    needs = builder.add("test-join", {}, {"parts": [], "main": skipped}, {})
    plan = builder.build("test", "chain", [needs])
    assert run_all(plan, store) == ["skipped", "skipped"]
    assert store.record("test-join", needs).reason == "nothing there"


def test_retryable_outcomes_are_retried(tmp_path, store):
    plan, keys = small_plan(tmp_path, fail="retry")
    assert run_job(plan, keys[1], store).status == "done"
    assert RUNS.count("make") == 3


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, store):
    plan, keys = small_plan(tmp_path, fail="full")
    with pytest.raises(StoreError, match="a full disk"):
        run_job(plan, keys[1], store)
    assert store.record("test-make", keys[1]) is None
    assert not (store.root / plan.job(keys[1]).folder).exists()


def test_a_step_that_forgets_an_output_is_found_out(tmp_path, store):
    plan, keys = small_plan(tmp_path, fail="forgets")
    with pytest.raises(InternalError, match="exactly the outputs"):
        run_job(plan, keys[1], store)
    assert store.record("test-make", keys[1]) is None


def test_damaged_outputs_are_made_anew(tmp_path, store):
    plan, keys = small_plan(tmp_path)
    run_all(plan, store)
    path = store.root / store.record("test-make", keys[0]).outputs["text"].path
    before = path.stat()
    path.write_text("abX")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run_job(plan, keys[0], store).status == "cached"  # trusted by size and time
    assert run_job(plan, keys[0], store, verify=True).status == "done"
    assert path.read_text() == "abc"
    path.unlink()
    assert run_job(plan, keys[0], store).status == "done"


def test_a_product_that_shrank_since_planning_is_refused(tmp_path, store):
    plan, keys = small_plan(tmp_path)
    (tmp_path / "p1.txt").write_text("a")
    with pytest.raises(ProductError, match="3 bytes, as when the plan was written, found 1 bytes"):
        run_job(plan, keys[0], store)


def test_a_job_without_its_inputs_says_which(tmp_path, store):
    plan, keys = small_plan(tmp_path)
    with pytest.raises(ConfigError, match="the record of its input test-make 31TCJ 20200101"):
        run_job(plan, keys[2], store)


def test_a_foreign_folder_is_no_store(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"no store\.json"):
        LocalStore(tmp_path).prepare()
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_parameters_are_validated_when_planning(tmp_path):
    builder = PlanBuilder()
    one = product(builder, tmp_path / "p1.txt", "q", "p1")
    with pytest.raises(ConfigError, match=r"test-make\.times"):
        builder.add("test-make", {"times": "many"}, {"product": one}, {})
    with pytest.raises(ConfigError, match=r"test-make\.size"):
        builder.add("test-make", {"size": 1}, {"product": one}, {})


def test_garbage_is_what_no_kept_plan_needs(tmp_path, store):
    from skymend.core.cache import collect_garbage, verify_store

    plan, keys = small_plan(tmp_path)
    run_all(plan, store)
    other, _ = small_plan(tmp_path, sep="-")
    run_all(other, store)
    other.write(tmp_path / "keep.json")
    assert "1 unneeded jobs" in collect_garbage(store.root, [tmp_path / "keep.json"], remove=True)
    assert store.record("test-join", keys[2]) is None
    assert verify_store(store.root)[1]
    assert run_all(other, store) == ["cached"] * 3


def test_records_are_plain_json(tmp_path, store):
    plan, keys = small_plan(tmp_path)
    run_all(plan, store)
    document = json.loads(store.record_path("test-make", keys[0]).read_text())
    assert document["status"] == "done"
    assert document["facts"] == {"length": 3}


class MaybeInputs(StepInputs):
    main: Artifact | None = None


@step("test-maybe", version=1, inputs=MaybeInputs, params=StepParams, outputs=TextOutputs)
def maybe(inputs, params, out, context):
    raise SkipJob("nothing to work on" if inputs.main is None else "never")


def test_a_skip_names_why_its_input_is_absent(tmp_path, store):
    builder = PlanBuilder()
    one = product(builder, tmp_path / "p1.txt", "q", "p1")
    skipped = builder.add("test-make", {"fail": "skip"}, {"product": one}, {})
    last = builder.add("test-maybe", {}, {"main": skipped}, {})
    run_all(builder.build("test", "maybe", [last]), store)
    assert store.record("test-maybe", last).reason == "nothing to work on; nothing there"


def test_garbage_spares_a_running_job_and_one_that_just_ended(tmp_path, store):
    plan, _ = small_plan(tmp_path)
    for job in plan.jobs:
        run_job(plan, job.key, store)
    assert store.litter([]) == [], "records are read after the folders"
    part = store.root / "regional" / "all" / f".sum-{'a' * 8}.part"
    part.mkdir(parents=True)
    with store.lock("a" * 64):
        assert store.litter([]) == []
    assert store.litter([]) == [part.relative_to(store.root).as_posix()]


def test_a_store_that_another_process_is_making_is_no_foreign_folder(tmp_path, monkeypatch):
    root = tmp_path / "new"
    root.mkdir()
    part = root / ".store.json.1.part"
    part.write_text("{")
    real = Path.iterdir

    def later(path):
        found = list(real(path))
        part.unlink(missing_ok=True)
        (root / "store.json").write_text(json.dumps(FORMAT))
        return iter(found)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", later)
        LocalStore(root).prepare()
    LocalStore(root).check()
