"""Backscatter images named and tagged as S1Tiling writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.simulate.geotiff import write_band
from skymend.simulate.radar import POLARISATIONS
from skymend.simulate.scenario import Pass, Scenario

NODATA = 0.0


def write_pass(folder: Path, scenario: Scenario, acquisition: Pass, image: FloatArray) -> None:
    """Write VV and VH of one pass into ``folder/<tile>``.

    Parameters
    ----------
    image : (VV and VH, rows, columns) linear sigma nought, NaN outside the swath.
    """
    for polarisation, values in zip(POLARISATIONS, image, strict=True):
        name = acquisition.file_name(scenario.tile, polarisation.lower())
        write_band(
            folder / scenario.tile / name,
            np.nan_to_num(values, nan=NODATA),
            scenario.grid,
            nodata=NODATA,
            tags=tags(scenario, acquisition, polarisation),
        )


def tags(scenario: Scenario, acquisition: Pass, polarisation: str) -> dict[str, str]:
    """Return the metadata of one image (S1Tiling, output GeoTIFF metadata)."""
    return {
        "ACQUISITION_DATETIME": f"{acquisition.time:%Y-%m-%dT%H:%M:%SZ}",
        "CALIBRATION": "sigma",
        "FLYING_UNIT_CODE": "s1a",
        "IMAGE_TYPE": "BACKSCATTERING",
        "NOISE_REMOVED": "True",
        "ORBIT_DIRECTION": acquisition.orbit.direction,
        "ORTHORECTIFIED": "true",
        "POLARIZATION": polarisation.lower(),
        "RELATIVE_ORBIT_NUMBER": f"{acquisition.orbit.relative_orbit:03d}",
        "S2_TILE_CORRESPONDING_CODE": scenario.tile,
        "SPATIAL_RESOLUTION": "10.0",
    }
