"""USGS Machine-to-Machine (M2M): Landsat Collection 2, level 1 and 2.

Endpoint ``landsat-m2m``: the JSON API. The login is a ``username`` and an application ``token``
(made in the ERS profile, for accounts with M2M access). Files have no published digest here, so
their size is what can be checked; the requester-pays bucket (provider ``usgs-landsat``) states
SHA-512.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skymend.core.errors import ConfigError, RetryableError, SkymendError
from skymend.sources import naming
from skymend.sources.answers import field, malformed
from skymend.sources.fetching import Door
from skymend.sources.m2m import M2M, URL
from skymend.sources.outlines import touching
from skymend.sources.protocol import Filters, Finding, Period, Settings, require_collection
from skymend.sources.tarballs import untar

if TYPE_CHECKING:
    import pystac

    from skymend.sources.area import Area
    from skymend.sources.transfer import Progress, Receipt, Remote

PAGE = 1000
CONNECTIONS = 5
"""Downloads at once that USGS asks its users not to exceed."""

_DATASETS = {
    "landsat-c2-l1": ("landsat_ot_c2_l1", "landsat_etm_c2_l1", "landsat_tm_c2_l1"),
    "landsat-c2-l2": ("landsat_ot_c2_l2", "landsat_etm_c2_l2", "landsat_tm_c2_l2"),
}
_SENSORS = {"landsat-8": "_ot_", "landsat-9": "_ot_", "landsat-7": "_etm_"}
_TIMES = ("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S", "%Y:%j:%H:%M:%S.%f", "%Y/%m/%d %H:%M:%S")
_POLLS = 20
_ENTITY = "m2m://"
"""Before an entity id, where its address is not known yet."""


class LandsatM2M:
    """Landsat 4 to 9, Collection 2, as bundles (tar) or single bands."""

    name = "landsat-m2m"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.api = M2M(settings)

    def collections(self) -> tuple[str, ...]:
        """Name the collections."""
        return tuple(_DATASETS)

    def search(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """Find items (see :class:`skymend.sources.protocol.Source`)."""
        require_collection(self.name, collection, self.collections())
        found = (
            item
            for dataset in _datasets(collection, filters)
            for scene in _scene_filters(area, period, filters)
            for item in self._items(dataset, scene, collection)
            if _within(item, period)
        )
        return naming.collect(touching(found, area), filters)

    def fetch(
        self,
        item: pystac.Item,
        assets: Sequence[str],
        destination: Path,
        progress: Progress | None = None,
    ) -> tuple[Receipt, ...]:
        """Fetch the bundle, unpacked, or the single files whose names end like the assets.

        Assets are named as Landsat's files end: ``SR_B4``, ``QA_PIXEL``, ``MTL.xml``. Either way
        the files lie in ``destination/<item>``.
        """
        from skymend.sources.transfer import Limits

        chosen = self._offered(item, assets)
        orders = _Orders(lambda turn: self._addresses(chosen, item.id, turn))
        limits = Limits(connections=CONNECTIONS)
        door = Door(self.name, self.settings, orders, limits, progress)
        remotes = [_remote(option) for option in chosen]
        if assets:
            return door.bring(remotes, destination / item.id)
        (receipt,) = door.bring(remotes, destination)
        untar(receipt.path, destination / item.id)
        receipt.path.unlink()
        return (replace(receipt, path=destination / item.id),)

    def check(self) -> tuple[Finding, ...]:
        """Log in and ask what the account may do."""
        try:
            granted = self.api.call("permissions")
        except SkymendError as error:
            return (Finding(self.name, False, str(error)),)
        if "download" in (granted or ()):
            return (Finding(self.name, True, "the account may search and download"),)
        sentence = "the account may not download: ask for M2M access in the ERS profile"
        return (Finding(self.name, False, sentence),)

    def _items(
        self, dataset: str, scene: Mapping[str, Any], collection: str
    ) -> Iterator[pystac.Item]:
        where = f"{self.api.url}/scene-search"
        start = 1
        while True:
            data = self.api.call(
                "scene-search",
                datasetName=dataset,
                maxResults=PAGE,
                startingNumber=start,
                metadataType="full",
                sceneFilter=dict(scene),
            )
            results = field(data, "results", list, where)
            for i in range(len(results)):
                yield _item(data, i, dataset, collection, where)
            total = field(data, "totalHits", int, where)
            start += len(results)
            if not results or start > total:
                return

    def _offered(self, item: pystac.Item, assets: Sequence[str]) -> list[Mapping[str, Any]]:
        dataset = str(item.properties["m2m:dataset"])
        entity = str(item.properties["m2m:entity_id"])
        options = self.api.call("download-options", datasetName=dataset, entityIds=[entity])
        return _chosen(options, item.id, assets, f"{self.api.url}/download-options")

    def _addresses(
        self, chosen: Sequence[Mapping[str, Any]], identifier: str, turn: int
    ) -> dict[str, str]:
        """Order the files and wait until each has an address; keys are entity ids."""
        wanted = [{"entityId": c["entityId"], "productId": c["id"]} for c in chosen]
        names = sorted(str(c["entityId"]) for c in chosen)
        digest = hashlib.sha256("/".join([identifier, *names]).encode()).hexdigest()
        label = f"skymend-{digest[:16]}-{turn}"
        where = f"{self.api.url}/download-request"
        data = self.api.call("download-request", downloads=wanted, label=label)
        ready = _ready(field(data, "availableDownloads", list, where, default=[]), where, names)
        # A file ordered before keeps the label of that order.
        earlier = field(data, "duplicateProducts", dict, where, default={}).values()
        labels = [*sorted(set(map(str, earlier)) - {label}), label]
        for attempt in range(_POLLS):
            if len(ready) >= len(chosen):
                return ready
            if attempt:
                self.api.sleep(min(5.0 * attempt, 30.0))
            for known in labels:
                ready |= self._retrieved(known, names)
        raise RetryableError(
            where=f"landsat-m2m: {identifier}",
            expected=f"addresses of {len(chosen)} files",
            found=f"{len(ready)}; USGS is still preparing the rest",
            fix="run again in some minutes",
        )

    def _retrieved(self, label: str, entities: Sequence[str]) -> dict[str, str]:
        where = f"{self.api.url}/download-retrieve"
        data = self.api.call("download-retrieve", label=label)
        found: dict[str, str] = {}
        for group in ("available", "requested"):
            found |= _ready(field(data, group, list, where, default=[]), where, entities)
        return found


class _Orders:
    """Gives files the addresses of an order; a refused address makes a new order.

    Parameters
    ----------
    order : makes the n-th order and returns addresses by entity id.
    """

    def __init__(self, order: Callable[[int], Mapping[str, str]]) -> None:
        self._order = order
        self._lock = threading.Lock()
        self._known: Mapping[str, str] = {}
        self._turn = 0

    def headers(self, remote: Remote, *, refresh: bool) -> Mapping[str, str]:
        """Return nothing: the address alone opens the file."""
        return {}

    def url(self, remote: Remote, *, refresh: bool) -> str:
        """Return the address of a file."""
        with self._lock:
            if refresh or not self._known:
                self._known = self._order(self._turn)
                self._turn += 1
            return self._known[remote.url.removeprefix(_ENTITY)]


def _datasets(collection: str, filters: Filters) -> tuple[str, ...]:
    sensor = _SENSORS.get(filters.platform or "", "_tm_" if filters.platform else "_")
    return tuple(d for d in _DATASETS[collection] if sensor in d)


def _scene_filters(
    area: Area | None, period: Period | None, filters: Filters
) -> Iterator[dict[str, Any]]:
    """Yield one filter for each polygon of the area: the API takes single polygons."""
    from shapely.geometry import mapping

    scene: dict[str, Any] = {}
    if period is not None:
        start, end = (moment.date().isoformat() for moment in period)
        scene["acquisitionFilter"] = {"start": start, "end": end}
    if filters.cloud_cover_max is not None:
        most = int(-(-filters.cloud_cover_max // 1))
        scene["cloudCoverFilter"] = {"min": 0, "max": most, "includeUnknown": False}
    if area is None:
        yield scene
        return
    for part in area.shape.geoms:
        polygon = {"filterType": "geojson", "geoJson": dict(mapping(part))}
        yield {**scene, "spatialFilter": polygon}


def _within(item: pystac.Item, period: Period | None) -> bool:
    """Tell whether an item answers; a time known only to the day counts with the whole day."""
    if period is None:
        return True
    by_day = item.properties.get("m2m:day_only", False)
    last = item.datetime + timedelta(days=1 if by_day else 0)
    return bool(period[0] <= last and item.datetime <= period[1])


def _item(data: Any, number: int, dataset: str, collection: str, where: str) -> pystac.Item:
    place = f"results.{number}"
    name = field(data, f"{place}.displayId", str, where)
    exact = _start_time(field(data, f"{place}.metadata", list, where, default=[]))
    day = field(data, f"{place}.temporalCoverage.startDate", str, where)
    footprint = "spatialCoverage" if _has(data, number, "spatialCoverage") else "spatialBounds"
    cloud = str(field(data, place, dict, where).get("cloudCover"))
    properties: dict[str, Any] = {
        "datetime": exact or day,
        "m2m:dataset": dataset,
        "m2m:entity_id": field(data, f"{place}.entityId", str, where),
    }
    if exact is None:
        properties["m2m:day_only"] = True
    if cloud not in ("None", "-1", ""):
        properties["eo:cloud_cover"] = cloud
    feature = {
        "id": name,
        "geometry": field(data, f"{place}.{footprint}", dict, where),
        "properties": properties,
        "assets": {
            naming.PRODUCT: {
                "href": f"{URL.rsplit('/', 4)[0]}/{dataset}/{name}",
                "type": "application/x-tar",
                "roles": ["data"],
            }
        },
    }
    return naming.harmonise(feature, collection, LandsatM2M.name, where=where)


def _has(data: Any, number: int, name: str) -> bool:
    return isinstance(data["results"][number].get(name), dict)


def _start_time(metadata: Sequence[Any]) -> str | None:
    """Return the metadata field "Start Time" in ISO 8601, None where there is none."""
    for entry in metadata:
        if isinstance(entry, dict) and "Start Time" in str(entry.get("fieldName")):
            for form in _TIMES:
                try:
                    text = re.sub(r"(\.\d{6})\d+$", r"\1", str(entry.get("value")))
                    return datetime.strptime(text, form).isoformat()
                except ValueError:
                    continue
    return None


def _chosen(options: Any, name: str, assets: Sequence[str], where: str) -> list[Mapping[str, Any]]:
    options = _entries(options, where)
    bundles = [o for o in options if "bundle" in str(o.get("productName", "")).lower()]
    open_bundles = [o for o in bundles if o.get("available")]
    if not assets:
        if open_bundles:
            return [_complete(open_bundles[0], where)]
        raise _not_offered(name, "the product bundle", [str(o.get("productName")) for o in options])
    files = [
        f
        for o in options
        for f in _entries(o.get("secondaryDownloads") or [], where)
        if f.get("available")
    ]
    found = {asset: _ending(files, asset) for asset in assets}
    missing = [asset for asset, file in found.items() if file is None]
    if missing:
        known = sorted({str(f.get("displayId")).removeprefix(f"{name}_") for f in files})
        raise _not_offered(name, f"files {' and '.join(missing)}", known)
    return [_complete(file, where) for file in found.values() if file is not None]


def _complete(option: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    for name in ("id", "entityId", "displayId"):
        field(option, name, str, where)
    return option


def _entries(stated: Any, where: str) -> list[Mapping[str, Any]]:
    if not isinstance(stated, list):
        raise malformed(where, "a list of downloads", repr(stated)[:60])
    return [entry for entry in stated if isinstance(entry, dict)]


def _ending(files: Sequence[Mapping[str, Any]], asset: str) -> Mapping[str, Any] | None:
    ends = (f"_{asset}.TIF".upper(), f"_{asset}".upper())
    return next((f for f in files if str(f.get("displayId", "")).upper().endswith(ends)), None)


def _not_offered(name: str, what: str, offered: Sequence[str]) -> ConfigError:
    return ConfigError(
        where=f"landsat-m2m: {name}",
        expected=what,
        found=", ".join(offered)[:200] or "nothing to download",
        fix="ask for what is offered; some products must be ordered at EarthExplorer first",
    )


def _ready(entries: Sequence[Any], where: str, wanted: Sequence[str]) -> dict[str, str]:
    """Return address by entity id of the entries that are ready.

    An order's own answer may leave out the id; then only a single file can be told.
    """
    ready = {}
    for i in range(len(entries)):
        url = field({"list": entries}, f"list.{i}.url", str, where, default="")
        entity = field({"list": entries}, f"list.{i}.entityId", str, where, default="")
        if not entity and len(wanted) == len(entries) == 1:
            entity = wanted[0]
        if entity in wanted and url.startswith(("http://", "https://")):
            ready[entity] = url
    return ready


def _remote(option: Mapping[str, Any]) -> Remote:
    from skymend.sources.transfer import Remote

    name = str(option["displayId"])
    size = option.get("filesize")
    is_bundle = "bundle" in str(option.get("productName", "")).lower()
    return Remote(
        url=f"{_ENTITY}{option['entityId']}",
        provider=LandsatM2M.name,
        name=f"{name}.tar" if is_bundle else name,
        size=size if isinstance(size, int) and size > 0 else None,
        kind="geotiff" if name.upper().endswith(".TIF") else "file",
    )
