"""Write a scenario as the products that providers deliver, and its truth."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from skymend.core.encoding import FloatArray
from skymend.simulate.scenario import Scenario

FORMATS = ("theia", "s1tiling", "dem", "stac", "truth")


def write(folder: Path, scenario: Scenario, *, formats: Sequence[str] = FORMATS) -> None:
    """Write a scenario below ``folder``."""
    raise NotImplementedError


def truth(scenario: Scenario, day: date) -> FloatArray:
    """Return the cloud-free reflectance of a day, (bands, rows, columns)."""
    raise NotImplementedError
