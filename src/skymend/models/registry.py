"""The architectures known by name, those of decloud.md section 12 and our own."""

from __future__ import annotations

from typing import Any

from skymend.core.errors import BundleError
from skymend.models.branch_unet import Branch, UNetSpec, build

OPTICAL_BANDS = ("B02", "B03", "B04", "B08")
COARSE_BANDS = ("B05", "B06", "B07", "B8A", "B11", "B12")
RADAR_BANDS = ("VV", "VH")

_DATES = ("tm1", "t", "tp1")
_DAVID: dict[str, Any] = {
    "widths": (64, 128, 256),
    "decoder": (128, 64),
    "skips": (),
    "activation": "relu",
}


def _channels(*keys: str) -> tuple[tuple[str, int], ...]:
    """Return the inputs with their number of channels, known from their names."""
    prefixes = {"s2_20m": 6, "s2": 4, "s1": 2, "dem": 1, "days": 1}
    widths = [next(n for p, n in prefixes.items() if key.startswith(p)) for key in keys]
    return tuple(zip(keys, widths, strict=True))


_OS1 = _channels("s1_tm1", "s1_t", "s1_tp1", "s2_tm1", "s2_tp1", "dem")
_OS2 = _channels("s1_tm1", "s1_t", "s1_tp1", "s2_tm1", "s2_t", "s2_tp1", "dem")


def _pairs(coarse: bool = False) -> tuple[Branch, ...]:
    return tuple(
        Branch((f"s1_{d}", f"s2_{d}"), coarse=f"s2_20m_{d}" if coarse else None) for d in _DATES
    )


def _os1(coarse: bool = False) -> tuple[Branch, ...]:
    clear = [
        Branch((f"s1_{d}", f"s2_{d}"), "conv1_s1s2", coarse=f"s2_20m_{d}" if coarse else None)
        for d in ("tm1", "tp1")
    ]
    return clear[0], Branch(("s1_t",), "conv1_s1", dem=not coarse), clear[1]


def _synthesis(radar: bool, david: bool = False) -> tuple[Branch, ...]:
    dates = [f"t{i}" for i in range(6)]
    optical = [Branch((f"s2_{d}",), "conv1_s2" if radar else "conv1") for d in dates]
    if not radar:
        return tuple(optical)
    seconds = ("conv2", "conv2") if david else ("conv2_s2", "conv2_s1")
    optical = [Branch((f"s2_{d}",), "conv1_s2", seconds[0]) for d in dates]
    return (*optical, *(Branch((f"s1_{d}",), "conv1_s1", seconds[1]) for d in dates))


def _six(*sensors: str) -> list[str]:
    return [f"{sensor}_t{i}" for sensor in sensors for i in range(6)]


def _tiny(days: bool) -> UNetSpec:
    """One branch that sees all dates together: small, quick to train, starts as linear."""
    times = ("days_tm1", "days_tp1") if days else ()
    keys = tuple(key for key, _ in _OS2 if key != "dem")
    return UNetSpec(
        (Branch((*keys, *times)),),
        (*_OS2, *_channels(*times)),
        widths=(16, 32, 48, 64),
        decoder=(48, 32, 16),
        skips=(4, 2, 1),
        dem_width=8,
        kernel=3,
        missing=-0.5,
        blend=("s2_tm1", "s2_tp1"),
        days=("days_tm1", "days_tp1") if days else None,
    )


_COARSE_OS2 = _channels("s2_20m_tm1", "s2_20m_t", "s2_20m_tp1")

ARCHITECTURES: dict[str, UNetSpec] = {
    "crga-os1": UNetSpec(_os1(), _OS1, output="s2_t"),
    "crga-os2": UNetSpec(_pairs(), _OS2, initializer="variance_scaling"),
    "crga-os2-david": UNetSpec(_pairs(), _OS2, **_DAVID),
    "crga-os1-all-bands": UNetSpec(
        _os1(coarse=True),
        (*_OS1, *_channels("s2_20m_tm1", "s2_20m_tp1")),
        coarse="fuse",
        coarse_bands=6,
        output="s2_t",
    ),
    "crga-os2-all-bands": UNetSpec(_pairs(coarse=True), (*_OS2, *_COARSE_OS2), coarse_bands=6),
    "crga-os2-david-all-bands": UNetSpec(
        _pairs(coarse=True), (*_OS2, *_COARSE_OS2), coarse_bands=6, **_DAVID
    ),
    "meraner-unet": UNetSpec((Branch(("s1_t", "s2_t")),), _channels("s1_t", "s2_t", "dem")),
    "meraner-unet-all-bands": UNetSpec(
        (Branch(("s1_t", "s2_t"), coarse="s2_20m_t"),),
        _channels("s1_t", "s2_t", "dem", "s2_20m_t"),
        coarse_bands=6,
        skips=(16, 8, 4, 2),
    ),
    "synthesis-s2": UNetSpec(_synthesis(radar=False), _channels(*_six("s2")), dem=None),
    "synthesis-s2-david": UNetSpec(
        _synthesis(radar=False), _channels(*_six("s2")), dem=None, **_DAVID
    ),
    "synthesis-s2s1": UNetSpec(
        _synthesis(radar=True), _channels(*_six("s2", "s1"), "dem"), dem="raw"
    ),
    "synthesis-s2s1-david": UNetSpec(
        _synthesis(radar=True, david=True), _channels(*_six("s2", "s1"), "dem"), **_DAVID
    ),
    "crga-os2-tiny": _tiny(days=True),
    "crga-os2-tiny-undated": _tiny(days=False),
}
"""Specifications by name; the names are part of every card."""


def architecture(name: str) -> UNetSpec:
    """Return the specification of a named architecture.

    Raises
    ------
    BundleError
        if no architecture has that name.
    """
    try:
        return ARCHITECTURES[name]
    except KeyError:
        raise BundleError(
            where=f"architecture {name!r}",
            expected=f"one of {', '.join(sorted(ARCHITECTURES))}",
            found="an unknown name",
            fix="correct the name or update skymend",
        ) from None


def build_named(name: str, *, uncertainty: bool = False) -> Any:
    """Build a named architecture with fresh weights (see :func:`branch_unet`)."""
    return build(architecture(name), uncertainty=uncertainty, name=name.replace("-", "_"))
