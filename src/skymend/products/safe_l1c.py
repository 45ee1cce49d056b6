"""Sentinel-2 L1C products in ESA's SAFE folders.

Top-of-atmosphere reflectance is ``(DN + RADIO_ADD_OFFSET) / QUANTIFICATION_VALUE`` with DN 0 as
nodata and 65535 as saturated (Sentinel-2 Products Specification, level-1C user product; the
offset came with processing baseline 04.00 on 25 January 2022). Both numbers are read from
``MTD_MSIL1C.xml``, never assumed; values that the offset takes below zero are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from skymend.core.grid import Grid
from skymend.products import safe
from skymend.products.safe import Form, SafeFolder
from skymend.products.safe_angles import (
    TileAngles,
    footprint_of,
    read_footprint,
    read_tile_angles,
)
from skymend.products.toa import Angles, Sensor

KIND = "safe-l1c"
METADATA = "MTD_MSIL1C.xml"
TILE_METADATA = "MTD_TL.xml"

_REFERENCE_BANDS = ("B8A", "B04", "B03", "B02", "B08", "B11", "B12", "B01")
"""Bands whose view angles stand for all, in order of preference; B8A is what shadows are
searched in. The bands of one detector differ by less than 1 degree."""


FORM = Form(
    "L1C",
    "top-of-atmosphere reflectance",
    METADATA,
    "RADIO_ADD_OFFSET",
    "QUANTIFICATION_VALUE",
    "IMG_DATA/*",
    "S2A_MSIL1C_20180101T105441_N0206_R051_T31TDH_...SAFE",
)

read_radiometry = partial(
    safe.read_radiometry, offset=FORM.offset, quantification=FORM.quantification
)
"""Reads divisor and offsets from ``MTD_MSIL1C.xml``."""


def refusal(path: Path) -> str | None:
    """Say why this reader does not take a path; None if it does."""
    return FORM.refusal(path)


def open_product(path: Path) -> SafeL1C:
    """Open a SAFE folder.

    Raises
    ------
    ProductError
        if the path is not one.
    """
    return SafeL1C(path, FORM.accept(path))


@dataclass(frozen=True)
class SafeL1C(SafeFolder):
    """One Sentinel-2 L1C product."""

    form = FORM

    @property
    def sensor(self) -> Sensor:
        """``sentinel-2``."""
        return "sentinel-2"

    @cached_property
    def angles(self) -> TileAngles:
        """Grid, sun and view angles, from the metadata of the granule."""
        return read_tile_angles(self.granule / TILE_METADATA)

    def grid(self, resolution_m: float | None = None) -> Grid:
        """Return the grid of the tile at a pixel size, 10 m when None."""
        return self.angles.grid.at_resolution(resolution_m or 10.0)

    def files(self, bands: Sequence[str]) -> tuple[Path, ...]:
        """Return the band images, the metadata and the footprint of detectors for the angles."""
        _ = self.radiometry
        images = (self._image(b) for b in bands)
        footprints = (footprint_of(self.granule / "QI_DATA", b) for b in _REFERENCE_BANDS)
        used = [path for path in footprints if path is not None][:1]
        return (*images, self.path / METADATA, self.granule / TILE_METADATA, *used)

    def brightness_temperature(self, grid: Grid) -> None:
        """Return None: the instrument has no thermal band."""

    def sun(self, grid: Grid) -> Angles:
        """Return the sun's angles, interpolated between the 5 km nodes of the metadata."""
        return self.angles.sun.at(grid, self.angles.grid)

    def view(self, grid: Grid) -> Angles:
        """Return the sensor's angles, each pixel by the detector that saw it.

        The footprints of the detectors say which one that is: GML polygons before baseline
        04.00, JPEG 2000 rasters since. Without either, the detectors are averaged.
        """
        for band in _REFERENCE_BANDS:
            detectors = read_footprint(self.granule / "QI_DATA", band, grid)
            if detectors is not None and band in self.angles.view:
                return self.angles.view_of(band, grid, detectors)
        for band in _REFERENCE_BANDS:
            if band in self.angles.view:
                return self.angles.view_of(band, grid, None)
        return Angles(0.0, 0.0)
