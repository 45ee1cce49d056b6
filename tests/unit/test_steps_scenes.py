"""The steps that turn products into scenes: optical, mask, radar, dem."""

import logging

import numpy as np
import pytest

from skymend.core.errors import GridError, ProductError, SkipJob
from skymend.core.grid import Window
from skymend.core.raster import describe, read, read_labels, read_stored
from skymend.core.step import REGISTRY, Artifact, Context, GridParams
from skymend.products import strips
from skymend.steps import dem, mask, optical, radar
from tests.product_case import GRID, THEIA, theia_folder, write_tif

RNG = np.random.default_rng(11)
RED = RNG.integers(1, 9000, GRID.shape).astype(np.int16)
CLOUDS = np.zeros((12, 15), np.uint8)
CLOUDS[4:6, 4:6] = 3
CLOUDS[4:6, 9] = 33


def artifact(path, kind=None, **more):
    tags = {"id": path.name, **({"kind": kind} if kind else {})}
    return Artifact(key="product:0", step="product", tags=tags, files={"product": path}, **more)


@pytest.fixture
def run(tmp_path):
    """Run a step as the job runner does; its outputs land in tmp_path/out."""
    out = tmp_path / "out"
    out.mkdir()
    context = Context(cpus=1, work=tmp_path, final=out, log=logging.getLogger("test"))

    def go(module, inputs, **params):
        return module.run(module.Inputs(**inputs), module.Params(**params), out, context), out

    return go


def test_optical_writes_the_bands_asked_for(run, tmp_path):
    red = RED.copy()
    red[:6] = -10000
    folder = theia_folder(tmp_path, bands={"B04": red, "B02": RED}, masks={"CLM_R2": CLOUDS})
    facts, out = run(
        optical,
        {"product": artifact(folder, "theia")},
        grid=GridParams.of(GRID),
        bands=("B04", "B02"),
    )
    assert facts == {"valid_share": 0.75}
    info = describe(out / "reflectance.tif")
    assert (info.grid, info.bands, info.dtype) == (GRID, ("B04", "B02"), "int16")
    # THEIA stores reflectance as we do, so that the numbers pass unchanged.
    np.testing.assert_array_equal(read_stored(out / "reflectance.tif"), [red, RED])
    assert [p.name for p in out.iterdir()] == ["reflectance.tif"]


def test_optical_crops_and_pads(run, tmp_path):
    folder = theia_folder(tmp_path, bands={"B04": RED}, masks={"CLM_R2": CLOUDS})
    window = Window(-4, 3, 12, 9)
    facts, out = run(
        optical,
        {"product": artifact(folder)},
        grid=GridParams.of(GRID.crop(window)),
        bands=("B04",),
    )
    found = read_stored(out / "reflectance.tif")[0]
    assert (found[:4] == -10000).all()
    np.testing.assert_array_equal(found[4:], RED[:8, 3:12])
    assert facts["valid_share"] == round(8 / 12, 6)


def test_strips_do_not_change_the_result(run, tmp_path, monkeypatch):
    swir = RNG.integers(1, 9000, (12, 15)).astype(np.int16)
    swir[2:4, 5:9] = -10000
    folder = theia_folder(tmp_path, bands={"B11": swir}, masks={"CLM_R2": CLOUDS})
    question = {"grid": GridParams.of(GRID), "bands": ("B11",)}
    _, out = run(optical, {"product": artifact(folder)}, **question)
    whole = (out / "reflectance.tif").read_bytes()
    monkeypatch.setattr(strips, "STRIP_ROWS", 5)
    run(optical, {"product": artifact(folder)}, **question)
    assert (out / "reflectance.tif").read_bytes() == whole


@pytest.mark.parametrize("module", [optical, mask])
def test_outside_the_swath_is_skipped(run, tmp_path, module):
    empty = np.full(GRID.shape, -10000, np.int16)
    folder = theia_folder(tmp_path, bands={"B04": empty}, masks={"CLM_R2": CLOUDS * 0})
    params = {"bands": ("B04",)} if module is optical else {}
    with pytest.raises(SkipJob, match="outside the swath: no valid pixel"):
        run(module, {"product": artifact(folder)}, grid=GridParams.of(GRID), **params)


def test_mask_labels_and_dilates(run, tmp_path):
    red = RED.copy()
    red[:, :3] = -10000
    folder = theia_folder(tmp_path, bands={"B04": red}, masks={"CLM_R2": CLOUDS})
    inputs = {"product": artifact(folder)}
    facts, out = run(mask, inputs, grid=GridParams.of(GRID), dilate_m=0)
    labels = read_labels(out / "mask.tif")
    assert (labels[8:12, 8:12] == 2).all()
    assert (labels[8:12, 18:20] == 3).all()
    assert (labels[:, :3] == 0).all()
    assert facts["valid_share"] == 0.9
    assert facts["cloud_share"] == round(16 / 648, 6)
    assert facts["shadow_share"] == round(8 / 648, 6)
    wider, _ = run(mask, inputs, grid=GridParams.of(GRID), dilate_m=20)
    assert wider["cloud_share"] > facts["cloud_share"]
    # A square of 4 x 4 and a disc of 2: 4 sides of 2 x 4 and 4 corners of 1 pixel.
    assert (read_labels(out / "mask.tif") == 2).sum() == 16 + 4 * 8 + 4


