"""The one question every provider answers: search gives STAC items, fetch gives verified files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

from skymend.core.errors import ConfigError, ProductError, SkymendError
from skymend.core.files import machine_cache
from skymend.sources.credentials import Credentials

if TYPE_CHECKING:
    import pystac

    from skymend.sources.area import Area
    from skymend.sources.transfer import Digest, Progress, Receipt

Period = tuple[datetime, datetime]
"""First and last moment of an interval, both with a time zone."""

_DIRECTIONS = ("ascending", "descending")


@dataclass(frozen=True, slots=True)
class Filters:
    """What a search asks beyond area and period; None and () ask for nothing.

    Parameters
    ----------
    cloud_cover_max : largest cloud share of the whole product, percent, as the provider states it.
    tile : MGRS tile without the leading T, such as ``31UFQ``.
    relative_orbit : number of the repeat orbit, 1..143 for Sentinel-2, 1..175 for Sentinel-1.
    orbit_direction : ``ascending`` or ``descending``.
    polarisations : channels that must all be there, such as ``("VV", "VH")``.
    platform : such as ``sentinel-2a``.
    product_id : the provider's name of one product, with or without ``.SAFE``.
    baseline : processing baseline, such as ``05.10``.
    limit : most items to return; a search never returns a silent part otherwise.
    """

    cloud_cover_max: float | None = None
    tile: str | None = None
    relative_orbit: int | None = None
    orbit_direction: Literal["ascending", "descending"] | None = None
    polarisations: tuple[str, ...] = ()
    platform: str | None = None
    product_id: str | None = None
    baseline: str | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.orbit_direction not in (None, *_DIRECTIONS):
            raise _refused("orbit_direction", " or ".join(_DIRECTIONS), self.orbit_direction)
        share = self.cloud_cover_max
        if share is not None and not 0 <= share <= 100:
            raise _refused("cloud_cover_max", "a share of 0..100 percent", share)
        if self.limit is not None and self.limit < 1:
            raise _refused("limit", "at least one item", self.limit)


@dataclass(frozen=True, slots=True)
class Settings:
    """How to reach providers on this machine.

    Parameters
    ----------
    endpoints : URLs that replace a provider's own, by the name that its module documents
        (``cdse.stac``, ``cdse.token``, ...): mirrors and test servers.
    credentials : where logins are looked up.
    cache : folder shared by all processes of the machine: tokens, ledger, quarantine.
    timeout_s : longest silence of a server, seconds.
    connections : most connections at once to one provider; its own cap may be lower.
    """

    endpoints: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    credentials: Credentials = field(default_factory=Credentials)
    cache: Path = field(default_factory=machine_cache)
    timeout_s: float = 60.0
    connections: int = 4

    def endpoint(self, name: str, default: str) -> str:
        """Return the URL of a service without a slash at its end."""
        return self.endpoints.get(name, default).rstrip("/")


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence of ``skymend doctor`` about a provider; ``ok`` tells good news from bad."""

    provider: str
    ok: bool
    sentence: str


def findings(provider: str, news: Iterable[str]) -> tuple[Finding, ...]:
    """Collect good news of a provider; the first trouble ends them with its own sentence."""
    return tuple(_findings(provider, news))


def _findings(provider: str, news: Iterable[str]) -> Iterator[Finding]:
    try:
        for sentence in news:
            yield Finding(provider, True, sentence)
    except SkymendError as error:
        yield Finding(provider, False, str(error))


def endpoints_of(pairs: Sequence[str]) -> dict[str, str]:
    """Read ``NAME=URL`` pairs; a folder that is there serves as a URL, too.

    Raises
    ------
    ConfigError
        if one is no such pair.
    """
    endpoints = {}
    for pair in pairs:
        name, equals, url = pair.partition("=")
        if not (name and equals and ("://" in url or (url and Path(url).is_dir()))):
            raise ConfigError(
                where=f"--endpoint {pair}",
                expected="NAME=URL, such as cdse.stac=http://127.0.0.1:8080/v1, or NAME=FOLDER",
                found="another form",
                fix="write it so",
            )
        endpoints[name] = url
    return endpoints


class Source(Protocol):
    """A provider of products. One is made per process; it holds no open connection."""

    name: str

    def collections(self) -> tuple[str, ...]:
        """Name the collections it serves, in skymend's words (``sentinel-2-l2a``, ...)."""
        ...

    def search(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """Find the items that touch an area in a period, complete and in order of time.

        Raises
        ------
        ConfigError
            if the provider has no such collection or cannot apply a filter.
        AnswerError
            if the provider's answer lacks a field or carries a wrong one.
        RetryableError
            if the provider cannot be reached or asks to come back later.
        """
        ...

    def fetch(
        self,
        item: pystac.Item,
        assets: Sequence[str],
        destination: Path,
        progress: Progress | None = None,
    ) -> tuple[Receipt, ...]:
        """Bring assets of an item into a folder, verified; ``()`` asks for the whole product.

        Products that are folders keep their structure below ``destination``.

        Raises
        ------
        AccessError
            if there is no login, or it is refused.
        ProductError
            if what arrived twice fails its digest.
        RetryableError
            if the provider cannot be reached or asks to come back later.
        SkipJob
            if the product is offline and the provider has no way to order it.
        """
        ...

    def check(self) -> tuple[Finding, ...]:
        """Say what is configured and what is wrong, without printing a secret."""
        ...


def digests_of(asset: pystac.Asset) -> tuple[Digest, ...]:
    """Return the digests of an asset: ``file:checksum`` (multihash, STAC file extension).

    More of them may stand in ``skymend:checksums``. One that contradicts itself counts as none:
    the Copernicus Data Space labels some SHA3-256 as MD5 of 32 bytes.
    """
    from skymend.sources.transfer import Digest

    stated = [asset.extra_fields.get("file:checksum")]
    stated += asset.extra_fields.get("skymend:checksums") or []
    digests = []
    for text in dict.fromkeys(str(t) for t in stated if t):
        with suppress(ProductError):
            digests.append(Digest.from_multihash(text))
    return tuple(digests)


def size_of(asset: pystac.Asset) -> int | None:
    """Return the size of an asset in bytes (``file:size``), None where it is not stated."""
    size = asset.extra_fields.get("file:size")
    return size if isinstance(size, int) and size >= 0 else None


def interval(period: Period) -> str:
    """Write a period as RFC 3339 interval in UTC, milliseconds, as STAC and CMR read it."""
    return "/".join(timestamp(moment) for moment in period)


def timestamp(moment: datetime) -> str:
    """Write a moment as ``2020-08-08T01:03:11.024Z``; one without a zone is taken as UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.strftime("%Y-%m-%dT%H:%M:%S.") + f"{aware.microsecond // 1000:03d}Z"


def require_collection(name: str, collection: str, known: Sequence[str]) -> str:
    """Return the collection, or refuse one that the provider does not serve."""
    if collection not in known:
        raise ConfigError(
            where=f"collection of {name}",
            expected=f"one of {', '.join(known)}",
            found=repr(collection),
            fix="choose a collection of this provider, or another provider",
        )
    return collection


def _refused(name: str, expected: str, found: Any) -> ConfigError:
    return ConfigError(
        where=f"search filter {name}",
        expected=expected,
        found=repr(found),
        fix="correct the filter",
    )
