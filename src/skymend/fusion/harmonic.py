"""Harmonic fit placeholder."""

from __future__ import annotations

from dataclasses import dataclass

from skymend.fusion.temporal import Linear


@dataclass(frozen=True)
class Harmonic(Linear):
    """Harmonic."""

    name: str = "harmonic"
