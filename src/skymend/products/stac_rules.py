"""What skymend needs of the form of a STAC item; everything else in it is free.

STAC item 1.0 and 1.1, with the extensions raster, eo, projection and sat.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

_BASELINE = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?")
_DECODING = ("scale", "offset")
_NODATA = ("nan", "inf", "-inf")

Rule = tuple[str, Callable[[Any], bool]]


def problems(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (what was expected, what was found) for each field of another form."""
    yield from _broken(document, "", _ITEM)
    yield from _broken(_mapping(document.get("properties")), "properties.", _PROPERTIES)
    for key, asset in _mapping(document.get("assets")).items():
        place = f"assets.{key[:40]}"
        if not isinstance(asset, dict):
            yield f"an object in {place}", _shown(asset)
            continue
        yield from _broken(asset, f"{place}.", _ASSET)
        for group in ("raster:bands", "bands"):
            for entry in asset.get(group) or ():
                yield from _broken(_mapping(entry), f"{place}.{group}.", _NUMBERS)


def _broken(
    fields: dict[str, Any], place: str, rules: dict[str, Rule]
) -> Iterator[tuple[str, str]]:
    for name, (expected, holds) in rules.items():
        value = fields.get(name)
        required = name == "id"
        if not holds(value) if value is not None or required else False:
            yield f"{expected} in {place}{name}", _shown(value)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _shown(value: Any) -> str:
    return repr(value)[:60]


def _finite(value: Any) -> bool:
    """Tell whether a JSON value is a number that a float holds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _nodata(value: Any) -> bool:
    if isinstance(value, float):
        return True
    return value in _NODATA if isinstance(value, str) else _finite(value)


def _numbers(value: Any, *lengths: int) -> bool:
    return isinstance(value, list) and len(value) in lengths and all(map(_finite, value))


def _size(value: Any) -> bool:
    return _numbers(value, 2) and all(v == int(v) and 0 < v < 2**31 for v in value)


def _orbit(value: Any) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,9}", str(value)))


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


_ID: Rule = ("a text", lambda value: isinstance(value, str) and bool(value))
_OBJECT: Rule = ("an object", _object)
_OBJECTS: Rule = ("a list of objects", _objects)
_NUMBER: Rule = ("a finite number", _finite)

_ITEM: dict[str, Rule] = {
    "id": _ID,
    "properties": _OBJECT,
    "assets": _OBJECT,
    "bbox": ("4 or 6 numbers", lambda value: _numbers(value, 4, 6)),
}
_GRID: dict[str, Rule] = {
    "proj:transform": ("6 or 9 numbers", lambda value: _numbers(value, 6, 9)),
    "proj:shape": ("2 whole numbers", _size),
    "proj:code": ("a text", _text),
}
_PROPERTIES: dict[str, Rule] = {
    **_GRID,
    "s2:processing_baseline": ("a text such as 05.09", lambda v: bool(_BASELINE.fullmatch(str(v)))),
    "sat:relative_orbit": ("a whole number", _orbit),
    "sat:orbit_state": ("a text", _text),
}
_NUMBERS: dict[str, Rule] = {
    **dict.fromkeys([*_DECODING, *(f"raster:{name}" for name in _DECODING)], _NUMBER),
    **dict.fromkeys(["nodata", "raster:nodata"], ("a number", _nodata)),
}
_ASSET: dict[str, Rule] = {
    **_GRID,
    **_NUMBERS,
    "href": ("a text", _text),
    **dict.fromkeys(["raster:bands", "bands", "eo:bands"], _OBJECTS),
}
