"""Copernicus Data Space as a source: search, files of a SAFE, whole products, doctor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from skymend.core.errors import SkipJob, SkymendError
from skymend.sources import naming
from skymend.sources.answers import field
from skymend.sources.cdse import odata
from skymend.sources.cdse.access import Shelf, chain_of, first_object, has_keys
from skymend.sources.cdse.catalogue import (
    COLLECTIONS,
    ENDPOINTS,
    LIMITS,
    PROVIDER,
)
from skymend.sources.cdse.contents import MANIFEST, Entry, choose, read_manifest
from skymend.sources.cdse.stac import StacCatalogue
from skymend.sources.fetching import Door, ledger_of, whole_safe
from skymend.sources.json_client import JsonClient
from skymend.sources.outlines import touching
from skymend.sources.protocol import (
    Filters,
    Finding,
    Period,
    Settings,
    digests_of,
    require_collection,
    size_of,
)

if TYPE_CHECKING:
    import pystac

    from skymend.sources.area import Area
    from skymend.sources.transfer import Progress, Receipt


class Cdse:
    """Searches STAC (auxiliary files: OData); fetches through S3 with keys, else over HTTPS.

    Endpoints that settings may replace: ``cdse.stac``, ``cdse.odata``, ``cdse.download``,
    ``cdse.token``, ``cdse.s3``.
    """

    name = "cdse"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def collections(self) -> tuple[str, ...]:
        """Name the collections."""
        return tuple(COLLECTIONS)

    def search(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """Find items (see :class:`skymend.sources.protocol.Source`)."""
        require_collection(self.name, collection, self.collections())
        if COLLECTIONS[collection].stac is None:
            return self.search_odata(collection, area, period, filters)
        return StacCatalogue(self.settings).search(collection, area, period, filters)

    def search_odata(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """Find items in the OData catalogue, all pages and windows."""
        require_collection(self.name, collection, self.collections())
        query = odata.Query(COLLECTIONS[collection], area, period, filters)
        download = self.settings.endpoint("cdse.download", ENDPOINTS["cdse.download"])
        products = odata.search(self._products, query)
        items = (odata.to_item(p, collection, download) for p in products)
        return naming.collect(touching(items, area), filters)

    def fetch(
        self,
        item: pystac.Item,
        assets: Sequence[str],
        destination: Path,
        progress: Progress | None = None,
    ) -> tuple[Receipt, ...]:
        """Fetch files of a product into ``destination/<name>.SAFE``, its structure kept.

        Parameters
        ----------
        assets : bands (``B04``, ``B04_20m``, ``SCL``), polarisations (``VV``), paths inside the
            product or ``metadata``; metadata and quality masks come along. Without any, the whole
            product.

        Raises
        ------
        ConfigError
            if the product has no such band.
        ProductError
            if a file is not what it should be, or is gone (``status 404``).
        SkipJob
            if the product is offline: the Data Space has no order by interface.
        """
        if item.properties.get("order:status") == "orderable":
            raise SkipJob(f"{item.id} is offline at cdse, where only its workspace can order it")
        s3 = self._by_s3()
        shelf = Shelf(item, self.settings, s3=s3)
        door = Door(PROVIDER, self.settings, shelf.signer(), LIMITS, progress)
        if not assets and (not s3 or shelf.folder.endswith(".EOF")):
            return self._archive(shelf, door, destination)
        entries = self._entries(shelf, door, destination)
        return self._files(shelf, door, choose(entries, assets, item.id), destination)

    def check(self) -> tuple[Finding, ...]:
        """Try the catalogue, then the login or the S3 keys."""
        attempts = (self._try_catalogue, self._try_keys if self._by_s3() else self._try_login)
        return tuple(self._finding(attempt) for attempt in attempts)

    def _finding(self, attempt: Callable[[], str]) -> Finding:
        try:
            return Finding(self.name, True, attempt())
        except SkymendError as error:
            return Finding(self.name, False, str(error))

    def _try_catalogue(self) -> str:
        title = StacCatalogue(self.settings).title()
        return f"the STAC catalogue answers: {title}"

    def _try_login(self) -> str:
        chain_of(self.settings).access()
        return "the login is accepted; files come over HTTPS"

    def _try_keys(self) -> str:
        first_object(self.settings)
        return "the S3 keys are accepted; files come through S3"

    def _by_s3(self) -> bool:
        return has_keys(self.settings)

    def _products(self, query: Mapping[str, str]) -> dict[str, Any]:
        base = self.settings.endpoint("cdse.odata", ENDPOINTS["cdse.odata"])
        ledger = ledger_of(self.settings, PROVIDER, LIMITS)
        client = JsonClient(PROVIDER, self.settings.timeout_s, ledger=ledger)
        return client.get(f"{base}/Products", query)

    def _archive(self, shelf: Shelf, door: Door, destination: Path) -> tuple[Receipt, ...]:
        remote = shelf.archive()
        if remote.kind != "safe-zip":
            return door.bring([remote], destination)
        from skymend.sources.archives import extract

        folder = destination / shelf.folder
        known = whole_safe(folder)
        if known is not None:
            (destination / remote.name).unlink(missing_ok=True)
            return (known,)
        (receipt,) = door.bring([remote], destination)
        extract(receipt.path, destination)
        receipt.path.unlink()
        return (replace(receipt, path=folder),)

    def _entries(self, shelf: Shelf, door: Door, destination: Path) -> tuple[Entry, ...]:
        """Fetch the manifest first: it says what else there is, and what it must be."""
        asset = shelf.item.assets.get("safe_manifest")
        known = () if asset is None else digests_of(asset)
        entry = Entry(MANIFEST, None if asset is None else size_of(asset), None)
        folder = destination / shelf.folder
        (receipt,) = door.bring([shelf.remote(entry, known)], folder)
        listed = read_manifest(receipt.path.read_bytes(), shelf.folder)
        return tuple(e for e in listed if e.path != MANIFEST)

    def _files(
        self, shelf: Shelf, door: Door, entries: Sequence[Entry], destination: Path
    ) -> tuple[Receipt, ...]:
        receipts: list[Receipt] = []
        for parent, group in groupby(entries, key=lambda e: PurePosixPath(e.path).parent):
            folder = destination / shelf.folder / parent
            receipts += door.bring([shelf.remote(e) for e in group], folder)
        return tuple(receipts)


class CdseOData(Cdse):
    """Searches OData and fetches over HTTPS."""

    name = "cdse-odata"

    def search(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """Find items (see :class:`skymend.sources.protocol.Source`)."""
        return self.search_odata(collection, area, period, filters)

    def _by_s3(self) -> bool:
        return False

    def _try_catalogue(self) -> str:
        answer = self._products({"$top": "1"})
        field(answer, "value", list, "OData catalogue of cdse")
        return "the OData catalogue answers"


class CdseS3(Cdse):
    """Searches STAC and fetches through S3; needs ``access_key`` and ``secret_key``."""

    name = "cdse-s3"

    def _by_s3(self) -> bool:
        return True
