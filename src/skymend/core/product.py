"""A product: one acquisition as a provider delivers it, found by a search."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any


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
class RemoteFile:
    """One file of a product that a provider holds.

    Parameters
    ----------
    name : the asset's name in the item, or the name of the file.
    url : where it lies.
    size : bytes; -1 where the provider does not say.
    digest : ``algorithm:hex`` as the provider publishes it, empty where it does not.
    """

    name: str
    url: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class RemoteProduct:
    """One acquisition in a provider's catalogue, to be fetched by a job.

    Parameters
    ----------
    id, kind, time, tags : as for :class:`Product`; ``kind`` is what it will be once fetched.
    files : what will be fetched; their digests identify the product.
    order : what the fetching job needs: provider, endpoints, collection and the STAC item.
    """

    id: str
    kind: str
    time: datetime
    files: tuple[RemoteFile, ...]
    tags: dict[str, str]
    order: dict[str, Any]


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
