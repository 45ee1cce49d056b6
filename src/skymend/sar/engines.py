"""The table of radar engines."""

from __future__ import annotations

from importlib import import_module

from skymend.core.errors import ConfigError
from skymend.sar.engine import SarEngine

ENGINES: dict[str, str] = {
    "embedded": "skymend.sar.embedded:EmbeddedEngine",
    "snap": "skymend.sar.snap:SnapEngine",
    "s1tiling": "skymend.sar.s1tiling:S1TilingEngine",
    "otb": "skymend.sar.otb:OtbEngine",
}
"""Engine name -> ``module:class``; imported when asked for."""


def open_engine(name: str) -> SarEngine:
    """Return an engine by name.

    Raises
    ------
    ConfigError
        if there is none of that name.
    """
    if name not in ENGINES:
        raise ConfigError(
            where="engine",
            expected=f"one of {', '.join(ENGINES)}",
            found=repr(name),
            fix="choose another engine; embedded needs no other install",
        )
    module, _, class_name = ENGINES[name].partition(":")
    engine: SarEngine = getattr(import_module(module), class_name)()
    return engine
