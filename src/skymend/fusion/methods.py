"""The methods by name, as region files write them."""

from __future__ import annotations

from typing import Any

from skymend.core.errors import ConfigError
from skymend.fusion.base import PixelMethod
from skymend.fusion.harmonic import Harmonic
from skymend.fusion.regression import Regression
from skymend.fusion.temporal import Linear, Nearest

METHODS: dict[str, type[PixelMethod]] = {
    "nearest": Nearest,
    "linear": Linear,
    "harmonic": Harmonic,
    "regression": Regression,
}


def method(name: str, **options: Any) -> PixelMethod:
    """Return a method by name; options such as ``window_days`` replace its defaults.

    Raises
    ------
    ConfigError
        if there is no method of that name.
    """
    if name not in METHODS:
        raise ConfigError(
            where="model",
            expected=f"one of {', '.join(sorted(METHODS))}",
            found=repr(name),
            fix="choose a method that needs no bundle, or name a bundle",
        )
    return METHODS[name](**options)
