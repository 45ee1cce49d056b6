"""SNAP processing graphs: composed node by node, checked, written as the XML that gpt runs.

A graph holds ``${name}`` where gpt puts the value of ``-Pname=value``: paths, CRS, pixel spacing,
DEM, polarisations, area. The same composer makes the graphs of the research code that lie in
``snap-graphs/`` and the one that the engine runs, so that none can drift from the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from skymend.core.errors import ConfigError
from skymend.products.sentinel1.markup import parse_xml

_MAX_BYTES = 1_000_000

STAGES: Mapping[str, int] = {
    "Read": 0,
    "SliceAssembly": 1,
    "Apply-Orbit-File": 2,
    "ThermalNoiseRemoval": 3,
    "Remove-GRD-Border-Noise": 4,
    "Subset": 5,
    "Calibration": 6,
    "Terrain-Flattening": 7,
    "Speckle-Filter": 8,
    "Multilook": 9,
    "Terrain-Correction": 10,
    "LinearToFromdB": 11,
    "Write": 12,
}
"""The order of the operators of a Sentinel-1 chain: noise and border need the whole slice, so
they come before a subset; radiometry before geometry; logarithms last."""

OPTICAL_STAGES: Mapping[str, int] = {
    "Read": 0,
    "Resample": 1,
    "Subset": 2,
    "BandSelect": 2,
    "Write": 3,
}
"""The order of a Sentinel-2 chain."""


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One operator with its sources and parameters, in the order they are written."""

    id: str
    operator: str
    sources: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Graph:
    """A processing graph."""

    nodes: tuple[GraphNode, ...]

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Names that ``-P`` must give, sorted."""
        values = [v for node in self.nodes for v in node.parameters.values()]
        return tuple(sorted({n for v in values for n in re.findall(r"\$\{([\w-]+)\}", v)}))

    def xml(self) -> str:
        """Return the graph as gpt reads it."""
        from xml.etree.ElementTree import Element, SubElement, indent, tostring

        root = Element("graph", id="Graph")
        SubElement(root, "version").text = "1.0"
        for node in self.nodes:
            element = SubElement(root, "node", id=node.id)
            SubElement(element, "operator").text = node.operator
            sources = SubElement(element, "sources")
            for index, source in enumerate(node.sources):
                name = "sourceProduct" if index == 0 else f"sourceProduct.{index}"
                SubElement(sources, name, refid=source)
            kind = "com.bc.ceres.binding.dom.XppDomElement"
            parameters = SubElement(element, "parameters", {"class": kind})
            for name, value in node.parameters.items():
                SubElement(parameters, name).text = value
        indent(root)
        return tostring(root, encoding="unicode") + "\n"

    def check(self, where: str | Path = "SNAP graph") -> None:
        """Make sure that gpt would compute what the graph shows.

        Raises
        ------
        ConfigError
            if a source is not there or comes later, an id stands twice, a node's result is
            never used, or operators stand in an order that spoils the result.
        """
        problem = next(self._problems(), None)
        if problem is not None:
            raise ConfigError(
                where=where,
                expected="a graph whose nodes all lead to a Write, in the order of the physics",
                found=problem,
                fix="correct the graph; those in snap-graphs/ are sound",
            )

    def _problems(self) -> Iterator[str]:
        seen: set[str] = set()
        for node in self.nodes:
            if node.id in seen:
                yield f"the id {node.id} twice"
            missing = [source for source in node.sources if source not in seen]
            if missing:
                yield f"node {node.id} with the source {missing[0]}, which no node before it has"
            if not node.sources and node.operator != "Read":
                yield f"node {node.id} without a source"
            seen.add(node.id)
        used = {source for node in self.nodes for source in node.sources}
        for node in self.nodes:
            if node.operator != "Write" and node.id not in used:
                yield f"node {node.id}, whose result nobody uses"
        if not any(node.operator == "Write" for node in self.nodes):
            yield "no Write"
        yield from self._misplaced()

    def _misplaced(self) -> Iterator[str]:
        """Yield every pair of operators that stand in the wrong order."""
        operators = {node.id: node.operator for node in self.nodes}
        optical = "Resample" in operators.values()
        stages = OPTICAL_STAGES if optical else STAGES
        for node in self.nodes:
            here = stages.get(node.operator)
            for source in node.sources:
                before = stages.get(operators[source])
                if here is not None and before is not None and before >= here:
                    yield f"{operators[source]} before {node.operator}"


def parse_graph(text: str, where: str | Path) -> Graph:
    """Read a graph.

    Raises
    ------
    ProductError
        if it is not well-formed, or declares a document type or entities.
    ConfigError
        if it is too large, or no graph.
    """
    content = text.encode()
    root = parse_xml(content, str(where)) if len(content) <= _MAX_BYTES else None
    if root is None or root.tag != "graph":
        raise ConfigError(
            where=where,
            expected="a SNAP graph of at most 1 MB",
            found=f"<{root.tag}>" if root else f"{len(content)} bytes",
            fix="give a graph such as those in snap-graphs/",
        )
    nodes = []
    for node in root.children("node"):
        sources = node.find("sources")
        parameters = node.find("parameters")
        nodes.append(
            GraphNode(
                node.attribute("id"),
                node.text("operator"),
                tuple(s.attrib.get("refid", "") for s in (sources.element if sources else ())),
                {p.tag: _content(p) for p in (parameters.element if parameters else ())},
            )
        )
    return Graph(tuple(nodes))


def _content(element: object) -> str:
    """Return the text of a parameter, or its nested elements as they stand."""
    from xml.etree.ElementTree import Element, tostring

    if not isinstance(element, Element):
        return ""
    inner = "".join(tostring(child, encoding="unicode") for child in element)
    return inner.strip() or (element.text or "").strip()


@dataclass(frozen=True, slots=True)
class Filter:
    """A speckle filter of SNAP.

    Parameters
    ----------
    name : as SNAP calls it.
    window : odd side, pixels.
    target : side of the window of the first estimate, for Lee Sigma.
    estimate_looks : SNAP estimates the number of looks; else ``looks`` holds.
    """

    name: str
    window: int = 7
    target: int = 3
    estimate_looks: bool = True
    looks: int = 1

    def parameters(self) -> dict[str, str]:
        """Return the node's parameters."""
        parameters = {
            "filter": self.name,
            "estimateENL": _flag(self.estimate_looks),
            "enl": f"{self.looks:.1f}",
        }
        if self.name != "Lee Sigma":
            side = str(self.window)
            return {**parameters, "filterSizeX": side, "filterSizeY": side}
        return {
            **parameters,
            "numLooksStr": str(self.looks),
            "windowSize": f"{self.window}x{self.window}",
            "targetWindowSizeStr": f"{self.target}x{self.target}",
            "sigmaStr": "0.9",
        }


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a Sentinel-1 graph does, in the order of the fields.

    Parameters
    ----------
    slices : products of one pass that are assembled; ``${input}``, or ``${input1}`` and so on.
    without_orbit : go on with the annotation's orbit where no orbit file is found.
    thermal_noise : remove it.
    border : (pixels from the side, threshold) of the border noise; None to leave it.
    subset : cut to ``${subset}`` (WKT, longitude and latitude).
    calibration : ``sigma0``, ``beta0`` or ``gamma0``.
    flatten : terrain flattening; needs ``beta0``.
    dem_resampling, image_resampling : as SNAP calls them.
    oversampling : of the DEM, in terrain flattening.
    speckle : filter, None for none.
    looks : multilook in both directions.
    aligned : pixel centres on the multiples of the spacing from ``${originX}``, ``${originY}``.
    nodata_at_sea : drop the sea where the DEM has none.
    incidence : save the local incidence angle.
    all_layers : save the ellipsoidal one and the layover and shadow mask as well.
    decibel : write the bands ``${dbBands}`` in dB.
    format : of the result.
    """

    slices: int = 1
    without_orbit: bool = False
    thermal_noise: bool = True
    border: tuple[int, float] | None = (500, 0.5)
    subset: bool = True
    calibration: str = "sigma0"
    flatten: bool = False
    dem_resampling: str = "BILINEAR_INTERPOLATION"
    image_resampling: str = "BILINEAR_INTERPOLATION"
    oversampling: float = 1.0
    speckle: Filter | None = None
    looks: int = 1
    aligned: bool = True
    nodata_at_sea: bool = False
    incidence: bool = False
    all_layers: bool = False
    decibel: bool = False
    format: str = "BEAM-DIMAP"


def compose(recipe: Recipe) -> Graph:
    """Return the graph of a recipe, checked."""
    nodes = list(_reading(recipe))
    for operator, parameters in _chain(recipe):
        nodes.append(GraphNode(operator, operator, (nodes[-1].id,), parameters))
    graph = Graph(tuple(nodes))
    graph.check()
    return graph


def _reading(recipe: Recipe) -> Iterator[GraphNode]:
    if recipe.slices == 1:
        yield GraphNode("Read", "Read", (), {"file": "${input}"})
        return
    ids = [f"Read-{index}" for index in range(1, recipe.slices + 1)]
    for index, name in enumerate(ids, start=1):
        yield GraphNode(name, "Read", (), {"file": f"${{input{index}}}"})
    pols = {"selectedPolarisations": "${polarisations}"}
    yield GraphNode("SliceAssembly", "SliceAssembly", tuple(ids), pols)


def _chain(recipe: Recipe) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield operator and parameters of all nodes after reading."""
    yield "Apply-Orbit-File", _orbit(recipe)
    if recipe.thermal_noise:
        yield (
            "ThermalNoiseRemoval",
            {
                "selectedPolarisations": "${polarisations}",
                "removeThermalNoise": "true",
            },
        )
    if recipe.border is not None:
        limit, threshold = recipe.border
        yield (
            "Remove-GRD-Border-Noise",
            {
                "selectedPolarisations": "${polarisations}",
                "borderLimit": str(limit),
                "trimThreshold": str(threshold),
            },
        )
    if recipe.subset:
        yield "Subset", {"geoRegion": "${subset}", "copyMetadata": "true"}
    yield "Calibration", _calibration(recipe)
    if recipe.flatten:
        yield "Terrain-Flattening", _flattening(recipe)
    if recipe.speckle is not None:
        yield "Speckle-Filter", recipe.speckle.parameters()
    if recipe.looks > 1:
        yield "Multilook", _multilook(recipe)
    yield "Terrain-Correction", _terrain(recipe)
    if recipe.decibel:
        yield "LinearToFromdB", {"sourceBands": "${dbBands}"}
    yield "Write", {"file": "${output}", "formatName": recipe.format}


