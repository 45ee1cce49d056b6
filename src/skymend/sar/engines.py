"""The table of radar engines."""

from __future__ import annotations

from skymend.core.lazy import look_up
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
    fix = "choose another engine; embedded needs no other install"
    engine: SarEngine = look_up(ENGINES, name, where="engine", fix=fix)()
    return engine
