"""Sentinel Hub: windows rendered on a grid, found by Catalog and computed by the Process API.

Endpoints: ``sentinel-hub`` (a deployment: the Copernicus Data Space by default, or
``https://services.sentinel-hub.com``) and ``sentinel-hub.token`` (its token service). Everything
needs an OAuth client: ``client_id`` and ``client_secret``. One's own imagery is the collection
``byoc-<id>``.

An item found with an area brings the part that the area's box covers, not the whole product.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skymend.core.cog import CogWriter
from skymend.core.encoding import Encoding
from skymend.core.errors import ConfigError, NoImageError, SkymendError
from skymend.core.grid import Grid
from skymend.sources import naming
from skymend.sources.answers import field, malformed
from skymend.sources.fetching import write_item
from skymend.sources.outlines import touching
from skymend.sources.places import folder_of, grid_of, part_of
from skymend.sources.protocol import Filters, Finding, Period, Settings, require_collection
from skymend.sources.sentinel_hub.access import NAME, Hub
from skymend.sources.sentinel_hub.offer import OFFERS, Band, Offer, own
from skymend.sources.sentinel_hub.patches import write_patch
from skymend.sources.sentinel_hub.render import Renderer, Script, around
from skymend.sources.sessions import need
from skymend.sources.transfer import Limits, Receipt, silent
from skymend.sources.transfer.progress import Meter

if TYPE_CHECKING:
    import numpy.typing as npt
    import pystac

    from skymend.sources.area import Area
    from skymend.sources.transfer import Progress

LIMITS = Limits(requests_per_minute=300, requests_per_month=10_000, units_per_month=10_000)
"""Of a general user of the Copernicus Data Space; ``limits.json`` of the ledger states others."""

BYOC = "byoc-"
_PAGE = 100


class SentinelHub:
    """A deployment of Sentinel Hub."""

    name = NAME

    def __init__(self, settings: Settings) -> None:
        need(self.name, "sentinelhub")
        self.settings = settings
        self._hub = Hub(settings, LIMITS)

    def collections(self) -> tuple[str, ...]:
        """Name the collections; ``byoc-<id>`` are served beside them."""
        return tuple(OFFERS)

    def search(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """Find images (see :class:`skymend.sources.protocol.Source`).

        Raises
        ------
        ConfigError
            if there is no area: Catalog searches somewhere.
        """
        offer = self.offer(collection)
        if area is None:
            raise ConfigError(
                where=f"search at {self.name}",
                expected="an area",
                found="none",
                fix="give the area of interest",
            )
        found = touching(self._items(collection, offer, area, period, filters), area)
        return naming.collect((part_of(i, area) for i in found), filters)

    def fetch(
        self,
        item: pystac.Item,
        assets: Sequence[str],
        destination: Path,
        progress: Progress | None = None,
    ) -> tuple[Receipt, ...]:
        """Render bands of an item into COGs below ``destination/<item>``, beside the item.

        Parameters
        ----------
        assets : bands; all of them without any.

        Raises
        ------
        ProductError
            if what comes is no image of the size asked for.
        """
        offer = self.offer(str(item.collection_id))
        chosen = offer.chosen(assets or [n for n in offer.bands if n not in {"CLM", "CLP"}])
        folder = destination / folder_of(item)
        receipts, paths = [], {}
        for name, band in chosen.items():
            grid = grid_of(item, band.resolution_m)
            receipt = self.scene(item, name, grid, folder / f"{name}.tif", progress)
            receipts.append(receipt)
            paths[name] = receipt.path
        write_item(item, paths, folder)
        return tuple(receipts)

    def scene(
        self,
        item: pystac.Item,
        name: str,
        grid: Grid,
        path: Path,
        progress: Progress | None = None,
        *,
        script: Script | None = None,
    ) -> Receipt:
        """Render one band of an item on any grid as COG, tile by tile below 2500 pixels.

        Finished tiles stay beside the file until it is complete, so a later run goes on.
        """
        offer = self.offer(str(item.collection_id))
        band = offer.chosen([name])[name]
        work = path.parent / f".{path.stem}.tiles"
        began = time.monotonic()
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            moment = _moment(item)
            renderer = Renderer(
                self._hub, offer, around(moment), script or Script.named("bands"), work
            )
            self._write(renderer, name, band, grid, path, progress or silent)
            shutil.rmtree(work, ignore_errors=True)
        seconds = time.monotonic() - began
        return Receipt(path, path.stat().st_size, "size", 0, 0, seconds)

    def patch(
        self,
        collection: str,
        grid: Grid,
        period: Period,
        bands: Sequence[str],
        folder: Path,
        filters: Filters | None = None,
        *,
        script: Script | None = None,
        apart: timedelta = timedelta(minutes=120),
    ) -> Path:
        """Render all images of a period on a grid into an EOPatch folder.

        Feature ``BANDS`` holds stored numbers (times, rows, columns, bands), mask ``IS_DATA`` says
        where they are valid. Images closer in time than ``apart`` are one.

        Raises
        ------
        NoImageError
            if there is no image.
        """
        from skymend.sources.area import Area

        offer = self.offer(collection)
        found = self.search(collection, Area.of_grid(grid), period, filters or Filters())
        times = _apart([_moment(i) for i in found], apart)
        if not times:
            raise NoImageError(
                where=f"{self.name}, {collection}",
                expected="an image in area and period",
                found="none",
                fix="widen the period or the filters",
            )
        own_script = script or Script.named("bands")
        stacks = [
            _whole(Renderer(self._hub, offer, (t, t + apart), own_script), bands, grid)
            for t in times
        ]
        data = {"BANDS": np.stack([values for values, _ in stacks])}
        masks = {"IS_DATA": np.stack([valid for _, valid in stacks])}
        facts = {"skymend": {"collection": collection, "bands": list(bands)}}
        return write_patch(folder, grid, times, data, masks, facts)

    def check(self) -> tuple[Finding, ...]:
        """Make a token and list the collections of the account."""
        from sentinelhub import SentinelHubCatalog

        try:
            catalog = SentinelHubCatalog(self._hub.config())
            catalog.client = self._hub.client()
            with self._hub.errors():
                count = len(catalog.get_collections())
        except SkymendError as error:
            return (Finding(self.name, False, str(error)),)
        sentence = f"{self._hub.url} answers with {count} collections for this client"
        return (Finding(self.name, True, sentence), Finding(self.name, True, self._used()))

    def _used(self) -> str:
        """Say what this month has taken of the allowances."""
        ledger = self._hub.ledger()
        limits, month = ledger.of(self.name), ledger.monthly(self.name)
        requests = limits.requests_per_month or "any number of"
        units = limits.units_per_month or "any number of"
        return (
            f"this month {month.requests} of {requests} requests and {month.units:.1f} of"
            f" {units} processing units were used from this machine"
        )

    def offer(self, collection: str) -> Offer:
        """Return what a collection holds; one's own is asked for.

        Raises
        ------
        ConfigError
            if there is no such collection.
        """
        if not collection.startswith(BYOC):
            return OFFERS[require_collection(self.name, collection, self.collections())]
        from sentinelhub import SentinelHubBYOC

        service = SentinelHubBYOC(self._hub.config())
        service.client = self._hub.client()
        with self._hub.errors():
            document = service.get_collection(collection.removeprefix(BYOC))
        return own(collection, document, f"{self._hub.where}, {collection}")

    def _items(
        self,
        collection: str,
        offer: Offer,
        area: Area,
        period: Period | None,
        filters: Filters,
    ) -> Iterator[pystac.Item]:
        from sentinelhub import CRS, Geometry, SentinelHubCatalog

        catalog = SentinelHubCatalog(self._hub.config())
        catalog.client = self._hub.client()
        clouds = filters.cloud_cover_max if offer.has_clouds else None
        with self._hub.errors():
            features = iter(
                catalog.search(
                    offer.type,
                    time=period or (datetime(1970, 1, 1, tzinfo=UTC), datetime.now(UTC)),
                    geometry=Geometry(area.shape, CRS.WGS84),
                    filter=None if clouds is None else f"eo:cloud_cover <= {clouds:g}",
                    limit=_PAGE,
                )
            )
        while True:
            with self._hub.errors():
                feature = next(features, None)
            if feature is None:
                return
            yield self._item(feature, collection, offer)

    def _item(self, feature: Any, collection: str, offer: Offer) -> pystac.Item:
        if not isinstance(feature, dict):
            raise malformed(self._hub.where, "an object in field 'features'", repr(feature)[:60])
        address = f"{self._hub.url}/api/v1/process"
        document = {**feature, "assets": _assets(offer, address)}
        item = naming.harmonise(document, collection, self.name, where=self._hub.where)
        epsg = field(feature, "properties.proj:epsg", int, self._hub.where, default=0)
        if epsg:
            item.properties["proj:code"] = f"EPSG:{epsg}"
        return item

    def _write(
        self,
        renderer: Renderer,
        name: str,
        band: Band,
        grid: Grid,
        path: Path,
        progress: Progress,
    ) -> None:
        encoding = Encoding(name, band.dtype, 1.0, band.nodata, "1")
        total = grid.shape[0] * grid.shape[1]
        done, meter = 0, Meter(path.name)
        with CogWriter(path, grid, [name], encoding) as writer:
            writer.work.unlink(missing_ok=True)
            for window, stored, valid in renderer.tiles([name], grid):
                writer.write_stored(_masked(stored, valid, band), window)
                done += window.rows * window.columns
                progress(meter.moment(done, total))


def _assets(offer: Offer, address: str) -> Mapping[str, Any]:
    return {
        name: {
            "href": f"{address}#{name}",
            "type": "image/tiff; application=geotiff",
            "roles": ["data"],
            "gsd": band.resolution_m,
            "raster:bands": [
                {
                    "data_type": band.dtype,
                    "scale": band.scale,
                    "offset": band.offset,
                    **({} if band.nodata is None else {"nodata": _nodata(band.nodata)}),
                }
            ],
        }
        for name, band in offer.bands.items()
    }


def _nodata(value: float) -> float | str:
    return "nan" if np.isnan(value) else value


def _masked(stored: npt.NDArray[Any], valid: npt.NDArray[np.bool_], band: Band) -> npt.NDArray[Any]:
    result = stored.astype(band.dtype)
    if band.nodata is not None:
        result[:, ~valid] = band.nodata
    return result


def _whole(
    renderer: Renderer, bands: Sequence[str], grid: Grid
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Return (rows, columns, bands) and (rows, columns, 1) of a grid."""
    chosen = renderer.offer.chosen(bands)
    dtype = np.result_type(*(np.dtype(b.dtype) for b in chosen.values()))
    values = np.zeros((*grid.shape, len(chosen)), dtype)
    valid = np.zeros((*grid.shape, 1), bool)
    for window, stored, mask in renderer.tiles(list(chosen), grid):
        values[window.slices] = np.moveaxis(stored, 0, -1)
        valid[window.slices] = mask[..., None]
    return values, valid


def _apart(times: Sequence[datetime], least: timedelta) -> list[datetime]:
    kept: list[datetime] = []
    for moment in sorted(times):
        if not kept or moment - kept[-1] > least:
            kept.append(moment)
    return kept


def _moment(item: pystac.Item) -> datetime:
    moment: datetime | None = item.datetime
    if moment is None:
        raise malformed(f"item {item.id}", "a time in field 'properties.datetime'", "none")
    return moment


__all__ = ["BYOC", "LIMITS", "SentinelHub"]
