"""Names of backscatter images as S1Tiling gives them; products/s1tiling.py reads them back."""

from __future__ import annotations

from skymend.sar.engine import Calibration
from skymend.sar.passes import Pass

_SUFFIXES: dict[Calibration, str] = {
    "sigma0": "",
    "gamma0": "_gamma",
    "beta0": "_beta",
    "gamma0-flattened": "_GammaNaughtRTC",
}


def s1tiling_name(track: Pass, tile: str, channel: str, convention: Calibration) -> str:
    """Return a file name such as ``s1b_33TTG_vv_DES_022_20211223t051122_gamma.tif``.

    The clock reads ``txxxxxx`` where several slices were joined. A plain name is sigma0.
    """
    first = track.first
    clock = f"{first.time:%H%M%S}" if len(track.slices) == 1 else "xxxxxx"
    direction = "ASC" if first.direction == "ascending" else "DES"
    return (
        f"s1{first.platform[-1]}_{tile}_{channel.lower()}_{direction}_{first.relative_orbit:03d}"
        f"_{first.time:%Y%m%d}t{clock}{_SUFFIXES[convention]}.tif"
    )
