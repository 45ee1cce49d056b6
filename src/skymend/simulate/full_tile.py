"""Full-size tiles for benchmarks."""

from __future__ import annotations

from pathlib import Path

from skymend.simulate.scenario import Scenario


def full_tile(folder: Path, dates: int = 6) -> Scenario:
    """Write a 10980 x 10980 series."""
    raise NotImplementedError
