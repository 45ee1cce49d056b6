"""Collections of Earth Engine, and its images as items in skymend's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from skymend.sources import naming
from skymend.sources.answers import field as answer_field
from skymend.sources.answers import malformed

if TYPE_CHECKING:
    import pystac

PUBLIC = "projects/earthengine-public/assets"
SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
"""The grid of MODIS, which Earth Engine calls SR-ORG:6974 and EPSG does not know."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A collection.

    Parameters
    ----------
    id : Earth Engine's name.
    name : property that holds the product's name, '' for none.
    clouds : property that holds the cloud share in percent, '' for none.
    scales : scale and offset by band, where stored numbers need them; '' is for all others.
    """

    id: str
    name: str = ""
    clouds: str = ""
    scales: Mapping[str, tuple[float, float]] = field(default_factory=lambda: MappingProxyType({}))


_S2 = {"": (1e-4, 0.0)}
_CLASSES = {"SCL": (1.0, 0.0), "QA10": (1.0, 0.0), "QA20": (1.0, 0.0), "QA60": (1.0, 0.0)}
_LANDSAT = {f"SR_B{n}": (2.75e-5, -0.2) for n in range(1, 8)} | {"ST_B10": (0.00341802, 149.0)}
_LST = {"LST_Day_1km": (0.02, 0.0), "LST_Night_1km": (0.02, 0.0)}
_SURFACE = {f"sur_refl_b0{n}": (1e-4, 0.0) for n in range(1, 8)}

OFFERS: Mapping[str, Offer] = MappingProxyType(
    {
        "sentinel-2-l2a": Offer(
            "COPERNICUS/S2_SR_HARMONIZED",
            "PRODUCT_ID",
            "CLOUDY_PIXEL_PERCENTAGE",
            {**_S2, **_CLASSES},
        ),
        "sentinel-2-l1c": Offer(
            "COPERNICUS/S2_HARMONIZED", "PRODUCT_ID", "CLOUDY_PIXEL_PERCENTAGE", {**_S2, **_CLASSES}
        ),
        "sentinel-1-grd": Offer("COPERNICUS/S1_GRD_FLOAT"),
        "landsat-c2-l2": Offer(
            "LANDSAT/LC08/C02/T1_L2", "LANDSAT_PRODUCT_ID", "CLOUD_COVER", _LANDSAT
        ),
        "mod11a1": Offer("MODIS/061/MOD11A1", scales=_LST),
        "myd11a1": Offer("MODIS/061/MYD11A1", scales=_LST),
        "mod21a1d": Offer("MODIS/061/MOD21A1D", scales={"LST_1KM": (0.02, 0.0)}),
        "mod09gq": Offer("MODIS/061/MOD09GQ", scales=_SURFACE),
        "mod09ga": Offer("MODIS/061/MOD09GA", scales=_SURFACE),
    }
)
"""Collections by skymend's name. Sentinel-2 is harmonised: its numbers start at 0 throughout."""

_TYPES = {
    (False, 255): "uint8",
    (False, 65535): "uint16",
    (True, 32767): "int16",
    (False, 4294967295): "uint32",
    (True, 2147483647): "int32",
}
_NODATA = {"uint8": 255, "uint16": 0, "int16": -32768, "uint32": 0, "int32": -(2**31)}


def item(image: Any, collection: str, provider: str, url: str) -> pystac.Item:
    """Return an image as Earth Engine lists it (``EarthEngineAsset``) as item.

    Raises
    ------
    AnswerError
        if a field is missing or wrong.
    """
    identifier = answer_field(image, "id", str, f"{provider}: {url}")
    where = f"{provider}: {url}, image {identifier}"
    offer = OFFERS[collection]
    own = answer_field(image, "properties", dict, where, default={})
    short = identifier.rsplit("/", 1)[-1]
    properties: dict[str, Any] = {
        "datetime": answer_field(image, "startTime", str, where),
        "earth-engine:id": identifier,
        "created": answer_field(image, "updateTime", str, where, default=""),
        **_facts(own, offer, where),
    }
    feature = {
        "id": short,
        "geometry": answer_field(image, "geometry", dict, where, default={}) or None,
        "properties": {k: v for k, v in properties.items() if v != ""},
        "assets": _assets(image, offer, f"{url}/v1/{PUBLIC}/{identifier}", where),
    }
    title = str(own.get(offer.name) or short) if offer.name else short
    return naming.harmonise(feature, collection, provider, where=where, title=title)


