"""Any STAC API: searched through pystac-client, its assets fetched by the transfer engine.

Endpoints: ``stac-api`` (the landing page of the API; it has no default) and ``stac-api.s3`` (the S3
service behind ``s3://`` assets, where it is not that of AWS).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from skymend.core.errors import AccessError, AnswerError, ConfigError, RetryableError, SkymendError
from skymend.sources import answers, cop_dem, naming
from skymend.sources.aws import S3Signer
from skymend.sources.fetching import Door, fetch_assets
from skymend.sources.protocol import (
    Filters,
    Finding,
    Period,
    Settings,
    interval,
    require_collection,
)
from skymend.sources.sessions import patient

if TYPE_CHECKING:
    import pystac

    from skymend.sources.area import Area
    from skymend.sources.transfer import Limits, Progress, Receipt, Signer

_RETRIED = (429, 500, 502, 503, 504)
_CAUSE = re.compile(r"Caused by (\w+)\(")


@dataclass(frozen=True, slots=True)
class Service:
    """What one STAC API is like.

    Parameters
    ----------
    name : the provider.
    url : its landing page; empty where the user must give it.
    collections : skymend's name of each collection -> the provider's collections that hold it;
        empty takes any name as it is.
    page : items asked for at once.
    query : whether it knows the query extension, so that clouds are filtered at the server.
    """

    name: str
    url: str = ""
    collections: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    page: int = 100
    query: bool = False


class StacApi:
    """A provider that speaks STAC API."""

    service = Service("stac-api")
    limits: Limits | None = None

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.name = self.service.name

    def collections(self) -> tuple[str, ...]:
        """Name the collections: those of the table, else all that the API lists."""
        if self.service.collections:
            return tuple(self.service.collections)
        with self._errors():
            return tuple(sorted(c.id for c in self._client().get_collections()))

    def search(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """Find items (see :class:`skymend.sources.protocol.Source`)."""
        theirs = list(self.theirs(collection))
        asked: dict[str, Any] = {"collections": theirs, "limit": self.service.page}
        if area is not None:
            asked["intersects"] = area.geojson()
        if period is not None:
            asked["datetime"] = interval(period)
        if self.service.query and filters.cloud_cover_max is not None:
            asked["query"] = {"eo:cloud_cover": {"lte": filters.cloud_cover_max}}
        with self._errors():
            return naming.collect(self._items(collection, asked), filters)

    def fetch(
        self,
        item: pystac.Item,
        assets: Sequence[str],
        destination: Path,
        progress: Progress | None = None,
    ) -> tuple[Receipt, ...]:
        """Fetch assets into ``destination/<item>``, beside a copy of the item that names them."""
        return fetch_assets(item, assets, destination, self._door(item, progress))

    def check(self) -> tuple[Finding, ...]:
        """Open the landing page and say what is there."""
        try:
            with self._errors():
                title = self._client().title or "a STAC API"
        except SkymendError as error:
            return (Finding(self.name, False, str(error)),)
        return (Finding(self.name, True, f"{self._url()} answers: {title}"),)

    def document(self, feature: dict[str, Any], collection: str) -> pystac.Item:
        """Return a feature of the API as item in skymend's words."""
        item = naming.harmonise(feature, collection, self.name, where=self._where())
        if collection == cop_dem.COLLECTION:
            item.properties |= cop_dem.NOTICES
        return item

    def signer(self, item: pystac.Item) -> Signer:
        """Return what signs requests for assets: ``s3://`` ones with the keys of ``s3``."""
        return S3Signer(self.settings, self.name, region=None, login="s3")

    def headers(self) -> dict[str, str]:
        """Return the headers of search requests."""
        return {}

    def _door(self, item: pystac.Item, progress: Progress | None) -> Door:
        return Door(self.name, self.settings, self.signer(item), self.limits, progress)

    def theirs(self, collection: str) -> tuple[str, ...]:
        """Return the provider's names of a collection."""
        table = self.service.collections
        if not table:
            return (collection,)
        return table[require_collection(self.name, collection, tuple(table))]

    def _items(self, collection: str, asked: dict[str, Any]) -> Iterator[pystac.Item]:
        seen: set[str] = set()
        for page in self._client().search(method="POST", **asked).pages_as_dicts():
            items = [self.document(f, collection) for f in self._features(page)]
            fresh = [i for i in items if i.id not in seen]
            if not fresh:
                raise answers.malformed(
                    self._where(), "new items in field 'features' of the next page", "the same"
                )
            seen |= {i.id for i in fresh}
            yield from fresh

    def _features(self, page: dict[str, Any]) -> Iterator[dict[str, Any]]:
        count = len(answers.field(page, "features", list, self._where()))
        for i in range(count):
            yield answers.field(page, f"features.{i}", dict, self._where())

    def _client(self) -> Any:
        from pystac_client import Client
        from pystac_client.stac_api_io import StacApiIO

        io = StacApiIO(headers=self.headers())
        # Client.open forgets the timeout and the modifier of an io; the session keeps its own.
        patient(io.session, self.settings, self.name, self._limits_of_search())
        io.read_json = self._strict(io.read_json)
        return Client.open(self._url(), stac_io=io)

    def _limits_of_search(self) -> Limits | None:
        """Return the limits without connections: a search need not wait for long downloads."""
        return None if self.limits is None else replace(self.limits, connections=None)

    def _strict(self, read: Callable[..., Any]) -> Callable[..., Any]:
        """Refuse what pystac-client would take for an empty last page."""

        def read_strictly(source: Any, *arguments: Any, **options: Any) -> Any:
            try:
                document = read(source, *arguments, **options)
            except ValueError:
                raise answers.malformed(self._where(), "a JSON object", "something else") from None
            if not isinstance(document, dict):
                raise answers.malformed(self._where(), "a JSON object", repr(document)[:60])
            address = str(getattr(source, "href", source)).split("?", maxsplit=1)[0]
            if address.endswith("/search"):
                answers.field(document, "features", list, self._where())
            landing = address.rstrip("/") == self._url()
            if landing:
                _check_landing(document, self._where())
            _check_links(document, self._where(), followed=None if landing else "next")
            return document

        return read_strictly

    def _url(self) -> str:
        url = self.settings.endpoint(self.name, self.service.url)
        if not url:
            raise ConfigError(
                where=f"endpoint {self.name!r}",
                expected="the landing page of the STAC API",
                found="no address",
                fix=f"set the endpoint {self.name!r} of the source to its URL",
            )
        return url

    def _where(self) -> str:
        return f"{self.name}: {self._url()}"

    def _errors(self) -> _Errors:
        return _Errors(self.name, self._url())


