"""Sentinel-1 images made by S1Tiling: one GeoTIFF a polarisation on a Sentinel-2 tile.

``s1a_31TEJ_vv_DES_139_20200919t054329.tif`` holds satellite, tile, polarisation, direction,
relative orbit and UTC time. Where two frames were joined, the time reads ``txxxxxx``; Sentinel-1
flies a dawn-dusk orbit, so 06:00 (descending) or 18:00 (ascending) local solar time at the
central meridian of the tile's UTM zone is taken then, on the date of the name: within half an
hour of the truth inside a zone, the same for every reader. Values are linear power, 0 is nodata.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

from skymend.core.encoding import FloatArray
from skymend.core.errors import ProductError
from skymend.core.grid import Grid
from skymend.products.protocols import Convention, Direction
from skymend.products.radar import read_linear
from skymend.products.readers import NamedProduct, accepted
from skymend.products.stamps import utc

KIND = "s1tiling"

_NAME = re.compile(
    r"(s1[a-d])_(\d{2}[C-X][A-Z]{2})_(vv|vh|hh|hv)_(ASC|DES)_(\d{3})_(\d{8})t(\d{6}|xxxxxx)"
    r"(?:_([A-Za-z0-9_-]+))?\.tiff?"
)
_DIRECTIONS = {"ASC": "ascending", "DES": "descending"}
_LOCAL_HOUR = {"ASC": 18.0, "DES": 6.0}


@dataclass(frozen=True, slots=True)
class Name:
    """What the name of an S1Tiling image says."""

    satellite: str
    tile: str
    polarisation: str
    orbit_pass: str
    relative_orbit: int
    day: str
    clock: str
    suffix: str

    @classmethod
    def parse(cls, name: str) -> Name | None:
        """Return the parts of a file name, None if it is not one."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        satellite, tile, polarisation, orbit_pass, orbit, day, clock, suffix = match.groups()
        parsed = cls(
            satellite,
            tile,
            polarisation.upper(),
            orbit_pass,
            int(orbit),
            day,
            clock,
            suffix or "",
        )
        try:
            _ = parsed.time
        except ValueError:
            return None
        return parsed

    @property
    def time(self) -> datetime:
        """Sensing time, UTC; assumed from the orbit where the name has ``txxxxxx``."""
        if self.clock != "xxxxxx":
            return utc(self.day, self.clock)
        longitude = int(self.tile[:2]) * 6 - 183
        return utc(self.day) + timedelta(hours=(_LOCAL_HOUR[self.orbit_pass] - longitude / 15) % 24)

    @property
    def id(self) -> str:
        """The name of the pass: the file name without polarisation."""
        parts = (
            self.satellite,
            self.tile,
            self.orbit_pass,
            f"{self.relative_orbit:03d}",
            f"{self.day}t{self.clock}",
            self.suffix,
        )
        return "_".join(p for p in parts if p)

    @property
    def platform(self) -> str:
        """``sentinel-1a`` or a sister."""
        return f"sentinel-1{self.satellite[-1]}"

    @property
    def direction(self) -> Direction:
        """Direction of flight."""
        return cast("Direction", _DIRECTIONS[self.orbit_pass])

    @property
    def convention(self) -> Convention:
        """Convention as the suffix says it; S1Tiling's plain images are sigma0."""
        suffix = self.suffix.lower()
        if "rtc" in suffix:
            return "gamma0-flattened"
        if "normlim" in suffix or not suffix or suffix.startswith(("sigma", "filtered")):
            return "sigma0"
        if suffix.startswith("gamma"):
            return "gamma0"
        return "beta0" if suffix.startswith("beta") else "unknown"


def refusal(path: Path) -> str | None:
    """Say why this reader does not take a path; None if it does."""
    name = Name.parse(path.name)
    if name is None:
        if "vvvh" in path.name:
            return "it is a stack prepared by decloud, which holds logarithms, not power"
        return "the name is not like s1a_31TEJ_vv_DES_139_20200919t054329.tif"
    if "bordermask" in name.suffix.lower():
        return "it is a border mask, not an image"
    return None if path.is_file() else "no such file"


def open_product(path: Path) -> S1TilingProduct:
    """Open the pass that an image belongs to; its other polarisation is found beside it.

    Raises
    ------
    ProductError
        if the path is not an S1Tiling image.
    """
    name = accepted(
        path,
        refusal(path),
        Name.parse(path.name),
        expected="an S1Tiling image",
        fix="give one GeoTIFF of the pass",
    )
    return S1TilingProduct(path, name)


@dataclass(frozen=True)
class S1TilingProduct(NamedProduct[Name]):
    """One Sentinel-1 pass over one tile."""

    @property
    def id(self) -> str:
        """The file name without polarisation."""
        return self.name.id

    @property
    def convention(self) -> Convention:
        """What the backscatter is normalised to."""
        return self.name.convention

    @property
    def relative_orbit(self) -> int | None:
        """Relative orbit number."""
        return self.name.relative_orbit

    @property
    def direction(self) -> Direction | None:
        """Direction of flight."""
        return self.name.direction

    @property
    def polarisations(self) -> tuple[str, ...]:
        """Channels whose files exist, in the order VV, VH, HH, HV."""
        return tuple(p for p in ("VV", "VH", "HH", "HV") if self._sibling(p).exists())

    def files(self, polarisations: Sequence[str]) -> tuple[Path, ...]:
        """Return the image of each polarisation."""
        return tuple(self._image(p) for p in polarisations)

    def read(self, polarisations: Sequence[str], grid: Grid) -> FloatArray:
        """Read linear power, (polarisations, rows, columns); NaN where 0."""
        return read_linear(self.files(polarisations), grid)

    def _sibling(self, polarisation: str) -> Path:
        own = f"_{self.name.polarisation.lower()}_"
        return self.path.with_name(self.path.name.replace(own, f"_{polarisation.lower()}_", 1))

    def _image(self, polarisation: str) -> Path:
        path = self._sibling(polarisation)
        if not path.exists():
            raise ProductError(
                where=self.path,
                expected=f"the polarisation {polarisation} in {path.name} beside it",
                found=", ".join(self.polarisations),
                fix="fetch or process the missing image, or ask for one polarisation",
            )
        return path
