"""Planning and running regions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from skymend.cli.apps import CoresOption, JsonOption, RefreshOption, RegionFile, StoreOption, app


@app.command()
def plan(
    region: RegionFile,
    store: StoreOption = None,
    output: Annotated[Path | None, typer.Option(help="Write the plan to this file.")] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Show what a run would execute.")] = False,
    why: Annotated[str | None, typer.Option(help="Explain a key or a data path.")] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Estimate time and space.")] = False,
    jobs: Annotated[bool, typer.Option("--jobs", help="List every job and its folder.")] = False,
    refresh: RefreshOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the plan of a region, or explain it, without running anything."""
    from skymend.pipelines import explain
    from skymend.pipelines.door import open_region

    opened = open_region(region, store, refresh=refresh)
    for one in opened.plans:
        if output is not None:
            one.write(output if len(opened.plans) == 1 else output.with_stem(_stem(output, one)))
        if why is not None:
            typer.echo(explain.why(one, opened.store, why))
        elif estimate:
            typer.echo(explain.estimate(one, opened.store))
        elif jobs:
            typer.echo(explain.jobs(one))
        else:
            typer.echo(explain.difference(one, opened.store, detailed=diff, as_json=as_json))


def _stem(output: Path, one: Any) -> str:
    return f"{output.stem}-{one.name}"


@app.command()
def run(
    region: RegionFile,
    store: StoreOption = None,
    engine: Annotated[str, typer.Option(help="prefect or snakemake.")] = "prefect",
    cores: CoresOption = 2,
    in_containers: Annotated[
        bool, typer.Option("--in-containers", help="Run each job with docker run.")
    ] = False,
    image: Annotated[str, typer.Option(help="Image for --in-containers.")] = "skymend-core",
    refresh: RefreshOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Plan a region and run what is not done yet."""
    from skymend.adapters.door import run_region

    result = run_region(
        region,
        store,
        engine=engine,
        cores=cores,
        image=image if in_containers else None,
        refresh=refresh,
        quiet=quiet,
    )
    typer.echo(result.text(), err=as_json)
    if as_json:
        typer.echo(json.dumps(result.as_json()))
    raise typer.Exit(result.exit_code)


@app.command()
def job(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN", help="Plan file.")],
    key: Annotated[str, typer.Argument(help="Key of the job, or its first 8 digits.")],
    store: Annotated[str, typer.Option(help="Folder or s3:// prefix of the store.")],
    cpus: Annotated[int | None, typer.Option(min=1, help="Threads; those of its task.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Recompute checksums.")] = False,
    image: Annotated[str | None, typer.Option(help="Run it in this container image.")] = None,
) -> None:
    """Run one job of a plan (what both engines call)."""
    if image is not None:
        from skymend.adapters.jobs import become_container
        from skymend.core.store import open_store

        become_container(plan_file.resolve(), key, open_store(store), cpus or 1, image)
    from skymend.core.execute import run_job
    from skymend.core.plan import Plan
    from skymend.core.store import open_store
    from skymend.steps import load

    frozen = Plan.read(plan_file)
    wanted = frozen.job(key)
    load(wanted.step)
    outcome = run_job(frozen, wanted.key, open_store(store), cpus=cpus, verify=verify)
    reason = f": {outcome.record.reason}" if outcome.record.reason else ""
    typer.echo(f"{wanted.label}: {outcome.status}{reason}")


@app.command()
def step(
    name: Annotated[str | None, typer.Argument(help="Step; omit it for a list.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="JSON schema of parameters.")] = False,
) -> None:
    """Show the steps, or the parameters, inputs and outputs of one."""
    from skymend.pipelines import explain

    typer.echo(explain.steps() if name is None else explain.step(name, schema=schema))


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Folder for the demo.")] = Path("demo"),
    engine: Annotated[str, typer.Option(help="prefect or snakemake.")] = "prefect",
    cores: CoresOption = 2,
) -> None:
    """Simulate a season, train, reconstruct, evaluate and report."""
    from skymend.adapters.door import run_demo

    result = run_demo(folder, engine=engine, cores=cores)
    typer.echo(result.text())
    raise typer.Exit(result.exit_code)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to fill.")],
) -> None:
    """Copy tasks, workflows and example regions out for editing."""
    from skymend.core.resources import copy_out

    written = copy_out(folder)
    for path in written:
        typer.echo(path)
    if not written:
        typer.echo(f"{folder}: all files are there already and were kept")


@app.command()
def schema() -> None:
    """Print the JSON schema of the region file."""
    from skymend.pipelines.region import Region

    typer.echo(json.dumps(Region.model_json_schema(), indent=2, sort_keys=True))
