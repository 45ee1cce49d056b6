"""Sentinel-2 L1C products in ESA's SAFE folders.

Top-of-atmosphere reflectance is ``(DN + RADIO_ADD_OFFSET) / QUANTIFICATION_VALUE`` with DN 0 as
nodata and 65535 as saturated (Sentinel-2 Products Specification, level-1C user product; the
offset came with processing baseline 04.00 on 25 January 2022). Both numbers are read from
``MTD_MSIL1C.xml``, never assumed; values that the offset takes below zero are kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.core.errors import ProductError
from skymend.core.grid import Grid
from skymend.products import safe
from skymend.products.safe import Name, Radiometry
from skymend.products.safe_angles import TileAngles, read_footprint, read_tile_angles
from skymend.products.sampling import read_continuous
from skymend.products.toa import Angles, Sensor

KIND = "safe-l1c"
METADATA = "MTD_MSIL1C.xml"
TILE_METADATA = "MTD_TL.xml"

_IMAGE = re.compile(r"_(B\d[0-9A])\.(?:jp2|tiff?)$")
_TEN_METRES = ("B02", "B03", "B04", "B08")
_REFERENCE_BANDS = ("B8A", "B04", "B03", "B02", "B08", "B11", "B12", "B01")
"""Bands whose view angles stand for all, in order of preference; B8A is what shadows are
searched in. The bands of one detector differ by less than 1 degree."""


def refusal(path: Path) -> str | None:
    """Say why this reader does not take a path; None if it does."""
    name = Name.parse(path.name.removesuffix(".zip"))
    if name is None:
        return "the name is not like S2A_MSIL1C_20180101T105441_N0206_R051_T31TDH_...SAFE"
    if name.level != "L1C":
        return f"it is a level {name.level} product, and top-of-atmosphere reflectance is L1C"
    if not path.is_dir():
        return "no such folder" if not path.exists() else "it is a file (unpack it first)"
    if not (path / METADATA).exists():
        return f"it holds no {METADATA}"
    return None


def open_product(path: Path) -> SafeL1C:
    """Open a SAFE folder.

    Raises
    ------
    ProductError
        if the path is not one.
    """
    reason = refusal(path)
    name = Name.parse(path.name)
    if reason is not None or name is None:
        raise ProductError(
            where=path,
            expected="a Sentinel-2 L1C SAFE folder",
            found=reason or "another name",
            fix="give the folder of one L1C product",
        )
    return SafeL1C(path, name)


@dataclass(frozen=True)
class SafeL1C:
    """One Sentinel-2 L1C product."""

    path: Path
    name: Name

    @property
    def id(self) -> str:
        """The name of the folder without ``.SAFE``."""
        return self.path.name.removesuffix(".SAFE")

    @property
    def time(self) -> datetime:
        """Start of the datatake, UTC."""
        return self.name.time

    @property
    def platform(self) -> str:
        """``sentinel-2a`` or a sister."""
        return self.name.platform

    @property
    def sensor(self) -> Sensor:
        """``sentinel-2``."""
        return "sentinel-2"

    @property
    def tile(self) -> str | None:
        """MGRS tile."""
        return self.name.tile

    @cached_property
    def granule(self) -> Path:
        """The one granule of the product.

        Raises
        ------
        ProductError
            if there is none, or several as in products before December 2016.
        """
        found = sorted(p for p in self.path.glob("GRANULE/*") if p.is_dir())
        if len(found) != 1:
            raise ProductError(
                where=self.path,
                expected="one granule below GRANULE",
                found=f"{len(found)}",
                fix="fetch the product again, or a reprocessed one of a single tile",
            )
        return found[0]

    @cached_property
    def images(self) -> dict[str, Path]:
        """Image of each band, by name."""
        found = {}
        for path in sorted(self.granule.glob("IMG_DATA/*")):
            match = _IMAGE.search(path.name)
            if match is not None:
                found[match.group(1)] = path
        return found

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands present, sorted."""
        return tuple(sorted(self.images))

    @cached_property
    def radiometry(self) -> Radiometry:
        """Divisor and offsets, from the metadata.

        Raises
        ------
        ProductError
            if the metadata cannot be read, or lack the offset that their baseline demands.
        """
        return read_radiometry(self.path / METADATA)

    @cached_property
    def angles(self) -> TileAngles:
        """Grid, sun and view angles, from the metadata of the granule."""
        return read_tile_angles(self.granule / TILE_METADATA)

    def grid(self, resolution_m: float | None = None) -> Grid:
        """Return the grid of the tile at a pixel size, 10 m when None."""
        return self.angles.grid.at_resolution(resolution_m or 10.0)

    def files(self, bands: Sequence[str]) -> tuple[Path, ...]:
        """Return the band images and the metadata."""
        _ = self.radiometry
        images = (self._image(b) for b in bands)
        return (*images, self.path / METADATA, self.granule / TILE_METADATA)

    def read(self, bands: Sequence[str], grid: Grid) -> FloatArray:
        """Read reflectance, (bands, rows, columns); NaN where nodata or saturated."""
        values = np.empty((len(bands), *grid.shape), np.float32)
        for index, band in enumerate(bands):
            values[index] = read_continuous(self._image(band), grid, self.radiometry.decoding(band))
        return values

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

    def _image(self, band: str) -> Path:
        try:
            return self.images[band]
        except KeyError:
            raise ProductError(
                where=self.path,
                expected=f"an image {band} below GRANULE/*/IMG_DATA",
                found=", ".join(sorted(self.images)) or "no image at all",
                fix="ask for bands that the product holds, or fetch it again",
            ) from None


def read_radiometry(path: Path) -> Radiometry:
    """Read divisor and offsets from ``MTD_MSIL1C.xml``.

    Raises
    ------
    ProductError
        as :func:`skymend.products.safe.read_radiometry`.
    """
    return safe.read_radiometry(
        path, offset="RADIO_ADD_OFFSET", quantification="QUANTIFICATION_VALUE"
    )
