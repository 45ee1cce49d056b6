"""SNAP: every graph node by node against SNAP's own operators."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from skymend.core import resources
from skymend.core.errors import (
    ConfigError,
    ProductError,
)
from skymend.sar.engine import Chain
from skymend.sar.passes import open_pass
from skymend.sar.snap import _values, recipe
from skymend.sar.snap_graphs import Graph, GraphNode, Recipe, compose, parse_graph
from skymend.sar.snap_research import templates, write_templates
from tests.engine_case import GRID, make_safe

WHITELIST = {
    "Read": {"file", "formatName"},
    "Write": {"file", "formatName"},
    "SliceAssembly": {"selectedPolarisations"},
    "Apply-Orbit-File": {"orbitType", "polyDegree", "continueOnFail"},
    "ThermalNoiseRemoval": {"selectedPolarisations", "removeThermalNoise"},
    "Remove-GRD-Border-Noise": {"selectedPolarisations", "borderLimit", "trimThreshold"},
    "Subset": {"sourceBands", "geoRegion", "copyMetadata"},
    "Calibration": {
        *("auxFile", "outputImageInComplex", "outputImageScaleInDb", "selectedPolarisations"),
        *("outputSigmaBand", "outputGammaBand", "outputBetaBand"),
    },
    "Terrain-Flattening": {
        *("demName", "demResamplingMethod", "externalDEMFile", "externalDEMNoDataValue"),
        *("externalDEMApplyEGM", "outputSimulatedImage", "outputSigma0", "nodataValueAtSea"),
        *("additionalOverlap", "oversamplingMultiple"),
    },
    "Speckle-Filter": {
        *("filter", "filterSizeX", "filterSizeY", "estimateENL", "enl", "numLooksStr"),
        *("windowSize", "targetWindowSizeStr", "sigmaStr"),
    },
    "Multilook": {"nRgLooks", "nAzLooks", "outputIntensity", "grSquarePixel"},
    "Terrain-Correction": {
        *("demName", "demResamplingMethod", "externalDEMFile", "externalDEMNoDataValue"),
        *("externalDEMApplyEGM", "imgResamplingMethod", "pixelSpacingInMeter"),
        *("pixelSpacingInDegree", "mapProjection", "alignToStandardGrid"),
        *("standardGridOriginX", "standardGridOriginY", "nodataValueAtSea"),
        *("saveIncidenceAngleFromEllipsoid", "saveLocalIncidenceAngle"),
        *("saveSelectedSourceBand", "saveLayoverShadowMask", "applyRadiometricNormalization"),
    },
    "LinearToFromdB": {"sourceBands"},
    "Resample": {
        *("targetResolution", "upsampling", "downsampling", "flagDownsampling"),
        "resampleOnPyramidLevels",
    },
    "BandSelect": {"sourceBands"},
}
"""Operators and parameters as SNAP's documentation names them, kept by hand: this part of the
check runs where the extract of SNAP's sources is not at hand."""

CHAINS = [
    Chain(),
    Chain(convention="sigma0", speckle="refined-lee", polarisations=("VV",)),
    Chain(convention="gamma0", speckle="lee-sigma", speckle_window=9, multilook=2),
    Chain(convention="beta0", speckle="boxcar", speckle_window=3, remove_thermal_noise=False),
    Chain(speckle="gamma-map", remove_border_noise=False, resampling="nearest", decibel=True),
    Chain(speckle="lee", speckle_window=5),
]


def every_graph():
    graphs = {name: template.graph for name, template in templates().items()}
    for index, chain in enumerate(CHAINS):
        graphs[f"chain-{index}"] = compose(recipe(chain))
    graphs["slices"] = compose(recipe(Chain(), slices=3))
    return graphs


GRAPHS = every_graph()


