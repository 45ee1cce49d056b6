"""Landsat Collection 2 in the requester-pays bucket ``usgs-landsat`` of USGS.

Endpoints: ``usgs-landsat`` (USGS's STAC API, open) and ``usgs-landsat.s3`` (the S3 service). The
files need AWS keys (``access_key``, ``secret_key``), whose account pays the transfer; each
carries its SHA-512 in the item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skymend.core.errors import SkymendError
from skymend.sources.aws import S3Signer
from skymend.sources.protocol import Finding
from skymend.sources.stac_api import Service, StacApi

if TYPE_CHECKING:
    import pystac

    from skymend.sources.transfer import Signer


class UsgsLandsat(StacApi):
    """USGS's STAC API with the files of its bucket."""

    service = Service(
        name="usgs-landsat",
        url="https://landsatlook.usgs.gov/stac-server",
        collections={
            "landsat-c2-l1": ("landsat-c2l1",),
            "landsat-c2-l2": ("landsat-c2l2-sr",),
            "landsat-c2-l2-st": ("landsat-c2l2-st",),
        },
        query=True,
    )

    def document(self, feature: dict[str, Any], collection: str) -> pystac.Item:
        """Return a feature as item whose assets lie in the bucket."""
        item = super().document(feature, collection)
        for asset in item.assets.values():
            alternate = asset.extra_fields.get("alternate")
            s3 = alternate.get("s3") if isinstance(alternate, dict) else None
            if isinstance(s3, dict) and str(s3.get("href", "")).startswith("s3://"):
                asset.href = str(s3["href"])
                asset.extra_fields.pop("alternate")
        return item

    def signer(self, item: pystac.Item) -> Signer:
        """Sign addresses in the name of who pays."""
        self.settings.credentials.find(self.name, ["access_key", "secret_key"])
        return S3Signer(self.settings, self.name, requester_pays=True)

    def check(self) -> tuple[Finding, ...]:
        """Open the landing page, and look for the keys of the account that pays."""
        try:
            self.settings.credentials.find(self.name, ["access_key", "secret_key"])
            keys = Finding(self.name, True, "there are AWS keys for the requester-pays bucket")
        except SkymendError as error:
            keys = Finding(self.name, False, str(error))
        return (*super().check(), keys)
