"""Products in a listing of files, found by their names: what lies in buckets and folders.

A product is a folder (``...SAFE``, a THEIA or Landsat folder) or an archive whose name states it.
Sentinel-2 footprints are those of the tile; others are not stated by a name, so such items answer
any area.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skymend.core.errors import ConfigError
from skymend.core.grid import Grid
from skymend.sources import naming
from skymend.sources.fetching import multihash
from skymend.sources.outlines import touching
from skymend.sources.protocol import Period

if TYPE_CHECKING:
    import pystac

    from skymend.sources.area import Area
    from skymend.sources.transfer import Digest

COLLECTIONS = (
    *("sentinel-2-l2a", "sentinel-2-l1c", "sentinel-2-l2a-maja"),
    *("sentinel-1-grd", "sentinel-1-slc", "landsat-c2-l1", "landsat-c2-l2"),
)
_ARCHIVES = (".zip", ".tar")
_METADATA = (".xml", ".safe", ".json", ".txt")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a listing.

    Parameters
    ----------
    path : below the root of the listing, with slashes.
    url : its address.
    size : bytes.
    digests : what the store states.
    """

    path: str
    url: str
    size: int
    digests: tuple[Digest, ...] = ()


def items(
    entries: Iterable[Entry],
    collection: str,
    provider: str,
    area: Area | None,
    period: Period | None,
) -> Iterator[pystac.Item]:
    """Yield the products of a collection among files, those of area and period."""
    products = _products(entries, collection).items()
    found = (_item(name, files, collection, provider) for name, files in products)
    for item in touching(found, area):
        if period is None or period[0] <= item.datetime <= period[1]:
            yield item


def _products(entries: Iterable[Entry], collection: str) -> dict[str, list[tuple[str, Entry]]]:
    """Return the files of each product with their paths inside it; '' is an archive itself."""
    found: dict[str, list[tuple[str, Entry]]] = defaultdict(list)
    for entry in entries:
        parts = entry.path.split("/")
        for i, part in enumerate(parts):
            if naming.collection_of_name(part) != collection:
                continue
            inside = "/".join(parts[i + 1 :])
            if inside or part.lower().endswith(_ARCHIVES):
                found[part].append((inside, entry))
            break
    return dict(sorted(found.items()))


def _item(
    name: str, files: Sequence[tuple[str, Entry]], collection: str, provider: str
) -> pystac.Item:
    facts = naming.facts_of_name(name)
    feature = {
        "id": re.sub(r"\.(SAFE|zip|tar)$", "", name),
        "geometry": footprint(str(facts.get("grid:code", "")).removeprefix("MGRS-")),
        "properties": {**facts, "title": name},
        "assets": {
            inside or naming.PRODUCT: _asset(name, i, e) for inside, e in files for i in [inside]
        },
    }
    return naming.harmonise(feature, collection, provider, where=files[0][1].url)


def _asset(name: str, inside: str, entry: Entry) -> dict[str, Any]:
    is_metadata = inside.lower().endswith(_METADATA)
    asset: dict[str, Any] = {
        "href": entry.url,
        "roles": ["metadata" if is_metadata else "data"],
        "file:size": entry.size,
        "file:local_path": f"{name}/{inside}" if inside else name,
    }
    if entry.digests:
        asset["file:checksum"] = multihash(entry.digests[0])
    return asset


def footprint(tile: str) -> dict[str, Any] | None:
    """Return the outline of a Sentinel-2 tile as GeoJSON in degrees, None without a tile."""
    from pyproj import Transformer
    from shapely.geometry import mapping

    from skymend.sources.area import Area

    if not re.fullmatch(r"\d{2}[C-X][A-Z]{2}", tile):
        return None
    grid = Grid.from_mgrs(tile)
    transformer = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    return dict(mapping(Area.of_bounds(*transformer.transform_bounds(*grid.bounds)).shape))


def choose(item: pystac.Item, names: Sequence[str]) -> list[str]:
    """Return the keys of the assets asked for, with all metadata; all keys without names.

    ``B04`` finds ``..._B04_10m.jp2``; an archive always comes whole.
    """
    keys = list(item.assets)
    if not names or naming.PRODUCT in item.assets:
        return keys
    chosen = [k for k in keys if k.lower().endswith(_METADATA)]
    for name in names:
        form = re.compile(rf"(^|/|_){re.escape(name)}(_\d\dm)?(\.\w+)?$", re.IGNORECASE)
        matching = [k for k in keys if k == name or form.search(k.rsplit("/", 1)[-1])]
        if not matching:
            raise ConfigError(
                where=f"item {item.id}",
                expected=f"a file of {name}",
                found=f"{len(keys)} others",
                fix="ask for a band that the product has",
            )
        chosen += matching
    return list(dict.fromkeys(chosen))
