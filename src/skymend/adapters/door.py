"""``skymend run`` and ``skymend demo``: plan, run, report."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skymend.adapters.jobs import NOT_STARTED
from skymend.adapters.run import Engine, Ran, run_plan
from skymend.core.errors import ConfigError
from skymend.core.plan import Plan
from skymend.core.record import Record
from skymend.core.store import Store
from skymend.pipelines.door import Opened, open_region

EXIT_FAILED_JOBS = 1

_LITTLE_SPACE = 64 * 1024
_DEMO_FORMATS = ("theia", "s1tiling", "dem", "truth")


@dataclass(frozen=True, slots=True)
class RegionRun:
    """The runs of a region's tiles."""

    store: Store
    runs: tuple[Ran, ...]

    @property
    def exit_code(self) -> int:
        """0 when no job failed."""
        return EXIT_FAILED_JOBS if any(r.tally.failed for r in self.runs) else 0

    def as_json(self) -> dict[str, object]:
        """Return the counts over all tiles."""
        counts = {
            name: sum(getattr(r.tally, name) for r in self.runs)
            for name in ("executed", "cached", "skipped", "failed")
        }
        return {**counts, "store": self.store.uri}

    def text(self) -> str:
        """Return the score tables, the reports' paths and the counts."""
        blocks = [_describe(self.store, ran) for ran in self.runs]
        return "\n\n".join(blocks)


def run_region(
    region: Path,
    store: str | None,
    *,
    engine: str,
    cores: int,
    image: str | None = None,
    refresh: bool = False,
    quiet: bool = False,
) -> RegionRun:
    """Plan a region and run each tile's plan."""
    known = _engine(engine)
    opened = open_region(region, store, refresh=refresh)
    return run_opened(opened, engine=known, cores=cores, image=image, quiet=quiet)


def run_opened(
    opened: Opened, *, engine: Engine, cores: int, image: str | None, quiet: bool
) -> RegionRun:
    """Run each plan of an opened region."""
    runs = tuple(
        run_plan(plan, opened.store, engine=engine, cores=cores, image=image, quiet=quiet)
        for plan in opened.plans
    )
    return RegionRun(opened.store, runs)


def run_demo(folder: Path, *, engine: str, cores: int) -> RegionRun:
    """Simulate the demo season into ``folder`` and run its region."""
    from skymend.core.resources import path as resource_path
    from skymend.simulate.door import simulate_preset

    _engine(engine)
    sys.stderr.write(simulate_preset(folder / "products", "demo", formats=_DEMO_FORMATS) + "\n")
    region = folder / "region.yaml"
    region.write_text((resource_path("config") / "demo.yaml").read_text())
    return run_region(region, str(folder / "store"), engine=engine, cores=cores)


def _engine(name: str) -> Engine:
    if name == "prefect":
        return "prefect"
    if name == "snakemake":
        return "snakemake"
    raise ConfigError(
        where="--engine", expected="prefect or snakemake", found=repr(name), fix="choose one"
    )


def _describe(store: Store, ran: Ran) -> str:
    tally = ran.tally
    lines = [f"note: {note}" for note in ran.plan.notes]
    lines += _score_table(store, ran)
    lines += _failures(store, tally.failures)
    lines.append(
        f"{ran.plan.name}: executed {tally.executed}, cached {tally.cached}, "
        f"skipped {tally.skipped}, failed {tally.failed}"
    )
    found = _results(store, ran.plan)
    lines += [f"{name}: {store.where(record.outputs[name].path)}" for name, record in found.items()]
    return "\n".join(lines)


def _failures(store: Store, failures: Mapping[str, str]) -> list[str]:
    """Name the jobs that failed themselves; those that waited for them are counted."""
    lines = [f"failed: {label}: {w}" for label, w in sorted(failures.items()) if w != NOT_STARTED]
    waited = len(failures) - len(lines)
    if waited:
        lines.append(f"not started because of that: {waited} jobs")
    if failures and shutil.disk_usage(store.root).free < _LITTLE_SPACE:
        lines.append(f"failed: {store.root}: the disk is full; free some space, then run again")
    return lines


def _score_table(store: Store, ran: Ran) -> list[str]:
    from skymend.evaluate.table import Table
    from skymend.evaluate.text import as_text

    record = _results(store, ran.plan).get("table")
    if record is None:
        return []
    table = store.bring(record)["table"]
    return [as_text(Table.model_validate_json(table.read_text()))]


def _results(store: Store, plan: Plan) -> dict[str, Record]:
    """Return who made the final files people look for: score table, report, catalogue."""
    wanted = {"evaluate": "table", "report": "page", "publish": "catalog"}
    found = {}
    for job in plan.jobs:
        name = wanted.get(job.step)
        record = store.record(job.step, job.key) if name else None
        if name and record is not None and name in record.outputs:
            found[name] = record
    return found
