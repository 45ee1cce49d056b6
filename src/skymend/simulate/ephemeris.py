"""Where the sun stands."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt


def sun_position(
    latitude: npt.ArrayLike, longitude: npt.ArrayLike, when: datetime
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the sun's zenith and azimuth (clockwise from north), degrees.

    Declination and hour angle after Spencer (1971) with the equation of time; within
    0.1 degree of an ephemeris.

    Parameters
    ----------
    latitude, longitude : of the ground, degrees, of one shape.
    when : UTC.
    """
    turn = 2 * np.pi * (when.timetuple().tm_yday - 1) / 365
    hours = _solar_hours(turn, np.asarray(longitude, np.float64), when)
    angle = np.radians(15 * (hours - 12))
    phi, declination = np.radians(np.asarray(latitude, np.float64)), _declination(turn)
    up = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(angle)
    east = -np.cos(declination) * np.sin(angle)
    north = np.cos(phi) * np.sin(declination) - np.sin(phi) * np.cos(declination) * np.cos(angle)
    zenith: npt.NDArray[Any] = np.degrees(np.arccos(up))
    return zenith, np.asarray(np.degrees(np.arctan2(east, north)) % 360)


def _declination(turn: float) -> float:
    """Return the sun's declination of a day, radians; ``turn`` is the angle of the year."""
    return float(
        0.006918
        - 0.399912 * np.cos(turn)
        + 0.070257 * np.sin(turn)
        - 0.006758 * np.cos(2 * turn)
        + 0.000907 * np.sin(2 * turn)
        - 0.002697 * np.cos(3 * turn)
        + 0.001480 * np.sin(3 * turn)
    )


def _solar_hours(
    turn: float, longitude: npt.NDArray[np.float64], when: datetime
) -> npt.NDArray[np.float64]:
    """Return true solar time, hours."""
    minutes = 229.18 * (
        0.000075
        + 0.001868 * np.cos(turn)
        - 0.032077 * np.sin(turn)
        - 0.014615 * np.cos(2 * turn)
        - 0.040849 * np.sin(2 * turn)
    )
    hours = when.hour + when.minute / 60 + when.second / 3600 + minutes / 60 + longitude / 15
    return np.asarray(hours, np.float64)
