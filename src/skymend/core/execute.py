"""Running one job: lock, inputs, adoption, the step itself, outputs, record.

This is what ``skymend job PLAN KEY`` does and what both engines call.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import ValidationError

from skymend import __version__
from skymend.core.errors import ConfigError, InternalError, ProductError, RetryableError, SkipJob
from skymend.core.files import store_errors, sync_folder
from skymend.core.keys import job_key
from skymend.core.plan import PRODUCT_PREFIX, FrozenProduct, Job, Plan
from skymend.core.record import Output, Record
from skymend.core.startup import import_rasterio
from skymend.core.step import REGISTRY, Artifact, Context, Facts, Step
from skymend.core.store import Store
from skymend.core.task import Task, load_task

LOG = logging.getLogger("skymend.job")

Status: TypeAlias = Literal["cached", "done", "skipped", "adopted"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: its record, and whether anything ran."""

    status: Status
    record: Record


def run_job(
    plan: Plan, key: str, store: Store, *, cpus: int | None = None, verify: bool = False
) -> Outcome:
    """Run one job of a plan, unless its record says that it is done.

    Parameters
    ----------
    plan, key : the job.
    store : where inputs lie and outputs go.
    cpus : threads for the step; those of its task when None.
    verify : recompute the checksums of outputs that are already there.

    Raises
    ------
    SkymendError
        with the exit code of its cause; nothing half-written remains visible.
    """
    import_rasterio()
    job = plan.job(key)
    task = load_task(job.step)
    with store.lock(job.key):
        known = _trusted_record(job, store, verify)
        if known is not None:
            return Outcome("cached", known)
        started = time.monotonic()
        runner = _Runner(plan, job, store, task, cpus or task.cpus)
        status, record = runner.finish(started)
        store.write_record(record)
        runner.clean()
        return Outcome(status, record)


def _trusted_record(job: Job, store: Store, verify: bool) -> Record | None:
    record = store.record(job.step, job.key)
    if record is None:
        return None
    problem = store.damaged(record, verify=verify)
    if problem is None:
        return record
    LOG.warning("%s: %s; running it again", job.label, problem)
    store.forget(job.step, job.key)
    return None


