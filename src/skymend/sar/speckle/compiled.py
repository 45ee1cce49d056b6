"""Just-in-time compilation with types kept for the checker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a numeric function; it releases the interpreter's lock and is cached on disk."""
    return cast("Function", numba.njit(cache=True, nogil=True)(function))
