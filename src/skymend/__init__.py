"""skymend rebuilds what clouds hide in satellite image series.

The library is split into rooms named after the science (see ``docs/architecture.md``).
Heavy packages are imported inside the functions that need them, so importing
:mod:`skymend` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__version__ = "0.1.0"


def open(store: Path | str, *, tile: str | None = None) -> Any:
    """Open the reconstructed series of a store as an xarray dataset.

    See :func:`skymend.report.export.open_store`.
    """
    from skymend.report.export import open_store

    return open_store(store, tile=tile)
