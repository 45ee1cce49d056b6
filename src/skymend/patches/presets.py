"""Layouts by name: those of decloud and one for short seasons."""

from __future__ import annotations

from typing import Any

from skymend.core.errors import ConfigError
from skymend.patches.layout import Layout

_Cloud = tuple[float | dict[str, int], float]
_Window = tuple[float, float]

_CLEAR: _Cloud = (0.0, 0.0)
_ANY: _Cloud = (0.0, 100.0)
_CLOUDY: _Cloud = (1.0, 100.0)
_FULL: _Cloud = (100.0, 100.0)


def _spec(cloud: _Cloud, window: _Window | None = None, gap: float | None = None) -> dict[str, Any]:
    """Write one acquisition: cloud range in percent, window in hours (None: origin), SAR gap."""
    images: dict[str, Any] = {"S2": {"min_cloud_percent": cloud[0], "max_cloud_percent": cloud[1]}}
    if gap is not None:
        images["S1"] = {}
    spec: dict[str, Any] = {"acquisition": images}
    if gap is not None:
        spec["max_s1s2_gap_hours"] = gap
    if window is None:
        return spec | {"timeframe_origin": True}
    return spec | {"timeframe_start_hours": window[0], "timeframe_end_hours": window[1]}


def _around(
    gap: float,
    outer: float,
    inner: float,
    *,
    side: _Cloud,
    origin: _Cloud,
    target: float | None = None,
    target_radar: bool = False,
) -> dict[str, Any]:
    """Write t between tm1 and tp1, ``inner`` to ``outer`` hours away on both sides."""
    document = {
        "tm1": _spec(side, (-outer, -inner), gap),
        "t": _spec(origin, None, gap),
        "tp1": _spec(side, (inner, outer), gap),
    }
    if target is not None:
        window = (-target, target)
        document["target"] = _spec(_CLEAR, window, gap if target_radar else None)
    return document


def _single(gap: float, target: float, origin: _Cloud = _CLOUDY) -> dict[str, Any]:
    return {"t": _spec(origin, None, gap), "target": _spec(_CLEAR, (-target, target))}


def _monthly(low: dict[str, int], windows: list[_Window], target: _Window) -> dict[str, Any]:
    cloud: _Cloud = (low, 100.0)
    document = {f"t{i}": _spec(cloud, w, 72) for i, w in enumerate(windows, start=1)}
    return document | {"t0": _spec(cloud, None, 72), "target": _spec(_CLEAR, target)}


def _short() -> dict[str, Any]:
    """Write the layout for a season of a few months.

    Windows of 5 to 40 days keep long gaps in the samples; the truth is the reference, seen
    under clouds that another date lends.
    """
    side, origin = (0.0, 10.0), (0.0, 5.0)
    clouding = {"min_cloud_percent": 10.0, "max_cloud_percent": 100.0, "paint": "pixels"}
    return _around(72, 960, 120, side=side, origin=origin) | {"options": {"clouding": clouding}}


def _season() -> dict[str, Any]:
    """Write the layout for a single season: partly clouded patches serve too.

    Sides show their clear pixels only, as the composites of inference do; dates up to 50 days
    away make gaps as long as a cloudy month leaves.
    """
    side, origin = (0.0, 60.0), (0.0, 60.0)
    clouding = {"min_cloud_percent": 10.0, "max_cloud_percent": 100.0, "paint": "nodata"}
    return _around(72, 1200, 120, side=side, origin=origin) | {"options": {"clouding": clouding}}


_MONTHLY = [(100.0 + 120 * i, 140.0 + 120 * i) for i in range(5)]
_DIFFICULT = [(1.0 + 200 * i, 200.0 + 200 * i) for i in range(5)]
_OS1: dict[str, Any] = {"side": _CLEAR, "origin": _CLEAR}
_OS2: dict[str, Any] = {"side": _ANY, "origin": _CLOUDY}
_GAP: dict[str, Any] = {"side": _CLEAR, "origin": _FULL, "target_radar": True}

_DOCUMENTS: dict[str, dict[str, Any]] = {
    "crga-os1-occitanie": _around(72, 552, 72, **_OS1),
    "crga-os1-burkina": _around(144, 816, 144, **_OS1),
    "crga-os2-occitanie": _around(72, 720, 240, target=240, **_OS2),
    "crga-os2-burkina": _around(144, 1008, 336, target=336, **_OS2),
    "crga-os2-gfa-occitanie": _around(72, 432, 240, target=120, **_GAP),
    "crga-os2-gfb-occitanie": _around(72, 480, 336, target=72, **_GAP),
    "crga-os2-gf-burkina": _around(144, 672, 384, target=168, **_GAP),
    "meraner-occitanie": _single(72, 240),
    "meraner-burkina": _single(144, 336),
    "test": {
        "tm1": _spec(_CLOUDY, (-360, -240), 24),
        "t": _spec(_ANY, None, 24),
        "target": _spec(_CLEAR, (-240, 240)),
        "tp1": _spec(_CLOUDY, (240, 360), 24),
    },
    "test-meraner": _single(12, 120, _ANY),
    "monthly-synthesis-s2s1": _monthly({"min": 0, "max": 2}, _MONTHLY, (100, 500)),
    "monthly-synthesis-s2s1-difficult": _monthly({"min": 1, "max": 10}, _DIFFICULT, (350, 650)),
    "crga-os2-short": _short(),
    "crga-os2-season": _season(),
}
_ALIASES = {
    "crga-os1": "crga-os1-occitanie",
    "crga-os2": "crga-os2-occitanie",
    "meraner": "meraner-occitanie",
}


def preset_names() -> tuple[str, ...]:
    """Return the names of all presets, aliases included."""
    return tuple(sorted([*_DOCUMENTS, *_ALIASES]))


def preset(name: str) -> Layout:
    """Return a layout by name.

    Raises
    ------
    ConfigError
        if there is none of that name.
    """
    known = _ALIASES.get(name, name)
    if known not in _DOCUMENTS:
        raise ConfigError(
            where="layout",
            expected=f"one of {', '.join(preset_names())}",
            found=repr(name),
            fix="choose a preset or write the layout out",
        )
    return Layout.from_json(_DOCUMENTS[known], f"preset {known}")
