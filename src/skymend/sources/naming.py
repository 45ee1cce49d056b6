"""One vocabulary for the items of all providers: collections, platforms, tiles, orbits, versions.

Providers name the same things differently, and some only in the product's name. Names follow the
product specifications: Sentinel-2 (S2-PDGS-TAS-DI-PSD, section 3.6), Sentinel-1 (S1-RS-MDA-52-7441,
section 3.4.2), Landsat Collection 2 (LSDS-1619, section 2.2).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from skymend.products import safe, theia
from skymend.sources.answers import field, malformed, time_of
from skymend.sources.protocol import Filters, timestamp

if TYPE_CHECKING:
    import pystac

PRODUCT = "product"
"""Key of the asset that is the whole product in one archive."""

_S1 = re.compile(
    r"S1([A-D])_(IW|EW|WV|S\d)_(GRD|SLC|OCN|RAW)[FHM_]_\dS(SV|SH|DV|DH|VV|VH|HV|HH)"
    r"_(\d{8}T\d{6})_(\d{8}T\d{6})_(\d{6})_"
)
_LANDSAT = re.compile(
    r"L[COTEM](0\d)_(L\w{3})_(\d{3})(\d{3})_(\d{8})(?:_(\d{8}))?_(\d{2})_(RT|T1|T2|A1|A2)"
)
_CHANNELS = {"SV": ["VV"], "SH": ["HH"], "DV": ["VV", "VH"], "DH": ["HH", "HV"]}
_ORBIT_OFFSET = {"A": 73, "B": 27, "C": 172}
"""Absolute orbit of a relative orbit 1; the cycle has 175 orbits. Other satellites stay silent."""

_PLATFORM = re.compile(r"(SENTINEL|S)[-_ ]?([12])[-_ ]?([A-D])", re.IGNORECASE)
_TILE = re.compile(r"(?:MGRS-)?T?(\d{1,2}[C-X][A-Z]{2})")


def platform_name(text: str) -> str:
    """Return ``sentinel-2a`` or ``landsat-8`` for any provider's way to write it."""
    sentinel = _PLATFORM.fullmatch(text.strip())
    if sentinel:
        return f"sentinel-{sentinel[2]}{sentinel[3].lower()}"
    landsat = re.fullmatch(r"LANDSAT[-_ ]?(\d)", text.strip(), re.IGNORECASE)
    return f"landsat-{landsat[1]}" if landsat else text.strip().lower()


def facts_of_name(name: str) -> dict[str, Any]:
    """Return the STAC properties that a product's name states.

    None for an unknown kind, and for a name with a date that no calendar has.
    """
    stem = _stem(name)
    for read in (_sentinel2, _sentinel1, _landsat, _theia):
        with suppress(ValueError):
            facts = read(stem)
            if facts:
                return facts
    return {}


def collection_of_name(name: str) -> str | None:
    """Return skymend's collection of a product by its name; None for an unknown kind."""
    stem = _stem(name)
    sentinel2 = safe.Name.parse(stem)
    if sentinel2 is not None:
        return f"sentinel-2-{sentinel2.level.lower()}"
    if theia.Name.parse(stem) is not None:
        return "sentinel-2-l2a-maja"
    sentinel1 = _S1.match(stem)
    if sentinel1 is not None:
        return f"sentinel-1-{sentinel1[3].lower()}"
    landsat = _LANDSAT.match(stem)
    return f"landsat-c2-{landsat[2][:2].lower()}" if landsat else None


def _sentinel2(stem: str) -> dict[str, Any]:
    name = safe.Name.parse(stem)
    if name is None:
        return {}
    baseline = f"{name.baseline[0]:02d}.{name.baseline[1]:02d}"
    return {
        "platform": name.platform,
        "datetime": timestamp(name.time),
        "sat:relative_orbit": name.relative_orbit,
        "grid:code": f"MGRS-{name.tile}",
        "s2:processing_baseline": baseline,
        "processing:version": baseline,
        "s2:generation_time": _stamp(name.made),
    }


