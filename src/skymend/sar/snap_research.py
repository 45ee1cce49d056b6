"""The graphs of the research code, without their faults, as they lie in ``snap-graphs/``.

What was put right: the dB nodes of v2 and v3 led nowhere, so their results were linear all
along (linear here, and dB where a name says so); in ``calibrate2`` the calibration was bypassed
and came after the terrain correction (left out: ``s1-v1`` is that chain in order); noise was
removed after the subset, which takes the border away from the border-noise filter (before it
here); CRS, spacing, DEM, channels and area stood fixed in each file (``-P`` here).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from skymend.core.files import write_text
from skymend.sar.snap_graphs import Filter, Graph, GraphNode, Recipe, compose

_BICUBIC = "BICUBIC_INTERPOLATION"
_UTM = {"crs": "EPSG:32755", "spacingMeter": "10.0", "originX": "5.0", "originY": "5.0"}
_COMMON = {
    "orbitType": "Sentinel Precise (Auto Download)",
    "polarisations": "VV,VH",
    "demFile": "",
    "crs": "WGS84(DD)",
    "originX": "0.0",
    "originY": "0.0",
}
_TEN_METRES = {"spacingMeter": "10.0", "spacingDegree": "8.983152841195215E-5"}
_COARSE = {"dem": "SRTM 3Sec", **_TEN_METRES}
_FINE = {"dem": "SRTM 1Sec HGT", "spacingMeter": "22.19", "spacingDegree": "2.0E-4"}

_V1 = Recipe(
    thermal_noise=False,
    border=None,
    speckle=Filter("Refined Lee", estimate_looks=False),
    aligned=False,
    nodata_at_sea=True,
    format="GeoTIFF-BigTIFF",
)
_V2 = replace(_V1, thermal_noise=True, border=(500, 50.0))
_V3 = replace(_V2, subset=False, aligned=True, nodata_at_sea=False)
_ZS = Recipe(
    without_orbit=True,
    border=(600, 2.0),
    subset=False,
    calibration="beta0",
    flatten=True,
    dem_resampling=_BICUBIC,
    image_resampling=_BICUBIC,
    oversampling=1.5,
    speckle=Filter("Lee Sigma", window=9, target=5),
    looks=2,
    nodata_at_sea=True,
    incidence=True,
)
_DB = {"dbBands": "Gamma0_VV,Gamma0_VH"}


@dataclass(frozen=True, slots=True)
class Template:
    """A graph with the values that its placeholders have unless ``-P`` says otherwise."""

    graph: Graph
    defaults: Mapping[str, str]

    @property
    def properties(self) -> str:
        """The defaults that the graph uses, as a file for ``gpt -p``."""
        used = self.graph.placeholders
        lines = [f"{n} = {v}" for n, v in sorted(self.defaults.items()) if n in used]
        return "\n".join(["# Defaults; -Pname=value on the command line wins.", *lines, ""])


def _radar(recipe: Recipe, *values: Mapping[str, str]) -> Template:
    defaults = dict(_COMMON)
    for more in values:
        defaults.update(more)
    return Template(compose(recipe), defaults)


def _optical(*nodes: tuple[str, dict[str, str]], defaults: Mapping[str, str]) -> Template:
    chain = [GraphNode("Read", "Read", (), {"file": "${input}"})]
    for operator, parameters in nodes:
        chain.append(GraphNode(operator, operator, (chain[-1].id,), parameters))
    graph = Graph(tuple(chain))
    graph.check()
    return Template(graph, defaults)


_RESAMPLE = (
    "Resample",
    {
        "targetResolution": "${resolution}",
        "upsampling": "Bilinear",
        "downsampling": "Mean",
        "flagDownsampling": "First",
        "resampleOnPyramidLevels": "true",
    },
)
_SUBSET = ("Subset", {"sourceBands": "${bands}", "geoRegion": "${subset}", "copyMetadata": "true"})
_SELECT = ("BandSelect", {"sourceBands": "${bands}"})
_TIFF = ("Write", {"file": "${output}", "formatName": "GeoTIFF-BigTIFF"})
_DIMAP = ("Write", {"file": "${output}", "formatName": "BEAM-DIMAP"})
_BANDS = {"resolution": "10", "bands": "B2,B3,B4,B8"}


def templates() -> dict[str, Template]:
    """Return every graph of ``snap-graphs/`` by its file name without suffix."""
    utm = {"dem": "SRTM 1Sec HGT", **_TEN_METRES, **_UTM}
    return {
        "s1-v1": _radar(_V1, _COARSE),
        "s1-v2": _radar(_V2, _COARSE),
        "s1-v3": _radar(_V3, _COARSE, _UTM, {"crs": "EPSG:32756"}),
        "s1-zs": _radar(_ZS, _FINE),
        "s1-zs-subset": _radar(replace(_ZS, subset=True), _FINE),
        "s1-zs-utm": _radar(_ZS, utm),
        "s1-zs-utm-subset": _radar(replace(_ZS, subset=True), utm),
        "s1-zs-utm-db": _radar(replace(_ZS, decibel=True), utm, _DB),
        "s2-resample": _optical(_RESAMPLE, _TIFF, defaults=_BANDS),
        "s2-resample-subset": _optical(_RESAMPLE, _SUBSET, _TIFF, defaults=_BANDS),
        "s2-resample-select": _optical(_RESAMPLE, _SELECT, _DIMAP, defaults=_BANDS),
    }


def write_templates(folder: Path) -> tuple[Path, ...]:
    """Write every graph and its defaults into a folder; return the files, sorted."""
    files = []
    for name, template in templates().items():
        for suffix, text in ((".xml", template.graph.xml()), (".properties", template.properties)):
            files.append(folder / f"{name}{suffix}")
            write_text(files[-1], text)
    return tuple(sorted(files))
