"""S1Tiling: configuration, layout of its inputs, exit codes, names; its own check of all that."""

from __future__ import annotations

import configparser
import subprocess
import zipfile
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
    SkymendError,
    StoreError,
    ToolMissingError,
)
from skymend.core.grid import Grid, Window
from skymend.sar.engine import Chain
from skymend.sar.external import Order
from skymend.sar.geoid import find_egm96
from skymend.sar.passes import open_pass
from skymend.sar.programs import Finished
from skymend.sar.s1tiling import S1PROCESSOR, S1TilingEngine, judge, take
from skymend.sar.s1tiling_config import S1TilingSettings, ini, prepare
from skymend.sar.s1tiling_inputs import dem_tiles, lay_out, tile_of
from tests.engine_case import NAME, make_safe
from tests.sar_case import copy_safe, rome, write_dn

TILE = "33TTG"
ROOT = Path(__file__).resolve().parents[2]


def wide_dem(folder, west=11.0, south=40.0, east=16.0, north=44.0):
    """A coarse flat DEM over the whole slice."""
    path, step = folder / "wide.tif", 0.02
    shape = (round((north - south) / step), round((east - west) / step))
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        crs="EPSG:4326",
        transform=Affine(step, 0, west, 0, -step, north),
        height=shape[0],
        width=shape[1],
        count=1,
        dtype="float32",
    ) as dataset:
        dataset.write(np.full(shape, 120.6, np.float32), 1)
    return path


@pytest.fixture
def no_dem(monkeypatch):
    """Leave the DEM tiles out: a cell is 13 million heights."""
    monkeypatch.setattr("skymend.sar.s1tiling_config.dem_tiles", lambda *a, **k: [])


def order_of(track, tmp_path, chain, *, resolution=10.0, dem=None, orbit=None):
    grid = Grid.from_mgrs(TILE, resolution)
    dem = dem or tmp_path / "dem.tif"
    return Order(track, grid, dem, tmp_path, chain, orbit, None, tmp_path, 2)


def configured(tmp_path, chain, **changes):
    track = open_pass([make_safe(tmp_path / "in")], chain.polarisations)
    config = prepare(order_of(track, tmp_path, chain, **changes), TILE, S1TilingSettings())
    parser = configparser.ConfigParser()
    parser.read(config)
    return parser


def test_the_chain_becomes_the_configuration(tmp_path, no_dem):
    config = configured(tmp_path, Chain(convention="gamma0", speckle="lee", speckle_window=5))
    assert config["DataSource"]["polarisation"] == "VV-VH"
    assert config["DataSource"]["orbit_direction"] == "DES"
    assert config["DataSource"]["relative_orbit_list"] == "22"
    assert config["DataSource"]["platform_list"] == "S1B"
    assert config["DataSource"]["download"] == "False"
    processing = config["Processing"]
    assert processing["calibration"] == "gamma"
    assert processing["orthorectification_gridspacing"] == "40"
    assert processing["orthorectification_interpolation_method"] == "linear"
    assert processing["nb_otb_threads"] == "2"
    assert processing["fname_fmt.concatenation"].endswith("_{calibration_type}.tif")
    assert dict(config["Filtering"])["window_radius"] == "2"
    assert config["Paths"]["geoid_file"].endswith("egm96_15.gtx")


@pytest.mark.parametrize(
    ("convention", "calibration"),
    [
        ("sigma0", "sigma"),
        ("beta0", "beta"),
        ("gamma0", "gamma"),
        ("gamma0-flattened", "gamma_naught_rtc"),
    ],
)
def test_every_convention_has_its_calibration(tmp_path, no_dem, convention, calibration):
    chain = Chain(convention=convention, resampling="nearest", polarisations=("VH",))
    config = configured(tmp_path, chain)
    assert config["Processing"]["calibration"] == calibration
    assert config["Processing"]["orthorectification_interpolation_method"] == "nn"
    assert config["DataSource"]["polarisation"] == "VH"


