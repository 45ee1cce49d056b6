"""Looking after the store, and after what downloads left to decide."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skymend.cli.apps import JsonOption, StoreArgument, app, cache_app


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
def quarantine(
    release: Annotated[
        list[str] | None, typer.Option(help="Name of a file to fetch once more; may be repeated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List files that came twice with the same wrong content; --release lets one come again."""
    from skymend.sources.held import quarantine_report, released

    typer.echo(released(release) if release else quarantine_report(as_json=as_json))
