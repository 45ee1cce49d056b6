"""Searching providers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from skymend.cli.apps import app


@app.command()
def search(
    provider: Annotated[str, typer.Argument(help="Whom to ask; see docs/sources.md.")],
    collection: Annotated[str, typer.Argument(help="Such as sentinel-2-l2a.")],
    area: Annotated[str, typer.Option(help="GeoJSON, Shapefile or WKT: a file, or the text.")],
    period: Annotated[
        list[str], typer.Option(help="START/END as YYYY-MM-DD, both included; may be repeated.")
    ],
    best: Annotated[
        Literal["earliest", "latest", "clearest"] | None,
        typer.Option(help="Choose one date a period: earliest, latest or clearest."),
    ] = None,
    max_cloud: Annotated[float, typer.Option(help="Cloud share 0..1 of the area.")] = 0.1,
    coverage: Annotated[float, typer.Option(help="Least share 0..1 of the area.")] = 0.99,
    scene_classes: Annotated[
        Path | None,
        typer.Option(help="Count clouds inside the area from scene classes fetched here."),
    ] = None,
    radar: Annotated[
        str | None, typer.Option(help="Provider of Sentinel-1 to pair with the dates chosen.")
    ] = None,
    window_days: Annotated[float, typer.Option(help="Radar within this of each date.")] = 6.0,
    tile: Annotated[str | None, typer.Option(help="MGRS tile.")] = None,
    orbit: Annotated[int | None, typer.Option(help="Relative orbit.")] = None,
    direction: Annotated[
        Literal["ascending", "descending"] | None, typer.Option(help="Of radar passes.")
    ] = None,
    polarisation: Annotated[
        list[str] | None, typer.Option(help="Channel that radar must have; may be repeated.")
    ] = None,
    side: Annotated[
        Literal["both", "before", "after"], typer.Option(help="Radar before or after the dates.")
    ] = "both",
    product_cloud: Annotated[
        float | None, typer.Option(help="Most cloud of the whole product, percent.")
    ] = None,
    endpoint: Annotated[
        list[str] | None, typer.Option(help="NAME=URL: an address in place of the provider's.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table here.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the footprints (PNG).")] = None,
    items: Annotated[Path | None, typer.Option(help="Write the items chosen (JSON).")] = None,
    download: Annotated[
        Path | None, typer.Option(help="Fetch the items chosen into this folder, verified.")
    ] = None,
    asset: Annotated[
        list[str] | None, typer.Option(help="Band or asset to fetch; whole products if none.")
    ] = None,
) -> None:
    """Search a provider, choose dates, pair radar; every candidate is told with its reason."""
    from skymend.core.errors import ConfigError
    from skymend.report.search import fetch_found, search_door
    from skymend.sources.pairing import PairingRules
    from skymend.sources.protocol import Filters, Settings, endpoints_of

    if asset and download is None:
        raise ConfigError(
            where="--asset", expected="--download with it", found="none", fix="name a folder"
        )
    settings = Settings(endpoints=endpoints_of(endpoint or []))
    channels = tuple(channel.upper() for channel in polarisation or [])
    is_radar = collection.startswith("sentinel-1")
    answer = search_door(
        provider,
        collection,
        area,
        period,
        settings=settings,
        filters=Filters(
            tile=tile,
            relative_orbit=orbit,
            cloud_cover_max=product_cloud,
            orbit_direction=direction if is_radar else None,
            polarisations=channels if is_radar else (),
        ),
        best=best,
        cloud_max=max_cloud,
        coverage_min=coverage,
        scene_classes=scene_classes,
        radar_provider=radar,
        rules=PairingRules(window_days, coverage, side, direction, channels),
        csv=csv,
        picture=picture,
        items=items,
    )
    typer.echo(answer.text)
    if download is not None:
        for receipt in fetch_found(answer.found, provider, radar, settings, asset or [], download):
            typer.echo(f"{receipt.path}: {receipt.bytes} bytes, verified by {receipt.verified}")
    raise typer.Exit(answer.exit_code)


@app.command()
def wkt(
    area: Annotated[Path, typer.Argument(help="GeoJSON file.")],
    output: Annotated[Path, typer.Argument(help="Text file, one line a feature.")],
) -> None:
    """Write the features of a GeoJSON file as well-known text, as SNAP's Subset takes them."""
    from skymend.sources.area import write_wkt_list

    typer.echo(f"{output}: {write_wkt_list(area, output)} areas")
