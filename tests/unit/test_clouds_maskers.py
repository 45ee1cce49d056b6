"""Maskers besides Fmask: each against the package it stands for, or against a second formula."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from skymend.clouds import consensus, csmask, fmask_external, s2cloudless
from skymend.clouds.fmask.around import mask_around
from skymend.clouds.forest import read_forest
from skymend.core.errors import ProductError, ToolMissingError
from skymend.core.grid import Grid
from skymend.products.labels import Label
from skymend.products.toa import Angles


@pytest.fixture(scope="module")
def spectra():
    """(pixels, 10) reflectance with the range of land, sea, cloud and odd values."""
    random = np.random.default_rng(5)
    base = random.gamma(1.5, 0.1, size=(6000, 1))
    values = base * random.uniform(0.6, 1.4, size=(6000, 10))
    values[:50] = -0.02
    values[50:100] = 1.6
    return values.astype(np.float32)


class TestForest:
    def test_scores_equal_lightgbm_to_the_last_bit(self, spectra):
        lightgbm = pytest.importorskip("lightgbm")
        path = s2cloudless.package_file("s2cloudless", ("models", s2cloudless.MODEL))
        expected = lightgbm.Booster(model_file=str(path)).predict(spectra, raw_score=True)
        ours = s2cloudless.model().scores(spectra)
        np.testing.assert_array_equal(ours, expected)

    def test_the_number_of_threads_changes_nothing(self, spectra):
        forest = s2cloudless.model()
        np.testing.assert_array_equal(
            forest.scores(spectra, cpus=1), forest.scores(spectra, cpus=2)
        )

    def test_equal_pixels_have_equal_scores(self):
        # A region of one value cannot be split by its median.
        pixels = np.full((3000, 10), 0.2, np.float32)
        assert len(set(s2cloudless.model().scores(pixels))) == 1

    def test_no_pixel_at_all(self):
        assert s2cloudless.model().scores(np.empty((0, 10), np.float32)).shape == (0,)

    def test_a_damaged_model_is_named(self, tmp_path):
        path = tmp_path / "model.txt"
        path.write_text("tree\nversion=v4\n")
        with pytest.raises(ProductError, match=r"model\.txt.*LightGBM"):
            read_forest(path)


class TestS2cloudless:
    def test_masks_are_those_of_the_package(self, spectra):
        package = pytest.importorskip("s2cloudless")
        image = spectra[:5776].reshape(76, 76, 10)
        detector = package.S2PixelCloudDetector(threshold=0.4, average_over=4, dilation_size=2)
        expected_probability = detector.get_cloud_probability_maps(image[None])[0]
        expected = detector.get_cloud_masks(image[None])[0]
        probability = s2cloudless.probabilities(np.moveaxis(image, -1, 0))
        # The same sums; the package's logistic function may differ in the last digit.
        np.testing.assert_allclose(probability, expected_probability, atol=1e-6)
        np.testing.assert_array_equal(s2cloudless.cloud_mask(probability, 0.4, 4, 2), expected)

    def test_nodata_stays_out(self, spectra):
        values = np.moveaxis(spectra[:100].reshape(10, 10, 10), -1, 0).copy()
        values[3, 2, 5] = np.nan
        probability = s2cloudless.probabilities(values)
        assert np.isnan(probability[2, 5])
        assert np.isfinite(probability).sum() == 99

    def test_a_missing_package_says_what_to_install(self):
        with pytest.raises(ToolMissingError, match=r"skymend\[clouds\]"):
            s2cloudless.package_file("no_such_package_anywhere", ("model.txt",))


def clouded(seed):
    """Return (256, 256, 6) reflectance with smooth clouds over textured ground."""
    import cv2

    random = np.random.default_rng(seed)
    fine, wide = (
        cv2.GaussianBlur(random.normal(size=(256, 256)).astype(np.float32), (0, 0), radius)
        for radius in (3, 12)
    )
    fine, wide = (x[..., None] / x.std() for x in (fine, wide))
    cover = np.clip(wide + 0.3 * fine - 0.3, 0, 1)
    ground = np.array([0.09, 0.08, 0.07, 0.25, 0.2, 0.1]) * (1 + 0.2 * fine)
    cloud = np.array([0.5, 0.5, 0.52, 0.6, 0.45, 0.35])
    return (ground * (1 - cover) + cloud * cover).astype(np.float32)


class TestCsmask:
    def test_one_window_is_what_the_package_makes_of_it(self):
        package = pytest.importorskip("ukis_csmask.mask")
        image = clouded(seed=1)
        order = ["blue", "green", "red", "nir", "swir16", "swir22"]
        reference = package.CSmask(image.copy(), band_order=order, product_level="l1c")
        window = np.moveaxis(reference.img, -1, 0)[None]
        logits = reference.session.run(None, {reference.input_names: window})[0]
        expected = reference.softmax(logits)[0].argmax(axis=0)
        labels, cloud = csmask.classify(np.moveaxis(image, -1, 0), is_toa=True)
        ours = np.select([labels == Label.CLOUD, labels == Label.SHADOW], [1, 2], 0)
        assert len(np.unique(expected)) == 3, "the image must show the network something"
        # Nothing is blended or padded here, so only rounding can turn a pixel.
        assert (ours == expected).mean() > 0.999
        assert cloud.min() >= 0
        assert cloud.max() <= 1

    @pytest.mark.parametrize("shape", [(40, 300), (300, 520)])
    def test_any_shape_and_nodata(self, shape):
        values = np.full((6, *shape), 0.2, np.float32)
        values[:, :5] = np.nan
        labels, cloud = csmask.classify(values, is_toa=False)
        assert labels.shape == shape
        assert (labels[:5] == Label.NODATA).all()
        assert np.isnan(cloud[:5]).all()
        assert (labels[5:] != Label.NODATA).all()


class FakeScene:
    """A level-1C product of flat land, one cloud and its shadow, at 60 m."""

    id = platform = "sentinel-2a"
    sensor = "sentinel-2"
    tile = time = None
    bands = (
        *("B01", "B02", "B03", "B04", "B05", "B06", "B07"),
        *("B08", "B8A", "B09", "B10", "B11", "B12"),
    )

    def __init__(self, shadow_at):
        self.cloud = np.zeros((200, 200), bool)
        self.cloud[120:132, 120:138] = True
        self.shadow = np.roll(self.cloud, shadow_at, (0, 1)) & ~self.cloud

    def grid(self, resolution_m=None):
        return Grid("EPSG:32631", (60.0, 0.0, 300000.0, 0.0, -60.0, 5000000.0), (200, 200))

    def read(self, bands, grid):
        random = np.random.default_rng(1)
        left = round((grid.transform[2] - 300000) / 60)
        top = round((5000000 - grid.transform[5]) / 60)
        part = np.s_[top : top + grid.shape[0], left : left + grid.shape[1]]
        ground = {"B02": 0.08, "B03": 0.08, "B04": 0.06, "B10": 0.002, "B11": 0.2, "B12": 0.1}
        planes = []
        for band in bands:
            plane = ground.get(band, 0.3) * random.uniform(0.97, 1.03, (200, 200))
            plane[self.shadow] *= 0.3
            plane[self.cloud] = 0.02 if band == "B10" else 0.6
            planes.append(plane[part])
        return np.stack(planes).astype(np.float32)

    def brightness_temperature(self, grid):
        return None

    def sun(self, grid):
        return Angles(40.0, 150.0)

    def view(self, grid):
        return Angles(0.0, 0.0)


class TestAround:
    def test_the_shadow_of_a_cloud_found_elsewhere(self):
        # Sun in the south-east: 1,500 m of height throw the shadow 1,090 m north, 629 m west.
        height = 1500 * math.tan(math.radians(40)) / 60
        turn = math.radians(150)
        at = (round(height * math.cos(turn)), round(-height * math.sin(turn)))
        product = FakeScene(at)
        probability = np.where(product.cloud, 1.0, 0.0).astype(np.float32)
        mask = mask_around(product, product.grid(), product.cloud, probability)
        found = mask.labels == Label.SHADOW
        assert (found & product.shadow).sum() > 0.8 * product.shadow.sum()
        assert (found & ~product.shadow).sum() < 0.2 * product.shadow.sum()
        assert ((mask.labels == Label.CLOUD) == product.cloud).all()

    def test_no_probability_is_nodata(self):
        product = FakeScene((-18, -10))
        probability = np.zeros((200, 200), np.float32)
        probability[:50] = np.nan
        mask = mask_around(product, product.grid(), product.cloud, probability)
        assert (mask.labels[:50] == Label.NODATA).all()
        assert (mask.labels[50:] != Label.NODATA).all()


class TestConsensus:
    @pytest.mark.parametrize(
        ("votes", "winner"),
        [
            ((2, 2, 1), Label.CLOUD),
            ((1, 1, 2), Label.CLEAR),
            ((2, 3, 1), Label.CLOUD),
            ((3, 3, 1), Label.SHADOW),
            ((5, 1, 1), Label.WATER),
            ((4, 1, 2), Label.SNOW),
            ((4, 5, 2), Label.SNOW),
            ((2, 4), Label.CLOUD),
            ((0, 2, 2), Label.NODATA),
        ],
    )
    def test_votes(self, votes, winner):
        labels = [np.full((1, 1), vote, np.uint8) for vote in votes]
        assert consensus.vote(labels)[0, 0] == winner


STAND_IN = """\
import argparse, sys, pathlib, numpy, rasterio
p = argparse.ArgumentParser()
p.add_argument("-o"); p.add_argument("--safedir")
p.add_argument("--mincloudsize", type=int); p.add_argument("--cloudprobthreshold", type=int)
a = p.parse_args()
if not (pathlib.Path(a.safedir) / "MTD_MSIL1C.xml").exists():
    sys.exit("no metadata in " + a.safedir)
