"""The Prefect adapter: one generic task that runs a job, one flow over a plan.

Tasks carry keys and paths only and Prefect's own caching is off: the records in the store
are the cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skymend.adapters.jobs import (
    RunOptions,
    cpus_for,
    job_command,
    job_environment,
    last_words,
    log_path,
    pending,
)
from skymend.core.plan import Job, Plan
from skymend.core.store import LocalStore
from skymend.core.task import load_task

if TYPE_CHECKING:
    from prefect import Flow

_SETTINGS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}


def run(plan: Plan, store: LocalStore, options: RunOptions) -> dict[str, str]:
    """Run a plan in this process and return the failures, job label -> last words.

    Without ``PREFECT_API_URL`` a server of its own is started for the run.
    """
    if not pending(plan, store):
        return {}
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    failures: dict[str, str] = plan_flow()(
        plan=str(options.plan),
        store=str(options.store),
        cores=options.cores,
        image=options.image,
        quiet=options.quiet,
    )
    return failures


class Cores:
    """A counter of free cores: a job takes as many as its task asks for."""

    def __init__(self, total: int) -> None:
        self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, count: int) -> Iterator[None]:
        """Wait for ``count`` cores, and give them back at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._free >= count)
            self._free -= count
        try:
            yield
        finally:
            with self._changed:
                self._free += count
                self._changed.notify_all()


def run_subprocess(plan: Plan, job: Job, options: RunOptions) -> None:
    """Run one job as a subprocess, its messages kept in its log.

    Raises
    ------
    RuntimeError
        with the job's last words, if it fails or runs out of time.
    """
    store = LocalStore(options.store)
    log = log_path(store.root, job)
    log.parent.mkdir(parents=True, exist_ok=True)
    seconds = load_task(job.step).timeout_minutes * 60
    with log.open("wb") as stream:
        try:
            code = subprocess.run(
                job_command(plan, job, options),
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=job_environment(job, options.cores),
                timeout=seconds,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired as error:
            message = f"{job.label}: stopped after {seconds / 60:g} minutes, the limit of its task"
            raise RuntimeError(message) from error
    if code != 0:
        raise RuntimeError(f"{job.label}: {last_words(store, job)} (exit code {code})")


def plan_flow() -> Flow[..., dict[str, str]]:
    """Return the flow that runs a written plan."""
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.task_runners import ThreadPoolTaskRunner

    @task(cache_policy=NO_CACHE, persist_result=False, retries=1, retry_delay_seconds=2)
    def run_job(key: str, shared: Any) -> str:
        plan, options, cores = shared.value
        job = plan.by_key[key]
        with cores.hold(cpus_for(job, options.cores)):
            run_subprocess(plan, job, options)
        return key

    @flow(name="run-plan", persist_result=False, validate_parameters=False)
    def run_plan(
        plan: str, store: str, cores: int, image: str | None = None, quiet: bool = False
    ) -> dict[str, str]:
        """Run every job of a plan that has no record yet."""
        options = RunOptions(Path(plan), Path(store), cores, image, quiet)
        frozen = Plan.read(options.plan)
        waiting = pending(frozen, LocalStore(options.store))
        shared = Shared((frozen, options, Cores(cores)))
        futures: dict[str, Any] = {}
        for job in waiting:
            upstream = [futures[k] for k in job.upstream() if k in futures]
            named = run_job.with_options(task_run_name=job.label)
            futures[job.key] = named.submit(job.key, shared, wait_for=upstream)
        return _collect(frozen, futures, options)

    return run_plan.with_options(task_runner=ThreadPoolTaskRunner(max_workers=64))


class Shared:
    """Holds what the tasks of one flow share, without being looked into by Prefect."""

    def __init__(self, value: tuple[Plan, RunOptions, Cores]) -> None:
        self.value = value


def _collect(plan: Plan, futures: dict[str, Any], options: RunOptions) -> dict[str, str]:
    failures = {}
    for done, (key, future) in enumerate(futures.items(), start=1):
        future.wait()
        job = plan.by_key[key]
        if not options.quiet:
            print(f"[{done}/{len(futures)}] {job.label}: {future.state.name}", file=sys.stderr)
        if not future.state.is_completed():
            store = LocalStore(options.store)
            failures[job.label] = last_words(store, job)
    return failures