def _orbit(recipe: Recipe) -> dict[str, str]:
    return {
        "orbitType": "${orbitType}",
        "polyDegree": "3",
        "continueOnFail": _flag(recipe.without_orbit),
    }


def _calibration(recipe: Recipe) -> dict[str, str]:
    return {
        "auxFile": "Product Auxiliary File",
        "outputImageInComplex": "false",
        "outputImageScaleInDb": "false",
        "selectedPolarisations": "${polarisations}",
        "outputSigmaBand": _flag(recipe.calibration == "sigma0"),
        "outputGammaBand": _flag(recipe.calibration == "gamma0"),
        "outputBetaBand": _flag(recipe.calibration == "beta0"),
    }


def _dem(recipe: Recipe) -> dict[str, str]:
    return {
        "demName": "${dem}",
        "demResamplingMethod": recipe.dem_resampling,
        "externalDEMFile": "${demFile}",
        "externalDEMNoDataValue": "-32768",
        "externalDEMApplyEGM": "true",
    }


def _flattening(recipe: Recipe) -> dict[str, str]:
    return {
        **_dem(recipe),
        "outputSimulatedImage": "false",
        "outputSigma0": "false",
        "nodataValueAtSea": _flag(recipe.nodata_at_sea),
        "additionalOverlap": "0.1",
        "oversamplingMultiple": str(recipe.oversampling),
    }


def _multilook(recipe: Recipe) -> dict[str, str]:
    return {
        "nRgLooks": str(recipe.looks),
        "nAzLooks": str(recipe.looks),
        "outputIntensity": "true",
        "grSquarePixel": "true",
    }


def _terrain(recipe: Recipe) -> dict[str, str]:
    return {
        **_dem(recipe),
        "imgResamplingMethod": recipe.image_resampling,
        "pixelSpacingInMeter": "${spacingMeter}",
        "pixelSpacingInDegree": "${spacingDegree}",
        "mapProjection": "${crs}",
        "alignToStandardGrid": _flag(recipe.aligned),
        "standardGridOriginX": "${originX}",
        "standardGridOriginY": "${originY}",
        "nodataValueAtSea": _flag(recipe.nodata_at_sea),
        "saveIncidenceAngleFromEllipsoid": _flag(recipe.all_layers),
        "saveLocalIncidenceAngle": _flag(recipe.incidence),
        "saveSelectedSourceBand": "true",
        "saveLayoverShadowMask": _flag(recipe.all_layers),
        "applyRadiometricNormalization": "false",
    }


def _flag(value: bool) -> str:
    return "true" if value else "false"
