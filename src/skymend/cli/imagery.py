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
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="theia, s1tiling, dem, stac, truth (these five if none), safe-l2a, safe-l1c or "
            "safe-grd; may be repeated.",
        ),
    ] = None,
) -> None:
    """Write a simulated season of Sentinel-1, Sentinel-2 and DEM products."""
    from skymend.simulate.door import simulate_preset
    from skymend.simulate.series import FORMATS

    typer.echo(simulate_preset(folder, preset, days=days, seed=seed, formats=formats or FORMATS))


@app.command()
def doctor(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Products, folders or region files.")
    ] = None,
    provider: Annotated[
        list[str] | None, typer.Option(help="Provider to ask; may be repeated.")
    ] = None,
    endpoint: Annotated[
        list[str] | None, typer.Option(help="NAME=URL: an address in place of the provider's.")
    ] = None,
) -> None:
    """Say what is wrong with products, region files and providers.

    Without arguments every provider that a login is given for is asked.
    """
    from skymend.pipelines import doctor as checks
    from skymend.sources.inventory import describe
    from skymend.sources.protocol import endpoints_of

    regions = [p for p in paths or [] if p.suffix in {".yaml", ".yml"}]
    products = [describe(p) for p in paths or [] if p not in regions]
    findings = [finding for region in regions for finding in checks.of_region(region)]
    if provider or not paths:
        findings += checks.of_providers(provider or [], endpoints_of(endpoint or []))
    for line in (*(text for text, _ in products), checks.text(findings)):
        if line:
            typer.echo(line)
    sound = all(ok for _, ok in products) and all(f.ok for f in findings)
    raise typer.Exit(0 if sound else 65)


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
