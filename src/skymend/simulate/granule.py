"""What one Sentinel-2 product is made of, before any file is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray, FloatArray
from skymend.core.errors import ConfigError
from skymend.core.grid import Grid
from skymend.simulate.ephemeris import sun_position
from skymend.simulate.msi import BANDS, Pair, Swath

RELATIVE_ORBIT = 51
QUANTIFICATION = 10_000
OFFSET = -1000
SATURATED = 65_535

_ORBIT_EPOCH = datetime.fromisoformat("2018-01-01T10:54:41+00:00")
_ORBIT_AT_EPOCH = {"S2A": 13_204, "S2B": 4_298, "S2C": 13_204, "S2D": 4_298}
_ORBITS_PER_DAY = 14.3
_CYCLE_ORBITS = 143
_CYCLE_SHIFT = {"S2A": 141, "S2B": 27, "S2C": 141, "S2D": 27}


@dataclass(frozen=True, slots=True)
class Granule:
    """One Sentinel-2 acquisition of a window of a tile.

    Parameters
    ----------
    platform : ``S2A`` to ``S2D``.
    level : ``L1C`` (top of the atmosphere) or ``L2A`` (surface).
    time : start of the datatake, UTC.
    tile : MGRS tile.
    baseline : processing baseline such as ``05.00``; offsets and JPEG 2000 masks come with
        04.00, SHA3-256 digests with 03.01.
    grid : of the 10 m images, in metres; rows and columns are multiples of 6.
    reflectance : images by band, each (rows, columns) at the resolution of its band, float32,
        NaN outside the swath; negative values are kept from baseline 04.00 on.
    labels : (rows, columns) uint8 at 10 m, the true label set, 0 outside the swath.
    swath : where the scene lies in the swath.
    aerosol : mean optical depth at 550 nm.
    cloud, cirrus : (rows, columns) float32 at 10 m, opacity 0..1 of clouds and of thin high
        clouds alone, for the cloud masks; zero if not given.
    sun_angles : (zenith, azimuth) degrees that hold all over the scene; by default the sun's
        place at ``time``.
    """

    platform: str
    level: Literal["L1C", "L2A"]
    time: datetime
    tile: str
    baseline: str
    grid: Grid
    reflectance: Mapping[str, FloatArray]
    labels: ByteArray
    swath: Swath
    aerosol: float = 0.1
    cloud: FloatArray | None = None
    cirrus: FloatArray | None = None
    sun_angles: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        require_whole_pixels(self.grid)
        for band, image in self.reflectance.items():
            if image.shape != self.grid_of(BANDS[band].resolution_m).shape:
                raise ConfigError(
                    where=f"simulated SAFE, {band}",
                    expected=f"{self.grid_of(BANDS[band].resolution_m).shape} pixels",
                    found=str(image.shape),
                    fix="give each band at its own resolution",
                )

    def grid_of(self, resolution_m: int) -> Grid:
        """Return the grid of the 10, 20 or 60 m images."""
        return self.grid.at_resolution(resolution_m)

    @property
    def version(self) -> tuple[int, int]:
        """The baseline as numbers that compare."""
        major, _, minor = self.baseline.partition(".")
        return int(major), int(minor)

    @property
    def offset(self) -> int:
        """What is added to stored numbers before they are divided: -1000 from 04.00 on."""
        return OFFSET if self.version >= (4, 0) else 0

    @property
    def digest(self) -> Literal["MD5", "SHA3-256"]:
        """Algorithm of the digests in the manifest."""
        return "SHA3-256" if self.version >= (3, 1) else "MD5"

    @property
    def stamp(self) -> str:
        """Time as names hold it."""
        return f"{self.time:%Y%m%dT%H%M%S}"

    @property
    def made(self) -> datetime:
        """When the product claims to have been made: three hours after the acquisition."""
        return (self.time + timedelta(hours=3)).replace(microsecond=0)

    @property
    def name(self) -> str:
        """Name of the folder, with ``.SAFE``."""
        return (
            f"{self.platform}_MSI{self.level}_{self.stamp}_N{self.baseline.replace('.', '')}"
            f"_R{RELATIVE_ORBIT:03d}_T{self.tile}_{self.made:%Y%m%dT%H%M%S}.SAFE"
        )

    @property
    def prefix(self) -> str:
        """First part of the names of images."""
        return f"T{self.tile}_{self.stamp}"

    @property
    def folder(self) -> str:
        """Path of the granule in the product."""
        return f"GRANULE/{self.level}_T{self.tile}_A{self.orbit:06d}_{self.stamp}"

    @property
    def strip(self) -> str:
        """Name of the data strip."""
        return f"DS_SIMU_{self.made:%Y%m%dT%H%M%S}_S{self.stamp}"

    @property
    def orbit(self) -> int:
        """Absolute orbit: the one nearest to the time that has the relative orbit."""
        shift = _CYCLE_SHIFT[self.platform]
        days = (self.time - _ORBIT_EPOCH).total_seconds() / 86_400
        near = _ORBIT_AT_EPOCH[self.platform] + _ORBITS_PER_DAY * days
        cycle = round((near - shift - RELATIVE_ORBIT + 1) / _CYCLE_ORBITS)
        return cycle * _CYCLE_ORBITS + shift + RELATIVE_ORBIT - 1

    def identifier(self, kind: str) -> str:
        """Return the long identifier of the tile (``TL``) or data strip (``DS``)."""
        head = f"{self.platform}_OPER_MSI_{self.level}_{kind}_SIMU_{self.made:%Y%m%dT%H%M%S}"
        tail = f"_A{self.orbit:06d}_T{self.tile}" if kind == "TL" else f"_S{self.stamp}"
        return f"{head}{tail}_N{self.baseline}"

    def sun(self, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> Pair:
        """Return the sun's zenith and azimuth at points of the grid's CRS, degrees."""
        if self.sun_angles is not None:
            zenith, azimuth = self.sun_angles
            return np.full(np.shape(x), zenith), np.full(np.shape(x), azimuth)
        from rasterio.warp import transform

        flat = (np.ravel(x).tolist(), np.ravel(y).tolist())
        longitude, latitude = transform(self.grid.crs, "EPSG:4326", *flat)[:2]
        high, around = sun_position(latitude, longitude, self.time)
        return high.reshape(np.shape(x)), around.reshape(np.shape(x))


def require_whole_pixels(grid: Grid) -> None:
    """Refuse a 10 m grid in which pixels of 60 m do not fit.

    Raises
    ------
    ConfigError
        if rows or columns are no multiple of 6.
    """
    if any(n % 6 for n in grid.shape):
        raise ConfigError(
            where="simulated SAFE",
            expected="rows and columns at 10 m that are multiples of 6",
            found=" x ".join(map(str, grid.shape)),
            fix="choose such a size_px, so that 60 m pixels fit",
        )
