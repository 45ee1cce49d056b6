"""The Prefect adapter: one generic task that runs a job, flows over plans and regions.

Tasks carry keys and paths only and Prefect's own caching is off: the records in the store
are the cache.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import skymend.adapters.prefect_settings  # noqa: F401  isort: skip - before prefect
from prefect import flow, task
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, as_completed
from prefect.settings import PREFECT_API_URL
from prefect.task_runners import ThreadPoolTaskRunner

from skymend.adapters.jobs import (
    RunOptions,
    cpus_for,
    job_command,
    job_environment,
    last_words,
    log_path,
    pending,
)
from skymend.adapters.prefect_stop import Processes, Termination, start_own_server
from skymend.core.errors import SkymendError, StoppedError
from skymend.core.plan import Job, Plan
from skymend.core.store import Store, open_store
from skymend.core.task import load_task
from skymend.pipelines.region import Region

MOST_AT_ONCE = 32


def run(plan: Plan, store: Store, options: RunOptions) -> dict[str, str]:
    """Run a plan in this process and return the failures, job label -> last words.

    Without ``PREFECT_API_URL`` a server of its own is started for the run.

    Raises
    ------
    StoppedError
        if the run is stopped from the keyboard.
    SkymendError
        if the run itself fails, not one of its jobs: the store cannot be reached, say.
    """
    waiting = pending(plan, store)
    if not waiting:
        return {}
    with _shared(plan, options) as running:
        try:
            return _run_here(running)
        except (KeyboardInterrupt, Exception) as error:
            # What Prefect makes of Ctrl-C may fail by itself.
            if not (running.interrupted or isinstance(error, KeyboardInterrupt)):
                raise
            raise _stopped(plan, store, waiting) from error


def _run_here(running: _Running) -> dict[str, str]:
    """Run the flow, on a server of our own where there is no other."""
    options = running.options
    with ExitStack() as stack:
        if not PREFECT_API_URL.value():
            running.termination = stack.enter_context(Termination(running.processes))
            start_own_server()
        failures: dict[str, str] = run_plan(
            plan=options.plan,
            store=options.store,
            cores=options.cores,
            image=options.image,
            quiet=options.quiet,
        )
    return failures


def _stopped(plan: Plan, store: Store, waiting: Sequence[Job]) -> StoppedError:
    """Return the error that tells of Ctrl-C; a store that fails now does not hide it."""
    found = "that it was stopped"
    with suppress(SkymendError, OSError):
        known = store.known((job.step, job.key) for job in waiting)
        found += f" with {len(waiting) - len(known)} of them left"
    return StoppedError(
        where=plan.name,
        expected=f"{len(waiting)} jobs to end",
        found=found,
        fix="run it again to go on; finished jobs are kept",
    )


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


@dataclass
class _Running:
    """What the tasks of one flow run share; opaque to Prefect."""

    plan: Plan
    options: RunOptions
    cores: Cores
    processes: Processes
    termination: Termination | None = None
    interrupted: bool = False


_RUNNING: dict[str, _Running] = {}


@contextmanager
def _shared(plan: Plan, options: RunOptions) -> Iterator[_Running]:
    """Let the tasks find what they share; a flow finds what was made for it before it began."""
    name = str(options.plan)
    if name in _RUNNING:
        yield _RUNNING[name]
        return
    _RUNNING[name] = _Running(plan, options, Cores(options.cores), Processes())
    try:
        yield _RUNNING[name]
    finally:
        del _RUNNING[name]


def run_subprocess(job: Job, options: RunOptions, processes: Processes) -> None:
    """Run one job as a subprocess, its messages kept in its log.

    Raises
    ------
    RuntimeError
        with the job's last words, if it fails or runs out of time.
    """
    store = open_store(options.store)
    log = log_path(store.root, job)
    log.parent.mkdir(parents=True, exist_ok=True)
    seconds = load_task(job.step).timeout_minutes * 60
    with log.open("wb") as stream:
        try:
            code = processes.call(
                job_command(job.key, cpus_for(job, options.cores), options),
                log=stream,
                env=job_environment(job, options.cores),
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as error:
            message = f"{job.label}: stopped after {seconds / 60:g} minutes, the limit of its task"
            raise RuntimeError(message) from error
    if code != 0:
        raise RuntimeError(f"{job.label}: {last_words(store, job)} (exit code {code})")


@task(name="job", cache_policy=NO_CACHE, persist_result=False)
def run_job(key: str, plan: str) -> None:
    """Run one job of a plan that this process is running."""
    running = _RUNNING[plan]
    job = running.plan.by_key[key]
    with running.cores.hold(cpus_for(job, running.options.cores)):
        run_subprocess(job, running.options, running.processes)


@flow(
    name="run-plan",
    persist_result=False,
    task_runner=ThreadPoolTaskRunner(max_workers=MOST_AT_ONCE),
)
def run_plan(
    plan: Path, store: str, cores: int = 2, image: str | None = None, quiet: bool = True
) -> dict[str, str]:
    """Run every job of a written plan that has no record yet.

    Parameters
    ----------
    plan : the plan file.
    store : the store, by folder or ``s3://`` prefix.
    cores : cores shared by the jobs that run at once.
    image : run each job in this container image.
    quiet : print no progress.

    Returns
    -------
    Failures, job label -> last words; empty when all is well.
    """
    options = RunOptions(plan, store, cores, image, quiet)
    frozen = Plan.read(plan)
    waiting = pending(frozen, open_store(store))
    with _shared(frozen, options) as running:
        if running.termination is not None:
            running.termination.take()
        try:
            failures = _follow(frozen, _submit(waiting, plan), options)
        except BaseException as error:
            running.interrupted = isinstance(error, KeyboardInterrupt)
            running.processes.stop()
            raise
    _show_results(frozen, open_store(store))
    return failures


def _submit(waiting: Sequence[Job], plan: Path) -> dict[str, PrefectFuture[None]]:
    """Hand every job to Prefect, each waiting for those it needs; return key -> future."""
    futures: dict[str, PrefectFuture[None]] = {}
    for job in waiting:
        upstream = [futures[k] for k in job.upstream() if k in futures]
        named = run_job.with_options(task_run_name=job.label)
        futures[job.key] = named.submit(job.key, str(plan), wait_for=upstream)
    return futures


def _follow(
    plan: Plan, futures: dict[str, PrefectFuture[None]], options: RunOptions
) -> dict[str, str]:
    """Wait for every job, with a progress artifact and a line each."""
    store = open_store(options.store)
    labels = {future.task_run_id: key for key, future in futures.items()}
    artifact = create_progress_artifact(progress=0.0, description=plan.name)
    failures = {}
    for done, future in enumerate(as_completed(list(futures.values())), start=1):
        job = plan.by_key[labels[future.task_run_id]]
        record = store.record(job.step, job.key)
        if record is None:
            failures[job.label] = last_words(store, job)
        if not options.quiet:
            state = "failed" if record is None else record.status
            sys.stderr.write(f"[{done}/{len(futures)}] {job.label}: {state}\n")
        if done % 10 == 0 or done == len(futures):
            update_progress_artifact(artifact, progress=100.0 * done / len(futures))
    return failures


def _show_results(plan: Plan, store: Store) -> None:
    """Put the score table and a picture before and after into the UI."""
    known = store.known((job.step, job.key) for job in plan.jobs)
    for job in plan.jobs:
        record = known.get(job.key)
        if record is None or record.status != "done":
            continue
        if job.step == "evaluate":
            _show_table(store.bring(record)["table"])
        if job.step == "report" and "picture" in record.outputs:
            _show_picture(store.bring(record)["picture"], store.where(record.outputs["page"].path))


def _show_table(path: Path) -> None:
    from skymend.evaluate.table import Table

    table = Table.model_validate_json(path.read_text())
    rows = [
        {
            "method": row.method,
            "gap": row.gap_class,
            "stratum": row.stratum,
            "MAE": row.mae.value,
            "within one sigma": row.coverage.value,
            "pixels": row.pixels,
        }
        for row in table.rows
    ]
    create_table_artifact(key="scores", table=rows, description="Errors on hidden pixels")


def _show_picture(path: Path, report: str) -> None:
    from skymend.report.picture import data_uri

    create_markdown_artifact(
        key="before-after",
        markdown=f"![before and after]({data_uri(path)})\n\nReport: {report}",
        description="A date as acquired and as rebuilt",
    )


@flow(name="reconstruct", persist_result=False, validate_parameters=True)
def reconstruct(
    region: Region, store: str, cores: int = 2, image: str | None = None
) -> dict[str, object]:
    """Plan a region and run what is not done yet.

    Parameters
    ----------
    region : the region; the form in the UI is made from its model.
    store : the store, by folder or ``s3://`` prefix.
    cores : cores shared by the jobs that run at once.
    image : run each job in this container image.
    """
    from skymend.adapters.door import run_opened
    from skymend.pipelines.door import plan_region
    from skymend.pipelines.region import resolve_paths

    opened = plan_region(resolve_paths(region, Path.cwd()), store)
    result = run_opened(opened, engine="prefect", cores=cores, image=image, quiet=True)
    if result.exit_code:
        raise RuntimeError(result.text())
    return result.as_json()
