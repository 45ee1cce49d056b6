"""Maskers besides Fmask: each against the package it stands for, or against a second formula."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from skymend.clouds import consensus, csmask, fmask_external, s2cloudless
from skymend.clouds.forest import read_forest
from skymend.clouds.shadows import Ray, dark_ground, project_shadows
from skymend.core.errors import ProductError, ToolMissingError
from skymend.products.labels import Label


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


class TestShadows:
    def test_a_ray_falls_away_from_the_sun(self):
        # Sun in the south-east at 45 degrees: shadows go north-west, one metre each a metre.
        ray = Ray.of_sun(45.0, 135.0, 10.0)
        assert ray.rows == pytest.approx(-math.sqrt(0.5) / 10)
        assert ray.columns == pytest.approx(-math.sqrt(0.5) / 10)

    def test_a_shadow_is_found_at_its_height(self):
        cloud = np.zeros((200, 200), bool)
        cloud[120:140, 120:150] = True
        ray = Ray.of_sun(40.0, 150.0, 20.0)
        down, right = round(1500 * ray.rows), round(1500 * ray.columns)
        nir = np.full((200, 200), 0.3, np.float32)
        truth = np.roll(cloud, (down, right), (0, 1)) & ~cloud
        nir[truth] = 0.12
        found = project_shadows(cloud, dark_ground(nir), ray)
        # The height is tried in steps of a pixel: at most a rim of one pixel may be missing.
        assert (found & truth).sum() > 0.9 * truth.sum()
        assert not (found & ~truth).any()

    def test_no_dark_ground_no_shadow(self):
        cloud = np.zeros((60, 60), bool)
        cloud[30:40, 30:40] = True
        nir = np.full((60, 60), 0.3, np.float32)
        assert not project_shadows(cloud, dark_ground(nir), Ray.of_sun(40, 150, 20)).any()

    def test_dark_ground_far_from_the_ray_is_no_shadow(self):
        cloud = np.zeros((100, 100), bool)
        cloud[50:60, 50:60] = True
        nir = np.full((100, 100), 0.3, np.float32)
        nir[80:90, 80:90] = 0.1
        # Shadows of a southern sun fall north, up the image; the dark field lies south.
        assert not project_shadows(cloud, dark_ground(nir), Ray.of_sun(40, 180, 20)).any()


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