def test_mask_without_grid_takes_the_products_own(run, tmp_path):
    folder = theia_folder(tmp_path, bands={"B04": RED}, masks={"CLM_R2": CLOUDS})
    _, out = run(mask, {"product": artifact(folder)}, dilate_m=0)
    assert describe(out / "mask.tif").grid == GRID


def test_a_users_mask_is_added_after_the_dilation(run, tmp_path):
    stored = np.zeros(GRID.shape, np.uint8)
    stored[20, 20] = 7
    own = write_tif(tmp_path / "own_20180615.tif", stored, GRID)
    folder = theia_folder(tmp_path, bands={"B04": RED}, masks={"CLM_R2": CLOUDS * 0})
    inputs = {"product": artifact(folder), "user_mask": artifact(own)}
    _, out = run(mask, inputs, grid=GridParams.of(GRID), dilate_m=60)
    labels = read_labels(out / "mask.tif")
    assert np.argwhere(labels == 2).tolist() == [[20, 20]]


def test_radar_writes_power_and_says_its_convention(run, tmp_path):
    power = RNG.gamma(4, 0.02, GRID.shape).astype(np.float32)
    power[:6] = 0
    for channel in ("vv", "vh"):
        write_tif(tmp_path / f"s1b_31TFJ_{channel}_ASC_088_20180612txxxxxx.tif", power, GRID)
    product = artifact(tmp_path / "s1b_31TFJ_vv_ASC_088_20180612txxxxxx.tif", "s1tiling")
    facts, out = run(radar, {"product": product}, grid=GridParams.of(GRID))
    assert facts == {
        "valid_share": 0.75,
        "convention": "sigma0",
        "relative_orbit": 88,
        "direction": "ascending",
    }
    values = read(out / "backscatter.tif", bands=("VH", "VV"))
    np.testing.assert_array_equal(values[0], np.where(power == 0, np.nan, power))


def test_radar_outside_the_swath_is_skipped(run, tmp_path):
    for channel in ("vv", "vh"):
        path = tmp_path / f"s1b_31TFJ_{channel}_ASC_088_20180612txxxxxx.tif"
        write_tif(path, np.zeros(GRID.shape, np.float32), GRID)
    with pytest.raises(SkipJob, match="no valid pixel"):
        run(radar, {"product": artifact(path)}, grid=GridParams.of(GRID))


def test_dem_joins_its_files(run, tmp_path):
    ones = write_tif(
        tmp_path / "a.tif", np.ones((24, 12), np.float32), GRID.crop(Window(0, 0, 24, 12))
    )
    twos = write_tif(tmp_path / "b.tif", np.full(GRID.shape, 2, np.float32), GRID)
    products = (artifact(ones), artifact(twos))
    facts, out = run(dem, {"products": products}, grid=GridParams.of(GRID))
    assert facts == {
        "valid_share": 1.0,
        "lowest_m": 1.0,
        "highest_m": 2.0,
        "vertical_datum": "geoid",
    }
    assert (read(out / "dem.tif")[0][:, :12] == 1).all()
    with pytest.raises(SkipJob, match="no DEM file covers the area"):
        run(dem, {"products": ()}, grid=GridParams.of(GRID))


def test_bad_products_end_in_one_sentence(run, tmp_path):
    folder = theia_folder(tmp_path, bands={"B04": RED}, masks={"CLM_R2": CLOUDS})
    product = {"product": artifact(folder, "theia")}
    grid = GridParams.of(GRID)
    with pytest.raises(ProductError, match="expected the band B08"):
        run(optical, product, grid=grid, bands=("B08",))
    image = folder / f"{THEIA}_FRE_B4.tif"
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(ProductError, match=r"_FRE_B4\.tif: expected a readable GeoTIFF"):
        run(optical, product, grid=grid, bands=("B04",))
    image.unlink()
    elsewhere = GridParams(crs="EPSG:32632", transform=GRID.transform, shape=GRID.shape)
    write_tif(image, RED, GRID)
    with pytest.raises(GridError, match=r"_FRE_B4\.tif.*lattice of EPSG:32632"):
        run(optical, product, grid=elsewhere, bands=("B04",))


def test_the_steps_are_registered():
    assert {"optical", "mask", "radar", "dem"} <= {s.name for s in REGISTRY}
