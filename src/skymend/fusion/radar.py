"""Radar."""

from __future__ import annotations

from skymend.fusion.pixels import RadarSeries
from skymend.fusion.stack import Stack


def radar_series(stack: Stack, margin: int) -> RadarSeries | None:
    """Placeholder."""
    return None
