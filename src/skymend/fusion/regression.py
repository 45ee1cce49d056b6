"""regression fit placeholder."""

from __future__ import annotations

from dataclasses import dataclass

from skymend.fusion.temporal import Linear


@dataclass(frozen=True)
class Regression(Linear):
    """regression."""

    name: str = "regression"
