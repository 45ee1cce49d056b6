"""The Multi-Spectral Instrument: its bands, its detectors, and where they look.

Two rows of six detectors look ahead and behind: neighbouring detectors see the ground
seconds apart, and the bands of one detector up to 2.6 s apart. High clouds therefore stand
at another place in each band, to opposite sides in neighbouring detectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray
from skymend.core.grid import Grid

DETECTORS = 12
DETECTOR_DEGREES = 1.97
"""Angle across track from one detector's edge to the next, degrees."""
ALTITUDE_M = 786_000.0
HEADING_DEGREES = 193.2
"""Direction of flight over mid latitudes when descending, clockwise from north."""

_AHEAD_DEGREES, _BEHIND_DEGREES, _DEGREES_PER_SECOND = 0.35, -0.85, 0.545


@dataclass(frozen=True, slots=True)
class Band:
    """One spectral band.

    Parameters
    ----------
    id : ``band_id`` of the metadata, 0..12.
    resolution_m : pixel size.
    wavelength_um : centre.
    delay_s : how long after B02 a detector's line of the band passes a point
        (Sentinel-2 Products Specification, inter-band acquisition delays).
    irradiance : solar irradiance outside the atmosphere, W/m2/um (Sentinel-2A metadata).
    """

    id: int
    resolution_m: int
    wavelength_um: float
    delay_s: float
    irradiance: float


BANDS = {
    "B01": Band(0, 60, 0.4427, 2.314, 1884.69),
    "B02": Band(1, 10, 0.4927, 0.000, 1959.66),
    "B03": Band(2, 10, 0.5598, 0.527, 1823.24),
    "B04": Band(3, 10, 0.6646, 1.005, 1512.06),
    "B05": Band(4, 20, 0.7041, 1.269, 1424.64),
    "B06": Band(5, 20, 0.7405, 1.525, 1287.61),
    "B07": Band(6, 20, 0.7828, 1.790, 1162.08),
    "B08": Band(7, 10, 0.8328, 0.264, 1041.63),
    "B8A": Band(8, 20, 0.8647, 2.055, 955.32),
    "B09": Band(9, 60, 0.9451, 2.586, 812.92),
    "B10": Band(10, 60, 1.3735, 0.851, 367.15),
    "B11": Band(11, 20, 1.6137, 1.468, 245.59),
    "B12": Band(12, 20, 2.2024, 2.085, 85.25),
}
"""All bands, in the order of ``band_id``."""

BESIDE_SEAM_M = float(ALTITUDE_M * np.tan(np.radians(2 * DETECTOR_DEGREES))) + 300.0
"""Distance from the track at which the seam of detectors 8 and 9 lies 300 m to the west."""

Pair = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Swath:
    """Where a scene lies in the swath.

    Parameters
    ----------
    centre : (x, y) of a point in the CRS of the scene, metres.
    offset_m : distance of that point from the ground track, positive to the east.
    """

    centre: tuple[float, float]
    offset_m: float = BESIDE_SEAM_M

    def across(self, x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the view angle across track, degrees, positive east of the track."""
        heading = np.radians(HEADING_DEGREES)
        east = np.asarray(x, np.float64) - self.centre[0]
        north = np.asarray(y, np.float64) - self.centre[1]
        distance = self.offset_m - (east * np.cos(heading) - north * np.sin(heading))
        return np.asarray(np.degrees(np.arctan(distance / ALTITUDE_M)))

    def detector(self, x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the detector, 1..12, that sees each point; numbers grow to the east."""
        number = np.floor(self.across(x, y) / DETECTOR_DEGREES).astype(np.int64) + 7
        return np.asarray(np.clip(number, 1, DETECTORS))

    def detectors(self, grid: Grid) -> ByteArray:
        """Return the detector footprint of a grid, (rows, columns) uint8."""
        return self.detector(*centres(grid)).astype(np.uint8)

    def tangents(
        self,
        band: str,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        detector: npt.NDArray[np.int64] | None = None,
    ) -> Pair:
        """Return (east, north) metres per metre of height from the ground to the sensor.

        Parameters
        ----------
        band : name such as ``B08``.
        x, y : of the ground points, metres.
        detector : which detector looks; by default the one whose footprint it is.
        """
        number = self.detector(x, y) if detector is None else detector
        along = np.tan(np.radians(along_track(band, number)))
        across = -np.tan(np.radians(self.across(x, y)))
        heading = np.radians(HEADING_DEGREES)
        east = along * np.sin(heading) - across * np.cos(heading)
        north = along * np.cos(heading) + across * np.sin(heading)
        return east, north


def along_track(band: str, detector: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the view angle along track of a band, degrees, positive ahead.

    Odd detectors look ahead and even ones behind; angles grow with the band's delay. The
    constants reproduce the view angles of real tiles within 0.3 degree.
    """
    turn = _DEGREES_PER_SECOND * BANDS[band].delay_s
    odd = np.asarray(detector) % 2 == 1
    return np.where(odd, _AHEAD_DEGREES + turn, _BEHIND_DEGREES - turn)


def angles(east: npt.NDArray[np.float64], north: npt.NDArray[np.float64]) -> Pair:
    """Turn tangents into zenith and azimuth (clockwise from north), degrees."""
    zenith = np.degrees(np.arctan(np.hypot(east, north)))
    return zenith, np.asarray(np.degrees(np.arctan2(east, north)) % 360)


def centres(grid: Grid) -> Pair:
    """Return x and y of the pixel centres, each (rows, columns)."""
    rows, columns = (np.arange(n) + 0.5 for n in grid.shape)
    x = grid.transform[2] + grid.resolution * columns
    y = grid.transform[5] - grid.resolution * rows
    grid_x, grid_y = np.meshgrid(x, y)
    return grid_x, grid_y