labels = numpy.array([[0, 1, 2], [3, 4, {last}]], "uint8")
shape = dict(width=3, height=2, count=1, dtype="uint8", driver="GTiff", crs="EPSG:32631")
with rasterio.open(a.o, "w", transform=rasterio.Affine(20, 0, 3e5, 0, -20, 5e6), **shape) as d:
    d.write(labels, 1)
"""


class FakeSafe:
    """What the external masker needs of a product."""

    sensor = "sentinel-2"
    bands = ("B02",)

    def __init__(self, path):
        self.path = path
        self.id = path.stem


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    def install(last=5):
        program = tmp_path / "program.py"
        program.write_text(STAND_IN.replace("{last}", str(last)))
        monkeypatch.setenv(fmask_external.VARIABLE, f"{sys.executable} {program}")

    return install


class TestExternalFmask:
    def test_its_raster_becomes_the_mask(self, tmp_path, stand_in):
        stand_in()
        safe = tmp_path / "S2A.SAFE"
        safe.mkdir()
        (safe / "MTD_MSIL1C.xml").write_text("<x/>")
        mask = fmask_external.ExternalFmaskMasker().mask(FakeSafe(safe))
        np.testing.assert_array_equal(mask.labels, [[0, 1, 2], [3, 4, 5]])
        assert mask.grid.resolution == 20

    def test_a_failure_gives_its_last_words(self, tmp_path, stand_in):
        stand_in()
        safe = tmp_path / "S2A.SAFE"
        safe.mkdir()
        with pytest.raises(ProductError, match="no metadata in"):
            fmask_external.ExternalFmaskMasker().mask(FakeSafe(safe))

    def test_an_unknown_label_is_refused(self, tmp_path, stand_in):
        stand_in(last=9)
        safe = tmp_path / "S2A.SAFE"
        safe.mkdir()
        (safe / "MTD_MSIL1C.xml").write_text("<x/>")
        with pytest.raises(ProductError, match="label 9"):
            fmask_external.ExternalFmaskMasker().mask(FakeSafe(safe))

    def test_a_missing_program_names_the_alternative(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv(fmask_external.VARIABLE, raising=False)
        with pytest.raises(ToolMissingError, match="use engine fmask"):
            fmask_external.command()