def test_an_orbit_file_lies_in_its_folder(tmp_path, no_dem):
    eof = "S1B_OPER_AUX_POEORB_OPOD_20220112T111739_V20211222T225942_20211224T005942.EOF"
    (tmp_path / eof).write_text("orbit")
    config = configured(tmp_path, Chain(), orbit=tmp_path / eof)
    assert (Path(config["Paths"]["eof_dir"]) / eof).read_text() == "orbit"


def test_values_are_protected_from_interpolation():
    text = ini({"Paths": {"output": "/data/100%/out"}})
    parser = configparser.ConfigParser()
    parser.read_string(text)
    assert parser["Paths"]["output"] == "/data/100%/out"
    with pytest.raises(ConfigError, match="expected one line"):
        ini({"Paths": {"output": "/a\n[Processing]"}})


@pytest.mark.parametrize(
    ("chain", "sentence"),
    [
        (Chain(speckle="refined-lee"), "none, lee or gamma-map with the engine s1tiling"),
        (Chain(multilook=2), "chain.multilook: expected 1"),
        (Chain(remove_border_noise=False), r"true \(it always cuts\)"),
    ],
)
def test_what_it_cannot_do_is_refused_before_anything_is_opened(tmp_path, chain, sentence):
    nothing = [tmp_path / "no such product"]
    with pytest.raises(ConfigError, match=sentence):
        S1TilingEngine().process(
            nothing, Grid.from_mgrs(TILE), tmp_path, tmp_path, chain=chain, work=tmp_path
        )


def test_the_tile_of_a_grid():
    whole = Grid.from_mgrs(TILE)
    assert tile_of(whole) == TILE
    assert tile_of(whole.crop(Window(5000, 9000, 64, 64))) == TILE
    corner = Grid.from_mgrs("31TCJ", 20.0).crop(Window(0, 0, 10, 10))
    # Tiles overlap by 10 km: this corner lies in its northern neighbour too; its middle does not.
    assert tile_of(corner) == "31TCJ"
    corner.window_in(Grid.from_mgrs("31TCK", 20.0))
    # The tile reaches west into zone 32.
    assert tile_of(whole.crop(Window(5000, 3000, 64, 64))) == TILE
    with pytest.raises(ConfigError, match="a UTM zone such as EPSG:32631"):
        tile_of(Grid("EPSG:2154", (10.0, 0.0, 250_000.0, 0.0, -10.0, 4_650_000.0), (64, 64)))
    off = Grid(whole.crs, (10.0, 0.0, 250_003.0, 0.0, -10.0, 4_650_000.0), (64, 64))
    with pytest.raises(ConfigError, match="a Sentinel-2 tile, or a window of one"):
        tile_of(off)


def test_products_are_laid_out_linked_or_unpacked(tmp_path):
    safe = make_safe(tmp_path / "in")
    lay_out(open_pass([safe], ()), tmp_path / "a")
    stem = NAME.removesuffix(".SAFE")
    linked = tmp_path / "a" / stem / NAME
    assert linked.is_symlink()
    assert (linked / "manifest.safe").is_file()
    zipped = tmp_path / f"{stem}.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        for file in safe.rglob("*"):
            archive.write(file, f"{NAME}/{file.relative_to(safe)}")
    lay_out(open_pass([zipped], ()), tmp_path / "b")
    unpacked = tmp_path / "b" / stem / NAME
    assert not unpacked.is_symlink()
    assert (unpacked / "manifest.safe").read_bytes() == (safe / "manifest.safe").read_bytes()
    lay_out(open_pass([zipped], ()), tmp_path / "b")


def test_the_dem_is_cut_into_cells(tmp_path, monkeypatch):
    monkeypatch.setattr("skymend.sar.s1tiling_inputs._POSTS", 37)
    track = open_pass([make_safe(tmp_path / "in")], ())
    dem = wide_dem(tmp_path, west=11.95)
    cells = dem_tiles(dem, TILE, track, tmp_path / "dem", whole=False)
    assert [c.name for c in cells] == [f"N4{i}E01{j}.tif" for i in (1, 2) for j in (1, 2)]
    with rasterio.open(cells[1]) as dataset:
        left, bottom, right, top = dataset.bounds
        half = 0.5 / 36
        assert (left + half, top - half) == pytest.approx((12, 42), abs=1e-9)
        assert (right - half, bottom + half) == pytest.approx((13, 41), abs=1e-9)
        assert (dataset.read(1) == 121).all()
    slices = dem_tiles(dem, TILE, track, tmp_path / "all", whole=True)
    assert {"N40E014.tif", "N42E015.tif"} <= {c.name for c in slices}
    away = wide_dem(tmp_path, west=0.0, east=2.0)
    with pytest.raises(ProductError, match="heights in the tile 33TTG, found none"):
        dem_tiles(away, TILE, track, tmp_path / "none", whole=False)