def _check_landing(document: dict[str, Any], where: str) -> None:
    """Check what pystac reads of a landing page without looking."""
    for name in ("stac_version", "id"):
        answers.field(document, name, str, where)
    answers.field(document, "links", list, where)
    if answers.field(document, "type", str, where, default="Catalog") != "Catalog":
        raise answers.malformed(where, "'Catalog' in field 'type'", repr(document["type"])[:60])
    for name in ("conformsTo", "stac_extensions"):
        for number in range(len(answers.field(document, name, list, where, default=[]))):
            answers.field(document, f"{name}.{number}", str, where)
        if document.get(name, []) is None:
            del document[name]


def _check_links(document: dict[str, Any], where: str, followed: str | None) -> None:
    """Check the links of a page, which pystac-client reads without looking: all, or one kind."""
    for number in range(len(answers.field(document, "links", list, where, default=[]))):
        link = f"links.{number}"
        relation = answers.field(document, f"{link}.rel", str, where)
        if followed is not None and relation != followed:
            continue
        answers.field(document, f"{link}.href", str, where)
        answers.field(document, f"{link}.method", str, where, default="GET")
        for name in ("body", "headers"):
            answers.field(document, f"{link}.{name}", dict, where, default={})


class _Errors:
    """Turns the errors of pystac-client into skymend's."""

    def __init__(self, name: str, url: str) -> None:
        self._name = name
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from pystac.errors import STACError
        from pystac_client.exceptions import APIError
        from pystac_client.warnings import PystacClientWarning

        if isinstance(error, APIError) and isinstance(error.__context__, SkymendError):
            raise error.__context__
        if isinstance(error, APIError):
            raise self._of_api(error) from error
        if isinstance(error, PystacClientWarning):
            raise ConfigError(
                where=f"{self._name}: {self._url}",
                expected="a STAC API with item search",
                found=" ".join(str(error).split())[:160],
                fix="give the address of an API; a static catalogue is no API",
            ) from error
        if isinstance(error, (STACError, KeyError)):
            raise answers.malformed(
                f"{self._name}: {self._url}", "a STAC API", f"{type(error).__name__}: {error}"
            ) from error

    def _of_api(self, error: Any) -> SkymendError:
        status = getattr(error, "status_code", None)
        said = " ".join(str(error).split())[:160]
        where = f"{self._name}: {self._url}"
        if status in (401, 403):
            fix = "check the login of the provider; `skymend doctor` tells more"
            return AccessError(where=where, expected="access", found=said, fix=fix)
        if status is None:
            cause = _CAUSE.search(str(error))
            said = f"{cause.group(1) if cause else type(error).__name__} of the connection"
        if status is None or status in _RETRIED:
            return RetryableError(
                where=where, expected="an answer", found=said, fix="try again later"
            )
        fix = "check collection and filters; the service may also have changed"
        return AnswerError(where=where, expected="items", found=f"status {status}: {said}", fix=fix)
