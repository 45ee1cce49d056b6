"""THEIA Sentinel-2 L2A products: folders made by MAJA, as MUSCATE distributes them.

Reflectance is int16 x 1e-4 with nodata -10000, one GeoTIFF a band; masks lie in ``MASKS``.
FRE (flat reflectance) is corrected for slopes, SRE (surface reflectance) is not. A name such
as ``SENTINEL2A_20170526-105518-082_L2A_T31UFQ_D_V1-4`` holds satellite, UTC time, tile and
version. Only what is asked for must be present: no band, edge mask or XML is required for
itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Literal

from skymend.core.encoding import ByteArray
from skymend.core.errors import ProductError
from skymend.core.grid import Grid
from skymend.core.raster import describe
from skymend.products.labels import Label, from_maja
from skymend.products.readers import BandRasters, NamedProduct, accepted, no_folder
from skymend.products.sampling import Decoding, read_nearest
from skymend.products.stamps import utc

KIND = "theia"

DECODING = Decoding(scale=1e-4, invalid=(-10000.0,))

_NAME = re.compile(
    r"SENTINEL2([A-D])_(\d{8})-(\d{6})-(\d{3})_L2A_T(\d{2}[C-X][A-Z]{2})_([A-Z])_V(\d+)-(\d+)"
)
_BANDS_10M = ("B02", "B03", "B04", "B08")


@dataclass(frozen=True, slots=True)
class Name:
    """What the name of a THEIA folder says."""

    platform: str
    time: datetime
    tile: str
    version: tuple[int, int]

    @classmethod
    def parse(cls, name: str) -> Name | None:
        """Return the parts of a folder name, None if it is not one."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        letter, day, clock, milliseconds, tile, _, major, minor = match.groups()
        try:
            time = utc(day, clock, milliseconds)
        except ValueError:
            return None
        return cls(
            f"sentinel-2{letter.lower()}",
            time,
            tile,
            (int(major), int(minor)),
        )


def refusal(path: Path) -> str | None:
    """Say why this reader does not take a path; None if it does."""
    if Name.parse(path.name) is None:
        return (
            "the name is not like SENTINEL2A_20170526-105518-082_L2A_T31UFQ_D_V1-4"
            if "_L2A_" in path.name or not path.name.startswith("SENTINEL2")
            else "it is a THEIA product of another level than L2A"
        )
    return no_folder(path)


def open_product(path: Path, *, reflectance: Literal["FRE", "SRE"] = "FRE") -> TheiaProduct:
    """Open a product folder.

    Raises
    ------
    ProductError
        if the path is not one.
    """
    name = accepted(
        path,
        refusal(path),
        Name.parse(path.name),
        expected="a THEIA L2A folder",
        fix="give the folder of one product",
    )
    return TheiaProduct(path, name, reflectance)


@dataclass(frozen=True)
class TheiaProduct(NamedProduct[Name], BandRasters):
    """One THEIA L2A product."""

    reflectance: Literal["FRE", "SRE"] = "FRE"

    @cached_property
    def bands(self) -> tuple[str, ...]:
        """Bands present in the reflectance chosen, sorted."""
        stem = f"{self.id}_{self.reflectance}_B"
        found = (p.name.removeprefix(stem) for p in self.path.glob(f"{stem}*.tif"))
        return tuple(sorted("B" + n.removesuffix(".tif").zfill(2) for n in found))

    @property
    def grid(self) -> Grid:
        """Grid of a 10 m band if there is one, else of the first band."""
        return describe(self._band(self._edge_band)).grid

    def files(self, bands: Sequence[str]) -> tuple[Path, ...]:
        """Return the band files, the cloud mask and whichever of EDG and MG2 exist.

        Without EDG, the band that shows where the swath ends belongs to them.
        """
        surface, edge = self._mask("MG2"), self._mask("EDG")
        wanted = [self._band(b) for b in bands]
        masks = [self._clouds, edge or self._band(self._edge_band)]
        found = [*wanted, *masks, *([] if surface is None else [surface])]
        return tuple(dict.fromkeys(found))

    def stored(self, band: str) -> tuple[Path, Decoding]:
        """Return the file of a band; its numbers mean the same in every product."""
        return self._band(band), DECODING

    def labels(self, grid: Grid) -> ByteArray:
        """Read CLM as labels; ``NODATA`` from EDG, or from one band where there is no EDG."""
        surface, edge = self._mask("MG2"), self._mask("EDG")
        labels = from_maja(
            read_nearest(self._clouds, grid),
            None if surface is None else read_nearest(surface, grid),
        )
        if edge is not None:
            labels[read_nearest(edge, grid, outside=1) != 0] = Label.NODATA
        else:
            stored = read_nearest(self._band(self._edge_band), grid, outside=-10000)
            labels[stored == -10000] = Label.NODATA
        return labels

    @property
    def _edge_band(self) -> str:
        """The band whose nodata stands for the edge of the swath, a 10 m one if there is any."""
        fine = [b for b in self.bands if b in _BANDS_10M]
        for band in (*fine, *self.bands):
            return band
        raise self._missing(f"at least one band *_{self.reflectance}_B*.tif", "none")

    @property
    def _clouds(self) -> Path:
        path = self._mask("CLM")
        if path is None:
            raise self._missing("a cloud mask MASKS/*_CLM_R1.tif or *_CLM_R2.tif", "none")
        return path

    def _band(self, band: str) -> Path:
        short = band[0] + band[1:].lstrip("0")
        path = self.path / f"{self.id}_{self.reflectance}_{short}.tif"
        if not path.exists():
            present = ", ".join(self.bands) or "none"
            raise self._missing(f"the band {band} in {path.name}", f"the bands {present}")
        return path

    def _mask(self, name: str) -> Path | None:
        """Return a mask at 10 m (R1) or else at 20 m (R2)."""
        for resolution in ("R1", "R2"):
            path = self.path / "MASKS" / f"{self.id}_{name}_{resolution}.tif"
            if path.exists():
                return path
        return None

    def _missing(self, expected: str, found: str) -> ProductError:
        return ProductError(
            where=self.path,
            expected=expected,
            found=found,
            fix="ask for what the product holds, or fetch it again",
        )