def _sentinel1(stem: str) -> dict[str, Any]:
    match = _S1.match(stem)
    if match is None:
        return {}
    letter, mode, kind, code, start, end, orbit = match.groups()
    facts = {
        "platform": f"sentinel-1{letter.lower()}",
        "datetime": _stamp(start),
        "start_datetime": _stamp(start),
        "end_datetime": _stamp(end),
        "sar:instrument_mode": mode,
        "sar:product_type": kind,
        "sar:polarizations": _CHANNELS.get(code, [code]),
        "sat:absolute_orbit": int(orbit),
    }
    if letter in _ORBIT_OFFSET:
        facts["sat:relative_orbit"] = (int(orbit) - _ORBIT_OFFSET[letter]) % 175 + 1
    return facts


def _landsat(stem: str) -> dict[str, Any]:
    match = _LANDSAT.match(stem)
    if match is None:
        return {}
    number, level, path, row, day, made, collection, tier = match.groups()
    facts = {
        "platform": f"landsat-{int(number)}",
        "datetime": _stamp(f"{day}T000000"),
        "landsat:wrs_path": path,
        "landsat:wrs_row": row,
        "landsat:correction": level,
        "landsat:collection_number": collection,
        "landsat:collection_category": tier,
    }
    return facts | ({"processing:datetime": _stamp(f"{made}T000000")} if made else {})


def _theia(stem: str) -> dict[str, Any]:
    name = theia.Name.parse(stem)
    if name is None:
        return {}
    tile = name.tile.removeprefix("T")
    version = ".".join(str(part) for part in name.version)
    return {
        "platform": name.platform,
        "datetime": timestamp(name.time),
        "grid:code": f"MGRS-{tile}",
        "processing:version": version,
    }


def _stamp(text: str) -> str:
    return timestamp(datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC))


def harmonise(
    document: dict[str, Any],
    collection: str,
    provider: str,
    *,
    where: str,
    title: str | None = None,
) -> pystac.Item:
    """Return a provider's item in skymend's words; the provider's own properties stay.

    Parameters
    ----------
    document : a GeoJSON feature with ``id``, ``geometry``, ``properties`` and ``assets``.
    collection : skymend's name of the collection.
    where : which answer of which service, for errors.
    title : the product's name where the item does not state it as ``s2:product_uri``.

    Raises
    ------
    AnswerError
        if a field that skymend reads is missing or wrong.
    """
    import pystac

    identifier = field(document, "id", str, where)
    where = f"{where}, item {identifier}"
    own = field(document, "properties", dict, where)
    name = title or str(own.get("s2:product_uri") or own.get("title") or identifier)
    properties = _properties(own, facts_of_name(name), where)
    properties |= {"title": _stem(name), "skymend:provider": provider}
    geometry = field(document, "geometry", dict, where, default={}) or None
    item = pystac.Item(
        id=identifier,
        geometry=geometry,
        bbox=field(document, "bbox", list, where, default=[]) or _bbox(geometry, where),
        datetime=time_of({"datetime": properties.pop("datetime")}, "datetime", where),
        properties=properties,
        collection=collection,
    )
    for key, asset in field(document, "assets", dict, where, default={}).items():
        _check_asset(asset, f"{where}, asset {key}")
        item.add_asset(key, pystac.Asset.from_dict(asset))
    return item


def _check_asset(asset: Any, where: str) -> None:
    """Refuse an asset whose address, type or roles cannot be read."""
    href = field(asset, "href", str, where)
    try:
        _ = urlsplit(href).port
    except ValueError:
        raise malformed(where, "an address in field 'href'", repr(href[:80])) from None
    field(asset, "type", str, where, default="")
    for number in range(len(field(asset, "roles", list, where, default=[]))):
        field(asset, f"roles.{number}", str, where)


def _properties(own: dict[str, Any], facts: dict[str, Any], where: str) -> dict[str, Any]:
    found = {**facts, **{k: v for k, v in own.items() if v is not None}}
    found["datetime"] = found.get("datetime") or found.get("start_datetime")
    if found["datetime"] is None:
        raise malformed(where, "a time in field 'properties.datetime'", "no such field")
    for key, spell in _SPELLINGS.items():
        if found.get(key) not in (None, ""):
            found[key] = _spelled(key, spell, found[key], where)
    tile = _TILE.fullmatch(str(found.get("grid:code") or found.get("s2:mgrs_tile") or ""))
    if tile:
        found["grid:code"] = f"MGRS-{tile[1]}"
    for ours, theirs in _SAME.items():
        if theirs in found:
            found[ours] = found[theirs]
    return found


