"""``skymend doctor``: what a path is, what is broken in it, or why no reader takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from skymend.core.errors import ProductError, SkymendError
from skymend.core.raster import describe, open_raster
from skymend.products import dem, landsat, s1tiling, safe, safe_l1c, sentinel1, stac, theia
from skymend.products.detection import detect
from skymend.products.stac_item import CATALOGUES

_HEIGHTS = {"int16", "int32", "float32", "float64"}
_RASTERS = {".tif", ".tiff", ".jp2"}


def kind_of(path: Path) -> str | None:
    """Return the kind of the one product that a path is; None if it is none.

    GeoTIFFs of no known name count as a DEM only if they may hold heights.
    """
    if sentinel1.refusal(path) is None:
        return sentinel1.KIND
    kind = detect(path).kind
    return None if kind == dem.KIND and no_heights(path) else kind


def diagnose(path: Path) -> tuple[str, bool]:
    """Return a description of a product in one or more lines, and whether it is sound.

    Sound means: a reader takes it, its metadata can be read, and so can the header of every
    image. Pixels are not read.
    """
    if not path.exists():
        return f"{path}: no such file or folder", False
    kind = kind_of(path)
    if kind is None:
        reasons = [f"  {name}: {reason}" for name, reason in refusals(path).items()]
        return "\n".join([f"{path}: no reader takes it", *reasons]), False
    try:
        for file in _FILES[kind](path):
            if file.suffix.lower() in _RASTERS:
                describe(file)
    except SkymendError as error:
        return f"{kind}: {error}", False
    return f"{path}: {kind}", True


def refusals(path: Path) -> dict[str, str]:
    """Say of each reader why it does not take a path, by its kind."""
    found = detect(path).refusals
    reasons = {dem.KIND: no_heights(path), sentinel1.KIND: sentinel1.refusal(path)}
    return {**found, **{kind: reason for kind, reason in reasons.items() if reason is not None}}


def no_heights(path: Path) -> str | None:
    """Say why the GeoTIFFs of a file or folder can be no heights; None if they can.

    Heights are one band of signed numbers on a map. A file that cannot be opened is no reason:
    its name may be all that is known of it.
    """
    reason = dem.refusal(path)
    if reason is not None:
        return reason
    return next((w for w in map(_no_heights, dem.elevation_files(path)) if w is not None), None)


def _no_heights(file: Path) -> str | None:
    try:
        info = describe(file)
        with open_raster(file) as dataset:
            mapped = dataset.crs is not None
    except SkymendError:
        return None
    if len(info.bands) > 1:
        return f"{file.name} has {len(info.bands)} bands, heights have one"
    if info.dtype not in _HEIGHTS:
        return f"{file.name} holds {info.dtype}, heights are signed numbers"
    return None if mapped else f"{file.name} has no CRS"


def _item_files(path: Path) -> Iterable[Path]:
    item = stac.load_item(path)
    bands, channels = stac.optical_bands(item), stac.polarisations(item)
    if not bands and not channels:
        raise ProductError(
            where=path,
            expected="bands such as B04 or polarisations such as VV among its assets",
            found=", ".join(sorted(item.assets)[:8]) or "no assets",
            fix="give an item with images",
        )
    if channels:
        return stac.StacRadar(item).files(channels)
    return stac.StacOptical(item).files(bands)


def _theia_files(path: Path) -> Iterable[Path]:
    opened = theia.open_product(path)
    if not opened.bands:
        raise ProductError(
            where=path,
            expected="at least one band *_FRE_B*.tif",
            found="none",
            fix="fetch the product again",
        )
    return opened.files(opened.bands)


def _safe_files(path: Path) -> Iterable[Path]:
    opened = safe.open_product(path)
    return opened.files(opened.bands)


def _l1c_files(path: Path) -> Iterable[Path]:
    opened = safe_l1c.open_product(path)
    return opened.files(opened.bands)


def _landsat_files(path: Path) -> Iterable[Path]:
    opened = (
        landsat.open_product(path) if landsat.refusal(path) is None else landsat.open_surface(path)
    )
    _ = opened.metadata.time
    return opened.images.values()


def _grd_files(path: Path) -> Iterable[Path]:
    product = sentinel1.open_grd(path)
    for polarisation in product.polarisations:
        product.annotation(polarisation)
    return ()


def _s1tiling_files(path: Path) -> Iterable[Path]:
    return (path,)


_FILES: dict[str, Callable[[Path], Iterable[Path]]] = {
    theia.KIND: _theia_files,
    safe.KIND: _safe_files,
    safe_l1c.KIND: _l1c_files,
    landsat.KIND: _landsat_files,
    landsat.SURFACE_KIND: _landsat_files,
    s1tiling.KIND: _s1tiling_files,
    stac.KIND: _item_files,
    dem.KIND: dem.elevation_files,
    sentinel1.KIND: _grd_files,
}
"""Which files of a product of each kind must open; metadata is read on the way."""


def is_catalogue(path: Path) -> bool:
    """Say whether a path is a STAC catalogue: its document, or the folder with it."""
    return path.name in CATALOGUES or any((path / name).exists() for name in CATALOGUES)
