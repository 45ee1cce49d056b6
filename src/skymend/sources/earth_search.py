"""Earth Search of Element 84: Sentinel and Landsat COGs on AWS.

Endpoints: ``earth-search`` (landing page) and ``earth-search.s3`` (the S3 service behind
``s3://`` assets). Sentinel-1 GRD and Landsat lie in requester-pays buckets: their fetch needs AWS
keys (login of provider ``s3``) and costs its owner money; Sentinel-2 L2A and the DEM are open.

Sentinel-2 L2A stands there twice, as Collection 1 and as first processed; both are searched, and
the newer baseline of an acquisition wins where versions are compared. What the API says about the
reflectance offset has been wrong for some items; the processing baseline decides, as everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skymend.sources.aws import S3Signer
from skymend.sources.stac_api import Service, StacApi

if TYPE_CHECKING:
    import pystac

    from skymend.sources.transfer import Signer


_REGIONS = {"sentinel-s1-l1c": "eu-central-1", "sentinel-s2-l1c": "eu-central-1"}
_REGIONS |= {"sentinel-s2-l2a": "eu-central-1", "copernicus-dem-30m": "eu-central-1"}


class EarthSearch(StacApi):
    """The STAC API of Earth Search, version 1."""

    service = Service(
        name="earth-search",
        url="https://earth-search.aws.element84.com/v1",
        collections={
            "sentinel-2-l2a": ("sentinel-2-c1-l2a", "sentinel-2-l2a"),
            "sentinel-2-l1c": ("sentinel-2-l1c",),
            "sentinel-1-grd": ("sentinel-1-grd",),
            "landsat-c2-l2": ("landsat-c2-l2",),
            "cop-dem-glo-30": ("cop-dem-glo-30",),
        },
        query=True,
    )

    def signer(self, item: pystac.Item) -> Signer:
        """Sign ``s3://`` assets; plain addresses pass as they are."""
        return S3Signer(self.settings, self.name, requester_pays=True, regions=_REGIONS, login="s3")
