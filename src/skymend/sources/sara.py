"""SARA: Sentinel Australasia Regional Access at NCI, an OpenSearch (resto) service.

Endpoint ``sara``: the API without a collection. The ``totalResults`` of its answers is not
reliable, so pages are read until an empty one. Downloads need an account
(``username``, ``password``); searches do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skymend.sources import naming
from skymend.sources.answers import field
from skymend.sources.fetching import BasicSigner, Door, fetch_assets, ledger_of, md5_of
from skymend.sources.json_client import JsonClient
from skymend.sources.outlines import places, touching
from skymend.sources.paging import numbered
from skymend.sources.protocol import (
    Filters,
    Finding,
    Period,
    Settings,
    findings,
    require_collection,
    timestamp,
)

if TYPE_CHECKING:
    import pystac

    from skymend.sources.area import Area
    from skymend.sources.transfer import Progress, Receipt

URL = "https://copernicus.nci.org.au/sara.server/1.0/api/collections"
PAGE = 500
"""Most records that a page holds."""

_COLLECTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "sentinel-1-grd": ("S1", {"productType": "GRD", "sensorMode": "IW", "instrument": "C-SAR"}),
    "sentinel-1-slc": ("S1", {"productType": "SLC", "sensorMode": "IW", "instrument": "C-SAR"}),
    "sentinel-2-l1c": ("S2", {"productType": "S2MSI1C", "instrument": "MSI"}),
    "sentinel-2-l2a": ("S2", {"productType": "S2MSI2A", "instrument": "MSI"}),
}
_ONLINE = {"disk", "unknown", ""}


class Sara:
    """Sentinel-1 and Sentinel-2 products over Australasia, as zip archives."""

    name = "sara"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._url = settings.endpoint("sara", URL)
        self._client = JsonClient("sara", settings.timeout_s, ledger=ledger_of(settings, "sara"))

    def collections(self) -> tuple[str, ...]:
        """Name the collections."""
        return tuple(_COLLECTIONS)

    def search(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """Find items (see :class:`skymend.sources.protocol.Source`)."""
        require_collection(self.name, collection, self.collections())
        queries = [_query(collection, place, period, filters) for place in places(area)]
        found = (item for query in queries for item in self._items(collection, query))
        return naming.collect(touching(found, area), filters)

    def fetch(
        self,
        item: pystac.Item,
        assets: Sequence[str],
        destination: Path,
        progress: Progress | None = None,
    ) -> tuple[Receipt, ...]:
        """Fetch the product's archive; it holds all assets."""
        login = self.settings.credentials.find(self.name, ["username", "password"])
        door = Door(self.name, self.settings, BasicSigner(login), None, progress)
        return fetch_assets(item, (naming.PRODUCT,), destination, door)

    def check(self) -> tuple[Finding, ...]:
        """Ask for one record, and say where the login comes from."""
        return findings(self.name, self._news())

    def _news(self) -> Iterator[str]:
        self._client.get(f"{self._url}/S2/search.json", {"maxRecords": "1", "page": "1"})
        yield f"{self._url} answers"
        self.settings.credentials.find(self.name, ["username", "password"])
        yield "there is a login for downloads"

    def _items(self, collection: str, query: Mapping[str, str]) -> Iterator[pystac.Item]:
        url = f"{self._url}/{_COLLECTIONS[collection][0]}/search.json"

        def page(number: int) -> tuple[list[pystac.Item], None]:
            answer = self._client.get(url, {**query, "page": str(number)})
            found = len(field(answer, "features", list, url))
            return [_item(answer, i, collection, url) for i in range(found)], None

        return numbered(page, url)


def _query(
    collection: str, place: str | None, period: Period | None, filters: Filters
) -> dict[str, str]:
    query = {**_COLLECTIONS[collection][1], "maxRecords": str(PAGE)}
    if place is not None:
        query["geometry"] = place
    if period is not None:
        query["startDate"], query["completionDate"] = map(timestamp, period)
    if filters.orbit_direction is not None:
        query["orbitDirection"] = filters.orbit_direction.title()
    if filters.cloud_cover_max is not None and collection.startswith("sentinel-2"):
        query["cloudCover"] = f"[0,{filters.cloud_cover_max:g}]"
    return query


def _item(answer: dict[str, Any], number: int, collection: str, url: str) -> pystac.Item:
    def text(name: str, default: str = "") -> str:
        return field(answer, f"features.{number}.properties.{name}", str, url, default=default)

    title = field(answer, f"features.{number}.properties.title", str, url)
    cloud = field(answer, f"features.{number}.properties.cloudCover", float, url, default=-1.0)
    properties = {
        "datetime": field(answer, f"features.{number}.properties.startDate", str, url),
        "start_datetime": text("startDate"),
        "end_datetime": text("completionDate") or text("startDate"),
        "platform": text("platform"),
        "sat:orbit_state": text("orbitDirection").lower() or None,
        "sat:relative_orbit": _integer(answer, number, "relativeOrbitNumber", url),
        "sat:absolute_orbit": _integer(answer, number, "orbitNumber", url),
        "eo:cloud_cover": cloud if cloud >= 0 and collection.startswith("sentinel-2") else None,
        "grid:code": text("mgrs") or None,
        "s2:datatake_id": text("s2TakeId") or None,
    }
    feature = {
        "id": title,
        "geometry": field(answer, f"features.{number}.geometry", dict, url),
        "properties": {k: v for k, v in properties.items() if v is not None},
        "assets": {naming.PRODUCT: _asset(answer, number, title, url)},
    }
    return naming.harmonise(feature, collection, Sara.name, where=url)


def _integer(answer: dict[str, Any], number: int, name: str, url: str) -> int | None:
    value = field(answer, f"features.{number}.properties.{name}", int, url, default=-1)
    return value if value > 0 else None


def _asset(answer: dict[str, Any], number: int, title: str, url: str) -> dict[str, Any]:
    path = f"features.{number}.properties.services.download"
    asset: dict[str, Any] = {
        "href": field(answer, f"{path}.url", str, url),
        "type": "application/zip",
        "roles": ["data"],
        "file:local_path": f"{title}.zip",
    }
    size = field(answer, f"{path}.size", int, url, default=0)
    if size > 0:
        asset["file:size"] = size
    checksum = field(answer, f"{path}.checksum", str, url, default="")
    if checksum:
        value = checksum.lower().removeprefix("md5").lstrip(":=")
        asset["file:checksum"] = md5_of(value, url, f"{path}.checksum")
    mode = field(answer, f"features.{number}.properties.storage.mode", str, url, default="disk")
    return asset if mode.lower() in _ONLINE else {**asset, "storage:tier": "offline"}
