"""The command line: translates arguments, holds no logic. One module for each kind of work."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from skymend.cli import engines, house, imagery, models, regions, search
from skymend.cli.apps import app

__all__ = ["app", "engines", "house", "imagery", "main", "models", "regions", "search"]


def main() -> None:
    """Run the command line; expected errors become one sentence and an exit code."""
    from skymend.core.errors import NoImageError, SkipJob, SkymendError, StoreError

    try:
        app(standalone_mode=True)
    except SkymendError as error:
        typer.echo(f"skymend: {error}", err=True)
        sys.exit(error.exit_code)
    except SkipJob as skip:
        typer.echo(f"skymend: nothing to do: {skip.reason}", err=True)
        sys.exit(NoImageError.exit_code)
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:
        if error.filename is None:
            raise
        typer.echo(f"skymend: {_said(error)}", err=True)
        sys.exit(StoreError.exit_code)


def _said(error: OSError) -> str:
    reason = (error.strerror or type(error).__name__).lower()
    return (
        f"{error.filename}: expected a file or folder that can be used, found {reason}; "
        "check the path and who may write there"
    )


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say what is done.")] = False,
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(message)s"
    )
    if not verbose:
        # Retries are ours to report: as one sentence, if they were in vain.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
