"""Steps: one module each; the only rooms that tie the science together.

A step of another package is found through the entry-point group ``skymend.steps``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules

from skymend.core.errors import ConfigError


def load(name: str) -> None:
    """Import the module that declares a step, so that the registry knows it."""
    module = name.replace("-", "_")
    if module in {info.name for info in iter_modules(__path__)}:
        import_module(f"{__name__}.{module}")
        return
    for entry in entry_points(group="skymend.steps", name=name):
        entry.load()
        return
    known = sorted(info.name.replace("_", "-") for info in iter_modules(__path__))
    raise ConfigError(
        where=f"step {name!r}",
        expected=f"one of {', '.join(known)}",
        found="an unknown name",
        fix="see `skymend step --help`",
    )


def load_all() -> None:
    """Import every step of skymend and of installed plug-ins."""
    for info in iter_modules(__path__):
        import_module(f"{__name__}.{info.name}")
    for entry in entry_points(group="skymend.steps"):
        entry.load()
