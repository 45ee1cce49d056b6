"""A plan of 5,000 jobs: time to build and write it, and Snakemake's dry run of it.

    python benchmarks/plan_scale.py

Targets: built in under 5 s, dry-run by Snakemake in under 20 s. The products are stand-ins:
planning reads no pixels.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from skymend.adapters.jobs import RunOptions
from skymend.adapters.snakemake import snakemake_command
from skymend.core.grid import Grid
from skymend.core.plan import FrozenFile, FrozenProduct, Plan
from skymend.core.store import LocalStore
from skymend.pipelines.reconstruct import _Planner
from skymend.pipelines.region import parse_region
from skymend.pipelines.search import Catalogue
from skymend.steps import load_all

DATES = 1000
REGION = {
    "name": "scale",
    "area": {"tiles": ["31TCJ"]},
    "period": {"start": "2017-01-01", "end": "2031-12-31"},
    "sources": {"s2": {"provider": "theia", "path": "none"}},
    "outputs": [
        {"reconstruct": {"method": "linear", "window_days": 30, "reach_days": 30}},
        {"evaluate": {"methods": ["linear"], "donor_days": 30}},
    ],
}


def products() -> tuple[FrozenProduct, ...]:
    """One optical product every five days."""
    start = datetime(2017, 1, 1, 10, 50, tzinfo=UTC)
    made = []
    for number in range(DATES):
        name = f"P{number:04d}"
        file = FrozenFile(f"none/{name}", 1, f"{number:064d}")
        time_ = (start + timedelta(days=5 * number)).isoformat()
        tags = {"id": name, "kind": "theia", "datetime": time_}
        made.append(FrozenProduct(name, "theia", f"none/{name}", tags, (file,)))
    return tuple(made)


def build() -> Plan:
    """Plan 1,000 dates with twelve neighbours each."""
    region = parse_region(REGION, Path.cwd())
    catalogue = Catalogue(products(), (), (), (), ())
    return _Planner(region, "31TCJ", Grid.from_mgrs("31TCJ"), catalogue).plan()


def main() -> None:
    """Print both times."""
    load_all()
    started = time.perf_counter()
    plan = build()
    built = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        store = LocalStore(Path(folder) / "store")
        store.prepare()
        path = Path(folder) / "plan.json"
        plan.write(path)
        written = time.perf_counter() - started
        options = RunOptions(path, store.uri, 2, quiet=True)
        command = [*snakemake_command(options, targets=["all"]), "--dry-run"]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        dry = time.perf_counter() - started
        size = path.stat().st_size / 1e6
    print(f"jobs                      {len(plan.jobs)}")
    print(f"plan built                {built:.2f} s  (target 5 s)")
    print(f"plan built and written    {written:.2f} s, {size:.1f} MB")
    print(f"Snakemake dry run         {dry:.2f} s  (target 20 s)")


if __name__ == "__main__":
    main()
