"""Microsoft's Planetary Computer: STAC, and signatures for its storage that last minutes.

Endpoints: ``planetary-computer`` (landing page), ``planetary-computer.sas`` (signatures) and
``planetary-computer.blob`` (a host beside ``*.blob.core.windows.net`` whose files are signed).
A ``subscription_key`` is optional; with it signatures last longer and quotas are higher.
Sentinel-2 values are as ESA made them, without harmonised offset.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from skymend.sources import answers
from skymend.sources.fetching import ledger_of
from skymend.sources.json_client import JsonClient
from skymend.sources.protocol import Finding, Settings
from skymend.sources.stac_api import Service, StacApi

if TYPE_CHECKING:
    import pystac

    from skymend.sources.transfer import Remote, Signer

SAS = "https://planetarycomputer.microsoft.com/api/sas/v1"
MARGIN_S = 60.0
"""A signature is renewed this long before it ends."""

_BLOBS = ".blob.core.windows.net"


class PlanetaryComputer(StacApi):
    """The STAC API of the Planetary Computer."""

    service = Service(
        name="planetary-computer",
        url="https://planetarycomputer.microsoft.com/api/stac/v1",
        collections={
            "sentinel-2-l2a": ("sentinel-2-l2a",),
            "sentinel-1-grd": ("sentinel-1-grd",),
            "sentinel-1-rtc": ("sentinel-1-rtc",),
            "landsat-c2-l1": ("landsat-c2-l1",),
            "landsat-c2-l2": ("landsat-c2-l2",),
            "mod11a1": ("modis-11A1-061",),
            "cop-dem-glo-30": ("cop-dem-glo-30",),
        },
        query=True,
    )

    def signer(self, item: pystac.Item) -> Signer:
        """Return what signs the files of the item's collection."""
        return SasSigner(self.settings, self.theirs(item.collection_id or "")[0])

    def check(self) -> tuple[Finding, ...]:
        """Open the landing page; say whether a subscription key is used."""
        key = self.settings.credentials.origin(self.name, "subscription_key")
        sentence = f"subscription key from {key}" if key else "no subscription key: public quotas"
        return (*super().check(), Finding(self.name, True, sentence))


class SasSigner:
    """Adds the signature of a collection to addresses of its storage, renewed before it ends.

    Parameters
    ----------
    settings : endpoints, login and patience.
    collection : the provider's name of it.
    """

    def __init__(self, settings: Settings, collection: str) -> None:
        self._url = f"{settings.endpoint('planetary-computer.sas', SAS)}/token/{collection}"
        key = settings.credentials.seek("planetary-computer", ["subscription_key"])
        headers = {"Ocp-Apim-Subscription-Key": key["subscription_key"]} if key else {}
        ledger = ledger_of(settings, "planetary-computer")
        self._client = JsonClient("planetary-computer", settings.timeout_s, headers, ledger=ledger)
        self._own = urlsplit(settings.endpoint("planetary-computer.blob", "")).netloc
        self._lock = threading.Lock()
        self._given = threading.local()
        self._token = ""
        self._until = 0.0

    def headers(self, remote: Remote, *, refresh: bool) -> Mapping[str, str]:
        """Return nothing: the signature stands in the address."""
        return {}

    def url(self, remote: Remote, *, refresh: bool) -> str:
        """Return the signed address; files elsewhere get no signature."""
        host = urlsplit(remote.url).netloc
        if not (host.endswith(_BLOBS) or (self._own and host == self._own)):
            return remote.url
        joint = "&" if "?" in remote.url else "?"
        return f"{remote.url}{joint}{self._signature(renew=refresh)}"

    def _signature(self, *, renew: bool) -> str:
        """Return a good signature; one refused to several threads is renewed once for all."""
        refused = getattr(self._given, "token", self._token)
        with self._lock:
            old = time.time() > self._until - MARGIN_S
            if old or (renew and refused == self._token):
                answer = self._client.get(self._url)
                self._token = answers.field(answer, "token", str, self._url)
                self._until = answers.time_of(answer, "msft:expiry", self._url).timestamp()
            self._given.token = self._token
            return self._token
