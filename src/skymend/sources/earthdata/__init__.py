"""NASA Earthdata: MODIS, VIIRS and ASTER through the Common Metadata Repository (CMR).

Endpoints: ``earthdata.cmr`` (search) and ``earthdata.login`` (Earthdata Login, whose host takes the
password). Searching is open. Files need a ``token``, or ``username`` and ``password``, and the
archive's application approved once in the Earthdata profile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from skymend.core.errors import AccessError, AnswerError, SkipJob, SkymendError
from skymend.sources import naming
from skymend.sources.answers import field, malformed, read_json
from skymend.sources.earthdata import granules, tiles
from skymend.sources.earthdata.login import EarthdataLogin, EarthdataSigner
from skymend.sources.fetching import Door, fetch_assets
from skymend.sources.outlines import places, touching
from skymend.sources.protocol import (
    Filters,
    Finding,
    Period,
    Settings,
    findings,
    require_collection,
)
from skymend.sources.sessions import connection_error, explaining, need, patient, status_error

if TYPE_CHECKING:
    import pystac
    import requests

    from skymend.sources.area import Area
    from skymend.sources.transfer import Progress, Receipt

CMR = "https://cmr.earthdata.nasa.gov/search"


@dataclass(frozen=True, slots=True)
class Product:
    """A collection of CMR.

    Parameters
    ----------
    short_name : its name there.
    version : the one that is still made; None takes whatever there is.
    """

    short_name: str
    version: str | None


PRODUCTS: Mapping[str, Product] = MappingProxyType(
    {
        **{
            f"{satellite}{kind}".lower(): Product(f"{satellite}{kind}", "061")
            for satellite in ("MOD", "MYD")
            for kind in ("11A1", "21A1D", "21A1N", "09GQ", "09GA")
        },
        "mod44w": Product("MOD44W", "061"),
        **{
            f"{satellite}{kind}".lower(): Product(f"{satellite}{kind}", "002")
            for satellite in ("VNP", "VJ1")
            for kind in ("21A1D", "21A1N", "09GA")
        },
        "ast-08": Product("AST_08", None),
    }
)
"""Collections by skymend's name; those of VIIRS continue those of MODIS."""


class Earthdata:
    """Granules of NASA's archives."""

    name = "earthdata"

    def __init__(self, settings: Settings) -> None:
        need(self.name, "earthaccess")
        self.settings = settings
        self._url = settings.endpoint("earthdata.cmr", CMR)
        self._login = EarthdataLogin(settings, self.name)

    def collections(self) -> tuple[str, ...]:
        """Name the collections."""
        return tuple(PRODUCTS)

    def search(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """Find granules; ``tile`` means a sinusoidal tile such as ``h18v04``.

        Raises
        ------
        AnswerError
            if CMR hands out fewer granules than it counts, or a field is missing or wrong.
        """
        require_collection(self.name, collection, self.collections())
        tile = None if filters.tile is None else tiles.parse(filters.tile)
        found = (
            granules.item(granule, collection, self.name, self._url)
            for place in places(area)
            for granule in self._granules(collection, place, period, tile)
        )
        rest = replace(filters, tile=None)
        return naming.collect(touching(tiles.of_tile(found, tile), area), rest)

    def fetch(
        self,
        item: pystac.Item,
        assets: Sequence[str],
        destination: Path,
        progress: Progress | None = None,
    ) -> tuple[Receipt, ...]:
        """Fetch a granule's file, or those asked for where it has several.

        Raises
        ------
        AccessError
            naming the agreement to accept, where that is what the archive misses.
        SkipJob
            if the granule is made on order only.
        """
        if not item.assets:
            raise SkipJob(f"{item.id} is made on order only: order it at search.earthdata.nasa.gov")
        signer = EarthdataSigner(self._login)
        door = Door(self.name, self.settings, signer, None, progress)
        names = (naming.PRODUCT,) if naming.PRODUCT in item.assets else assets
        try:
            return fetch_assets(item, names, destination, door)
        except AccessError as error:
            address = next(iter(item.assets.values())).href
            raise self._login.refusal(error, address) from error

    def check(self) -> tuple[Finding, ...]:
        """Count granules, and look for a login that Earthdata takes."""
        return findings(self.name, self._news())

    def _news(self) -> Iterator[str]:
        with self._errors():
            count = self._query("mod11a1").hits()
        yield f"{self._url} answers: {count} granules of MOD11A1"
        self._login.token()
        yield "there is an Earthdata token"

    def _granules(
        self, collection: str, place: str | None, period: Period | None, tile: tiles.Tile | None
    ) -> Iterator[dict[str, Any]]:
        query = self._query(collection)
        stated: list[str] = []
        query.session.hooks["response"].append(lambda answer, **_: self._inspect(answer, stated))
        if place is not None:
            query.polygon(_ring(place))
        if period is not None:
            query.temporal(*period)
        if tile is not None:
            query.granule_name(f"*.{tile}.*")
        with self._errors():
            found = query.get(_ALL)
        # earthaccess ends at a short page; the count that CMR states tells whether it may.
        if stated and stated[0].isdigit() and len(found) < int(stated[0]):
            raise malformed(self._url, f"{stated[0]} granules in field 'items'", str(len(found)))
        yield from found

    def _errors(self) -> AbstractContextManager[None]:
        # earthaccess warns of what its 1.0 will rename.
        return explaining(self._explained, FutureWarning)

    def _query(self, collection: str) -> Any:
        from earthaccess import DataGranules

        product = PRODUCTS[collection]
        query = DataGranules().mode(f"{self._url}/").short_name(product.short_name)
        patient(query.session, self.settings, self.name)
        return query if product.version is None else query.version(product.version)

    def _inspect(self, answer: requests.Response, stated: list[str]) -> None:
        """Check what earthaccess reads without looking, and note the count that CMR states."""
        stated.append(answer.headers.get("CMR-Hits", ""))
        if answer.status_code != 200:
            return
        page = read_json(answer.content, self._url)
        for number in range(len(field(page, "items", list, self._url))):
            links = f"items.{number}.umm.RelatedUrls"
            for i in range(len(field(page, links, list, self._url, default=[]))):
                field(page, f"{links}.{i}.URL", str, self._url)
                field(page, f"{links}.{i}.Type", str, self._url)

    def _explained(self, error: Exception) -> SkymendError:
        """Turn what earthaccess raises into one sentence."""
        import requests

        where = f"{self.name}: {self._url}"
        answer = getattr(error.__cause__, "response", None)
        if answer is not None:
            return status_error(where, answer.status_code, answer.text)
        if isinstance(error, (requests.RequestException, ValueError)):
            return connection_error(where, error)
        if isinstance(error, KeyError):
            return malformed(where, f"a field {error.args[0]!r}", "no such field")
        return AnswerError(
            where=where,
            expected="granules",
            found=" ".join(str(error).split())[:160],
            fix="check the area and the period",
        )


_ALL = 10**9


def _ring(outline: str) -> list[tuple[float, float]]:
    """Return the outer ring of a polygon counter-clockwise, as CMR wants it."""
    import shapely

    ring = shapely.geometry.polygon.orient(shapely.from_wkt(outline)).exterior
    return [(x, y) for x, y in ring.coords]


__all__ = ["CMR", "PRODUCTS", "Earthdata", "Product"]
