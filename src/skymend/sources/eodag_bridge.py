"""eodag: a bridge to the providers that skymend does not speak to itself.

Collections are ``<provider>/<collection>`` in eodag's words: ``cop_dataspace/S2_MSI_L2A``.
Endpoints: ``eodag.<provider>`` (its search), ``eodag.<provider>.<plugin>.<option>`` (any other
address of its configuration, such as ``eodag.cop_dataspace.auth.oidc_config_url``) and
``eodag.config`` (``file://`` and the path of a YAML file with providers to add or change). A login
is found under ``eodag`` (``username`` and ``password``, ``apikey``, or ``access_key`` and
``secret_key``), or in eodag's own variables (``EODAG__<PROVIDER>__...``).

Files with an HTTP address come through skymend's transfer, and eodag orders those that are offline
where it knows how; the rest (S3 of some providers) comes through eodag's own, and only its size is
known then.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from skymend.core.errors import (
    ConfigError,
    ProductError,
    SkymendError,
)
from skymend.core.files import store_errors
from skymend.sources import naming
from skymend.sources.answers import malformed
from skymend.sources.eodag_errors import explained
from skymend.sources.fetching import Door, fetch_assets, ledger_of, unpacked
from skymend.sources.json_client import take_turn
from skymend.sources.outlines import places, touching
from skymend.sources.protocol import Filters, Finding, Period, Settings, timestamp
from skymend.sources.sessions import explaining, need

if TYPE_CHECKING:
    import pystac

    from skymend.sources.area import Area
    from skymend.sources.transfer import Progress, Receipt, Remote

_DEPTH = 4
_ORDER_MIN = 0.02
"""Minutes that an order waits for its product; a later run asks again."""

_LOGIN = {
    "username": "username",
    "password": "password",
    "apikey": "apikey",
    "access_key": "aws_access_key_id",
    "secret_key": "aws_secret_access_key",
}
"""Names of eodag's credentials by skymend's."""

KEPT = "eodag:product"
"""Field of an item that holds the product as eodag wrote it, so that it can be fetched later."""


class EodagBridge:
    """Any provider of eodag."""

    name = "eodag"

    def __init__(self, settings: Settings) -> None:
        need(self.name, "eodag")
        self.settings = settings
        self._gateways: dict[str, Any] = {}

    def collections(self) -> tuple[str, ...]:
        """Name what eodag lists: ``<provider>/<collection>``."""
        with self._errors(self.name):
            gateway = self._gateway("")
            return tuple(
                sorted(
                    f"{provider}/{collection._id}"
                    for provider in gateway.available_providers()
                    for collection in gateway.list_collections(provider, fetch_providers=False)
                )
            )

    def search(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """Find products (see :class:`skymend.sources.protocol.Source`).

        Raises
        ------
        ConfigError
            if the collection is not ``<provider>/<collection>``, or eodag does not know it.
        AnswerError
            if the provider hands out fewer products than it counts.
        """
        provider, theirs = self._split(collection)
        asked: dict[str, Any] = {"provider": provider, "collection": theirs}
        if period is not None:
            asked["start"], asked["end"] = map(timestamp, period)
        found = (
            self._item(product, collection)
            for place in places(area)
            for product in self._products(provider, {**asked, "geom": place})
        )
        return naming.collect(touching(found, area), filters)

    def fetch(
        self,
        item: pystac.Item,
        assets: Sequence[str],
        destination: Path,
        progress: Progress | None = None,
    ) -> tuple[Receipt, ...]:
        """Fetch a product, or the assets asked for."""
        provider, _ = self._split(str(item.collection_id))
        with self._errors(provider):
            product = self._product(item, provider)
            keys = list(assets) or ([naming.PRODUCT] if naming.PRODUCT in item.assets else [])
            hrefs = [a.href for k, a in item.assets.items() if not keys or k in keys]
            if hrefs and all(urlsplit(h).scheme in {"http", "https"} for h in hrefs):
                signer = EodagSigner(product)
                door = Door(self.name, self.settings, signer, None, progress, EodagOrders(product))
                return fetch_assets(item, keys, destination, door)
            return (_by_eodag(product, assets, destination),)

    def check(self) -> tuple[Finding, ...]:
        """Say which version there is, how many providers, and which lack a login."""
        try:
            with self._errors(self.name):
                gateway = self._gateway("")
                count = len(gateway.available_providers())
                version = gateway.get_version()
        except SkymendError as error:
            return (Finding(self.name, False, str(error)),)
        sentence = f"eodag {version} offers {count} providers; those without login are left out"
        return (Finding(self.name, True, sentence),)

    def _split(self, collection: str) -> tuple[str, str]:
        provider, slash, theirs = collection.partition("/")
        if provider and slash and theirs:
            return provider, theirs
        raise ConfigError(
            where=f"collection of {self.name}",
            expected="<provider>/<collection> in eodag's words",
            found=repr(collection),
            fix="write it like cop_dataspace/S2_MSI_L2A; `eodag list` shows what there is",
        )

    def _gateway(self, provider: str) -> Any:
        """Return eodag for one provider, or for all; it reads no configuration of the user."""
        if provider in self._gateways:
            return self._gateways[provider]
        from eodag import EODataAccessGateway
        from eodag.config import EODAGSettings

        folder = self.settings.cache / "eodag"
        folder.mkdir(parents=True, exist_ok=True)
        # Nothing is asked over the network to start: the list of collections comes with eodag.
        extra = self._own_config()
        known = [] if provider in extra else [provider]
        gateway = EODataAccessGateway(
            settings=EODAGSettings(
                cfg_dir=folder,
                ext_collections_cfg_uri=_shipped_collections(),
                providers_whitelist=known if provider else [],
            )
        )
        gateway.update_providers_config(dict_conf=_merged(extra, self._overrides(provider)))
        if provider and provider not in gateway.available_providers():
            raise ConfigError(
                where=f"provider of {self.name}",
                expected="one that eodag offers with the login given",
                found=repr(provider),
                fix="check the name with `eodag list`, and its login",
            )
        self._gateways[provider] = gateway
        return gateway

    def _own_config(self) -> dict[str, Any]:
        address = self.settings.endpoints.get("eodag.config")
        if address is None:
            return {}
        import yaml

        path = Path(url2pathname(urlsplit(address).path))
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise _no_config(path, type(error).__name__) from None
        if not isinstance(document, dict):
            raise _no_config(path, type(document).__name__)
        return document

    def _overrides(self, provider: str) -> dict[str, Any]:
        own: dict[str, Any] = {}
        for name, address in self.settings.endpoints.items():
            parts = name.split(".")
            if parts == ["eodag", provider]:
                own.setdefault("search", {})["api_endpoint"] = address
            elif parts[:2] == ["eodag", provider] and len(parts) == _DEPTH:
                own.setdefault(parts[2], {})[parts[3]] = address
        login = self.settings.credentials.seek(self.name, tuple(_LOGIN))
        if provider and login:
            own.setdefault("auth", {})["credentials"] = {_LOGIN[k]: v for k, v in login.items()}
        return {provider: own} if own else {}

    def _products(self, provider: str, asked: dict[str, Any]) -> Iterator[Any]:
        ledger = ledger_of(self.settings, self.name)
        with self._errors(provider):
            take_turn(ledger, self.name)
            gateway = self._gateway(provider)
            page = gateway.search(
                limit=None, raise_errors=True, validate=False, count=True, **asked
            )
            page.raise_errors = True
            stated, count = page.number_matched, len(page)
            yield from page
            for more in page.next_page(update=False):
                take_turn(ledger, self.name)
                count += len(more)
                yield from more
        # eodag ends at a short page; where the provider counts, the count tells whether it may.
        if isinstance(stated, int) and count < stated:
            raise malformed(f"{self.name}: {provider}", f"{stated} products", f"{count}")

    def _item(self, product: Any, collection: str) -> pystac.Item:
        provider = str(product.provider)
        where = f"{self.name}: {provider}"
        with self._errors(provider):
            document = product.as_dict()
        link = product.remote_location
        tier = {} if _online(product) else {"storage:tier": "offline"}
        stated = document["assets"].items()
        assets = {k: {**a, **tier} for k, a in stated if isinstance(a, dict)}
        is_link = isinstance(link, str) and urlsplit(link).scheme in {"http", "https", "s3"}
        if is_link and not assets:
            name = _file_name(product)
            asset = {"href": link, "roles": ["data"], "file:local_path": name, **tier}
            assets[naming.PRODUCT] = asset
        properties = {k: v for k, v in document["properties"].items() if _plain(v)}
        feature = {**document, "properties": properties, "assets": assets}
        item = naming.harmonise(feature, collection, self.name, where=where)
        item.extra_fields[KEPT] = document
        return item

    def _product(self, item: pystac.Item, provider: str) -> Any:
        from eodag import EOProduct

        kept = item.extra_fields.get(KEPT)
        if not isinstance(kept, dict):
            raise ConfigError(
                where=f"item {item.id}",
                expected=f"the field {KEPT!r} of a search through eodag",
                found="none",
                fix="search again",
            )
        product = EOProduct.from_dict(kept, dag=self._gateway(provider))
        if not product.remote_location and item.assets:
            # Of products that are assets alone eodag would download nothing.
            product.location = product.remote_location = next(iter(item.assets.values())).href
        return product

    def _errors(self, provider: str) -> AbstractContextManager[None]:
        # eodag warns of deprecations of its own.
        return explaining(lambda error: explained(error, f"{self.name}: {provider}"))


class EodagSigner:
    """Signs as eodag's plugin for the provider does: headers, or parts of the address."""

    def __init__(self, product: Any) -> None:
        self._product = product
        self._auth: Any = None

    def headers(self, remote: Remote, *, refresh: bool) -> Mapping[str, str]:
        """Return the headers that the plugin adds."""
        prepared = self._prepared(remote.url, refresh=refresh)
        return {k: v for k, v in prepared.headers.items() if k not in {"Content-Length", "Host"}}

    def url(self, remote: Remote, *, refresh: bool) -> str:
        """Return the address with what the plugin adds."""
        return str(self._prepared(remote.url, refresh=False).url)

    def _prepared(self, url: str, *, refresh: bool) -> Any:
        import requests

        plugin = self._product.downloader_auth
        if plugin is not None and (refresh or self._auth is None):
            self._auth = plugin.authenticate()
        auth = self._auth if callable(self._auth) or isinstance(self._auth, tuple) else None
        return requests.Request("GET", url, auth=auth).prepare()


