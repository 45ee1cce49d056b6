"""Products that already lie on disk: folders of products, STAC catalogues, DEM files.

Names are read first, so that thousands of products are searched in about a second; rasters
are not opened (but for the headers of DEM files, which have no name to go by).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from skymend.core.errors import ConfigError
from skymend.core.grid import Grid
from skymend.core.product import SearchResult
from skymend.sources import catalogue, elevation, folders, radar_folders
from skymend.sources.question import Question

Searcher = Callable[..., SearchResult]

_SEARCHERS: dict[str, Searcher] = {
    "theia": folders.search_theia,
    "safe-l2a": folders.search_safe,
    "safe-l1c": folders.search_l1c,
    "safe-grd": radar_folders.search_grd,
    "s1tiling": folders.search_s1tiling,
    "stac": catalogue.search,
    "dem": elevation.search,
}
_ALIASES = {"safe": "safe-l2a"}


def search(
    kind: str,
    path: Path,
    *,
    grid: Grid | None,
    period: tuple[date, date] | None,
    bands: Sequence[str] = (),
    polarisations: Sequence[str] = (),
    strict: bool = True,
) -> SearchResult:
    """Find the products of a folder or catalogue that a region needs.

    Parameters
    ----------
    kind : ``theia``, ``safe-l2a`` (or ``safe``), ``safe-l1c``, ``s1tiling``, ``safe-grd``,
        ``stac`` or ``dem``.
    path : the folder, the catalogue file or its folder, or one product.
    grid : area; products that do not touch it are rejected. Tiles are compared by name, so
        that an image which covers only a part of its tile may still turn out empty. None
        takes every place.
    period : first and last day, both included (of datetimes, the UTC date counts); None takes
        every time.
    bands : reflectance bands asked for; none means that the masks are enough.
    polarisations : channels asked for, such as ``("VV", "VH")``. A catalogue gives radar
        images only if there are any, and then optical images only if there are bands too.
    strict : raise where an optical product lacks a file that was asked for; False rejects it.
        A radar pass without one of the polarisations is always rejected: such passes exist.

    Returns
    -------
    Products in order of time, one per acquisition, each with the files that the region needs;
    and every candidate left alone, with the reason. Of several versions of an acquisition the
    newest wins.

    Raises
    ------
    ConfigError
        if the kind is unknown or the path does not exist.
    ProductError
        if a product lacks a file that was asked for, or a catalogue is damaged.
    """
    name = _ALIASES.get(kind, kind)
    if name not in _SEARCHERS:
        raise ConfigError(
            where=f"source {kind!r}",
            expected=f"one of {', '.join(sorted(_SEARCHERS))}",
            found="an unknown kind",
            fix="name the provider of the products",
        )
    if not path.exists():
        raise ConfigError(
            where=path,
            expected=f"a folder or catalogue of {name} products",
            found="no such path",
            fix="check the path of the source; it is relative to the region file",
        )
    question = Question.of(grid, period, bands, polarisations)
    return _SEARCHERS[name](path, question, strict=strict)
