"""The command line: translates arguments, holds no logic."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="skymend",
    help="Rebuilds what clouds hide in satellite image series.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
cache_app = typer.Typer(help="Look after the store.", no_args_is_help=True)
models_app = typer.Typer(help="Trained networks (bundles).", no_args_is_help=True)
app.add_typer(cache_app, name="cache")
app.add_typer(models_app, name="models")

RegionFile = Annotated[Path, typer.Argument(help="Region file (YAML).", metavar="REGION.yaml")]
StoreOption = Annotated[
    str | None, typer.Option("--store", help="Folder or s3:// prefix; the region's when omitted.")
]
StoreArgument = Annotated[str, typer.Argument(help="Folder or s3:// prefix of the store.")]
CoresOption = Annotated[int, typer.Option("--cores", min=1, help="Cores for jobs at once.")]
JsonOption = Annotated[bool, typer.Option("--json", help="End with one line of JSON.")]
RefreshOption = Annotated[
    bool, typer.Option("--refresh", help="Take products that changed since they were planned.")
]


def main() -> None:
    """Run the command line; expected errors become one sentence and an exit code."""
    from skymend.core.errors import SkymendError

    try:
        app(standalone_mode=True)
    except SkymendError as error:
        typer.echo(f"skymend: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(141)


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say what is done.")] = False,
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(message)s"
    )


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

        become_container(plan_file.resolve(), key, Path(store).resolve(), cpus or 1, image)
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

    for path in copy_out(folder):
        typer.echo(path)


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="Folder for the products.")],
    preset: Annotated[str, typer.Option(help="demo, season or tiny.")] = "demo",
    days: Annotated[int | None, typer.Option(help="Length of the season.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed, another landscape.")] = None,
) -> None:
    """Write a simulated season of Sentinel-1, Sentinel-2 and DEM products."""
    from skymend.simulate.door import simulate_preset

    typer.echo(simulate_preset(folder, preset, days=days, seed=seed))


@app.command()
def doctor(
    paths: Annotated[list[Path], typer.Argument(help="Products or folders.")],
) -> None:
    """Say for each path which reader takes it, or why each refuses it."""
    from skymend.products.diagnosis import diagnose

    results = [diagnose(path) for path in paths]
    for text, _ in results:
        typer.echo(text)
    raise typer.Exit(0 if all(ok for _, ok in results) else 65)


@app.command()
def train(
    patches: Annotated[Path, typer.Argument(help="Patch store (folder).")],
    output: Annotated[Path, typer.Option(help="Folder for the bundle.")],
    architecture: Annotated[str, typer.Option(help="See `models list`.")] = "crga-os2-tiny",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 1500,
    batch: Annotated[int, typer.Option(min=1, help="Patches per step.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Highest rate of Adam.")] = 4e-3,
    seed: Annotated[int, typer.Option(help="Seed of weights and order.")] = 7,
    cpus: Annotated[int, typer.Option(min=1, help="Threads.")] = 2,
) -> None:
    """Train a network from a patch store; a killed training resumes to the same weights."""
    from skymend.training.from_folder import train_folder
    from skymend.training.train import TrainingSettings

    settings = TrainingSettings(
        architecture=architecture,
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        seed=seed,
    )
    trained = train_folder(patches, output, settings, cpus=cpus)
    typer.echo(json.dumps(trained.bundle.card.metrics, indent=1, sort_keys=True))


@models_app.command("list")
def models_list(
    folder: Annotated[Path | None, typer.Argument(help="Store or folder of bundles.")] = None,
) -> None:
    """List the networks that can be trained, or the bundles below a folder."""
    from skymend.models.shelf import describe_architectures, describe_bundles

    typer.echo(describe_architectures() if folder is None else describe_bundles(folder))


@models_app.command("show")
def models_show(bundle: Annotated[Path, typer.Argument(help="Bundle folder.")]) -> None:
    """Show the card of a bundle, after checking its files."""
    from skymend.models.shelf import show_bundle

    typer.echo(show_bundle(bundle))


@models_app.command("export")
def models_export(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    archive: Annotated[Path, typer.Argument(help="New .zip file.")],
) -> None:
    """Pack a verified bundle into an archive."""
    from skymend.models.shelf import export_bundle

    export_bundle(bundle, archive)


@models_app.command("import")
def models_import(
    archive: Annotated[Path, typer.Argument(help="Archive made by `models export`.")],
    folder: Annotated[Path, typer.Argument(help="New bundle folder.")],
) -> None:
    """Check an archived bundle and unpack it."""
    from skymend.models.shelf import import_bundle

    import_bundle(archive, folder)


@cache_app.command("list")
def cache_list(
    store: StoreArgument,
    as_json: JsonOption = False,
) -> None:
    """List what the store holds, by step."""
    from skymend.core.cache import list_store

    typer.echo(list_store(store, as_json=as_json))


@cache_app.command("verify")
def cache_verify(store: StoreArgument) -> None:
    """Recompute every checksum."""
    from skymend.core.cache import verify_store

    text, ok = verify_store(store)
    typer.echo(text)
    raise typer.Exit(0 if ok else 73)


@cache_app.command("gc")
def cache_gc(
    store: StoreArgument,
    keep: Annotated[list[Path] | None, typer.Option(help="Plan whose jobs stay.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove; else only tell.")] = False,
) -> None:
    """Find, and with --remove delete, what no kept plan needs and what killed jobs left."""
    from skymend.core.cache import collect_garbage

    typer.echo(collect_garbage(store, keep or [], remove=remove))


@app.command()
def export(
    store: StoreArgument,
    date: Annotated[str, typer.Argument(help="YYYYMMDD.")],
    output: Annotated[Path, typer.Argument(help="A .tif or .nc file.")],
    tile: Annotated[str | None, typer.Option(help="Tile, if the store holds several.")] = None,
    bounds: Annotated[
        str | None, typer.Option(help="left,bottom,right,top in metres, CRS of the tile.")
    ] = None,
) -> None:
    """Write one date, or a window of it, as GeoTIFF or NetCDF."""
    from skymend.report.export import export_date

    typer.echo(export_date(store, date, output, tile=tile, bounds=bounds))


@app.command()
def schema() -> None:
    """Print the JSON schema of the region file."""
    from skymend.pipelines.region import Region

    typer.echo(json.dumps(Region.model_json_schema(), indent=2, sort_keys=True))
