"""GEODES, the Earth-observation portal of CNES: THEIA's MAJA products and Sentinel mirrors.

Endpoint ``geodes``: the STAC API without ``/search``. A page holds at most 80 items. Search is
open; downloads need an ``api_key`` (header ``X-API-Key``), made in the portal's account page.
Its items put the date of publication into ``datetime``, and size, MD5 and availability of a file
into the text of ``description``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skymend.sources import naming
from skymend.sources.answers import field, malformed
from skymend.sources.fetching import Door, HeaderSigner, fetch_assets, ledger_of, md5_of
from skymend.sources.json_client import JsonClient
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

URL = "https://geodes-portal.cnes.fr/api/stac"
PAGE = 80
"""Most items that the portal gives at once."""

_COLLECTIONS = {
    "sentinel-2-l2a-maja": ("THEIA_REFLECTANCE_SENTINEL2_L2A", None),
    "sentinel-2-l1c": ("PEPS_S2_L1C", None),
    "sentinel-1-grd": ("PEPS_S1_L1", "GRD"),
    "sentinel-1-slc": ("PEPS_S1_L1", "SLC"),
}
_NOT_DATA = {"application/xml", "text/xml"}
_LINE = re.compile(r"^\s*([^:\n]+?)\s*:\s*(.+?)\s*$", re.MULTILINE)


class Geodes:
    """Products of CNES as zip archives."""

    name = "geodes"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._url = settings.endpoint("geodes", URL)
        self._client = JsonClient(
            "geodes", settings.timeout_s, ledger=ledger_of(settings, "geodes")
        )

    def collections(self) -> tuple[str, ...]:
        """Name the collections."""
        return tuple(_COLLECTIONS)

    def search(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """Find items (see :class:`skymend.sources.protocol.Source`)."""
        require_collection(self.name, collection, self.collections())
        found = self._items(collection, _body(collection, area, period, filters))
        return naming.collect(found, filters)

    def fetch(
        self,
        item: pystac.Item,
        assets: Sequence[str],
        destination: Path,
        progress: Progress | None = None,
    ) -> tuple[Receipt, ...]:
        """Fetch the product's archive; it holds all assets."""
        key = self.settings.credentials.find(self.name, ["api_key"])["api_key"]
        signer = HeaderSigner({"X-API-Key": key})
        door = Door(self.name, self.settings, signer, None, progress)
        return fetch_assets(item, (naming.PRODUCT,), destination, door)

    def check(self) -> tuple[Finding, ...]:
        """Ask for one item, and say whether there is a key."""
        return findings(self.name, self._news())

    def _news(self) -> Iterator[str]:
        self._client.post(f"{self._url}/search", {"limit": 1, "page": 1})
        yield f"{self._url} answers"
        self.settings.credentials.find(self.name, ["api_key"])
        yield "there is an API key for downloads"

    def _items(self, collection: str, body: Mapping[str, Any]) -> Iterator[pystac.Item]:
        url = f"{self._url}/search"

        def page(number: int) -> tuple[list[pystac.Item], int | None]:
            answer = self._client.post(url, {**body, "page": number})
            found = len(field(answer, "features", list, url))
            items = [self._item(answer, i, collection, url) for i in range(found)]
            return items, field(answer, "context.matched", int, url) if items else None

        return numbered(page, url)

    def _item(self, answer: dict[str, Any], number: int, collection: str, url: str) -> pystac.Item:
        place = f"features.{number}"
        feature = field(answer, place, dict, url)
        own = dict(field(answer, f"{place}.properties", dict, url))
        title = field(answer, f"{place}.properties.identifier", str, url)
        own["datetime"] = field(answer, f"{place}.properties.start_datetime", str, url)
        if isinstance(own.get("sar:polarizations"), str):
            own["sar:polarizations"] = re.split(r"[^A-Z]+", own["sar:polarizations"].upper())
        own |= {"geodes:id": feature.get("id"), "s2:processing_baseline": _baseline(own)}
        asset = _archive(field(answer, f"{place}.assets", dict, url), title, url)
        renamed = {
            "id": title,
            "geometry": field(answer, f"{place}.geometry", dict, url),
            "properties": {k: v for k, v in own.items() if k not in _BULKY},
            "assets": {naming.PRODUCT: asset},
        }
        return naming.harmonise(renamed, collection, self.name, where=url, title=title)


_BULKY = {"political", "references", "keywords", "physical", "theme"}


def _baseline(own: Mapping[str, Any]) -> str | None:
    is_esa = str(own.get("identifier", "")).startswith("S2")
    return own.get("processing:version") if is_esa else None


def _body(
    collection: str, area: Area | None, period: Period | None, filters: Filters
) -> dict[str, Any]:
    theirs, kind = _COLLECTIONS[collection]
    query: dict[str, Any] = {} if kind is None else {"product:type": {"eq": kind}}
    if period is not None:
        query["end_datetime"] = {"gte": timestamp(period[0])}
        query["start_datetime"] = {"lte": timestamp(period[1])}
    if filters.cloud_cover_max is not None and "sentinel-2" in collection:
        query["eo:cloud_cover"] = {"lte": filters.cloud_cover_max}
    if filters.tile is not None:
        query["grid:code"] = {"contains": f"T{filters.tile}"}
    body: dict[str, Any] = {"collections": [theirs], "limit": PAGE, "query": query}
    if area is not None:
        body["intersects"] = area.geojson()
    return {**body, "sortBy": [{"field": "start_datetime", "direction": "asc"}]}


def _archive(assets: Mapping[str, Any], title: str, url: str) -> dict[str, Any]:
    """Return the product's archive among the assets, with what its description states."""
    for key in sorted(assets):
        entry = assets[key]
        place = f"{url}, item {title}"
        roles = field(entry, "roles", list, place, default=[])
        if "data" not in roles or field(entry, "type", str, place, default="") in _NOT_DATA:
            continue
        stated = dict(_LINE.findall(field(entry, "description", str, place, default="")))
        asset: dict[str, Any] = {
            "href": field(entry, "href", str, place),
            "type": "application/zip",
            "roles": ["data"],
            "file:local_path": f"{title}.zip",
        }
        size = stated.get("File size", "").removesuffix("bytes").strip()
        if size.isdigit():
            asset["file:size"] = int(size)
        if "Checksum MD5" in stated:
            path = f"assets.{key}.description"
            asset["file:checksum"] = md5_of(stated["Checksum MD5"], place, path)
        return asset
    raise malformed(url, f"an asset with role 'data' in field 'assets' of {title}", "none")
