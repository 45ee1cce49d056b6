"""The engines by themselves: backscatter and cloud masks of single products."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from skymend.cli.apps import CpusOption, app, numbers


@app.command()
def backscatter(
    products: Annotated[
        list[Path], typer.Argument(help="Sentinel-1 IW GRD, folder or zip; slices of one pass.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the rasters.")],
    dem: Annotated[
        Path | None,
        typer.Option(
            help="Heights above the geoid: GeoTIFF, or a folder; Copernicus DEM GLO-30 is "
            "fetched if none."
        ),
    ] = None,
    grid: Annotated[str | None, typer.Option(help="Sentinel-2 tile, such as 31TCJ.")] = None,
    epsg: Annotated[int | None, typer.Option(help="CRS, instead of a tile.")] = None,
    resolution: Annotated[float | None, typer.Option(help="Pixel size; 10 m if none.")] = None,
    bounds: Annotated[str | None, typer.Option(help="left,bottom,right,top in the CRS.")] = None,
    orbit: Annotated[Path | None, typer.Option(help="EOF file, or a folder of them.")] = None,
    geoid: Annotated[Path | None, typer.Option(help="Undulation grid; EGM96 if none.")] = None,
    engine: Annotated[
        Literal["embedded", "snap", "s1tiling", "otb"], typer.Option(help="Who does it.")
    ] = "embedded",
    convention: Annotated[
        Literal["gamma0-flattened", "gamma0", "sigma0", "beta0"],
        typer.Option(help="What backscatter is normalised to."),
    ] = "gamma0-flattened",
    speckle: Annotated[
        Literal["none", "boxcar", "lee", "refined-lee", "lee-sigma", "gamma-map"],
        typer.Option(help="Filter in radar geometry."),
    ] = "none",
    window: Annotated[int, typer.Option(help="Side of the filter's window, odd, pixels.")] = 7,
    multilook: Annotated[int, typer.Option(help="Radar pixels averaged along each side.")] = 1,
    polarisation: Annotated[
        list[str] | None, typer.Option(help="VV, VH, ...; all if none.")
    ] = None,
    decibel: Annotated[bool, typer.Option("--db", help="Write 10*log10 of power.")] = False,
    keep_noise: Annotated[bool, typer.Option(help="Do not subtract thermal noise.")] = False,
    s1tiling_names: Annotated[
        bool, typer.Option(help="Write files named as S1Tiling names them, too.")
    ] = False,
    cpus: CpusOption = 2,
) -> None:
    """Turn Sentinel-1 GRD into terrain-flattened backscatter on a tile's grid."""
    from skymend.products.sentinel1 import open_grd
    from skymend.sar.door import backscatter as process
    from skymend.sar.door import grid_of
    from skymend.sar.engine import Chain
    from skymend.sources.heights import heights_around
    from skymend.sources.protocol import Settings

    chain = Chain(
        convention=convention,
        remove_thermal_noise=not keep_noise,
        speckle=speckle,
        speckle_window=window,
        multilook=multilook,
        decibel=decibel,
        polarisations=tuple(polarisation or ()),
    )
    edges = None if bounds is None else numbers(bounds, "--bounds", "left,bottom,right,top")
    box = None if edges is None else (edges[0], edges[1], edges[2], edges[3])
    if dem is None:
        for product in products:
            open_grd(product)  # what is no product is told before heights are fetched for it
        dem = heights_around(grid_of(products, grid, epsg, resolution, box), Settings())
    scene = process(
        products,
        output,
        dem=dem,
        grid=grid,
        epsg=epsg,
        resolution=resolution,
        bounds=box,
        orbit=orbit,
        geoid=geoid,
        engine=engine,
        chain=chain,
        s1tiling_names=s1tiling_names,
        cpus=cpus,
    )
    typer.echo(scene.backscatter)


@app.command()
def mask(
    product: Annotated[Path, typer.Argument(help="Product, or folder of bands B01 to B12.")],
    output: Annotated[Path, typer.Option(help="GeoTIFF of labels 0 to 5.")],
    engine: Annotated[
        str | None,
        typer.Option(
            help="fmask, s2cloudless, csmask, fmask-external, consensus or product; "
            "fmask for level 1, else the product's own mask."
        ),
    ] = None,
    sun: Annotated[
        str | None, typer.Option(help="ZENITH,AZIMUTH in degrees, for a folder of bands.")
    ] = None,
    dem: Annotated[Path | None, typer.Option(help="Heights, for terrain shadow.")] = None,
    resolution: Annotated[float | None, typer.Option(help="Pixel size in metres.")] = None,
    cpus: CpusOption = 2,
) -> None:
    """Label clouds, shadows, snow and water of one product."""
    from skymend.clouds.door import check_output, mask_product, write_mask

    check_output(output)
    angles = None if sun is None else numbers(sun, "--sun", "ZENITH,AZIMUTH")
    found = mask_product(
        product,
        engine,
        sun=None if angles is None else (angles[0], angles[1]),
        dem=dem,
        resolution_m=resolution,
        cpus=cpus,
    )
    for path in write_mask(found, output):
        typer.echo(path)
