"""Names for classes that are imported when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from skymend.core.errors import ConfigError


def look_up(table: Mapping[str, str], name: str, *, where: str, fix: str) -> Any:
    """Return what stands behind a name; its module is imported only now.

    Parameters
    ----------
    table : ``module:attribute`` by name.
    where, fix : for the sentence, if the name is none of the table's.

    Raises
    ------
    ConfigError
        listing the names there are.
    ModuleNotFoundError
        if the module needs a package that is not installed.
    """
    if name not in table:
        raise ConfigError(
            where=where, expected=f"one of {', '.join(table)}", found=repr(name), fix=fix
        )
    module, _, attribute = table[name].partition(":")
    return getattr(import_module(module), attribute)
