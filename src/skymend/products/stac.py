"""Sentinel-1 and Sentinel-2 acquisitions described by STAC items on disk, assets as COGs.

Scale, offset and nodata stand in the item (raster extension), not in the files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

import numpy as np

from skymend.core.encoding import ByteArray, FloatArray
from skymend.core.errors import ProductError
from skymend.core.grid import Grid
from skymend.core.raster import describe
from skymend.products.labels import from_scl
from skymend.products.protocols import Convention, Direction
from skymend.products.radar import read_linear
from skymend.products.readers import BandRasters
from skymend.products.safe import OFFSET_BASELINE, parse_baseline
from skymend.products.sampling import Decoding, read_nearest
from skymend.products.stac_item import CATALOGUES, Item, number, read_document

KIND = "stac"
POLARISATIONS = ("VV", "VH", "HH", "HV")

_FLATTENED = re.compile("flat|rtc|terrain")


def refusal(path: Path) -> str | None:
    """Say why this reader does not take a path; None if it does."""
    if path.suffix.lower() not in {".json", ".geojson"}:
        return "it is not a STAC item (a .json file)"
    if not path.is_file():
        return "no such file"
    try:
        document = read_document(path)
    except ProductError as error:
        return f"it is not readable as STAC: {error.found}"
    if path.name in CATALOGUES or document.get("type") in ("Catalog", "Collection"):
        return "it is a whole catalogue, not one item (give it as a source)"
    if document.get("type") != "Feature" or "stac_version" not in document:
        return "it is JSON, but no STAC item"
    return None


def load_item(path: Path) -> Item:
    """Read an item.

    Raises
    ------
    ProductError
        if the path is no STAC item.
    """
    reason = refusal(path)
    if reason is not None:
        raise ProductError(
            where=path, expected="a STAC item", found=reason, fix="give the path of one item"
        )
    return Item(path, read_document(path)).checked()


def open_optical(path: Path) -> StacOptical:
    """Open a Sentinel-2 L2A item."""
    return StacOptical(load_item(path))


def open_radar(path: Path) -> StacRadar:
    """Open a Sentinel-1 item."""
    return StacRadar(load_item(path))


def optical_bands(item: Item) -> tuple[str, ...]:
    """Return the reflectance bands of an item, sorted."""
    return tuple(sorted(n for n in item.assets if n.startswith("B")))


def polarisations(item: Item) -> tuple[str, ...]:
    """Return the backscatter channels of an item."""
    return tuple(p for p in POLARISATIONS if p in item.assets)


def reflectance_decoding(item: Item, band: str, path: Path) -> Decoding:
    """Return how the stored numbers of a band become reflectance.

    The item's own scale and offset count; else those in the file. Where
    ``earthsearch:boa_offset_applied`` is true, the offset is already in the pixels, whatever
    the asset says. An item of processing baseline 04.00 or later that is silent about the
    offset is refused, as it would be 0.1 too bright.
    """
    asset = item.asset(band)
    scale, offset = asset.value("scale"), asset.value("offset")
    nodata = number(asset.value("nodata"), 0.0)
    applied = item.properties.get("earthsearch:boa_offset_applied") is True
    if scale is None:
        info = describe(path)
        if info.scale == 1.0:
            raise item.lacking(
                f"a scale in raster:bands of the asset {asset.key}", "none there nor in the file"
            )
        scale, offset = info.scale, info.offset
    if applied:
        offset = 0.0
    if offset is None:
        baseline = str(item.properties.get("s2:processing_baseline") or "")
        if baseline and parse_baseline(baseline) >= OFFSET_BASELINE:
            raise item.lacking(
                f"an offset in raster:bands of the asset {asset.key}",
                f"none, at processing baseline {baseline}",
            )
        offset = 0.0
    invalid = () if np.isnan(nodata) else (nodata,)
    return Decoding(float(scale), float(offset), invalid)


@dataclass(frozen=True)
class _StacProduct:
    """What an item of either sensor says."""

    item: Item

    @property
    def id(self) -> str:
        """The item's id."""
        return self.item.id

    @property
    def time(self) -> datetime:
        """Sensing time, UTC."""
        return self.item.time

    @property
    def platform(self) -> str:
        """Satellite."""
        return self.item.platform

    @property
    def tile(self) -> str | None:
        """MGRS tile, where the item names it."""
        return self.item.tile


@dataclass(frozen=True)
class StacOptical(_StacProduct, BandRasters):
    """One Sentinel-2 L2A item with its scene classification."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands whose files are there, sorted."""
        return tuple(b for b in optical_bands(self.item) if self.item.has(b))

    @property
    def grid(self) -> Grid:
        """Grid of the finest image whose file is there."""
        grids = [describe(self.item.file(name)).grid for name in (*self.bands, "SCL")]
        return min(grids, key=lambda g: g.resolution)

    def files(self, bands: Sequence[str]) -> tuple[Path, ...]:
        """Return the band files, SCL and the item."""
        return (*(self.item.file(b) for b in bands), self.item.file("SCL"), self.item.path)

    def stored(self, band: str) -> tuple[Path, Decoding]:
        """Return the file of a band, decoded as the item says."""
        path = self.item.file(band)
        return path, reflectance_decoding(self.item, band, path)

    def labels(self, grid: Grid) -> ByteArray:
        """Read the scene classification as labels; it knows the edge of the swath itself."""
        return from_scl(read_nearest(self.item.file("SCL"), grid))


@dataclass(frozen=True)
class StacRadar(_StacProduct):
    """One Sentinel-1 item with backscatter on a map grid."""

    @property
    def polarisations(self) -> tuple[str, ...]:
        """Channels present."""
        return polarisations(self.item)

    @property
    def convention(self) -> Convention:
        """Convention, as the unit of the first channel says it."""
        unit = self._unit(self.polarisations[0]) if self.polarisations else ""
        if "gamma0" in unit:
            return "gamma0-flattened" if _FLATTENED.search(unit) else "gamma0"
        if "sigma0" in unit:
            return "sigma0"
        return "beta0" if "beta0" in unit else "unknown"

    @property
    def relative_orbit(self) -> int | None:
        """Relative orbit (``sat:relative_orbit``), where the item has it."""
        orbit = self.item.properties.get("sat:relative_orbit")
        return None if orbit is None else int(orbit)

    @property
    def direction(self) -> Direction | None:
        """Direction of flight (``sat:orbit_state``), where the item has it."""
        state = self.item.properties.get("sat:orbit_state")
        return cast("Direction", state) if state in {"ascending", "descending"} else None

    def files(self, polarisations: Sequence[str]) -> tuple[Path, ...]:
        """Return the file of each polarisation, and the item."""
        return (*(self.item.file(p) for p in polarisations), self.item.path)

    def read(self, polarisations: Sequence[str], grid: Grid) -> FloatArray:
        """Read linear power, (polarisations, rows, columns); NaN where there is none."""
        first = self.item.asset(polarisations[0])
        return read_linear(
            [self.item.file(p) for p in polarisations],
            grid,
            decibel="db" in self._unit(polarisations[0]).split(),
            nodata=number(first.value("nodata"), 0.0),
        )

    def _unit(self, polarisation: str) -> str:
        return str(self.item.asset(polarisation).value("unit") or "").lower()
