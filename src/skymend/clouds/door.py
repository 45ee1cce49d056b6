"""``skymend mask``: labels of one product, without a region.

>>> mask = mask_product(Path("S2A_MSIL1C_20180101T105441_..."), "fmask")  # doctest: +SKIP
>>> write_mask(mask, Path("mask.tif"))  # doctest: +SKIP
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from skymend.clouds.masker import Mask, Maskable, open_masker
from skymend.core.cog import write_cog
from skymend.core.encoding import FLAG, LABELS, ByteArray, Encoding
from skymend.core.errors import ConfigError
from skymend.core.grid import Grid
from skymend.products import detect, open_optical, safe
from skymend.products.landsat import surface_refusal
from skymend.products.toa import ToaOptical, open_toa

PROBABILITY = Encoding("cloud probability", "uint8", 0.01, 255, "1")
"""Probability in whole percent, nodata 255."""

_KNOW_THE_SUN = frozenset({"safe-l2a", "safe-l1c", "theia", "stac", "landsat-l1", "landsat-c2-l2"})

USUAL_M = {"sentinel-2": 20.0, "landsat-8": 30.0, "landsat-9": 30.0}
"""Pixel sizes at which masks are made unless asked otherwise."""

BANDS_M = (10.0, 20.0, 60.0)
FINE_BANDS_M = BANDS_M[:2]
"""Pixel sizes of the bands of Sentinel-2."""


def mask_product(
    path: Path,
    engine: str | None = None,
    *,
    sun: tuple[float, float] | None = None,
    dem: Path | None = None,
    resolution_m: float | None = None,
    cpus: int = 1,
) -> Mask:
    """Mask one product.

    Parameters
    ----------
    path : a SAFE, THEIA, Landsat or STAC product, or a folder of bands B01 to B12.
    engine : name of a masker; when None ``fmask`` for top-of-atmosphere reflectance, else the
        product's own mask.
    sun : (zenith, azimuth) in degrees, for a folder of bands.
    dem : GeoTIFF, or folder of them, for terrain shadow and the cirrus band.
    resolution_m : pixel size; when None 20 m for Sentinel-2, 30 m for Landsat, or that of the
        files where it is coarser.

    Raises
    ------
    ProductError
        if no reader takes the path, or the product lacks what the engine needs.
    ConfigError
        if there is no such engine, or the sun is needed and not given.
    """
    product = open_maskable(path, sun=sun)
    chosen = engine or ("fmask" if hasattr(product, "sensor") else "product")
    size = usual_resolution(product) if resolution_m is None else resolution_m
    if not 1 <= size < math.inf:
        raise ConfigError(
            where="--resolution",
            expected="a pixel size of 1 m or more",
            found=f"{size:g}",
            fix="correct it, or leave it away",
        )
    _check_size(product, chosen, size)
    return open_masker(chosen).mask(product, resolution_m=size, dem=dem, cpus=cpus)


def open_maskable(path: Path, *, sun: tuple[float, float] | None = None) -> Maskable:
    """Open any optical product; level 1 as top-of-atmosphere reflectance."""
    kind = detect(path).kind
    named = safe.Name.parse(path.name.removesuffix(".zip"))
    if kind is None and named is not None and named.level == "L2A":
        kind = safe.KIND  # whose reader says what is wrong with it
    if sun is not None and kind in _KNOW_THE_SUN:
        raise ConfigError(
            where="--sun",
            expected="a plain folder of bands",
            found=f"a product of kind {kind}",
            fix="leave --sun away",
        )
    if sun is not None and not all(map(math.isfinite, sun)):
        raise ConfigError(
            where="--sun",
            expected="two angles in degrees",
            found=f"{sun[0]:g},{sun[1]:g}",
            fix="give ZENITH,AZIMUTH in degrees",
        )
    if kind in {"safe-l2a", "theia", "stac"} or surface_refusal(path) is None:
        return open_optical(path, kind)
    return open_toa(path, sun=sun)


def _native(product: Maskable) -> tuple[Any, Grid]:
    """Return the product itself and its own grid."""
    source = product.product if isinstance(product, ToaOptical) else product
    return source, source.grid() if callable(source.grid) else source.grid


def _check_size(product: Maskable, engine: str, size: float) -> None:
    """Refuse pixels that do not fit those of every band read: one must hold the other wholly."""
    source, grid = _native(product)
    pixels: tuple[float, ...] = (grid.resolution,)
    if grid.resolution == 10 and getattr(source, "sensor", None) == "sentinel-2":
        pixels = FINE_BANDS_M if engine == "csmask" else BANDS_M
    elif grid.resolution == 10 and isinstance(source, safe.SafeProduct):
        pixels = FINE_BANDS_M
    usual = len(pixels) > 1
    ratios = [max(size, pixel) / min(size, pixel) for pixel in pixels]
    if all(abs(ratio - round(ratio)) < 1e-6 for ratio in ratios):
        return
    listed = ", ".join(f"{pixel:g}" for pixel in pixels)
    raise ConfigError(
        where="--resolution",
        expected=f"a multiple or a whole part of the bands' own pixel sizes ({listed} m)",
        found=f"{size:g}",
        fix=f"choose 10, 20 or a multiple of {pixels[-1]:g}"
        if usual
        else f"choose {listed} or a multiple",
    )


def check_output(output: Path) -> None:
    """Refuse a name that cannot become a GeoTIFF, before any work is done.

    Raises
    ------
    ConfigError
        if it does not end in ``.tif``, or is a folder.
    """
    if output.suffix.lower() in {".tif", ".tiff"} and not output.is_dir():
        return
    raise ConfigError(
        where="--output",
        expected="a name that ends in .tif, and no folder",
        found=f"{output.name}, a folder" if output.is_dir() else output.name,
        fix="call it so; no other format is written",
    )


def usual_resolution(product: Maskable) -> float:
    """Return the pixel size at which a product is masked unless asked otherwise."""
    source, grid = _native(product)
    usual = USUAL_M.get(getattr(source, "sensor", "sentinel-2"), 20.0)
    return usual if grid.resolution <= usual else grid.resolution


def write_mask(mask: Mask, output: Path) -> tuple[Path, ...]:
    """Write a mask as COGs.

    Parameters
    ----------
    output : GeoTIFF of the labels; ``*_probability.tif`` and ``*_terrain-shadow.tif`` go
        beside it, the first only where the engine has a probability.

    Returns
    -------
    The files written.
    """
    check_output(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    shade = output.with_name(f"{output.stem}_terrain-shadow.tif")
    chance = output.with_name(f"{output.stem}_probability.tif")
    known = bool(np.isfinite(mask.probability).any())
    write_cog(shade, mask.terrain_shadow[None].view(np.uint8), mask.grid, ("shadow",), FLAG)
    if known:
        write_cog(chance, mask.probability[None], mask.grid, ("probability",), PROBABILITY)
    else:
        chance.unlink(missing_ok=True)  # of another engine, from an earlier call
    # Last: where the labels are, the rest is.
    write_cog(output, mask.labels[None], mask.grid, ("labels",), LABELS)
    return (output, chance, shade) if known else (output, shade)


def labels_on(mask: Mask, grid: Grid) -> ByteArray:
    """Return the labels of a mask on another grid of the same CRS, nearest neighbour.

    Returns
    -------
    (rows, columns) uint8; ``NODATA`` where the mask does not reach.

    Raises
    ------
    ConfigError
        if the CRS differ.
    """
    if mask.grid.crs != grid.crs:
        raise ConfigError(
            where="mask",
            expected=f"a product in {grid.crs}",
            found=mask.grid.crs,
            fix="choose products of the tile's own zone",
        )
    size, left, top = mask.grid.resolution, mask.grid.transform[2], mask.grid.transform[5]
    down = top - grid.transform[5] + (np.arange(grid.shape[0]) + 0.5) * grid.resolution
    along = grid.transform[2] - left + (np.arange(grid.shape[1]) + 0.5) * grid.resolution
    rows, columns = (np.floor(a / size).astype(np.intp) for a in (down, along))
    inside_rows = (rows >= 0) & (rows < mask.grid.shape[0])
    inside_columns = (columns >= 0) & (columns < mask.grid.shape[1])
    labels = np.zeros(grid.shape, np.uint8)
    labels[np.ix_(inside_rows, inside_columns)] = mask.labels[
        np.ix_(rows[inside_rows], columns[inside_columns])
    ]
    return labels
