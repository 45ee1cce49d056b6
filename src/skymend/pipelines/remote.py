"""Searching a provider's catalogue for a region: items become products that a job fetches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from skymend.core.grid import Grid
from skymend.core.product import Product, RemoteFile, RemoteProduct
from skymend.pipelines.region_sources import OpticalSource, RadarSource, Source

if TYPE_CHECKING:
    import pystac

    from skymend.sources.protocol import Filters

KINDS = {
    "sentinel-2-l2a": "safe-l2a",
    "sentinel-2-l1c": "safe-l1c",
    "sentinel-1-grd": "safe-grd",
    "sentinel-2-l2a-maja": "theia",
    "landsat-c2-l1": "landsat-l1",
    "landsat-c2-l2": "landsat-c2-l2",
    "cop-dem-glo-30": "dem",
    "srtm": "dem",
    "aux-poeorb": "eof",
    "aux-resorb": "eof",
}
"""What a fetched product of a collection is, where the provider delivers it whole."""

_ITEM_PROVIDERS = frozenset(
    {"earth-search", "planetary-computer", "stac-api", "sentinel-hub", "earth-engine"}
)
"""Providers whose assets are single images: a fetched item stays a STAC item."""

_TAGS = {
    "platform": "platform",
    "sat:relative_orbit": "relative_orbit",
    "sat:orbit_state": "direction",
    "processing:version": "version",
    "s2:processing_baseline": "version",
}


def search(
    role: str,
    source: Source,
    grid: Grid | None,
    times: tuple[datetime, datetime] | None,
    bands: Sequence[str],
) -> tuple[tuple[RemoteProduct, ...], tuple[str, ...]]:
    """Ask a provider for the products of a region.

    Parameters
    ----------
    role : ``s2``, ``s1`` or ``dem``: which collection is meant when the source names none.
    source : provider, and what it is asked beyond area and period.
    grid, times : the area and the first and last moment; None asks for every place or time.
    bands : what will be fetched of each product; () means all of it.

    Returns
    -------
    The newest version of each acquisition, in order of time, and in sentences what was left
    alone.
    """
    from skymend.sources import versions
    from skymend.sources.area import Area
    from skymend.sources.protocol import Settings
    from skymend.sources.registry import open_source

    collection = collection_of(role, source)
    provider = open_source(source.provider, Settings(endpoints=source.endpoints))
    area = None if grid is None else Area.of_grid(grid)
    period = None if role == "dem" else times
    found = provider.search(collection, area, period, _filters(source))
    choice = versions.newest(found)
    products = [_product(item, collection, source, bands) for item in choice.kept]
    notes = tuple(f"{d.id}: {d.reason} ({d.kept} is used)" for d in choice.dropped)
    other = other_orbits(products, source) if isinstance(source, RadarSource) else {}
    products = [p for p in products if p.id not in other]
    return tuple(sorted(products, key=lambda p: (p.time, p.id))), (*notes, *other.values())


def collection_of(role: str, source: Source) -> str:
    """Return the collection that a source is asked for: its own, else the usual one."""
    if source.collection is not None:
        return source.collection
    if isinstance(source, OpticalSource):
        return f"sentinel-2-{source.level.lower()}"
    if role == "s1":
        return "sentinel-1-grd"
    return "srtm" if source.provider == "srtm" else "cop-dem-glo-30"


def _filters(source: Source) -> Filters:
    from skymend.sources.protocol import Filters

    if isinstance(source, OpticalSource) and source.max_cloud_cover < 100:
        return Filters(cloud_cover_max=source.max_cloud_cover)
    return Filters()


def other_orbits(
    products: Iterable[Product | RemoteProduct], source: RadarSource
) -> dict[str, str]:
    """Return by id the radar products of orbits that were not asked for, each in a sentence."""
    if not source.relative_orbits:
        return {}
    wanted = {str(number) for number in source.relative_orbits}
    found = {p.id: p.tags.get("relative_orbit", "").lstrip("0") for p in products}
    asked = ", ".join(str(number) for number in sorted(source.relative_orbits))
    return {
        name: f"{name}: its relative orbit is {orbit or 'not stated'}, asked for: {asked}"
        for name, orbit in found.items()
        if orbit not in wanted
    }


def _product(
    item: pystac.Item, collection: str, source: Source, bands: Sequence[str]
) -> RemoteProduct:
    kind = KINDS.get(collection, collection)
    if source.provider in _ITEM_PROVIDERS and kind != "dem":
        kind = "stac"
    files = tuple(_file(name, asset) for name, asset in sorted(item.assets.items()))
    order = {
        "provider": source.provider,
        "endpoints": dict(source.endpoints),
        "collection": collection,
        "item": item.to_dict(include_self_link=False, transform_hrefs=False),
    }
    return RemoteProduct(item.id, kind, _time(item), _asked(files, bands), _tags(item), order)


def _asked(files: tuple[RemoteFile, ...], bands: Sequence[str]) -> tuple[RemoteFile, ...]:
    """Keep the files that identify what is fetched: those of the bands, if named after them."""
    named = tuple(f for f in files if f.name.split("_")[0] in bands)
    return named or files


def _file(name: str, asset: pystac.Asset) -> RemoteFile:
    from skymend.sources.protocol import digests_of, size_of

    digests = digests_of(asset)
    digest = f"{digests[0].algorithm}:{digests[0].value}" if digests else ""
    size = size_of(asset)
    return RemoteFile(name, asset.href, -1 if size is None else size, digest)


def _time(item: pystac.Item) -> datetime:
    from datetime import UTC

    time = item.datetime or item.common_metadata.start_datetime
    return (time or datetime(1970, 1, 1)).replace(tzinfo=UTC)


def _tags(item: pystac.Item) -> dict[str, str]:
    properties: dict[str, Any] = item.properties
    tags = {tag: str(properties[name]) for name, tag in _TAGS.items() if name in properties}
    code = str(properties.get("grid:code", ""))
    if code.startswith("MGRS-"):
        tags["tile"] = code.removeprefix("MGRS-")
    return tags
