"""What the Copernicus Data Space Ecosystem serves, where, and within which limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from skymend.sources.transfer.limits import Limits

PROVIDER = "cdse"

ENDPOINTS: Mapping[str, str] = MappingProxyType(
    {
        "cdse.stac": "https://stac.dataspace.copernicus.eu/v1",
        "cdse.odata": "https://catalogue.dataspace.copernicus.eu/odata/v1",
        "cdse.download": "https://download.dataspace.copernicus.eu/odata/v1",
        "cdse.token": (
            "https://identity.dataspace.copernicus.eu"
            "/auth/realms/CDSE/protocol/openid-connect/token"
        ),
        "cdse.s3": "https://eodata.dataspace.copernicus.eu",
    }
)
"""Services by the name under which ``Settings.endpoints`` may replace them."""

CLIENT_ID = "cdse-public"
S3_REGION = "default"
BUCKET = "eodata"

CONNECTIONS = 4
REQUESTS_PER_MINUTE = 2000
BYTES_IN_30_DAYS = 12 * 10**12
"""Quotas of a general user (documentation of the Copernicus Data Space, "Quotas")."""

LIMITS = Limits(CONNECTIONS, REQUESTS_PER_MINUTE, BYTES_IN_30_DAYS)

REDIRECT_HOSTS = (
    "download.dataspace.copernicus.eu",
    "zipper.dataspace.copernicus.eu",
    "catalogue.dataspace.copernicus.eu",
)
"""Hosts of the same service that a download may be sent on to, with the token."""


@dataclass(frozen=True, slots=True)
class Collection:
    """How the two catalogues name a collection.

    Parameters
    ----------
    odata : value of ``Collection/Name``.
    product_types : values of the attribute ``productType``; a product has one of them.
    stac : name in the STAC catalogue; None where only OData has it.
    """

    odata: str
    product_types: tuple[str, ...]
    stac: str | None = None


COLLECTIONS: Mapping[str, Collection] = MappingProxyType(
    {
        "sentinel-2-l2a": Collection("SENTINEL-2", ("S2MSI2A",), "sentinel-2-l2a"),
        "sentinel-2-l1c": Collection("SENTINEL-2", ("S2MSI1C",), "sentinel-2-l1c"),
        "sentinel-1-grd": Collection(
            "SENTINEL-1", ("IW_GRDH_1S", "IW_GRDH_1S-COG"), "sentinel-1-grd"
        ),
        "sentinel-1-slc": Collection("SENTINEL-1", ("IW_SLC__1S",), "sentinel-1-slc"),
        "aux-poeorb": Collection("SENTINEL-1", ("AUX_POEORB",)),
        "aux-resorb": Collection("SENTINEL-1", ("AUX_RESORB",)),
    }
)
"""Collections by skymend's name."""
