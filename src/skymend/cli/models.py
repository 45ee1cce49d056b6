"""Training networks and handling bundles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from skymend.cli.apps import app, models_app


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
    folder: Annotated[
        str | None, typer.Argument(help="Folder of bundles or store (also s3://).")
    ] = None,
) -> None:
    """List the networks that can be trained, or the bundles below a folder."""
    from skymend.models.shelf import describe_architectures, describe_bundles, describe_store

    if folder is None:
        typer.echo(describe_architectures())
    else:
        there = describe_store(folder) if "://" in folder else describe_bundles(Path(folder))
        typer.echo(there)


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
