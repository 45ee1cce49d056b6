"""External radar engines end to end: SNAP against a stand-in that checks its input; OTB itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from skymend.core.errors import ConfigError, ProductError, RetryableError, SkipJob, ToolMissingError
from skymend.core.grid import Grid, Window
from skymend.core.raster import describe, read, read_labels
from skymend.products.sentinel1 import open_grd
from skymend.sar.calibration import Radiometry
from skymend.sar.dimap import open_result
from skymend.sar.engine import Chain
from skymend.sar.engines import open_engine
from skymend.sar.snap import GPT, SnapEngine, SnapSettings
from skymend.sar.snap_research import templates
from skymend.sar.speckle import filter_speckle
from skymend.simulate import tiny
from skymend.simulate.radar_series import write_pass_grd, write_wide_elevation
from tests.engine_case import FOOTPRINT, GRID, make_dem, make_safe
from tests.integration.standin_gpt import place
from tests.sar_case import lookup

STANDIN = Path(__file__).with_name("standin_gpt.py")


@pytest.fixture
def gpt(tmp_path, monkeypatch):
    """A program named gpt that runs the stand-in; returns the file where it notes its arguments."""
    program = tmp_path / "snap" / "bin" / "gpt"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STANDIN}" "$@"\n')
    program.chmod(0o755)
    log = tmp_path / "arguments.json"
    monkeypatch.delenv("SKYMEND_GPT", raising=False)
    monkeypatch.setenv("SNAP_HOME", str(tmp_path / "snap"))
    monkeypatch.setenv("STANDIN_LOG", str(log))
    extract = Path(__file__).resolve().parents[3] / "shared" / "specs" / "snap_operators.json"
    if extract.is_file():
        monkeypatch.setenv("STANDIN_OPERATORS", str(extract))
    return log


@pytest.fixture
def case(tmp_path):
    """A product, a DEM, and folders for results and work."""
    for folder in ("out", "work"):
        (tmp_path / folder).mkdir()
    return {
        "products": [make_safe(tmp_path / "in")],
        "grid": GRID,
        "dem": make_dem(tmp_path),
        "out": tmp_path / "out",
        "work": tmp_path / "work",
    }


def run(engine, case, chain=Chain(), **changes):  # noqa: B008 - frozen
    arguments = {**case, **changes}
    where = [arguments.pop(name) for name in ("products", "grid", "dem", "out")]
    return engine.process(*where, chain=chain, **arguments)


def expected(grid, nth=0):
    a, _, left, _, _, top = grid.transform
    x = left + (np.arange(grid.shape[1]) + 0.5) * a
    y = top - (np.arange(grid.shape[0]) + 0.5) * a
    return (place(x, y[:, None]) * 2.0**-nth).astype(np.float32)


def test_snap_makes_a_scene_whose_pixels_lie_where_they_belong(gpt, case):
    seen = []
    engine = SnapEngine(SnapSettings(memory_gb=4.0), progress=seen.append)
    scene = run(engine, case, cpus=2)
    assert describe(scene.backscatter).grid == GRID
    assert describe(scene.backscatter).bands == ("VV", "VH")
    power = read(scene.backscatter)
    np.testing.assert_array_equal(power[0], expected(GRID))
    np.testing.assert_array_equal(power[1], expected(GRID, 1))
    assert describe(scene.incidence).bands == ("local", "ellipsoid")
    # The incidence is stored in hundredths of a degree.
    np.testing.assert_allclose(read(scene.incidence)[:, 5, 5], [37.25, 38.5], atol=0.005)
    assert set(np.unique(read_labels(scene.state))) == {0, 1, 2, 3}
    assert seen[0] == 0.1
    assert seen[-1] == 1.0
    assert scene.facts["convention"] == "gamma0-flattened"
    said = json.loads(gpt.read_text())
    assert said["options"]["-q"] == "2"
    assert said["options"]["-c"] == "3072M"
    assert said["values"]["crs"] == "EPSG:32633"


@pytest.mark.parametrize(
    "chain",
    [
        Chain(convention="sigma0", speckle="lee-sigma", polarisations=("VH",)),
        Chain(convention="gamma0", multilook=2, speckle="refined-lee"),
        Chain(convention="beta0", remove_thermal_noise=False, remove_border_noise=False),
    ],
)
def test_snap_takes_every_convention(gpt, case, chain):
    scene = run(SnapEngine(), case, chain)
    assert scene.facts["convention"] == chain.convention
    np.testing.assert_array_equal(read(scene.backscatter)[0], expected(GRID))
    assert describe(scene.backscatter).bands == (chain.polarisations or ("VV", "VH"))


def test_snap_results_in_decibel(gpt, case):
    scene = run(SnapEngine(), case, Chain(decibel=True, polarisations=("VV",)))
    np.testing.assert_allclose(read(scene.backscatter)[0], 10 * np.log10(expected(GRID)), rtol=1e-6)


def test_snap_assembles_the_slices_of_a_pass(gpt, case, tmp_path):
    second = make_safe(
        tmp_path / "in",
        name="S1B_IW_GRDH_1SDV_20211223T051147_20211223T051212_030148_039993_1111.SAFE",
        start="2021-12-23T05:11:47.594441",
        stop="2021-12-23T05:12:12.593249",
    )
    run(SnapEngine(), case, products=[second, *case["products"]])
    values = json.loads(gpt.read_text())["values"]
    assert values["input1"].endswith("5371.SAFE")
    assert values["input2"].endswith("1111.SAFE")


def test_snap_uses_the_orbit_file_given(gpt, case, tmp_path):
    eof = "S1B_OPER_AUX_RESORB_OPOD_20211223T090000_V20211223T040000_20211223T072000.EOF"
    (tmp_path / eof).write_text("<Earth_Explorer_File/>")
    scene = run(SnapEngine(), case, orbit=tmp_path / eof)
    said = json.loads(gpt.read_text())
    assert said["values"]["orbitType"] == "Sentinel Restituted (Auto Download)"
    assert "snap-user" in said["options"]["-J-Dsn"]
    assert scene.facts["orbit"] == ["RESORB"]
    assert scene.facts["orbit_file"] == [eof]


def test_snap_runs_a_graph_of_the_users_own(gpt, case, tmp_path):
    graph = tmp_path / "mine.xml"
    graph.write_text(templates()["s1-zs-utm-subset"].graph.xml())
    scene = run(SnapEngine(SnapSettings(graph=graph)), case)
    assert "Multilook" in scene.facts["operators"]
    assert scene.state is None
    assert describe(scene.incidence).bands == ("local",)
    graph.write_text(compose_without_write())
    with pytest.raises(ConfigError, match="whose result nobody uses"):
        run(SnapEngine(SnapSettings(graph=graph)), case)


def compose_without_write():
    text = templates()["s1-zs-utm-subset"].graph.xml()
    return text[: text.index('  <node id="Write">')] + "</graph>"


@pytest.mark.parametrize("name", templates())
def test_every_research_graph_passes_the_stand_in(gpt, case, tmp_path, name):
    """Each file of snap-graphs/ as a user runs it: defaults, product, result, UTM zone."""
    template = templates()[name]
    graph = tmp_path / "graph.xml"
    graph.write_text(template.graph.xml())
    values = {
        **template.defaults,
        **{"input": case["products"][0], "output": tmp_path / "target.dim"},
        **{"crs": "EPSG:32633", "spacingMeter": "2000", "dem": "SRTM 1Sec HGT"},
        "subset": "POLYGON((12 41.5,13 41.5,13 42,12 42,12 41.5))",
    }
    options = [f"-P{key}={value}" for key, value in values.items()]
    done = subprocess.run(
        [GPT.find(), graph, "-e", *options, "-c", "1G", "-q", "1", "-x"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    bands = set(open_result(tmp_path / "target.dim").bands)
    if name.startswith("s1-"):
        assert {"s1-z": "Gamma0_VH"}.get(name[:4], "Sigma0_VH") in bands
        assert ("localIncidenceAngle" in bands) == ("zs" in name)
    else:
        assert {"B2", "B3", "B4"} <= bands


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("java.lang.OutOfMemoryError: Java heap space", ConfigError),
        ("Error: java.net.UnknownHostException: step.esa.int", RetryableError),
    ],
)
def test_failures_of_snap_become_outcomes(gpt, case, monkeypatch, words, outcome):
    monkeypatch.setenv("STANDIN_SAYS", words)
    with pytest.raises(outcome):
        run(SnapEngine(), case)
    assert list(case["out"].iterdir()) == []


FAULTS = {
    "garbage": ("head -c 3000000 /dev/urandom; exit 1", "expected SNAP to process the product"),
    "nothing": ("exit 0", "a result of SNAP, found no such file"),
    "document": ("DOC", "an ENVI image or GeoTIFF, found none"),
    "truncated": ("CUT", "20000: it was not written to its end"),
    "half a document": ("HALF", "well-formed XML"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_gpt_gone_wrong_leaves_a_sentence_and_nothing_else(gpt, case, monkeypatch, fault):
    """It dies, ends well without a result, or leaves half of one."""
    script, sentence = FAULTS[fault]
    program, data = gpt.parent / "gpt", case["work"] / "snap.data"
    whole = f'"{sys.executable}" "{STANDIN}" "$@"'
    endings = {
        "DOC": f"rm -r {data}",
        "CUT": f"for f in {data}/Gamma0_VH.img; do truncate -s 20000 $f; done",
        "HALF": f"truncate -s 300 {case['work']}/snap.dim",
    }
    script = f"{whole} && {endings[script]}" if script in endings else script
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("SKYMEND_GPT", str(program))
    with pytest.raises(ProductError, match=sentence) as caught:
        run(SnapEngine(), case)
    assert str(caught.value).isprintable()
    assert [p for p in case["out"].iterdir() if not p.name.startswith(".")] == []


def test_a_gpt_that_is_killed_may_be_tried_again(gpt, case, monkeypatch):
    program = gpt.parent / "gpt"
    program.write_text("#!/bin/sh\necho 10%; kill -KILL $$\n")
    program.chmod(0o755)
    monkeypatch.setenv("SKYMEND_GPT", str(program))
    with pytest.raises(RetryableError, match="ended by signal 9"):
        run(SnapEngine(), case)
    assert list(case["out"].iterdir()) == []


def test_a_pass_beside_the_area_is_skipped(gpt, case, tmp_path):
    away = FOOTPRINT.replace(",1", ",2")
    product = make_safe(tmp_path / "away", footprint=away)
    with pytest.raises(SkipJob, match="does not touch the area"):
        run(SnapEngine(), case, products=[product])
    assert list(case["out"].iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("${input}", "${nothing}", "Undefined variable 'nothing'"),
        ("<operator>Calibration<", "<operator>Calibrate<", "SPI not found"),
        ("auxFile>", "auxfile>", "Unknown element 'auxfile'"),
        ("Product Auxiliary File", "Some File", "Value for 'auxFile' is invalid"),
        ('refid="Read"', 'refid="Raed"', "Unknown source Raed"),
    ],
)
def test_the_stand_in_can_refuse(gpt, case, tmp_path, old, new, sentence):
    """A check that cannot fail is none: bent graphs must not pass the stand-in."""
    if old not in {"${input}", 'refid="Read"'} and "STANDIN_OPERATORS" not in os.environ:
        pytest.skip("the extract of SNAP's operators is not beside the checkout")
    graph = tmp_path / "bent.xml"
    graph.write_text(templates()["s1-v1"].graph.xml().replace(old, new))
    values = {**templates()["s1-v1"].defaults, "input": case["products"][0], "output": "x.dim"}
    values["subset"] = "POLYGON((12 41.5,13 41.5,13 42,12 42,12 41.5))"
    done = subprocess.run(
        [GPT.find(), graph, *(f"-P{k}={v}" for k, v in values.items()), "-c", "1G", "-q", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert sentence in done.stdout


def test_snap_through_a_python_of_its_own(case, tmp_path, monkeypatch):
    """The esa-snappy door: a child process; here its Java is a stand-in written for this test."""
    package = tmp_path / "lib" / "esa_snappy"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(SNAPPY)
    monkeypatch.setenv("PYTHONPATH", f"{package.parent}:{STANDIN.parent}")
    monkeypatch.setenv("STANDIN_JAVA", str(tmp_path / "java.json"))
    seen = []
    engine = SnapEngine(SnapSettings(snappy=Path(sys.executable), memory_gb=2.0), seen.append)
    scene = run(engine, case, cpus=2)
    np.testing.assert_array_equal(read(scene.backscatter)[0], expected(GRID))
    java = json.loads((tmp_path / "java.json").read_text())
    assert java == {"options": "-Xmx2048M", "cache": 1536 << 20, "threads": 2, "console": "out"}
    assert seen == [share / 10 for share in range(1, 11)]
    (package / "__init__.py").write_text("raise RuntimeError('no Java here')")
    with pytest.raises(ToolMissingError, match="no Java here"):
        run(SnapEngine(SnapSettings(snappy=Path(sys.executable))), case)


SNAPPY = '''
"""Plays the part of jpy: Java types by name, over the stand-in for gpt."""
import json, os
import standin_gpt
told = {"options": os.environ["_JAVA_OPTIONS"]}
class HashMap(dict):
    put = dict.__setitem__
class FileReader:
    def __init__(self, path): self.path = path
    def close(self): pass
class GraphIO:
    @staticmethod
    def read(reader, variables): return reader.path, variables
class System:
    out = "out"
class PrintWriterConciseProgressMonitor:
    def __init__(self, console): told["console"] = console
class Tiles:
    def setMemoryCapacity(self, size): told["cache"] = size
    def setParallelism(self, threads): told["threads"] = threads
class JAI:
    getTileCache = getTileScheduler = lambda self: Tiles()
    @staticmethod
    def getDefaultInstance(): return JAI()
class GraphProcessor:
    def executeGraph(self, graph, monitor):
        path, values = graph
        with open(os.environ["STANDIN_JAVA"], "w") as file:
            json.dump(told, file)
        try:
            standin_gpt.main([path, *(f"-P{k}={v}" for k, v in values.items()),
                              "-c", "1G", "-q", "1"])
        except standin_gpt.Refused as refused:
            raise RuntimeError(str(refused))
class jpy:
    @staticmethod
    def get_type(name):
        if name == "org.eclipse.imagen.JAI":
            raise ValueError(f"Java class '{name}' not found")
        return globals()[name.rpartition(".")[2]]
'''


def test_engines_open_by_name(gpt):
    assert open_engine("snap").name == "snap"


def test_snap_refuses_a_geoid_and_a_missing_channel(gpt, case, tmp_path):
    with pytest.raises(ConfigError, match="none: SNAP adds its own EGM96"):
        run(SnapEngine(), case, geoid=tmp_path / "egm08.gtx")
    with pytest.raises(ProductError, match="expected the polarisation HH, found VV, VH"):
        run(SnapEngine(), case, Chain(polarisations=("HH",)))
    other = make_safe(tmp_path / "other", start="2021-12-24T05:11:22", stop="2021-12-24T05:11:47")
    with pytest.raises(ProductError, match="a slice of the same pass"):
        run(SnapEngine(), case, products=[*case["products"], other])


def test_a_grid_off_the_product_is_filled_with_nothing(gpt, case):
    """A part of the grid that SNAP's result does not reach stays NaN."""
    wide = Grid(GRID.crs, GRID.transform, (GRID.shape[0], 40)).crop(Window(0, 0, 120, 40))
    scene = run(SnapEngine(), case, grid=wide)
    assert np.isfinite(read(scene.backscatter)).all()