class _Runner:
    """The life of one job between lock and record."""

    def __init__(self, plan: Plan, job: Job, store: Store, task: Task, cpus: int) -> None:
        self.plan = plan
        self.job = job
        self.store = store
        self.task = task
        self.cpus = cpus
        self.step: Step = REGISTRY.get(job.step)
        self.final = store.root / job.folder
        self.part = self.final.parent / f".{self.final.name}.part"

    def finish(self, started: float) -> tuple[Status, Record]:
        """Bring the job to its end and return its record, not yet written."""
        self._check_version()
        inputs, content_key = self._inputs()
        absent = self._absent_required(inputs)
        if absent is not None:
            return "skipped", self._record("skipped", started, reason=absent)
        twin = self._twin(content_key)
        if twin is not None:
            outputs = self.store.adopt(twin, self.job.folder, self.part)
            return "adopted", self._record(
                "done",
                started,
                outputs=outputs,
                facts=twin.facts,
                content_key=content_key,
                adopted_from=twin.key,
            )
        try:
            facts = self._run_with_retries(inputs)
        except SkipJob as skip:
            reason = self._with_causes(skip.reason, inputs)
            return "skipped", self._record(
                "skipped", started, reason=reason, content_key=content_key
            )
        outputs = self._move_into_place()
        return "done", self._record(
            "done", started, outputs=outputs, facts=facts, content_key=content_key
        )

    def _twin(self, content_key: str) -> Record | None:
        if not self.step.adoptable:
            return None
        return self.store.record_with_content(self.job.step, content_key)

    def _check_version(self) -> None:
        if self.step.version != self.job.version:
            raise ConfigError(
                where=f"plan, job {self.job.key[:8]}",
                expected=f"step {self.job.step} version {self.step.version}",
                found=f"version {self.job.version}",
                fix="write the plan again with this version of skymend",
            )

    def _inputs(self) -> tuple[dict[str, list[Artifact]], str]:
        artifacts: dict[str, list[Artifact]] = {}
        contents: dict[str, list[Any]] = {}
        for name, refs in self.job.inputs.items():
            found = [self._artifact(ref) for ref in refs]
            artifacts[name] = [artifact for artifact, _ in found]
            contents[name] = [content for _, content in found]
        job = self.job
        return artifacts, job_key(job.step, job.version, job.params, contents, job.tags)

    def _artifact(self, ref: str) -> tuple[Artifact, Any]:
        if ref.startswith(PRODUCT_PREFIX):
            return self._product(ref, self.plan.products[ref]), ref
        maker = self.plan.job(ref)
        record = self.store.record(maker.step, maker.key)
        if record is None:
            raise ConfigError(
                where=f"job {self.job.label}",
                expected=f"the record of its input {maker.label} ({maker.key[:8]})",
                found="none in the store",
                fix="run the whole plan, or that job first",
            )
        if record.status == "skipped":
            artifact = Artifact(
                key=ref, step=maker.step, tags=maker.tags, absent=record.reason or "skipped"
            )
            return artifact, {"skipped": record.reason, "tags": maker.tags}
        problem = self.store.damaged(record)
        if problem is not None:
            raise RetryableError(
                where=f"input {maker.label}",
                expected="its files as recorded",
                found=problem,
                fix="run again: the input will be made anew",
            )
        files = self.store.bring(record)
        artifact = Artifact(
            key=ref, step=maker.step, tags=maker.tags, files=files, facts=record.facts
        )
        content = {"files": record.checksums(), "tags": maker.tags, "facts": record.facts}
        return artifact, content

    def _product(self, ref: str, product: FrozenProduct) -> Artifact:
        if product.order is not None:
            return Artifact(key=ref, step="product", tags=product.tags, facts=product.order)
        for file in product.files:
            path = Path(file.path)
            size = path.stat().st_size if path.exists() else None
            if size != file.size:
                raise ProductError(
                    where=path,
                    expected=f"{file.size} bytes, as when the plan was written",
                    found="no such file" if size is None else f"{size} bytes",
                    fix="restore the product, or plan again with --refresh",
                )
        return Artifact(
            key=ref, step="product", tags=product.tags, files={"product": Path(product.path)}
        )

    def _absent_required(self, inputs: Mapping[str, list[Artifact]]) -> str | None:
        for name, info in self.step.inputs.model_fields.items():
            if info.annotation is not Artifact:
                continue
            for artifact in inputs.get(name, []):
                if artifact.absent is not None:
                    return artifact.absent
        return None

    def _with_causes(self, reason: str, inputs: Mapping[str, list[Artifact]]) -> str:
        """Add why single inputs are absent, which the step itself does not see."""
        many = self.step.input_names()
        causes = {a.absent for n, found in inputs.items() if not many[n] for a in found if a.absent}
        return "; ".join([reason, *sorted(causes)])

    def _model_inputs(self, artifacts: Mapping[str, list[Artifact]]) -> Any:
        many = self.step.input_names()
        values: dict[str, Any] = {}
        for name, found in artifacts.items():
            if many[name]:
                values[name] = tuple(found)
            elif found:
                values[name] = found[0] if found[0].absent is None else None
        try:
            return self.step.inputs(**values)
        except ValidationError as error:
            raise InternalError(
                where=f"step {self.step.name}, inputs",
                expected=str(error.errors()[0]["loc"]),
                found=error.errors()[0]["msg"],
                fix="mend the pipeline",
            ) from error

    def _run_with_retries(self, artifacts: Mapping[str, list[Artifact]]) -> Facts:
        inputs = self._model_inputs(artifacts)
        params = self.step.params(**self.job.params)
        attempt = 0
        while True:
            try:
                return self._run_once(inputs, params)
            except RetryableError as error:
                attempt += 1
                if attempt > self.task.retries:
                    raise
                LOG.warning("%s: %s; attempt %d", self.job.label, error, attempt + 1)
                time.sleep(self.task.retry_delay_seconds)

    def _run_once(self, inputs: Any, params: Any) -> Facts:
        out = self.part / "out"
        work = self.part / "work"
        with store_errors(self.part):
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
            work.mkdir(exist_ok=True)
            context = Context(cpus=self.cpus, work=work, final=self.final, log=LOG)
            return self.step.run(inputs, params, out, context)

    def _move_into_place(self) -> dict[str, Output]:
        out = self.part / "out"
        self._check_outputs(out)
        with store_errors(self.final):
            sync_folder(out)
            if self.final.exists():
                shutil.rmtree(self.final)
            os.replace(out, self.final)
        names = self.step.outputs.names().items()
        paths = {name: self.final / file.rstrip("/") for name, file in names}
        return {name: self.store.take(path) for name, path in paths.items() if path.exists()}

    def _check_outputs(self, out: Path) -> None:
        declared = self.step.outputs.names()
        optional = self.step.outputs.optional()
        missing = [
            n for n, file in declared.items() if n not in optional and not (out / file).exists()
        ]
        expected = {file.split("/")[0] for file in declared.values()}
        stray = sorted(p.name for p in out.iterdir() if p.name not in expected)
        if missing or stray:
            raise InternalError(
                where=f"step {self.step.name}",
                expected=f"exactly the outputs {sorted(declared.values())}",
                found=f"missing {missing}, undeclared {stray}",
                fix="mend the step",
            )

    def _record(
        self,
        status: Literal["done", "skipped"],
        started: float,
        *,
        reason: str | None = None,
        outputs: Mapping[str, Output] | None = None,
        facts: Facts | None = None,
        content_key: str | None = None,
        adopted_from: str | None = None,
    ) -> Record:
        seconds = time.monotonic() - started
        return Record(
            key=self.job.key,
            step=self.job.step,
            version=self.job.version,
            status=status,
            reason=reason,
            tags=self.job.tags,
            outputs=dict(outputs or {}),
            facts=dict(facts or {}),
            content_key=content_key,
            adopted_from=adopted_from,
            software={"skymend": __version__, "python": platform.python_version()},
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(seconds, 3),
        )

    def clean(self) -> None:
        """Remove the working folder; the record exists by now."""
        shutil.rmtree(self.part, ignore_errors=True)
