"""Providers by name; a provider's module is imported when it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from skymend.core.errors import ConfigError, ToolMissingError
from skymend.core.lazy import look_up
from skymend.sources.protocol import Settings, Source

PROVIDERS: Mapping[str, str] = {
    "cdse": "skymend.sources.cdse:Cdse",
    "cdse-odata": "skymend.sources.cdse:CdseOData",
    "cdse-s3": "skymend.sources.cdse:CdseS3",
    "sentinel-hub": "skymend.sources.sentinel_hub:SentinelHub",
    "earthdata": "skymend.sources.earthdata:Earthdata",
    "pymodis": "skymend.sources.pymodis:Pymodis",
    "landsat-m2m": "skymend.sources.landsat_m2m:LandsatM2M",
    "usgs-landsat": "skymend.sources.usgs_landsat:UsgsLandsat",
    "planetary-computer": "skymend.sources.planetary_computer:PlanetaryComputer",
    "sara": "skymend.sources.sara:Sara",
    "geodes": "skymend.sources.geodes:Geodes",
    "asf": "skymend.sources.asf:Asf",
    "earth-search": "skymend.sources.earth_search:EarthSearch",
    "earth-engine": "skymend.sources.earth_engine:EarthEngine",
    "cop-dem-30": "skymend.sources.cop_dem:CopDem",
    "srtm": "skymend.sources.srtm:Srtm",
    "stac-api": "skymend.sources.stac_api:StacApi",
    "s3": "skymend.sources.s3_bucket:S3Bucket",
    "folder": "skymend.sources.folder_source:FolderSource",
    "eodag": "skymend.sources.eodag_bridge:EodagBridge",
}
"""``module:Class`` by provider; the class takes the settings."""


SERVICES: Mapping[str, tuple[str, ...]] = {
    "cdse": ("stac", "odata", "download", "token", "s3"),
    "asf": ("", "orbits", "login", "s3"),
    "asf-orbits": ("s3",),
    "earthdata": ("cmr", "login"),
}
"""Services of providers that have several, by the head of the names of their endpoints."""


def check_endpoints(endpoints: Mapping[str, str]) -> None:
    """Refuse a name that no provider listens to: a slip would reach the real service.

    Raises
    ------
    ConfigError
        naming the endpoint.
    """
    for name in endpoints:
        head, _, service = name.partition(".")
        known = SERVICES.get(head)
        if (head in PROVIDERS or known) and (known is None or service in known):
            continue
        names = [f"{head}.{s}".rstrip(".") for s in known or ()]
        raise ConfigError(
            where=f"endpoint {name}",
            expected=f"one of {', '.join(names)}" if names else "a provider's name before the dot",
            found="a name that no provider listens to",
            fix="see docs/sources.md for the names",
        )


def open_source(provider: str, settings: Settings) -> Source:
    """Return the source of a provider.

    Raises
    ------
    ConfigError
        if there is no provider of that name, or an endpoint that nobody listens to.
    ToolMissingError
        if the package of its client is not installed.
    """
    try:
        make = look_up(PROVIDERS, provider, where="provider", fix="choose a provider of the list")
    except ModuleNotFoundError as error:
        raise ToolMissingError(
            where=f"provider {provider}",
            expected="the Python package of its client",
            found=f"no module {error.name}",
            fix=f"install it, for example: pip install {error.name}",
        ) from error
    check_endpoints(settings.endpoints)
    return cast("Source", make(settings))
