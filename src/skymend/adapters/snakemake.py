"""The Snakemake adapter: a plan as wildcard rules whose outputs are records.

Snakemake is called as a program; the generic rules lie in ``workflows/snakemake``.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from skymend.adapters.jobs import RunOptions, job_command, last_words, pending
from skymend.core.errors import ConfigError, ToolMissingError
from skymend.core.plan import Plan
from skymend.core.resources import path as resource_path
from skymend.core.store import Store, folder_uri, open_store
from skymend.core.task import load_task


def run(plan: Plan, store: Store, options: RunOptions) -> dict[str, str]:
    """Run a plan with Snakemake and return the failures, job label -> last words."""
    waiting = pending(plan, store)
    if not waiting:
        return {}
    command = snakemake_command(options, targets=["all"])
    code = subprocess.run(command, check=False, stdout=sys.stderr).returncode
    if code == 0:
        return {}
    known = store.known((job.step, job.key) for job in waiting)
    missing = [job for job in waiting if job.key not in known]
    return {job.label: last_words(store, job) for job in missing}


def snakemake_command(options: RunOptions, *, targets: Sequence[str]) -> list[str]:
    """Return the Snakemake call for a plan.

    Existence of records is the only trigger (``--rerun-triggers mtime`` with ``ancient``
    inputs); ``--nolock`` because jobs lock themselves; ``greedy`` starts at once.
    """
    executable = Path(sys.executable).with_name("snakemake")
    program = str(executable) if executable.exists() else shutil.which("snakemake")
    if program is None:
        raise ToolMissingError(
            where="--engine snakemake",
            expected="the program snakemake",
            found="none on the PATH",
            fix="install skymend[snakemake]",
        )
    command = [program, *targets]
    command += ["--snakefile", str(resource_path("workflows") / "snakemake" / "Snakefile")]
    command += ["--directory", str(open_store(options.store).root), "--cores", str(options.cores)]
    command += ["--scheduler", "greedy", "--rerun-incomplete", "--nolock", "--keep-going"]
    command += ["--rerun-triggers", "mtime", "--ignore-incomplete"]
    if options.quiet:
        command += ["--quiet", "all"]
    config = [f"plan={options.plan}", f"store={options.store}", f"cores={options.cores}"]
    if options.image is not None:
        config.append(f"image={options.image}")
    return [*command, "--config", *config]


class Rules:
    """What the Snakefile asks of a plan.

    Parameters
    ----------
    config : Snakemake's ``--config``: ``plan``, ``store``, ``cores``, optionally ``image``.
    """

    def __init__(self, config: Mapping[str, object]) -> None:
        for name in ("plan", "store"):
            if name not in config:
                raise ConfigError(
                    where="snakemake --config",
                    expected=f"{name}=PATH",
                    found=", ".join(config) or "nothing",
                    fix="write a plan with `skymend plan REGION` and pass it",
                )
        self.options = RunOptions(
            Path(str(config["plan"])),
            folder_uri(str(config["store"])),
            int(str(config.get("cores", 1))),
            str(config["image"]) if "image" in config else None,
        )
        self.plan = Plan.read(self.options.plan)
        self._folders = {job.folder: job for job in self.plan.jobs}

    @property
    def steps(self) -> list[str]:
        """Steps of the plan, each once."""
        return sorted({job.step for job in self.plan.jobs})

    def targets(self) -> list[str]:
        """Return the records of everything the region asks for."""
        return [self.record(key) for key in self.plan.targets]

    def record(self, key: str) -> str:
        """Return the record of a job, relative to the store."""
        return f"records/{self.plan.by_key[key].step}/{key}.json"

    def inputs(self, key: str) -> list[str]:
        """Return the records a job waits for."""
        if key not in self.plan.by_key:
            return []
        return [self.record(k) for k in self.plan.by_key[key].upstream()]

    def record_of_path(self, path: str) -> str:
        """Return the record of the job that makes a data path."""
        for parent in Path(path).parents:
            job = self._folders.get(parent.as_posix())
            if job is not None:
                return self.record(job.key)
        raise ConfigError(
            where=f"target {path}",
            expected="a path that the plan makes",
            found="no job with that folder",
            fix="list the paths with `skymend plan REGION --jobs`",
        )

    def command(self, step: str) -> str:
        """Return the start of a step's shell command; key and log follow in the Snakefile."""
        return shlex.join(job_command("", self.threads(step), self.options)[:-1])

    @property
    def bring(self) -> str:
        """The command that brings a data path from where the store is; the path follows."""
        return shlex.join([sys.executable, "-m", "skymend.core.bring", self.options.store])

    def threads(self, step: str) -> int:
        """Return the cores a step takes."""
        return min(load_task(step).cpus, self.options.cores)

    def memory_mb(self, step: str) -> int:
        """Return the memory a step takes."""
        return round(load_task(step).memory_gb * 1024)

    def minutes(self, step: str) -> int:
        """Return the time a step may take."""
        return round(load_task(step).timeout_minutes)
