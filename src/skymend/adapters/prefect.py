"""The Prefect adapter: one generic task that runs a job, flows over plans and regions.

Tasks carry keys and paths only and Prefect's own caching is off: the records in the store
are the cache.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

import skymend.adapters.prefect_settings  # noqa: F401  isort: skip - before prefect
from prefect import flow, task
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectFuture, as_completed
from prefect.server.api.server import SubprocessASGIServer
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
from skymend.core.errors import StoppedError
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
    """
    waiting = pending(plan, store)
    if not waiting:
        return {}
    if not PREFECT_API_URL.value():
        _start_own_server()
    try:
        failures: dict[str, str] = run_plan(
            plan=options.plan,
            store=options.store,
            cores=options.cores,
            image=options.image,
            quiet=options.quiet,
        )
    except TerminationSignal:
        raise
    except BaseException as error:
        running = _RUNNING.get(str(options.plan))
        if running is None or not running.processes.stopped:
            raise
        left = len(pending(plan, store))
        raise StoppedError(
            where=plan.name,
            expected=f"{len(waiting)} jobs to end",
            found=f"that it was stopped with {left} of them left",
            fix="run it again to go on; finished jobs are kept",
        ) from error
    return failures


def _start_own_server() -> None:
    """Start the server that Prefect would start itself, but out of the reach of Ctrl-C.

    A terminal sends SIGINT to all processes of the run; without its server Prefect takes
    minutes to give up telling it that the run was stopped. A blocked signal stays so in a child.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        SubprocessASGIServer().start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _leave(processes: Processes) -> NoReturn:
    """End the run's processes, its server and this process; records tell what is done."""
    processes.stop()
    SubprocessASGIServer().stop()
    sys.stderr.write("skymend: stopped; run it again to go on, finished jobs are kept\n")
    sys.stderr.flush()
    os._exit(128 + signal.SIGTERM)


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


class Processes:
    """The subprocesses of a run, which :meth:`stop` ends together; none starts afterwards."""

    def __init__(self) -> None:
        self.stopped = False
        self._changing = threading.RLock()
        self._running: set[subprocess.Popen[bytes]] = set()

    def call(
        self, command: Sequence[str], *, log: IO[bytes], env: Mapping[str, str], timeout: float
    ) -> int:
        """Run a command to its end and return its exit code.

        Raises
        ------
        RuntimeError
            if the run was stopped before.
        subprocess.TimeoutExpired
            if it takes longer than ``timeout`` seconds; it is killed then.
        """
        with self._changing:
            if self.stopped:
                raise RuntimeError("not started: the run was stopped")
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=env
            )
            self._running.add(process)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            with self._changing:
                self._running.discard(process)

    def stop(self) -> None:
        """End what runs."""
        with self._changing:
            self.stopped = True
            for process in self._running:
                process.terminate()


@dataclass(frozen=True)
class _Running:
    """What the tasks of one flow run share; opaque to Prefect."""

    plan: Plan
    options: RunOptions
    cores: Cores
    processes: Processes


_RUNNING: dict[str, _Running] = {}


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
    running = _Running(frozen, options, Cores(cores), Processes())
    _RUNNING[str(plan)] = running
    if not PREFECT_API_URL.value() and threading.current_thread() is threading.main_thread():
        # SIGTERM may have ended our own server too, which Prefect would try to reach for minutes.
        signal.signal(signal.SIGTERM, lambda *_: _leave(running.processes))
    try:
        failures = _follow(frozen, _submit(waiting, plan), options)
    except BaseException:
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
