"""From SNAP's result to a backscatter scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skymend.core.cog import CogWriter
from skymend.core.encoding import FLAG, INCIDENCE, FloatArray
from skymend.core.errors import ProductError, SkipJob
from skymend.core.grid import Grid
from skymend.products.strips import strips
from skymend.sar.dimap import SnapResult, open_result
from skymend.sar.engine import BackscatterScene, Chain
from skymend.sar.tiled_scene import encoding

_PREFIX = {"gamma0-flattened": "Gamma0", "gamma0": "Gamma0", "sigma0": "Sigma0", "beta0": "Beta0"}
_LOCAL, _ELLIPSOID = "localIncidenceAngle", "incidenceAngleFromEllipsoid"
_STATE = "layover_shadow_mask"


def write_scene(
    result: Path,
    grid: Grid,
    channels: Sequence[str],
    chain: Chain,
    out: Path,
    facts: Mapping[str, Any],
) -> BackscatterScene:
    """Write the rasters of a scene from what SNAP left.

    Parameters
    ----------
    result : a ``.dim`` or GeoTIFF; linear power with 0 as nodata.
    channels : polarisations, in the order written.
    chain : its convention says which bands to take; ``decibel`` turns them into dB here.
    out : folder for ``backscatter.tif``, ``incidence.tif`` and ``state.tif``; the last two only
        where the graph saved those bands.

    Raises
    ------
    ProductError
        if a band is missing.
    SkipJob
        if no pixel of the grid has backscatter.
    """
    product = open_result(result)
    bands = [_band(product, _PREFIX[chain.convention], channel) for channel in channels]
    incidence = [b for b in (_LOCAL, _ELLIPSOID) if b in product.bands]
    _backscatter(product, bands, channels, grid, chain, out / "backscatter.tif")
    if incidence:
        _incidence(product, incidence, grid, out / "incidence.tif")
    if _STATE in product.bands:
        _state(product, grid, out / "state.tif")
    return BackscatterScene(
        backscatter=out / "backscatter.tif",
        incidence=out / "incidence.tif" if incidence else None,
        state=out / "state.tif" if _STATE in product.bands else None,
        facts=dict(facts),
    )


def _band(product: SnapResult, prefix: str, channel: str) -> str:
    name = f"{prefix}_{channel}"
    if name in product.bands:
        return name
    raise ProductError(
        where=product.path,
        expected=f"a band {name}",
        found=", ".join(product.bands) or "no band",
        fix="let the graph end with the calibration that the chain names",
    )


def _backscatter(
    product: SnapResult,
    bands: Sequence[str],
    channels: Sequence[str],
    grid: Grid,
    chain: Chain,
    path: Path,
) -> None:
    """Write the channels; leave nothing if no pixel has a value."""
    some = False
    with CogWriter(path, grid, channels, encoding(decibel=chain.decibel)) as writer:
        for window, part in strips(grid):
            power = np.stack([_power(product, band, part, chain) for band in bands])
            some |= bool(np.isfinite(power).any())
            writer.write(power, window)
        if not some:
            writer.close()
            writer.work.unlink(missing_ok=True)
            raise SkipJob("the pass has no pixel in the area")


def _power(product: SnapResult, band: str, grid: Grid, chain: Chain) -> FloatArray:
    nearest = chain.resampling == "nearest"
    power = product.read(band, grid, nodata=0.0, nearest=nearest)
    with np.errstate(invalid="ignore"):
        power[~(power > 0)] = np.nan
    return 10 * np.log10(power) if chain.decibel else power


def _incidence(product: SnapResult, bands: Sequence[str], grid: Grid, path: Path) -> None:
    names = {_LOCAL: "local", _ELLIPSOID: "ellipsoid"}
    with CogWriter(path, grid, [names[b] for b in bands], INCIDENCE) as writer:
        for window, part in strips(grid):
            writer.write(np.stack([product.read(b, part, nodata=0.0) for b in bands]), window)


def _state(product: SnapResult, grid: Grid, path: Path) -> None:
    """Write layover and shadow; SNAP's 1, 2 and 3 are the bits of the state raster."""
    with CogWriter(path, grid, ["state"], FLAG) as writer:
        for window, part in strips(grid):
            bits = product.read(_STATE, part, nearest=True)
            stored = np.where(np.isfinite(bits), bits, 0).astype(np.uint8) & 3
            writer.write_stored(stored[None], window)