OUTCOMES = {
    66: ProductError,
    67: RetryableError,
    68: RetryableError,
    69: StoreError,
    70: StoreError,
    71: ProductError,
    72: ConfigError,
    73: ConfigError,
    74: SkipJob,
    75: ProductError,
    76: ToolMissingError,
    77: ToolMissingError,
    78: ProductError,
    1: ProductError,
}


@pytest.mark.parametrize("code", OUTCOMES)
def test_exit_codes_become_outcomes(tmp_path, code):
    track = open_pass([make_safe(tmp_path / "in")], ())
    with pytest.raises(OUTCOMES[code]) as caught:
        judge(Finished(code, ("CRITICAL - what went wrong", "INFO - bye")), track)
    if isinstance(caught.value, SkymendError):
        assert f"exit code {code}: CRITICAL - what went wrong" in str(caught.value)


def test_missing_dem_is_named_also_where_a_task_failed_for_it(tmp_path):
    track = open_pass([make_safe(tmp_path / "in")], ())
    judge(Finished(0, ()), track)
    said = "Cannot create DEM vrt: the following DEM files are missing: N40E013.tif"
    with pytest.raises(ProductError, match="a DEM over the whole tile"):
        judge(Finished(66, (said,)), track)


def test_missing_bindings_are_a_missing_tool(tmp_path):
    """S1Processor without OTB's Python ends in a traceback and code 1, at the very start."""
    track = open_pass([make_safe(tmp_path / "in")], ())
    said = ("Traceback", "ModuleNotFoundError: No module named 'otbApplication'")
    with pytest.raises(ToolMissingError, match="No module named 'otbApplication'"):
        judge(Finished(1, said), track)


def test_an_image_gets_the_network_only_to_fetch_an_orbit(monkeypatch, tmp_path, no_dem):
    fences = []

    def fake(tool, arguments, image, fence):
        fences.append(fence)
        return Finished(74, ())

    monkeypatch.setattr("skymend.sar.s1tiling.launch", fake)
    monkeypatch.setattr("skymend.sar.external.check_ready", lambda *a, **k: None)
    eof = "S1B_OPER_AUX_POEORB_OPOD_20220112T111739_V20211222T225942_20211224T005942.EOF"
    (tmp_path / eof).write_text("orbit")
    product = make_safe(tmp_path / "in")
    grid = Grid.from_mgrs(TILE)
    for orbit in (None, tmp_path / eof):
        with pytest.raises(SkipJob):
            S1TilingEngine(S1TilingSettings(image="i")).process(
                [product], grid, tmp_path, tmp_path, chain=Chain(), orbit=orbit, work=tmp_path
            )
    assert [fence.network for fence in fences] == [True, False]


def test_images_are_taken_by_their_names(tmp_path):
    track = open_pass([make_safe(tmp_path / "in")], ("VV",))
    folder = tmp_path / TILE
    folder.mkdir()
    for name in (
        "s1a_33TTG_vv_DES_022_20211223t051122.tif",
        "s1b_33TTG_vv_DES_022_20211211t051122.tif",
        "s1b_33TTG_vh_DES_022_20211223t051122.tif",
        "s1b_33TTG_vv_DES_022_20211223t051122_BorderMask.tif",
        "s1b_33TTG_vv_DES_022_20211223txxxxxx_GammaNaughtRTC.tif",
        "s1b_33TTG_vv_DES_022_20211223txxxxxx_gamma.tif",
        "s1b_33TTG_vv_DES_022_20211223txxxxxx.tif",
    ):
        (folder / name).touch()
    for convention, suffix in [
        ("sigma0", ""),
        ("gamma0", "_gamma"),
        ("gamma0-flattened", "_GammaNaughtRTC"),
    ]:
        found = take(tmp_path, TILE, track, Chain(convention=convention))
        assert found.name == f"s1b_33TTG_vv_DES_022_20211223txxxxxx{suffix}.tif"
    with pytest.raises(ProductError, match=r"an image such as s1b_33TTG_vv"):
        take(tmp_path, TILE, track, Chain(convention="beta0"))


