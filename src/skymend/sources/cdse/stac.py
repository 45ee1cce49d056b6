"""The STAC catalogue (version 1 of the interface), read with pystac-client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from skymend.sources import naming
from skymend.sources.answers import field
from skymend.sources.cdse.catalogue import COLLECTIONS, ENDPOINTS, LIMITS, PROVIDER
from skymend.sources.protocol import Filters, Period, interval
from skymend.sources.stac_api import Service, StacApi

if TYPE_CHECKING:
    import pystac

    from skymend.sources.area import Area


class StacCatalogue(StacApi):
    """Search of the STAC catalogue; filters are tested by the server and again on the items."""

    service = Service(
        PROVIDER,
        ENDPOINTS["cdse.stac"],
        {name: (c.stac,) for name, c in COLLECTIONS.items() if c.stac is not None},
        page=200,
    )
    limits = LIMITS

    def search(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """Find items (see :class:`skymend.sources.protocol.Source`)."""
        theirs = self.theirs(collection)
        asked: dict[str, Any] = {
            "collections": list(theirs),
            "limit": self.service.page,
            "sortby": [{"field": "properties.datetime", "direction": "asc"}],
        }
        if area is not None:
            asked["intersects"] = area.geojson()
        if period is not None:
            asked["datetime"] = interval(period)
        tests = list(comparisons(collection, filters))
        if tests:
            asked |= {"filter": {"op": "and", "args": tests}, "filter_lang": "cql2-json"}
        with self._errors():
            return naming.collect(self._items(collection, asked), filters)

    def title(self) -> str:
        """Open the landing page and return its title."""
        with self._errors():
            return str(self._client().title or "a STAC API")

    def document(self, feature: dict[str, Any], collection: str) -> pystac.Item:
        """Return an item in skymend's words; the zipped product is the asset ``product``."""
        assets = dict(field(feature, "assets", dict, self._where(), default={}))
        if "Product" in assets:
            assets[naming.PRODUCT] = assets.pop("Product")
        feature = {**feature, "assets": assets}
        return naming.harmonise(feature, collection, PROVIDER, where=self._where())

    def _url(self) -> str:
        return self.settings.endpoint("cdse.stac", ENDPOINTS["cdse.stac"])


def comparisons(collection: str, filters: Filters) -> Iterator[dict[str, Any]]:
    """Yield the filters that the server knows, as CQL2-JSON (OGC 21-065)."""
    if filters.cloud_cover_max is not None and "sentinel-2" in collection:
        yield _compare("<=", "eo:cloud_cover", filters.cloud_cover_max)
    tile = None if filters.tile is None else f"MGRS-{filters.tile}"
    identifier = None if filters.product_id is None else filters.product_id.removesuffix(".SAFE")
    for name, value in {
        "grid:code": tile,
        "sat:relative_orbit": filters.relative_orbit,
        "sat:orbit_state": filters.orbit_direction,
        "platform": filters.platform,
        "id": identifier,
    }.items():
        if value is not None:
            yield _compare("=", name, value)


def _compare(op: str, name: str, value: object) -> dict[str, Any]:
    return {"op": op, "args": [{"property": name}, value]}
