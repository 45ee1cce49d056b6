"""Product folders in the THEIA L2A format (MAJA), as far as their readers need."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray, FloatArray
from skymend.simulate.geotiff import write_band
from skymend.simulate.optical import Image
from skymend.simulate.scenario import BANDS_20M, Scenario

NODATA = -10000


def digital_numbers(reflectance: FloatArray) -> npt.NDArray[np.int16]:
    """Return THEIA numbers: reflectance x 10000, -10000 where NaN."""
    numbers = np.rint(np.nan_to_num(reflectance * np.float32(1e4), nan=NODATA))
    return np.asarray(np.clip(numbers, NODATA, 32767), np.int16)


def write_product(folder: Path, scenario: Scenario, day: date, image: Image) -> Path:
    """Write one product folder: FRE bands, CLM and EDG masks at 10 m, and at 20 m if used.

    Returns
    -------
    The product folder, below ``folder``.
    """
    name = scenario.product_name(day)
    product = folder / name
    grid, coarse = scenario.grid, scenario.grid.at_resolution(20)
    numbers = digital_numbers(image.reflectance)
    for index, band in enumerate(scenario.bands):
        path = product / f"{name}_FRE_{theia_band(band)}.tif"
        if band in BANDS_20M:
            write_band(path, numbers[index, ::2, ::2], coarse)
        else:
            write_band(path, numbers[index], grid)
    masks = {"CLM": image.clm, "EDG": image.edge.astype(np.uint8)}
    for kind, mask in masks.items():
        write_band(product / "MASKS" / f"{name}_{kind}_R1.tif", mask, grid)
        if set(scenario.bands) & set(BANDS_20M):
            write_band(product / "MASKS" / f"{name}_{kind}_R2.tif", _any_of_four(mask), coarse)
    return product


def theia_band(band: str) -> str:
    """Return THEIA's name of a band: ``B2`` for ``B02``, ``B8A`` and ``B11`` as they are."""
    return band.replace("B0", "B")


def _any_of_four(mask: ByteArray) -> ByteArray:
    """Join the bits of the four 10 m pixels of a 20 m pixel."""
    pairs = mask[::2] | mask[1::2]
    return np.asarray(pairs[:, ::2] | pairs[:, 1::2])