@pytest.fixture(scope="module")
def operators(shared_data):
    file = shared_data.parent / "specs" / "snap_operators.json"
    if not file.is_file():
        pytest.skip("the extract of SNAP's operators is not beside the checkout")
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_uses_operators_and_parameters_that_exist(name):
    for node in GRAPHS[name].nodes:
        assert node.operator in WHITELIST
        assert set(node.parameters) <= WHITELIST[node.operator], node.id


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_obeys_snaps_own_declarations(name, operators):
    defaults = templates()[name].defaults if name in templates() else {}
    for node in GRAPHS[name].nodes:
        declared = operators["operators"][node.operator]
        parameters = {p["name"]: p for p in declared["parameters"]}
        for key, value in node.parameters.items():
            assert key in parameters, f"{node.id}.{key}"
            check_value(parameters[key], defaults.get(value[2:-1], value), operators)
        check_sources(node, declared)


@pytest.mark.parametrize("kind", ["POEORB", "RESORB", None])
def test_what_the_engine_puts_in_is_declared_too(tmp_path, operators, kind):
    track = open_pass([make_safe(tmp_path)], ())
    orbit = None if kind is None else Path(f"S1B_OPER_AUX_{kind}_OPOD.EOF")
    values = _values(track, GRID, orbit, tmp_path / "snap.dim")
    values |= {"dem": "External DEM", "demFile": "dem.tif"}
    for chain in CHAINS:
        for node in compose(recipe(chain)).nodes:
            declared = operators["operators"][node.operator]["parameters"]
            parameters = {p["name"]: p for p in declared}
            for key, value in node.parameters.items():
                put = values[value[2:-1]] if value.startswith("${") else value
                check_value(parameters[key], put, operators)


def check_value(parameter, value, operators):
    """A value must be of the declared type, one of the allowed ones, inside the interval."""
    if value.startswith("${"):
        return
    name, kind = parameter["name"], parameter["type"]
    if parameter.get("allowed"):
        assert value in parameter["allowed"], name
    if kind in {"int", "Integer"}:
        int(value)
    if kind in {"double", "Double", "float"}:
        float(value)
    if kind.lower() == "boolean":
        assert value in {"true", "false"}, name
    if name == "demName":
        assert value in operators["dem_names_builtin"]
    if parameter.get("interval"):
        low, high = parameter["interval"].strip("[]()").split(",")
        opened = parameter["interval"].startswith("(")
        assert float(value) > float(low) or (not opened and float(value) == float(low)), name
        assert high.strip() == "*" or float(value) <= float(high), name


def check_sources(node, declared):
    single = [s for s in declared["sources"] if s["kind"] == "SourceProduct"]
    many = [s for s in declared["sources"] if s["kind"] == "SourceProducts"]
    wanted = len([s for s in single if not s["optional"]])
    assert len(node.sources) == wanted or (many and len(node.sources) >= wanted + 1), node.id


def test_the_check_of_values_can_fail(operators):
    speckle = {p["name"]: p for p in operators["operators"]["Speckle-Filter"]["parameters"]}
    for name, value in [("filter", "Refined lee"), ("windowSize", "6x6"), ("filterSizeX", "1")]:
        with pytest.raises(AssertionError):
            check_value(speckle[name], value, operators)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_is_sound_and_survives_a_round_trip(name):
    graph = GRAPHS[name]
    graph.check()
    back = parse_graph(graph.xml(), name)
    assert back.nodes == graph.nodes
    assert back.nodes[-1].operator == "Write"


def test_the_files_are_what_the_composer_makes(tmp_path):
    folder = resources.path("snap-graphs")
    fresh = write_templates(tmp_path)
    assert {p.name for p in fresh} == {
        p.name for p in folder.iterdir() if p.suffix in {".xml", ".properties"}
    }
    for file in fresh:
        assert file.read_text() == (folder / file.name).read_text(), file.name


def test_each_placeholder_has_a_default_or_is_a_path_or_an_area():
    for name, template in templates().items():
        open_ones = set(template.graph.placeholders) - set(template.defaults)
        assert open_ones <= {"input", "output", "subset"}, name
        listed = {line.split(" = ")[0] for line in template.properties.splitlines()[1:]}
        assert listed == set(template.graph.placeholders) - open_ones


def order(name):
    return [node.operator for node in GRAPHS[name].nodes]