def test_the_program_is_missed_in_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SKYMEND_S1PROCESSOR", raising=False)
    with pytest.raises(ToolMissingError, match="SKYMEND_S1TILING_IMAGE"):
        S1PROCESSOR.find()


def test_an_image_gets_the_configuration_and_the_geoid(monkeypatch, tmp_path, no_dem):
    lines = []

    def fake(argv, **_):
        lines.append(argv)
        return Finished(74, ())

    monkeypatch.setattr("skymend.sar.external.run_program", fake)
    monkeypatch.setattr("skymend.sar.external.check_ready", lambda *a, **k: None)
    engine = S1TilingEngine(S1TilingSettings(image="skymend-s1tiling"))
    product = make_safe(tmp_path / "in")
    grid = Grid.from_mgrs(TILE).crop(Window(5000, 3000, 64, 64))
    with pytest.raises(SkipJob, match="does not touch the tile"):
        engine.process(
            [product], grid, tmp_path, tmp_path, chain=Chain(convention="gamma0"), work=tmp_path
        )
    (argv,) = lines
    assert argv[-2:] == ["skymend-s1tiling", str(tmp_path / "s1tiling.cfg")]
    assert argv[argv.index("--network") + 1] == "none"
    geoid = find_egm96()
    assert f"type=bind,src={geoid},dst={geoid},readonly" in argv


def dryrun(shared_data, tmp_path, chain):
    """Let S1Tiling 1.4.2's own ``S1Processor --dryrun`` check what the engine prepares."""
    if not Path("/usr/bin/apt-get").exists():
        pytest.skip("S1Tiling's environment is made on Debian")
    safe = copy_safe(rome(shared_data), tmp_path / "in")
    write_dn(safe, np.full((64, 64), 100), Window(9000, 13000, 64, 64))
    track = open_pass([safe], ())
    dem = wide_dem(tmp_path, west=10.5, east=17.0, south=39.5, north=44.5)
    config = prepare(order_of(track, tmp_path, chain, dem=dem), TILE, S1TilingSettings())
    return subprocess.run(
        [ROOT / "scripts" / "s1tiling-dryrun", config],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(
    ("chain", "image"),
    [
        (Chain(convention="sigma0"), "s1b_33TTG_vv_DES_022_20211223t051122.tif"),
        (Chain(convention="gamma0"), "s1b_33TTG_vv_DES_022_20211223t051122_gamma.tif"),
        (
            Chain(convention="sigma0", speckle="lee"),
            "filtered/33TTG/s1b_33TTG_vv_DES_022_20211223t051122_filtered.tif",
        ),
        (Chain(), "s1b_33TTG_vv_DES_022_20211223t051122_GammaNaughtRTC.tif"),
    ],
    ids=["sigma0", "gamma0", "filtered", "flattened"],
)
def test_s1tiling_itself_accepts_the_configuration(shared_data, tmp_path, chain, image):
    done = dryrun(shared_data, tmp_path, chain)
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"Success: {tmp_path / 'out'}" in done.stdout
    assert image in done.stdout
    assert "0 computations errors" in done.stdout


@pytest.mark.slow
@pytest.mark.real
def test_the_dry_run_can_fail(shared_data, tmp_path, monkeypatch):
    """A wrong configuration must not pass: here a filter that does not exist."""
    monkeypatch.setattr("skymend.sar.s1tiling_config._FILTERS", {"lee": "Leee"})
    done = dryrun(shared_data, tmp_path, Chain(convention="sigma0", speckle="lee"))
    assert done.returncode == 72
    assert "Invalid despeckling filter value 'leee'" in done.stdout
