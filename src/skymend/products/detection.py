"""Which reader opens a path, and in one sentence each why the others refuse it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from skymend.core.errors import ProductError
from skymend.products import dem, landsat, s1tiling, safe, safe_l1c, stac, theia
from skymend.products.protocols import OpticalProduct, RadarProduct
from skymend.products.toa import ToaOptical

_REFUSALS: dict[str, Callable[[Path], str | None]] = {
    theia.KIND: theia.refusal,
    safe.KIND: safe.refusal,
    safe_l1c.KIND: safe_l1c.refusal,
    landsat.KIND: landsat.refusal,
    landsat.SURFACE_KIND: landsat.surface_refusal,
    s1tiling.KIND: s1tiling.refusal,
    stac.KIND: stac.refusal,
    dem.KIND: dem.refusal,
}

KINDS = tuple(_REFUSALS)
"""The kinds of product there are readers for."""


@dataclass(frozen=True, slots=True)
class Detection:
    """The reader that takes a path, and why each other one refuses it."""

    path: Path
    kind: str | None
    refusals: dict[str, str]

    def sentence(self) -> str:
        """Say all refusals in one line."""
        return "; ".join(f"{kind}: {reason}" for kind, reason in self.refusals.items())


def detect(path: Path) -> Detection:
    """Ask every reader about a path.

    A GeoTIFF whose name no other reader knows is taken for a DEM.
    """
    refusals = {}
    kind = None
    for name, refuse in _REFUSALS.items():
        reason = refuse(path)
        if reason is not None:
            refusals[name] = reason
        elif kind is None:
            kind = name
        else:
            refusals[name] = f"it is already taken for {kind}"
    return Detection(path, kind, refusals)


def open_optical(path: Path, kind: str | None = None) -> OpticalProduct:
    """Open an optical product.

    Parameters
    ----------
    kind : ``theia``, ``safe-l2a``, ``stac``, ``landsat-c2-l2``, or of top-of-atmosphere
        reflectance ``safe-l1c`` and ``landsat-l1``; found out when None.

    Raises
    ------
    ProductError
        if no reader takes the path, with the reason of each.
    """
    match kind or _detected(path):
        case theia.KIND:
            return theia.open_product(path)
        case safe.KIND:
            return safe.open_product(path)
        case safe_l1c.KIND:
            return ToaOptical(safe_l1c.open_product(path))
        case landsat.KIND:
            return ToaOptical(landsat.open_product(path))
        case landsat.SURFACE_KIND:
            return landsat.open_surface(path)
        case stac.KIND:
            return stac.open_optical(path)
        case other:
            raise _wrong_kind(path, "an optical product", other)


def open_radar(path: Path, kind: str | None = None) -> RadarProduct:
    """Open one pass of a radar satellite.

    Parameters
    ----------
    kind : ``s1tiling`` or ``stac``; found out when None.
    """
    match kind or _detected(path):
        case s1tiling.KIND:
            return s1tiling.open_product(path)
        case stac.KIND:
            return stac.open_radar(path)
        case other:
            raise _wrong_kind(path, "a radar product", other)


def _detected(path: Path) -> str:
    detection = detect(path)
    if detection.kind is None:
        raise ProductError(
            where=path,
            expected=f"a product of kind {', '.join(KINDS)}",
            found=f"none of them ({detection.sentence()})",
            fix="give the path of one product",
        )
    return detection.kind


def _wrong_kind(path: Path, expected: str, kind: str) -> ProductError:
    return ProductError(
        where=path,
        expected=expected,
        found=f"the kind {kind!r}",
        fix=f"kinds are {', '.join(KINDS)}; check the source in the region file",
    )
