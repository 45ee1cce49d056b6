"""Running a region: plan it, hand the plan to an engine, count what happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal, TypeAlias

from skymend.adapters.jobs import RunOptions, Tally, image_of, pending, tally
from skymend.core.container import check_ready, hand_over
from skymend.core.layout import record_name
from skymend.core.plan import Plan
from skymend.core.store import Store

Engine: TypeAlias = Literal["prefect", "snakemake"]
Runner: TypeAlias = Callable[[Plan, Store, RunOptions], dict[str, str]]

_MODULES = {
    "prefect": "skymend.adapters.prefect",
    "snakemake": "skymend.adapters.snakemake",
}


@dataclass(frozen=True, slots=True)
class Ran:
    """A plan that was run: where it lies, and the tally."""

    plan: Plan
    path: Path
    tally: Tally


def plan_path(store: Store, plan: Plan) -> Path:
    """Return where a plan lies in the store; two plans never share a file."""
    return store.root / "plans" / f"{plan.name}-{plan.digest[:8]}.json"


def run_plan(
    plan: Plan,
    store: Store,
    *,
    engine: Engine,
    cores: int,
    image: str | None = None,
    quiet: bool = False,
) -> Ran:
    """Write a plan into the store and run it with an engine.

    Parameters
    ----------
    plan : what to run.
    store : where.
    engine : ``prefect`` or ``snakemake``.
    cores : cores shared by the jobs that run at once.
    image : run each job in this container image.
    quiet : show no progress.
    """
    path = plan_path(store, plan)
    if image is not None:
        for needed in sorted({image_of(job.step, image) for job in plan.jobs}):
            check_ready(needed)
    plan.write(path)
    store.push(path)
    if image is not None:
        _open_to_jobs(plan, store)
    options = RunOptions(path, store.uri, cores, image, quiet)
    runner: Runner = import_module(_MODULES[engine]).run
    before = {job.key for job in plan.jobs} - {job.key for job in pending(plan, store)}
    failures = runner(plan, store, options)
    return Ran(plan, path, tally(plan, store, before, failures))


def _open_to_jobs(plan: Plan, store: Store) -> None:
    # Snakemake makes missing folders of its outputs as the user it runs as, perhaps root.
    for step in {job.step for job in plan.jobs}:
        (store.root / record_name(step, "")).parent.mkdir(parents=True, exist_ok=True)
    hand_over(store.root)
