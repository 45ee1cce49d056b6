"""SNAP: every graph node by node against SNAP's own operators, and how its results are read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from skymend.core import resources
from skymend.core.errors import (
    ConfigError,
    ProductError,
    RetryableError,
    SkipJob,
    SkymendError,
    StoreError,
    ToolMissingError,
)
from skymend.core.grid import Grid, Window
from skymend.sar.dimap import open_result
from skymend.sar.engine import Chain
from skymend.sar.external import Container, Finished, find_program, run_program
from skymend.sar.snap import (
    SnapEngine,
    SnapSettings,
    find_gpt,
    gpt_options,
    judge,
    recipe,
)
from skymend.sar.snap_graphs import Graph, GraphNode, Recipe, compose, parse_graph
from skymend.sar.snap_inputs import elevation, orbit_home, subset_wkt
from skymend.sar.snap_research import templates, write_templates
from tests.engine_case import make_safe

GRID = Grid("EPSG:32633", (10.0, 0.0, 300_000.0, 0.0, -10.0, 4_600_000.0), (40, 50))

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


# Chain to graph, options ------------------------------------------------------------------------


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


def test_options_of_gpt():
    options = gpt_options({"b": "x y", "a": "1"}, 4.0, 3)
    assert options == ["-e", "-Pa=1", "-Pb=x y", "-c", "3072M", "-q", "3", "-x", "-J-Xmx4096M"]
    assert "-J-Dsnap.userdir=home" in gpt_options({}, 4.0, 1, Path("home"))


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("SKYMEND_SNAP_IMAGE", "skymend-snap")
    monkeypatch.setenv("SKYMEND_SNAP_MEMORY_GB", "24")
    settings = SnapSettings.of_environment()
    assert (settings.image, settings.memory_gb, settings.graph) == ("skymend-snap", 24.0, None)
    monkeypatch.setenv("SKYMEND_SNAP_MEMORY_GB", "much")
    with pytest.raises(ConfigError, match="gigabytes, 1 or more, found 'much'"):
        SnapSettings.of_environment()


def test_gpt_is_found_or_missed_in_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for variable in ("SKYMEND_GPT", "SNAP_HOME"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ToolMissingError, match="none in SKYMEND_GPT, SNAP_HOME or on the PATH"):
        find_gpt()
    program = tmp_path / "bin" / "gpt"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    monkeypatch.setenv("SNAP_HOME", str(tmp_path))
    with pytest.raises(ToolMissingError, match="a file without permission to run"):
        find_gpt()
    program.chmod(0o755)
    assert find_gpt() == program
    assert find_program("gpt", variable="NONE_SUCH") is None


def test_the_area_is_given_with_a_margin_in_degrees():
    text = subset_wkt(GRID)
    assert text.startswith("POLYGON((")
    numbers = [tuple(map(float, p.split())) for p in text[9:-2].split(",")]
    west, south = numbers[0]
    east, north = numbers[2]
    # 500 x 400 m and 5 km on each side, at 41.5 degrees north.
    assert (north - south) * 111.0 == pytest.approx(10.4, abs=0.4)
    assert (east - west) * 111.3 * np.cos(np.radians(41.5)) == pytest.approx(10.5, abs=0.4)


def test_the_antimeridian_is_refused():
    grid = Grid("EPSG:32660", (10.0, 0.0, 712_000.0, 0.0, -10.0, 5_600_000.0), (40, 50))
    with pytest.raises(ConfigError, match="an area on one side of the antimeridian"):
        subset_wkt(grid)


def test_the_dem_is_written_plainly_and_geographic(tmp_path):
    source = tmp_path / "source.tif"
    profile = {"driver": "GTiff", "width": 900, "height": 900, "count": 1, "dtype": "int16"}
    transform = Affine(0.001, 0, 12.1, 0, -0.001, 42.0)
    with rasterio.open(source, "w", crs="EPSG:4326", transform=transform, **profile) as dataset:
        dataset.write(np.full((900, 900), 321, np.int16), 1)
    with rasterio.open(elevation(source, GRID, tmp_path)) as dataset:
        assert dataset.crs.to_epsg() == 4326
        assert dataset.nodata == -32768
        assert dataset.compression is None
        left, bottom, right, top = dataset.bounds
        assert dataset.read(1)[dataset.index((left + right) / 2, (bottom + top) / 2)] == 321
    far = Grid("EPSG:32633", (10.0, 0.0, 300_000.0, 0.0, -10.0, 5_600_000.0), (40, 50))
    with pytest.raises(ProductError, match="heights inside the area, found none"):
        elevation(source, far, tmp_path)


def test_an_orbit_file_lies_where_snap_looks(tmp_path):
    name = "S1A_OPER_AUX_POEORB_OPOD_20210210T121637_V20210120T225942_20210122T005942.EOF"
    orbit = tmp_path / name
    orbit.write_text("<Earth_Explorer_File/>")
    home = orbit_home(orbit, tmp_path)
    inside = "auxdata/Orbits/Sentinel-1/POEORB/S1A/2021/01"
    assert (home / inside / f"{name}.zip").is_file()
    with pytest.raises(ConfigError, match="a file such as S1A_OPER_AUX_POEORB"):
        orbit_home(tmp_path / "orbit.eof", tmp_path)


# Outcomes ---------------------------------------------------------------------------------------

WORDS = {
    "java.lang.OutOfMemoryError: Java heap space": ConfigError,
    "Error: java.net.UnknownHostException: step.esa.int": RetryableError,
    "Error: [NodeId: Read] No product reader found for file": ProductError,
    "Error: [NodeId: Subset] The region does not intersect with the product": SkipJob,
    "java.io.IOException: No space left on device": StoreError,
    "Error: [NodeId: Terrain-Correction] Entire image is outside of SRTM valid area": ProductError,
    "Error: esa_snappy cannot be imported: No module named 'esa_snappy'": ToolMissingError,
    "Error: something never heard of": ProductError,
}


@pytest.mark.parametrize("words", WORDS)
def test_a_failure_becomes_its_outcome(words):
    with pytest.raises(WORDS[words]) as caught:
        judge(Finished(1, ("Executing processing graph", words, "done")), [Path("S1A.zip")])
    if WORDS[words] is not SkipJob and WORDS[words] is not StoreError:
        assert words.strip() in str(caught.value)


def test_success_and_death():
    judge(Finished(0, ("100% done.",)), [Path("S1A.zip")])
    for code in (-9, 137):
        with pytest.raises(RetryableError, match="ended by signal 9"):
            judge(Finished(code, ()), [Path("S1A.zip")])


def test_a_program_is_watched_while_it_runs(tmp_path):
    seen = []
    script = "printf 'ten 10%%'; printf '...20%%\\nError: no\\n' >&2; exit 3"
    finished = run_program(["sh", "-c", script], on_text=seen.append, folder=tmp_path)
    assert finished.code == 3
    assert finished.lines == ("ten 10%...20%", "Error: no")
    assert "10%" in "".join(seen)
    with pytest.raises(ToolMissingError, match="a program that can be started"):
        run_program([str(tmp_path / "nothing")])


def test_a_container_sees_its_files_and_nothing_else(tmp_path):
    product, work = tmp_path / "S1,A.zip", tmp_path / "work"
    command = Container("image", network=False).command(
        ["gpt", "x"], read=[product, work], write=[work], memory_gb=2, cpus=1
    )
    assert command[-3:] == ["image", "gpt", "x"]
    mounts = [command[i + 1] for i, part in enumerate(command) if part == "--mount"]
    assert mounts == [
        f"type=bind,src={work},dst={work}",
        f'type=bind,"src={product}","dst={product}",readonly',
    ]
    assert command[command.index("--network") + 1] == "none"
    assert "--pull=never" in command


# Results ----------------------------------------------------------------------------------------


def dimap(folder, bands, grid, *, nodata=0.0, href=None):
    """Write a BEAM-DIMAP product as SNAP lays it out: big-endian ENVI images and a document."""
    data = folder / "target.data"
    data.mkdir(parents=True)
    files, infos = "", ""
    for index, (name, values) in enumerate(bands.items()):
        profile = {"driver": "ENVI", "width": grid.shape[1], "height": grid.shape[0], "count": 1}
        with rasterio.open(
            data / f"{name}.img",
            "w",
            dtype=values.dtype,
            crs=grid.crs,
            transform=Affine(*grid.transform),
            **profile,
        ) as dataset:
            dataset.write(values, 1)
        link = href or f"target.data/{name}.hdr"
        files += (
            f'<Data_File><DATA_FILE_PATH href="{link}"/><BAND_INDEX>{index}</BAND_INDEX>'
            "</Data_File>"
        )
        infos += (
            f"<Spectral_Band_Info><BAND_INDEX>{index}</BAND_INDEX><BAND_NAME>{name}</BAND_NAME>"
            f"<NO_DATA_VALUE>{nodata}</NO_DATA_VALUE></Spectral_Band_Info>"
        )
    document = folder / "target.dim"
    document.write_text(
        f"<Dimap_Document><Data_Access>{files}</Data_Access>"
        f"<Image_Interpretation>{infos}</Image_Interpretation></Dimap_Document>"
    )
    return document


def ramp(grid):
    return (np.arange(grid.shape[0] * grid.shape[1], dtype=np.float32) + 1).reshape(grid.shape)


def test_a_band_on_the_same_lattice_is_copied(tmp_path):
    wide = GRID.crop(Window(-7, -3, 60, 70))
    values = ramp(wide)
    values[9, 5] = 0
    product = open_result(dimap(tmp_path, {"Gamma0_VV": values}, wide))
    read = product.read("Gamma0_VV", GRID, nodata=0.0)
    expected = values[7:47, 3:53].copy()
    expected[2, 2] = np.nan
    np.testing.assert_array_equal(read, expected)
    beyond = GRID.crop(Window(-20, 30, 40, 50))
    read = product.read("Gamma0_VV", beyond, nodata=0.0)
    assert np.isnan(read[:13]).all()
    np.testing.assert_array_equal(read[13:, :37], values[:27, 33:])


def test_another_lattice_is_interpolated(tmp_path):
    shifted = Grid(GRID.crs, (10.0, 0.0, 299_905.0, 0.0, -10.0, 4_600_105.0), (80, 90))
    rows, columns = np.mgrid[: shifted.shape[0], : shifted.shape[1]].astype(np.float32)
    product = open_result(dimap(tmp_path, {"Sigma0_VV": 5 + rows + 2 * columns}, shifted))
    read = product.read("Sigma0_VV", GRID, nodata=0.0)
    rows, columns = np.mgrid[:40, :50]
    # Half a pixel off: the mean of four neighbours of a plane is the plane.
    np.testing.assert_allclose(read, 5 + (rows + 10) + 2 * (columns + 9) + 1.5, atol=1e-3)


def test_a_geotiff_tells_its_bands_in_a_tag(tmp_path):
    document = (
        "<Dimap_Document><Image_Interpretation>"
        "<Spectral_Band_Info><BAND_INDEX>0</BAND_INDEX><BAND_NAME>Sigma0_VH</BAND_NAME>"
        "</Spectral_Band_Info><Spectral_Band_Info><BAND_INDEX>1</BAND_INDEX>"
        "<BAND_NAME>Sigma0_VV</BAND_NAME></Spectral_Band_Info></Image_Interpretation>"
        "</Dimap_Document>"
    )
    path = tmp_path / "target.tif"
    write_tagged_tiff(path, np.stack([ramp(GRID), 2 * ramp(GRID)]), document)
    product = open_result(path)
    assert list(product.bands) == ["Sigma0_VH", "Sigma0_VV"]
    assert product.bands["Sigma0_VV"].index == 2


def write_tagged_tiff(path, values, document):
    """A GeoTIFF with the private tag 65000, which GDAL cannot write: Pillow can."""
    from PIL import Image, TiffImagePlugin

    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[65000] = document
    tags.tagtype[65000] = 2
    Image.fromarray(values[0]).save(path, tiffinfo=tags)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda f: f / "missing.dim", "a result of SNAP, found no such file"),
        (lambda f: dimap(f, {"a": ramp(GRID)}, GRID, href="../../etc/a.hdr"), "images inside"),
        (lambda f: text_file(f / "broken.dim", "<Dimap"), "well-formed XML"),
        (lambda f: text_file(f / "plain.tif", "no tiff"), "SNAP's description of the bands"),
    ],
)
def test_a_damaged_result_is_one_sentence(tmp_path, make, sentence):
    with pytest.raises(ProductError, match=sentence):
        open_result(make(tmp_path))


def text_file(path, text):
    path.write_text(text)
    return path


def test_a_missing_image_is_one_sentence(tmp_path):
    document = dimap(tmp_path, {"a": ramp(GRID)}, GRID)
    (tmp_path / "target.data" / "a.img").unlink()
    with pytest.raises(ProductError, match="an ENVI image or GeoTIFF, found none"):
        open_result(document).read("a", GRID)


@pytest.mark.parametrize("kind", ["dim", "hdr", "tif", "graph"])
def test_damaged_files_never_end_in_a_traceback(tmp_path, kind):
    """Two hundred random edits each."""
    document = dimap(tmp_path, {"Gamma0_VV": ramp(GRID)}, GRID)
    header, tiff = tmp_path / "target.data" / "Gamma0_VV.hdr", tmp_path / "target.tif"
    write_tagged_tiff(tiff, ramp(GRID)[None], "<Dimap_Document/>")
    graph = templates()["s1-zs"].graph.xml().encode()
    sources = {"dim": document, "hdr": header, "tif": tiff}
    whole = sources[kind].read_bytes() if kind in sources else graph
    generator = np.random.default_rng(5)
    refused = 0
    for _ in range(200):
        bent = edited(whole, generator)
        try:
            if kind == "graph":
                parse_graph(bent.decode("utf-8", "replace"), "g.xml").check()
                continue
            sources[kind].write_bytes(bent)
            product = open_result(tiff if kind == "tif" else document)
            for band in product.bands:
                product.read(band, GRID)
        except SkymendError:
            refused += 1
    assert refused > 10


def edited(whole, generator):
    """Change, drop or repeat a few bytes; only printable ones are put in."""
    content = bytearray(whole)
    for _ in range(generator.integers(1, 6)):
        at = int(generator.integers(len(content)))
        length = int(generator.integers(1, 40))
        edit = generator.integers(3)
        if edit == 0:
            content[at] = int(generator.integers(32, 127))
        elif edit == 1 and len(content) > 100:
            del content[at : at + length]
        else:
            start = int(generator.integers(len(content)))
            content[at:at] = content[start : start + length]
    return bytes(content)


# In a container -----------------------------------------------------------------------------------


def test_gpt_runs_in_an_image_where_one_is_named(monkeypatch, tmp_path):
    lines = []

    def fake(argv, **_):
        lines.append(argv)
        return Finished(1, ("Error: no product reader found for file",))

    monkeypatch.setattr("skymend.sar.snap.run_program", fake)
    monkeypatch.setattr("skymend.sar.snap.elevation", lambda *a: tmp_path / "work" / "dem.tif")
    (tmp_path / "work").mkdir()
    product = make_safe(tmp_path)
    engine = SnapEngine(SnapSettings(image="skymend-snap", memory_gb=4.0))
    with pytest.raises(ProductError, match="a product that SNAP can read"):
        engine.process(
            [product], GRID, tmp_path, tmp_path, chain=Chain(), work=tmp_path / "work", cpus=3
        )
    (argv,) = lines
    image = argv.index("skymend-snap")
    assert argv[image + 1 : image + 3] == ["gpt", str(tmp_path / "work" / "graph.xml")]
    assert f"type=bind,src={product},dst={product},readonly" in argv
    assert argv[argv.index("--workdir") + 1] == str(tmp_path / "work")
    assert argv[argv.index("--network") + 1] == "bridge"
    assert argv[argv.index("--memory") + 1] == "6144m"


def test_progress_is_read_in_whole_tens():
    seen = []
    engine = SnapEngine(SnapSettings(), progress=seen.append)
    for piece in ("....10%..", "..2", "0%....30%", "...100% done."):
        engine._watch(piece)
    assert seen == [0.1, 0.3, 1.0]
