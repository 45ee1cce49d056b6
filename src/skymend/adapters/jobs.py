"""What both orchestrators share: the command of a job, and the tally of a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from skymend.core import container
from skymend.core.plan import Job, Plan
from skymend.core.store import LocalStore, Store, folder_uri
from skymend.core.task import DEFAULT_IMAGE, Task, load_task

NOT_STARTED = "not started: an input failed"

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a plan is run.

    Parameters
    ----------
    plan : the plan file.
    store : the store, by folder or ``s3://`` prefix.
    cores : cores shared by the jobs that run at once.
    image : run each job in this container image; None runs it in a subprocess here.
    quiet : show no progress.
    """

    plan: Path
    store: str
    cores: int
    image: str | None = None
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the jobs of a plan in one run."""

    executed: int
    cached: int
    skipped: int
    failed: int
    store: str
    failures: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return the counts and the store, for the last line of ``run --json``."""
        return {
            "executed": self.executed,
            "cached": self.cached,
            "skipped": self.skipped,
            "failed": self.failed,
            "store": self.store,
        }


def cpus_for(job: Job, cores: int) -> int:
    """Return the threads a job gets: those of its task, never more than the run has."""
    return min(load_task(job.step).cpus, cores)


def job_command(job_key: str, cpus: int, options: RunOptions) -> list[str]:
    """Return the command line that runs one job, the same under both engines."""
    command = [sys.executable, "-m", "skymend", "job", "--store", options.store]
    command += ["--cpus", str(cpus)]
    if options.image is not None:
        command += ["--image", options.image]
    return [*command, str(options.plan), job_key]


def image_of(step: str, image: str) -> str:
    """Return the image that the jobs of a step run in: its task's own, else the one given."""
    named = load_task(step).image
    return image if named == DEFAULT_IMAGE else named


def become_container(
    plan_file: Path, job_key: str, store: Store, cpus: int, image: str
) -> NoReturn:
    """Replace this process by one that runs the job in a container.

    The container sees the store (writable; of a bucket, its working folder here) and the
    products the job reads (read-only), both at the same path as outside; the job takes its lock
    inside. A task that names an image of its own runs in that one.
    """
    plan = Plan.read(plan_file)
    job = plan.job(job_key)
    root = store.root.resolve()
    owner = root.stat()
    task = load_task(job.step)
    uri = folder_uri(store.uri)
    command = container.docker_command(
        ["job", str(plan_file), job.key, "--store", uri, "--cpus", str(cpus)],
        image=image_of(job.step, image),
        store=root,
        read_only_paths=[plan_file, *_products_of(plan, job)],
        uid=owner.st_uid,
        gid=owner.st_gid,
        cpus=cpus,
        memory_gb=task.memory_gb,
        name=container.container_name(job.key),
        reach=_reach(task, store),
    )
    os.execv(command[0], command)


def _reach(task: Task, store: Store) -> container.Reach:
    if task.network:
        return "providers"
    return "nothing" if isinstance(store, LocalStore) else "store"


def _products_of(plan: Plan, job: Job) -> list[Path]:
    refs = (ref for refs in job.inputs.values() for ref in refs)
    products = [plan.products[ref] for ref in refs if ref in plan.products]
    # A product that this job is to fetch lies nowhere yet.
    products = [p for p in products if p.order is None]
    return sorted({Path(file.path).parent for p in products for file in p.files})


def job_environment(job: Job, cores: int) -> dict[str, str]:
    """Return the environment of a job: ours, with bounded threads."""
    cpus = str(cpus_for(job, cores))
    return {**os.environ, **dict.fromkeys(THREAD_VARIABLES, cpus), "TF_CPP_MIN_LOG_LEVEL": "3"}


def log_path(root: Path, job: Job) -> Path:
    """Return where the messages of a job go."""
    return root / "logs" / job.step / f"{job.key}.log"


def last_words(store: Store, job: Job) -> str:
    """Return the last line a failed job wrote to its log."""
    log = log_path(store.root, job)
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else NOT_STARTED


def pending(plan: Plan, store: Store) -> list[Job]:
    """Return the jobs that must run: without a record, or with damaged outputs.

    The record of a job whose outputs are damaged is removed, so that every engine sees it.
    """
    known = store.known((job.step, job.key) for job in plan.jobs)
    damaged = store.damage(known.values())
    for key in damaged:
        store.forget(known[key].step, key)
    return [job for job in plan.jobs if job.key not in known or job.key in damaged]


def tally(plan: Plan, store: Store, before: set[str], failures: Mapping[str, str]) -> Tally:
    """Count what a run did, from the records that were there before and are there now."""
    executed = cached = skipped = failed = 0
    known = store.known((job.step, job.key) for job in plan.jobs)
    for job in plan.jobs:
        if job.key in before:
            cached += 1
            continue
        record = known.get(job.key)
        if record is None:
            failed += 1
        elif record.status == "skipped":
            skipped += 1
        elif record.adopted_from is not None:
            cached += 1
        else:
            executed += 1
    return Tally(executed, cached, skipped, failed, store.uri, dict(failures))