class EodagOrders:
    """Orders what a provider keeps offline as eodag's plugin for it does, once."""

    def __init__(self, product: Any) -> None:
        self._product = product

    def order(self, remote: Remote) -> str | None:
        """Order the product; None where eodag knows no call for it."""
        from eodag.utils.exceptions import NotAvailableError

        plugin, login = self._product.downloader, self._product.downloader_auth
        link = self._product.properties.get("eodag:order_link")
        if not isinstance(link, str) or not hasattr(plugin, "order"):
            return None
        with suppress(NotAvailableError):  # ordered, and not there yet
            auth = None if login is None else login.authenticate()
            plugin.order(self._product, auth=auth, wait=_ORDER_MIN, timeout=_ORDER_MIN)
        return "in some hours, when the provider has brought it back"


def _by_eodag(product: Any, assets: Sequence[str], destination: Path) -> Receipt:
    """Let eodag download by itself; archives are unpacked here, where members are checked."""
    from skymend.sources.transfer import Receipt

    began = time.monotonic()
    wanted = {"asset": "|".join(assets)} if assets else {}
    with store_errors(destination):
        destination.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".eodag-", dir=destination))
    try:
        path = Path(
            product.download(output_dir=str(work), extract=False, wait=0.1, timeout=1, **wanted)
        )
        files = [p for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file()]
        size = sum(p.stat().st_size for p in files)
        if size == 0:
            raise ProductError(
                where=path.name, expected="a product", found="no bytes", fix="fetch it again"
            )
        target = destination / path.name
        with store_errors(target):
            shutil.rmtree(target, ignore_errors=True)
            path.replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    receipt = Receipt(target, size, "size", 0, 0, time.monotonic() - began)
    return unpacked(receipt, destination)


def _file_name(product: Any) -> str:
    """Return the name that the file of a product will have."""
    title = str(product.properties.get("title") or product.properties["id"])
    if "." in title[-5:] and not title.endswith(".SAFE"):
        return title
    return f"{title.removesuffix('.SAFE')}.zip"


def _online(product: Any) -> bool:
    """Say whether a product can be had at once, or must be ordered."""
    return str(product.properties.get("order:status", "succeeded")) == "succeeded"


def _plain(value: Any) -> bool:
    """Say whether a property is stated; eodag writes what is not as words."""
    return value is not None and value not in ("Not Available", "Not Mapped")


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    result = dict(first)
    for name, value in second.items():
        known = result.get(name)
        both = isinstance(known, dict) and isinstance(value, dict)
        result[name] = _merged(known, value) if both and known is not None else value
    return result


def _shipped_collections() -> str:
    from importlib.resources import files

    return str(files("eodag") / "resources" / "ext_collections.json")


def _no_config(path: Path, found: str) -> ConfigError:
    return ConfigError(
        where=path,
        expected="a YAML file of eodag providers",
        found=found,
        fix="correct it, or take the endpoint 'eodag.config' away",
    )
