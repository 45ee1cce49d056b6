"""Where the sun stands, from time and place."""

from __future__ import annotations

import math
from datetime import UTC, datetime

_J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)


def sun_position(time: datetime, longitude: float, latitude: float) -> tuple[float, float]:
    """Return zenith and azimuth of the sun.

    The low-precision formulas of the Astronomical Almanac (section C, "Low precision formulas
    for the Sun"): 0.01 degree between 1950 and 2050, without refraction.

    Parameters
    ----------
    time : timezone-aware.
    longitude, latitude : degrees, east and north positive.

    Returns
    -------
    zenith : degrees from the vertical, above 90 by night.
    azimuth : degrees clockwise from north.
    """
    days = (time - _J2000).total_seconds() / 86400
    mean_longitude = 280.460 + 0.9856474 * days
    anomaly = math.radians(357.528 + 0.9856003 * days)
    ecliptic = math.radians(
        mean_longitude + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly)
    )
    tilt = math.radians(23.439 - 0.0000004 * days)
    declination = math.asin(math.sin(tilt) * math.sin(ecliptic))
    ascension = math.atan2(math.cos(tilt) * math.sin(ecliptic), math.cos(ecliptic))
    sidereal = math.radians(280.46062 + 360.98564737 * days + longitude)
    hour, north = sidereal - ascension, math.radians(latitude)
    height = math.sin(north) * math.sin(declination)
    height += math.cos(north) * math.cos(declination) * math.cos(hour)
    azimuth = math.atan2(
        -math.sin(hour),
        math.tan(declination) * math.cos(north) - math.sin(north) * math.cos(hour),
    )
    return math.degrees(math.acos(height)), math.degrees(azimuth) % 360