_SAME = {"processing:version": "s2:processing_baseline", "eopf:datastrip_id": "s2:datastrip_id"}


def _spelled(key: str, spell: Callable[[Any], Any], value: Any, where: str) -> Any:
    try:
        return spell(value)
    except (TypeError, ValueError, OverflowError):
        shown = repr(value)[:80]
        raise malformed(where, f"a usable value in field 'properties.{key}'", shown) from None


def _baseline(value: object) -> str:
    major, _, minor = str(value).partition(".")
    return f"{int(major):02d}.{minor.zfill(2)}" if major.isdecimal() else str(value)


def _time(value: object) -> str:
    return timestamp(datetime.fromisoformat(str(value)))


_SPELLINGS: dict[str, Callable[[Any], Any]] = {
    "datetime": _time,
    "start_datetime": _time,
    "end_datetime": _time,
    "platform": lambda v: platform_name(str(v)),
    "sat:orbit_state": lambda v: str(v).lower(),
    "sat:relative_orbit": int,
    "eo:cloud_cover": float,
    "sar:polarizations": lambda v: [str(p).upper() for p in v],
    "s2:processing_baseline": _baseline,
    "landsat:wrs_path": lambda v: f"{int(v):03d}",
    "landsat:wrs_row": lambda v: f"{int(v):03d}",
}


def _bbox(geometry: Any, where: str) -> list[float] | None:
    from shapely.errors import ShapelyError
    from shapely.geometry import shape

    try:
        return None if geometry is None else list(shape(geometry).bounds)
    except (ShapelyError, ValueError, TypeError, LookupError, AttributeError, OverflowError):
        shown = repr(geometry)[:80]
        raise malformed(where, "a GeoJSON geometry in field 'geometry'", shown) from None


def passing(items: Iterable[pystac.Item], filters: Filters) -> Iterator[pystac.Item]:
    """Yield the items that pass all filters, whatever the server made of them."""
    for item in items:
        if refusal(item, filters) is None:
            yield item


def refusal(item: pystac.Item, filters: Filters) -> str | None:
    """Say which filter an item fails; None if it passes."""
    properties = item.properties
    checks: dict[str, tuple[Any, Any]] = {
        "tile": (filters.tile and f"MGRS-{filters.tile}", properties.get("grid:code")),
        "relative orbit": (filters.relative_orbit, properties.get("sat:relative_orbit")),
        "orbit direction": (filters.orbit_direction, properties.get("sat:orbit_state")),
        "platform": (filters.platform, properties.get("platform")),
        "baseline": (filters.baseline, properties.get("processing:version")),
        "name": (filters.product_id and _stem(filters.product_id), _named(item, filters)),
    }
    for name, (wanted, found) in checks.items():
        if wanted is not None and wanted != found:
            return f"its {name} is {found}, not {wanted}"
    channels = properties.get("sar:polarizations") or ()
    missing = [p for p in filters.polarisations if p not in channels]
    if missing:
        return f"it has no polarisation {' and '.join(missing)}"
    return _too_cloudy(properties, filters.cloud_cover_max)


def _too_cloudy(properties: dict[str, Any], most: float | None) -> str | None:
    if most is None or "sar:polarizations" in properties:
        return None
    share = properties.get("eo:cloud_cover")
    if share is None:
        return "its cloud cover is not stated"
    return f"its cloud cover is {share:g} %, above {most:g} %" if share > most else None


def _named(item: pystac.Item, filters: Filters) -> str | None:
    wanted = filters.product_id and _stem(filters.product_id)
    names = (item.id, str(item.properties.get("title")))
    return wanted if wanted in names else names[1]


def _stem(name: str) -> str:
    plain = name.removesuffix(".zip").removesuffix(".tar").removesuffix(".SAFE")
    landsat = _LANDSAT.match(plain)
    return landsat[0] if landsat else plain


def collect(items: Iterable[pystac.Item], filters: Filters) -> pystac.ItemCollection:
    """Return what passes the filters, each item once, in order of time.

    With ``limit`` the reading stops at that many, in the provider's order.
    """
    import pystac

    unique: dict[str, pystac.Item] = {}
    for item in passing(items, filters):
        unique.setdefault(item.id, item)
        if len(unique) == filters.limit:
            break
    return pystac.ItemCollection(sorted(unique.values(), key=lambda i: (i.datetime, i.id)))