# Orfeo ToolBox, the real one --------------------------------------------------------------------

needs_otb = pytest.mark.skipif(
    shutil.which("otbcli_SARCalibration") is None, reason="otb-bin is not installed"
)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A simulated pass without speckle in two slices, and the elevation it saw."""
    scenario = tiny()
    folder = tmp_path_factory.mktemp("pass")
    products = write_pass_grd(folder, scenario, scenario.radar_passes()[0], grainless=True)
    write_wide_elevation(folder / "dem.tif", scenario)
    return products, folder / "dem.tif", scenario.grid


def process(name, simulated, folder, chain, **changes):
    products, dem, grid = simulated
    for part in ("out", "work"):
        (folder / name / part).mkdir(parents=True)
    return open_engine(name).process(
        products,
        grid,
        dem,
        folder / name / "out",
        chain=chain,
        work=folder / name / "work",
        cpus=2,
        **changes,
    )


@needs_otb
def test_otb_and_the_embedded_engine_see_the_same(simulated, tmp_path):
    chain = Chain(convention="sigma0", resampling="nearest", remove_thermal_noise=False)
    scene = process("otb", simulated, tmp_path, chain)
    grid = simulated[2]
    assert describe(scene.backscatter).grid == grid
    assert describe(scene.backscatter).bands == ("VV", "VH")
    images = sorted((tmp_path / "otb" / "work" / "s1tiling").rglob("*.tif"))
    assert [p.name for p in images] == [
        "s1a_31TCJ_vh_DES_110_20180602txxxxxx.tif",
        "s1a_31TCJ_vv_DES_110_20180602txxxxxx.tif",
    ]
    theirs = read(scene.backscatter)
    ours = read(process("embedded", simulated, tmp_path, chain).backscatter)
    both = np.isfinite(theirs) & np.isfinite(ours)
    assert both.mean() > 0.97
    # Nearest pixels: where both take the same one, the calibration agrees to float precision.
    ratio = theirs[both] / ours[both]
    assert (np.abs(ratio - 1) < 1e-5).mean() > 0.8
    assert abs(10 * np.log10(np.median(ratio))) < 0.01


@needs_otb
def test_otb_removes_noise_down_to_a_floor(simulated, tmp_path, monkeypatch):
    # Every 40 m, OTB's geometry cuts the bright slopes of these hills short, by 0.07 dB.
    monkeypatch.setattr("skymend.sar.otb._GRID_SPACING_M", 10.0)
    chain = Chain(convention="beta0", polarisations=("VH",))
    scene = process("otb", simulated, tmp_path, chain)
    plain = process(
        "embedded", simulated, tmp_path, Chain(convention="beta0", polarisations=("VH",))
    )
    theirs, ours = read(scene.backscatter)[0], read(plain.backscatter)[0]
    assert np.nanmin(theirs) >= 1e-7
    both = np.isfinite(theirs) & np.isfinite(ours)
    assert abs(10 * np.log10(theirs[both].mean() / ours[both].mean())) < 0.01
    assert scene.facts["thermal_noise_removed"]
    assert set(scene.facts) <= set(plain.facts)


@needs_otb
def test_otb_takes_the_same_noise_away(simulated, tmp_path):
    """What SARCalibration subtracts, in DN^2, is range times azimuth table at every pixel."""
    product = open_grd(simulated[0][0])
    measurement = product.path / product.manifest.files["measurement", "VH"]
    power = {}
    for removed in ("true", "false"):
        target = tmp_path / f"{removed}.tif"
        options = ["-in", measurement, "-out", target, "float", "-lut", "beta"]
        command = ["otbcli_SARCalibration", *options, "-removenoise", removed]
        subprocess.run([str(c) for c in command], check=True, capture_output=True)
        power[removed] = rasterio.open(target).read(1).astype(np.float64)
    window = Window(0, 0, *power["true"].shape)
    table, noise = product.calibration("VH").tables["beta0"], product.noise("VH")
    gain = lookup(table, np.arange(window.rows), np.arange(window.columns))
    clear = power["true"] > 0
    assert clear.mean() > 0.9
    taken = ((power["false"] - power["true"]) * gain**2)[clear]
    # Differences of float32 powers up to fifty times the noise.
    expected = Radiometry(table, noise).noise_power(window)[clear]
    np.testing.assert_allclose(taken, expected, rtol=1e-4)


@needs_otb
@pytest.mark.parametrize(
    ("chain", "sentence"),
    [
        (Chain(), "sigma0, gamma0 or beta0 with the engine otb, found gamma0-flattened"),
        (Chain(convention="sigma0", speckle="lee"), "chain.speckle: expected none"),
    ],
)
def test_otb_refuses_what_it_has_not(simulated, tmp_path, chain, sentence):
    with pytest.raises(ConfigError, match=sentence):
        process("otb", simulated, tmp_path, chain)


@needs_otb
def test_a_failure_of_otb_is_one_sentence(simulated, tmp_path):
    products, dem, grid = simulated
    broken = tmp_path / products[0].name
    shutil.copytree(products[0], broken)
    for file in (broken / "measurement").glob("*-vv-*.tiff"):
        file.write_bytes(file.read_bytes()[:5000])
    chain = Chain(convention="sigma0", polarisations=("VV",), remove_border_noise=False)
    with pytest.raises(ProductError, match="OTB SARCalibration: expected to run to its end"):
        process("otb", ([broken], dem, grid), tmp_path, chain)
    assert list((tmp_path / "otb" / "out").iterdir()) == []


@needs_otb
def test_otb_despeckles_as_lee_with_its_own_weight(tmp_path):
    """OTB weighs by 1 - Cu^2 / Ci^2 with the sample variance; ours follows from its output."""
    looks, n = 4.4, 49
    rng = np.random.default_rng(3)
    shape = (120, 130)
    power = rng.gamma(looks, 1 / looks, shape) * rng.gamma(6, 1 / 6, shape)
    power = power.astype(np.float32)
    write_plain(tmp_path / "in.tif", power)
    options = ["-filter", "lee", "-filter.lee.rad", "3", "-filter.lee.nblooks", str(looks)]
    done = subprocess.run(
        ["otbcli_Despeckle", "-in", tmp_path / "in.tif", "-out", tmp_path / "out.tif", *options],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    with rasterio.open(tmp_path / "out.tif") as file:
        theirs = file.read(1).astype(np.float64)
    mean = filter_speckle("boxcar", power, looks=looks).astype(np.float64)
    weight = (theirs - mean) / (power - mean)
    ours = np.maximum(1 - (1 - weight) * n / (n - 1), 0) / (1 + 1 / looks)
    # Where pixel and mean nearly agree the weight is lost in rounding; OTB clips it at 0.
    clear = (np.abs(power / mean - 1) > 0.05) & (weight > 1e-3)
    clear[:4] = clear[-4:] = clear[:, :4] = clear[:, -4:] = False
    assert clear.mean() > 0.7
    expected = mean + ours * (power - mean)
    lee = filter_speckle("lee", power, looks=looks)
    np.testing.assert_allclose(lee[clear], expected[clear], rtol=2e-4)


def write_plain(path, values):
    profile = {"driver": "GTiff", "height": values.shape[0], "width": values.shape[1], "count": 1}
    with rasterio.open(path, "w", dtype="float32", **profile) as file:
        file.write(values, 1)


# S1Tiling, a stand-in for its program ------------------------------------------------------------

S1PROCESSOR = """#!{python}
import configparser, os, sys
from pathlib import Path
import numpy as np, rasterio
from rasterio.transform import Affine
if os.environ.get("STANDIN_EXIT"):
    print("CRITICAL - as told")
    sys.exit(int(os.environ["STANDIN_EXIT"]))
