"""Fmask on real scenes: Sentinel-2 with 13 bands at 10 to 160 m, Landsat with its own masks."""

from datetime import UTC, datetime

import numpy as np
import pytest

from skymend.clouds.door import mask_product
from skymend.clouds.fmask.engine import run_fmask
from skymend.clouds.fmask.scene import Bands, Scene, absent, to_short
from skymend.core.grid import Grid
from skymend.core.raster import read_stored
from skymend.products import Label, open_optical
from skymend.products.sun import sun_position
from skymend.products.toa import Angles, open_toa
from tests.product_case import write_tif

pytestmark = pytest.mark.real

NAMES = (
    *("B01", "B02", "B03", "B04", "B05", "B06", "B07"),
    *("B08", "B8A", "B09", "B10", "B11", "B12"),
)
LANDSAT = "landsat8-rio-tiler-pds"
COLLECTION_1 = "landsat-pds/c1/L8/016/037/LC08_L1TP_016037_20170813_20170814_01_RT"
COLLECTION_2 = (
    "usgs-landsat/collection02/level-2/standard/oli-tirs/2020/001/062/"
    "LC08_L2SP_001062_20201031_20201106_02_T2"
)


def share(labels, *kinds):
    valid = labels != Label.NODATA
    return float(np.isin(labels[valid], kinds).mean())


def scene_of(reflectance, resolution_m, sun):
    """Return 13 bands (bands, rows, columns) as a scene that looks from the nadir."""
    planes = dict(zip(NAMES, (to_short(b) for b in reflectance), strict=True))
    grid = Grid(
        "EPSG:32650", (resolution_m, 0.0, 5e5, 0.0, -resolution_m, 4e6), planes["B02"].shape
    )
    roles = ("B02", "B03", "B04", "B8A", "B11", "B12", "B10")
    return Scene(
        Bands(*(planes[b] for b in roles), absent()), grid, "sentinel-2",
        Angles(*sun), Angles(0.0, 0.0), red_edge=planes["B07"], nir_wide=planes["B08"],
    )  # fmt: skip


def test_19udp_as_a_folder_of_bands(shared_data, tmp_path):
    """Clouds over a coast at 160 m; the sun from the time stamp, clouds alone are judged."""
    folder = shared_data / "s2-l1c-preview-19UDP/sentinel-s2-l1c/tiles/19/U/DP/2017/7/29/0/preview"
    grid = Grid("EPSG:32619", (160.0, 0.0, 399_960.0, 0.0, -160.0, 5_400_000.0), (687, 687))
    for name in NAMES:
        write_tif(tmp_path / f"{name}.tif", read_stored(folder / f"{name}.jp2")[0], grid)
    sun = sun_position(datetime(2017, 7, 29, 15, 35, 57, tzinfo=UTC), -69.6, 48.26)
    mask = mask_product(tmp_path, "fmask", sun=sun)
    assert mask.grid.resolution == 160
    # python-fmask finds 31.7 % of the valid pixels cloudy, s2cloudless 35.6 %.
    assert 0.27 < share(mask.labels, Label.CLOUD) < 0.38
    # The gulf: a third of the image.
    assert 0.30 < share(mask.labels, Label.WATER) < 0.42
    assert share(mask.labels, Label.SNOW) < 0.005


def test_sen12mscr_cloudy_and_clear(shared_data):
    def masked(kind):
        path = shared_data / f"sen12mscr-glfcr/{kind}/ROIs1970_fall_139_p839.tif"
        return run_fmask(scene_of(read_stored(path) * np.float32(1e-4), 10.0, (45.0, 160.0)))

    cloudy, clear = masked("s2_cloudy").labels, masked("s2_cloudfree").labels
    assert 0.55 < share(cloudy, Label.CLOUD) < 0.80
    assert share(clear, Label.CLOUD) < 0.01
    assert share(clear, Label.CLOUD, Label.SHADOW, Label.SNOW) < 0.03
    # The canals.
    assert share(clear, Label.WATER) > 0.04


def test_five_scenes_of_the_eopatch(shared_data):
    scenes = np.load(shared_data / "eo-learn-testeopatch/REFERENCE_SCENES.npy")
    found = [
        share(run_fmask(scene_of(np.moveaxis(s, -1, 0), 10.0, (40.0, 160.0))).labels, Label.CLOUD)
        for s in scenes
    ]
    # By eye: overcast; a veil over all of it, thinner in places; three clear ones.
    assert found[0] == 1
    assert found[1] > 0.7
    assert max(found[2:]) < 0.01


@pytest.mark.parametrize(
    ("name", "snow"),
    [
        ("S2A_MSIL1C_20170527_T33UUB", 0.0),
        # Salt pans, bright beaches, wet sand and shoals.
        ("S2B_MSIL1C_20171022_T49JGM", 0.02),
    ],
)
def test_false_alarms_on_clear_crops(shared_data, name, snow):
    """DSen2's crops are free of clouds and snow; B10 is not in them."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(shared_data / "s2-l1c-dsen2" / f"{name}.mat") as stored:
        ten, twenty = (np.asarray(stored[k], np.float32) * 1e-4 for k in ("im10", "im20"))
    coarse = ten.reshape(4, 300, 2, 300, 2).mean(axis=(2, 4))
    # B04 comes first: of the four the third is nearest to B01 of `im60`, and deserts are red.
    red, green, blue, wide = (to_short(b) for b in coarse)
    edge, near, swir1, swir2 = (to_short(twenty[i]) for i in (2, 3, 4, 5))
    grid = Grid("EPSG:32633", (20.0, 0.0, 5e5, 0.0, -20.0, 5e6), (300, 300))
    mask = run_fmask(
        Scene(
            Bands(blue, green, red, near, swir1, swir2, absent(), absent()),
            grid,
            "sentinel-2",
            Angles(35.0, 150.0),
            Angles(0.0, 0.0),
            red_edge=edge,
            nir_wide=wide,
        )
    )
    assert share(mask.labels, Label.CLOUD) < 0.001
    assert share(mask.labels, Label.SHADOW) < 0.001
    assert share(mask.labels, Label.SNOW) <= snow


def test_landsat_agrees_with_its_own_mask(shared_data):
    folder = shared_data / LANDSAT / COLLECTION_1
    product = open_toa(folder)
    theirs = product.labels(product.grid())
    mask = mask_product(folder)
    both = (theirs != Label.NODATA) & (mask.labels != Label.NODATA)
    ours, bqa = (x[both] == Label.CLOUD for x in (mask.labels, theirs))
    # BQA is CFMask: the same papers at 30 m, its mask then decimated to 900 m like the bands.
    assert (ours == bqa).mean() > 0.85
    assert 2 * (ours & bqa).sum() / (ours.sum() + bqa.sum()) > 0.8


def test_qa_pixel_of_a_wholly_cloudy_scene(shared_data):
    product = open_optical(shared_data / LANDSAT / COLLECTION_2)
    labels = product.labels(product.grid)
    # CLOUD_COVER of the metadata: 99.94 %.
    assert share(labels, Label.CLOUD) == pytest.approx(0.9994, abs=0.0005)
    assert share(mask_product(product.path).labels, Label.CLOUD) > 0.999
