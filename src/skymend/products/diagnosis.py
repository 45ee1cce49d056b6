"""``skymend doctor``: what a path is, or why no reader takes it."""

from __future__ import annotations

from pathlib import Path

from skymend.core.errors import SkymendError
from skymend.core.raster import describe
from skymend.products import dem, sentinel1
from skymend.products.detection import detect


def diagnose(path: Path) -> tuple[str, bool]:
    """Return a description of a path in one or more lines, and whether a reader takes it.

    A folder that is no product itself is looked into, one level deep.
    """
    radar = sentinel1.refusal(path)
    if radar is None:
        return _opened(path, sentinel1.KIND)
    found = detect(path)
    if found.kind is not None:
        return _opened(path, found.kind)
    inside = sorted(path.iterdir()) if path.is_dir() else []
    kinds = [kind for kind in (_kind(p) for p in inside) if kind is not None]
    if kinds:
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
        return f"{path}: a folder with {counts}", True
    refusals = {**found.refusals, sentinel1.KIND: radar}
    reasons = [f"  {name}: {reason}" for name, reason in refusals.items()]
    return "\n".join([f"{path}: no reader takes it", *reasons]), False


def _kind(path: Path) -> str | None:
    return sentinel1.KIND if sentinel1.refusal(path) is None else detect(path).kind


def _opened(path: Path, kind: str) -> tuple[str, bool]:
    """Read what a damaged product would fail at first: metadata of radar, headers of a DEM."""
    try:
        if kind == sentinel1.KIND:
            product = sentinel1.open_grd(path)
            for polarisation in product.polarisations:
                product.annotation(polarisation)
        elif kind == dem.KIND:
            for file in dem.elevation_files(path):
                describe(file)
    except SkymendError as error:
        return f"{kind}: {error}", False
    return f"{path}: {kind}", True
