"""What one simulated GRD product says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from skymend.simulate.s1_frame import Frame

Direction = Literal["ASC", "DES"]

_ORBIT_EPOCH = datetime.fromisoformat("2021-01-19T03:16:53+00:00")
_ORBIT_AT_EPOCH = 36_201
_CYCLE_ORBITS, _ORBITS_PER_DAY = 175, 175 / 12
_SHIFT = {"A": 73, "B": 27, "C": 172, "D": 42}


@dataclass(frozen=True)
class Slice:
    """One slice of a pass.

    Parameters
    ----------
    frame : its image.
    platform : ``S1A`` to ``S1D``.
    relative_orbit : 1 to 175.
    direction : of the flight.
    number, total : which slice of how many.
    ipf : version of the processor it claims, such as ``003.31``; before 002.90 the noise is
        given along range only.
    node_seconds : seconds from the ascending node to the frame's time 0.
    terrain_m : height of the ground above the ellipsoid that the geolocation grid refers to.
    sigma_noise : noise-equivalent sigma nought of each polarisation, linear.
    """

    frame: Frame
    platform: str
    relative_orbit: int
    direction: Direction
    number: int
    total: int
    ipf: str
    node_seconds: float
    terrain_m: float
    sigma_noise: Mapping[str, float]

    @property
    def polarisations(self) -> tuple[str, ...]:
        """``VV`` and ``VH``, in order."""
        return tuple(self.sigma_noise)

    @property
    def start(self) -> datetime:
        """Time of the first line, UTC."""
        return self.frame.utc(self.frame.first)

    @property
    def stop(self) -> datetime:
        """Time of the last line, UTC."""
        return self.frame.utc(self.frame.last)

    @property
    def node_time(self) -> datetime:
        """When the satellite passed its ascending node, UTC."""
        return self.frame.epoch - timedelta(seconds=self.node_seconds)

    @property
    def absolute_orbit(self) -> int:
        """Absolute orbit number that agrees with the relative one."""
        shift = _SHIFT[self.platform[-1]]
        days = (self.frame.epoch - _ORBIT_EPOCH).total_seconds() / 86_400
        near = _ORBIT_AT_EPOCH + _ORBITS_PER_DAY * days
        cycle = round((near - shift - self.relative_orbit + 1) / _CYCLE_ORBITS)
        return max(cycle, 0) * _CYCLE_ORBITS + shift + self.relative_orbit - 1

    @property
    def take(self) -> int:
        """Data take identifier: one for both slices."""
        return self.absolute_orbit * 7 + 5

    @property
    def two_dimensional_noise(self) -> bool:
        """Whether noise has an azimuth part: from IPF 2.9 on."""
        return tuple(int(n) for n in self.ipf.split(".")) >= (2, 90)

    def name(self, unique: str) -> str:
        """Return the name of the folder.

        Parameters
        ----------
        unique : four hexadecimal digits.
        """
        return (
            f"{self.platform}_IW_GRDH_1S{'DV' if len(self.sigma_noise) > 1 else 'SV'}"
            f"_{self.start:%Y%m%dT%H%M%S}_{self.stop:%Y%m%dT%H%M%S}"
            f"_{self.absolute_orbit:06d}_{self.take:06X}_{unique}.SAFE"
        )

    def file_name(self, polarisation: str) -> str:
        """Return the name of the files of a polarisation, without suffix."""
        number = self.polarisations.index(polarisation) + 1
        return (
            f"{self.platform.lower()}-iw-grd-{polarisation.lower()}"
            f"-{self.start:%Y%m%dt%H%M%S}-{self.stop:%Y%m%dt%H%M%S}"
            f"-{self.absolute_orbit:06d}-{self.take:06x}-{number:03d}"
        )


def iso(when: datetime) -> str:
    """Return a time as annotations hold it, with microseconds and without zone."""
    return f"{when:%Y-%m-%dT%H:%M:%S.%f}"


def number(value: float) -> str:
    """Return a number as annotations hold it, with 15 decimals."""
    return f"{value:.15e}"


def numbers(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], decimals: int = 6) -> str:
    """Return numbers separated by blanks."""
    return " ".join(f"{v:.{decimals}e}" for v in values.tolist())
