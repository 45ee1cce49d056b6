"""SNAP as an engine: what gpt is given, and what its ending means."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from skymend.core.errors import (
    ConfigError,
    ProductError,
    RetryableError,
    SkipJob,
    StoreError,
    ToolMissingError,
)
from skymend.core.grid import Grid
from skymend.sar.engine import Chain
from skymend.sar.passes import open_pass
from skymend.sar.programs import Finished
from skymend.sar.snap import GPT, Percentages, SnapEngine, SnapSettings, _facts, gpt_options
from skymend.sar.snap_graphs import Graph
from skymend.sar.snap_inputs import elevation, orbit_home, subset_wkt
from skymend.sar.snap_outcomes import judge
from skymend.sar.snap_research import templates
from tests.engine_case import make_safe

GRID = Grid("EPSG:32633", (10.0, 0.0, 300_000.0, 0.0, -10.0, 4_600_000.0), (40, 50))


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
        GPT.find()
    program = tmp_path / "bin" / "gpt"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    monkeypatch.setenv("SNAP_HOME", str(tmp_path))
    with pytest.raises(ToolMissingError, match="a file without permission to run"):
        GPT.find()
    program.chmod(0o755)
    assert GPT.find() == program


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
    with pytest.raises(RetryableError, match="ended by signal 9"):
        judge(Finished(137, ()), [Path("S1A.zip")])


def test_a_warning_is_no_empty_pass():
    """Words of an empty pass outside an error once made a failed run pass for a skipped one."""
    said = ("WARNING: quicklook of an empty region", "Error: [NodeId: Read] broken pipe")
    with pytest.raises(ProductError, match="broken pipe"):
        judge(Finished(1, said), [Path("S1A.zip")])


@pytest.fixture
def lines(monkeypatch):
    """The command lines that would have run; each ends as if the product were broken."""
    run = []

    def fake(argv, **options):
        run.append((list(argv), options))
        return Finished(1, ("Error: no product reader found for file",))

    monkeypatch.setattr("skymend.sar.external.run_program", fake)
    monkeypatch.setattr("skymend.sar.snap.run_program", fake)
    monkeypatch.setattr("skymend.sar.external.check_ready", lambda *a, **k: None)
    monkeypatch.setattr("skymend.sar.snap.elevation", lambda *a: Path("dem.tif"))
    return run


def process(settings, tmp_path, **changes):
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    options = {"chain": Chain(), "work": work, "cpus": 3, **changes}
    with pytest.raises(ProductError, match="a product that SNAP can read"):
        SnapEngine(settings).process([make_safe(tmp_path)], GRID, tmp_path, tmp_path, **options)
    return work


def orbit_of_the_pass(tmp_path):
    name = "S1B_OPER_AUX_POEORB_OPOD_20220112T111813_V20211222T225942_20211224T005942.EOF"
    (tmp_path / name).write_text("<Earth_Explorer_File/>")
    return tmp_path / name


def test_gpt_runs_in_an_image_where_one_is_named(lines, tmp_path):
    work = process(SnapSettings(image="skymend-snap", memory_gb=4.0), tmp_path)
    ((argv, options),) = lines
    image = argv.index("skymend-snap")
    assert argv[image + 1 : image + 3] == ["gpt", str(work / "graph.xml")]
    (product,) = tmp_path.glob("*.SAFE")
    assert f"type=bind,src={product},dst={product},readonly" in argv
    assert argv[argv.index("--workdir") + 1] == str(work)
    assert argv[argv.index("--memory") + 1] == "6144m"
    assert argv[argv.index("--name") + 1] == options["container"] != ""


def test_gpt_in_an_image_gets_the_network_only_to_look_for_an_orbit(lines, tmp_path):
    settings = SnapSettings(image="skymend-snap")
    process(settings, tmp_path)
    process(settings, tmp_path, orbit=orbit_of_the_pass(tmp_path))
    networks = [argv[argv.index("--network") + 1] for argv, _ in lines]
    assert networks == ["bridge", "none"]


def test_esa_snappy_gets_memory_threads_and_the_orbit_file(lines, tmp_path, monkeypatch):
    """The child once ran with Java's own heap and never saw the orbit file given."""
    monkeypatch.setenv("_JAVA_OPTIONS", "-Dhttps.proxyHost=proxy")
    settings = SnapSettings(snappy=Path("/opt/snap/python"), memory_gb=6.0)
    work = process(settings, tmp_path, orbit=orbit_of_the_pass(tmp_path))
    ((argv, options),) = lines
    assert argv[0] == "/opt/snap/python"
    assert options["environment"] == {
        "_JAVA_OPTIONS": f'-Dhttps.proxyHost=proxy -Xmx6144M "-Dsnap.userdir={work / "snap-user"}"'
    }
    job = json.loads((work / "values.json").read_text())
    assert (job["cache_mb"], job["threads"]) == (4608, 3)
    assert job["values"]["polarisations"] == "VV,VH"


def test_progress_is_told_once_and_survives_a_cut():
    seen = []
    watch = Percentages(seen.append)
    for piece in ("....10%..", "..2", "0%....30%", "...", "10", "0% done.", " 100%"):
        watch(piece)
    assert seen == [0.1, 0.2, 0.3, 1.0]


def test_progress_is_logged_where_nobody_takes_it(caplog):
    with caplog.at_level("INFO", logger="skymend.sar"):
        SnapEngine(SnapSettings()).progress(0.4)
    assert caplog.messages == ["SNAP: 40 %"]


def test_facts_tell_what_a_graph_of_the_users_own_does(tmp_path):
    """The chain's speckle filter and looks were told once, whatever the graph did."""
    track = open_pass([make_safe(tmp_path)], ())
    graph = templates()["s1-zs-utm"].graph
    facts = _facts(track, Chain(), graph, orbit_of_the_pass(tmp_path))
    assert (facts["speckle"], facts["multilook"]) == ("lee-sigma", 2)
    assert facts["orbit"] == ["POEORB"]
    bare = Graph(tuple(n for n in graph.nodes if n.operator != "Apply-Orbit-File"))
    facts = _facts(track, Chain(), bare, orbit_of_the_pass(tmp_path))
    assert (facts["orbit"], facts["orbit_file"]) == (["annotation"], [])
