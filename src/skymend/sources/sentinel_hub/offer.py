"""What Sentinel Hub serves: collections, their bands, and how their numbers are stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from skymend.core.errors import ConfigError
from skymend.sources.answers import field as answer_field
from skymend.sources.answers import malformed


@dataclass(frozen=True, slots=True)
class Band:
    """A band.

    Parameters
    ----------
    resolution_m : pixel size at which it is rendered.
    dtype : ``uint8``, ``uint16`` or ``float32``, in the file.
    units : what the evalscript asks for.
    scale, offset : physical = stored * scale + offset.
    nodata : stored where the mask says that there is nothing.
    """

    resolution_m: float
    dtype: str = "uint16"
    units: str = "DN"
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = 0.0

    @property
    def sample_type(self) -> str:
        """The name of the type in an evalscript."""
        return self.dtype.upper()


@dataclass(frozen=True, slots=True)
class Offer:
    """A collection.

    Parameters
    ----------
    type : its name in Catalog and Process API.
    bands : by name.
    processing : the ``processing`` part of a Process request.
    has_clouds : whether its items state a cloud share.
    """

    type: str
    bands: Mapping[str, Band]
    processing: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    has_clouds: bool = False

    def chosen(self, names: Iterable[str]) -> dict[str, Band]:
        """Return the bands asked for.

        Raises
        ------
        ConfigError
            if the collection has no such band.
        """
        wanted = list(dict.fromkeys(names))
        missing = [n for n in wanted if n not in self.bands]
        if missing or not wanted:
            raise ConfigError(
                where=f"bands of {self.type}",
                expected=f"some of {', '.join(self.bands)}",
                found=", ".join(missing) or "none",
                fix="ask for bands that it has",
            )
        return {n: self.bands[n] for n in wanted}


_FINE = {"B02", "B03", "B04", "B08"}
_COARSE = {"B01", "B09", "B10"}
_REFLECTANCE = 1e-4
"""The service adds the offset of baseline 04.00 itself, so that stored numbers start at 0."""


def _sentinel2(*extra: str) -> dict[str, Band]:
    names = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]
    return {
        name: Band(10.0 if name in _FINE else 60.0 if name in _COARSE else 20.0, scale=_REFLECTANCE)
        for name in sorted([*names, *extra])
    }


_SCL = {"SCL": Band(20.0, "uint8")}
_CLOUDS = {"CLM": Band(160.0, "uint8", nodata=255.0), "CLP": Band(160.0, "uint8", nodata=255.0)}
_POWER = {name: Band(10.0, "float32", "LINEAR_POWER", nodata=float("nan")) for name in ("VV", "VH")}
_LANDSAT = {f"B{n:02d}": Band(30.0, scale=2.75e-5, offset=-0.2) for n in range(1, 8)}

OFFERS: Mapping[str, Offer] = MappingProxyType(
    {
        "sentinel-2-l2a": Offer(
            "sentinel-2-l2a",
            {**_sentinel2(), **_SCL, **_CLOUDS},
            {"harmonizeValues": True},
            has_clouds=True,
        ),
        "sentinel-2-l1c": Offer(
            "sentinel-2-l1c",
            {**_sentinel2("B10"), **_CLOUDS},
            {"harmonizeValues": True},
            has_clouds=True,
        ),
        "sentinel-1-grd": Offer(
            "sentinel-1-grd",
            _POWER,
            {"backCoeff": "GAMMA0_TERRAIN", "orthorectify": True, "demInstance": "COPERNICUS_30"},
        ),
        "landsat-c2-l2": Offer("landsat-ot-l2", _LANDSAT, has_clouds=True),
    }
)
"""Collections by skymend's name. One's own imagery is ``byoc-<id of the collection>``."""


def own(collection: str, document: Mapping[str, Any], where: str) -> Offer:
    """Return the offer of a BYOC collection as the service describes it.

    Parameters
    ----------
    document : the answer of the BYOC API; pixels are rendered at 2.5 m unless its
        ``additionalData.maxMetersPerPixel`` says otherwise.

    Raises
    ------
    AnswerError
        if it states no bands, or a band of a type that cannot be stored.
    """
    bands = answer_field(document, "additionalData.bands", dict, where)
    size = answer_field(document, "additionalData.maxMetersPerPixel", float, where, default=2.5)
    found = {}
    for name in bands:
        place = f"additionalData.bands.{name}"
        bits = answer_field(document, f"{place}.bitDepth", int, where, default=8)
        form = answer_field(document, f"{place}.sampleFormat", str, where, default="UINT")
        dtype = _OWN_TYPES.get((form, bits))
        if dtype is None:
            raise malformed(
                where, f"UINT 8, UINT 16 or FLOAT 32 in field {place!r}", f"{form} {bits}"
            )
        nodata = float("nan") if dtype == "float32" else 0.0
        found[name] = Band(size, dtype, nodata=nodata)
    return Offer(collection, found)


_OWN_TYPES = {("UINT", 8): "uint8", ("UINT", 16): "uint16", ("FLOAT", 32): "float32"}