config = configparser.ConfigParser()
config.read(sys.argv[1])
paths, source = config["Paths"], config["DataSource"]
products = list(Path(paths["s1_images"]).glob("*/*.SAFE/manifest.safe"))
assert products and list(Path(paths["dem_dir"]).glob("N*E*.tif"))
assert Path(paths["geoid_file"]).is_file()
suffix = {{"sigma": "", "gamma": "_gamma", "beta": "_beta", "gamma_naught_rtc": "_GammaNaughtRTC"}}
calibration, tile = suffix[config["Processing"]["calibration"]], config["Processing"]["tiles"]
folder = Path(paths["output"]) / tile
folder.mkdir(parents=True)
step = float(config["Processing"]["output_spatial_resolution"])
side = round(109800 / step)
day = source["first_date"].replace("-", "")
for number, channel in enumerate(source["polarisation"].lower().split("-")):
    name = f"{{source['platform_list'].lower()}}_{{tile}}_{{channel}}_{{source['orbit_direction']}}"
    name += f"_{{int(source['relative_orbit_list']):03d}}_{{day}}t051122{{calibration}}.tif"
    values = np.arange(side * side, dtype="f4").reshape(side, side) + number
    with rasterio.open(folder / name, "w", driver="GTiff", height=side, width=side, count=1,
                       dtype="float32", crs="EPSG:32633",
                       transform=Affine(step, 0, 199980, 0, -step, 4700040)) as file:
        file.write(values, 1)