def _facts(own: dict[str, Any], offer: Offer, where: str) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if offer.clouds in own:
        facts["eo:cloud_cover"] = answer_field(own, offer.clouds, float, where)
    if "transmitterReceiverPolarisation" in own:
        facts["sar:polarizations"] = answer_field(
            own, "transmitterReceiverPolarisation", list, where
        )
        facts["sar:instrument_mode"] = answer_field(own, "instrumentMode", str, where)
        facts["sat:orbit_state"] = answer_field(own, "orbitProperties_pass", str, where)
        number = answer_field(own, "relativeOrbitNumber_start", float, where)
        facts["sat:relative_orbit"] = int(number)
    return facts


def _assets(image: Any, offer: Offer, address: str, where: str) -> dict[str, dict[str, Any]]:
    assets = {}
    for number in range(len(answer_field(image, "bands", list, where))):
        place = f"bands.{number}"
        name = answer_field(image, f"{place}.id", str, where)
        assets[plain_name(name)] = {
            "href": f"{address}#{name}",
            "type": "image/tiff; application=geotiff",
            "roles": ["data"],
            "earth-engine:band": name,
            **_band(image, place, offer, name, where),
        }
    return assets


def _band(image: Any, place: str, offer: Offer, name: str, where: str) -> dict[str, Any]:
    grid = f"{place}.grid"
    crs = answer_field(image, f"{grid}.crsCode", str, where, default="SR-ORG:6974")
    scale_x, x, scale_y, y = (
        answer_field(image, f"{grid}.affineTransform.{key}", float, where, default=default)
        for key, default in (
            ("scaleX", 1.0),
            ("translateX", 0.0),
            ("scaleY", -1.0),
            ("translateY", 0.0),
        )
    )
    rows, columns = (
        answer_field(image, f"{grid}.dimensions.{side}", int, where) for side in ("height", "width")
    )
    dtype = _dtype(image, place, where)
    scale, offset = offer.scales.get(name, offer.scales.get("", (1.0, 0.0)))
    nodata: float | str = _nodata(dtype, name)
    return {
        "proj:code": SINUSOIDAL if crs == "SR-ORG:6974" else crs,
        "proj:transform": [scale_x, 0.0, x, 0.0, scale_y, y],
        "proj:shape": [rows, columns],
        "raster:bands": [{"data_type": dtype, "nodata": nodata, "scale": scale, "offset": offset}],
    }


def _dtype(image: Any, place: str, where: str) -> str:
    precision = answer_field(image, f"{place}.dataType.precision", str, where)
    if precision in {"FLOAT", "DOUBLE"}:
        return "float32"
    if precision != "INT":
        found = f"{place}.dataType.precision"
        raise malformed(where, f"INT, FLOAT or DOUBLE in field {found!r}", repr(precision))
    low = answer_field(image, f"{place}.dataType.range.min", float, where, default=0.0)
    high = answer_field(image, f"{place}.dataType.range.max", float, where, default=0.0)
    fitting = [t for (signed, most), t in _TYPES.items() if high <= most and (signed or low >= 0)]
    return fitting[0] if fitting else "float32"


def _nodata(dtype: str, name: str) -> float | str:
    if dtype == "float32":
        return "nan"
    return 0 if name == "SCL" else _NODATA[dtype]


def plain_name(band: str) -> str:
    """Return ``B04`` for Earth Engine's ``B4``; other names stay."""
    match = re.fullmatch(r"B(\d)", band)
    return f"B0{match[1]}" if match else band
