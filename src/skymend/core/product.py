"""A product: one acquisition as a provider delivers it, found by a search."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Product:
    """One acquisition on disk, read-only.

    Parameters
    ----------
    id : the provider's identifier, unique within its kind.
    kind : which reader opens it: ``theia``, ``safe-l2a``, ``s1tiling``, ``stac`` or ``dem``.
    time : sensing time, timezone-aware UTC (of a DEM: any fixed time).
    path : what the reader opens (folder, file or item document).
    files : the files this region needs; their checksums identify the product.
    tags : what a plan may know without reading pixels (``tile``, ``platform``,
        ``relative_orbit``, ``direction``, ``version``, ...).
    """

    id: str
    kind: str
    time: datetime
    path: Path
    files: tuple[Path, ...]
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Something a search saw and left alone, with the reason in one sentence."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found, in order of time, and what it rejected."""

    products: tuple[Product, ...]
    rejected: tuple[Rejection, ...] = ()