"""


@pytest.fixture
def s1processor(tmp_path, monkeypatch):
    program = tmp_path / "S1Processor"
    program.write_text(S1PROCESSOR.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("SKYMEND_S1PROCESSOR", str(program))
    monkeypatch.setattr("skymend.sar.s1tiling_inputs._POSTS", 37)


@pytest.mark.parametrize("convention", ["sigma0", "gamma0", "gamma0-flattened"])
def test_s1tiling_makes_a_scene(s1processor, case, convention):
    whole = Grid.from_mgrs("33TTG", 100.0)
    grid = whole.crop(Window(500, 300, 40, 60))
    scene = run(open_engine("s1tiling"), case, Chain(convention=convention), grid=grid)
    first = np.arange(1098 * 1098, dtype=np.float32).reshape(1098, 1098)[500:540, 300:360]
    np.testing.assert_array_equal(read(scene.backscatter), np.stack([first, first + 1]))
    assert scene.facts["convention"] == convention
    assert (scene.incidence, scene.state) == (None, None)


@pytest.mark.parametrize(
    ("code", "outcome"), [("67", RetryableError), ("74", SkipJob), ("77", ToolMissingError)]
)
def test_exit_codes_of_s1tiling_become_outcomes(s1processor, case, monkeypatch, code, outcome):
    monkeypatch.setenv("STANDIN_EXIT", code)
    grid = Grid.from_mgrs("33TTG", 100.0).crop(Window(500, 300, 40, 60))
    with pytest.raises(outcome):
        run(open_engine("s1tiling"), case, Chain(convention="sigma0"), grid=grid)
    assert list(case["out"].iterdir()) == []
