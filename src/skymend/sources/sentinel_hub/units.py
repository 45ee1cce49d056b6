"""What requests cost at Sentinel Hub: processing units, and the pauses it asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from math import isfinite
from typing import Any

SPENT = "X-ProcessingUnits-Spent"
_UNIT_PIXELS = 512 * 512
_UNIT_BANDS = 3
_LEAST_AREA, _LEAST = 0.01, 0.005
_BANDS = re.compile(r"^const BANDS = (\[.*\]);$", re.MULTILINE)
_FLOAT = re.compile(r"^const SAMPLE_TYPE = \"FLOAT32\";$", re.MULTILINE)


def spent(headers: Mapping[str, str], asked: Any) -> float:
    """Return the processing units of an answered request.

    Parameters
    ----------
    headers : of the answer; what the service states there counts.
    asked : the body of the request. Without that header a Process request is reckoned by
        :func:`reckoned`, another one as free.
    """
    with suppress(ValueError):
        stated = float(headers.get(SPENT, ""))
        if isfinite(stated) and stated >= 0:
            return stated
    return reckoned(asked) if isinstance(asked, dict) and "evalscript" in asked else 0.0


def reckoned(asked: Mapping[str, Any]) -> float:
    """Return the processing units of a Process request (API overview, "Processing Unit").

    One unit is 512 x 512 pixels of three bands in at most 16 bits; float output and
    orthorectification double it, and no request costs less than 0.005.
    """
    output = asked["output"]
    area = max(_LEAST_AREA, output["width"] * output["height"] / _UNIT_PIXELS)
    bands = _BANDS.search(asked["evalscript"])
    count = len(json.loads(bands[1])) if bands else _UNIT_BANDS
    doubled = [_FLOAT.search(asked["evalscript"]) is not None]
    doubled += [bool(d.get("processing", {}).get("orthorectify")) for d in asked["input"]["data"]]
    return float(max(_LEAST, area * count / _UNIT_BANDS * 2 ** sum(doubled)))


def pause_s(headers: Mapping[str, str]) -> float:
    """Return how long ``Retry-After`` asks to wait; Sentinel Hub writes milliseconds."""
    text = headers.get("Retry-After", "").strip()
    return float(text) / 1000 if text.isdecimal() else 0.0
