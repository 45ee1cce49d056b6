"""The command groups, and the options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
CpusOption = Annotated[int, typer.Option("--cpus", min=1, help="Threads.")]


def numbers(text: str, option: str, form: str) -> tuple[float, ...]:
    """Read comma-separated numbers, as many as the form names.

    Raises
    ------
    ConfigError
        if the text is none such.
    """
    from skymend.core.errors import ConfigError

    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != form.count(",") + 1:
        raise ConfigError(
            where=option, expected=f"numbers {form}", found=repr(text), fix="write them so"
        )
    return values