def test_the_faults_of_the_originals_are_gone():
    """dB that led nowhere, calibration bypassed, noise removed after the subset."""
    assert "LinearToFromdB" not in order("s1-v2") + order("s1-v3")
    assert order("s1-zs-utm-db")[-2:] == ["LinearToFromdB", "Write"]
    assert order("s1-v2") == [
        *("Read", "Apply-Orbit-File", "ThermalNoiseRemoval", "Remove-GRD-Border-Noise"),
        *("Subset", "Calibration", "Speckle-Filter", "Terrain-Correction", "Write"),
    ]
    for name in (n for n in GRAPHS if n.startswith("s1")):
        assert order(name).index("Calibration") < order(name).index("Terrain-Correction")


def test_the_production_chain_keeps_its_values():
    template = templates()["s1-zs-utm"]
    nodes = {node.operator: node.parameters for node in template.graph.nodes}
    assert nodes["Remove-GRD-Border-Noise"]["borderLimit"] == "600"
    assert nodes["Speckle-Filter"]["windowSize"] == "9x9"
    assert nodes["Speckle-Filter"]["targetWindowSizeStr"] == "5x5"
    assert nodes["Multilook"]["nRgLooks"] == "2"
    assert nodes["Terrain-Flattening"]["oversamplingMultiple"] == "1.5"
    assert nodes["Terrain-Correction"]["saveLocalIncidenceAngle"] == "true"
    assert template.defaults["originX"] == "5.0"


READ = GraphNode("Read", "Read", (), {"file": "${input}"})


def chain_of(*operators):
    nodes = [READ]
    for operator in operators:
        nodes.append(GraphNode(operator, operator, (nodes[-1].id,)))
    return tuple(nodes)


@pytest.mark.parametrize(
    ("nodes", "sentence"),
    [
        (chain_of("Calibration"), "Calibration, whose result nobody uses"),
        (
            (
                *chain_of("Terrain-Correction", "LinearToFromdB"),
                GraphNode("Write", "Write", ("Terrain-Correction",)),
            ),
            "LinearToFromdB, whose result nobody uses",
        ),
        (chain_of("Subset", "ThermalNoiseRemoval", "Write"), "Subset before ThermalNoiseRemoval"),
        (
            chain_of("Terrain-Correction", "Calibration", "Write"),
            "Terrain-Correction before Calibration",
        ),
        ((READ, GraphNode("Write", "Write", ("Nobody",))), "which no node before it has"),
        ((*chain_of("Calibration", "Write"), READ), "the id Read twice"),
        ((READ, GraphNode("Write", "Write")), "node Write without a source"),
    ],
)
def test_an_unsound_graph_is_refused(nodes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Graph(nodes).check()


def test_hostile_graphs_are_refused():
    with pytest.raises(ProductError, match="a document type or entities"):
        parse_graph('<!DOCTYPE g [<!ENTITY a "b">]><graph/>', "x.xml")
    with pytest.raises(ConfigError, match="a SNAP graph of at most 1 MB"):
        parse_graph("<project/>", "x.xml")
    with pytest.raises(ConfigError, match="a SNAP graph of at most 1 MB, found 2000015 bytes"):
        parse_graph(f"<graph>{' ' * 2_000_000}</graph>", "x.xml")


def test_a_chain_becomes_its_graph():
    flattened = compose(recipe(Chain()))
    nodes = {n.operator: n.parameters for n in flattened.nodes}
    assert nodes["Calibration"]["outputBetaBand"] == "true"
    assert nodes["Calibration"]["outputSigmaBand"] == "false"
    assert "Terrain-Flattening" in nodes
    assert "Speckle-Filter" not in nodes
    plain = compose(recipe(Chain(convention="sigma0", remove_border_noise=False)))
    operators = [n.operator for n in plain.nodes]
    assert "Terrain-Flattening" not in operators
    assert "Remove-GRD-Border-Noise" not in operators


def test_slices_are_assembled_before_anything_else():
    graph = compose(Recipe(slices=2))
    assert [n.operator for n in graph.nodes][:4] == [
        *("Read", "Read", "SliceAssembly", "Apply-Orbit-File"),
    ]
    assert "input2" in graph.placeholders


def test_a_window_that_snap_has_not_is_refused():
    with pytest.raises(ConfigError, match="5 to 17 for SNAP's Lee Sigma, found 3"):
        recipe(Chain(speckle="lee-sigma", speckle_window=3))
