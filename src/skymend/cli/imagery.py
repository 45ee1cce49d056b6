"""Products: searched, simulated, processed one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skymend.cli.apps import StoreArgument, app


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
