"""Quick-looks: decimation against averages by hand, one stretch, pictures that decode back."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from skymend.core.cog import write_cog
from skymend.core.encoding import QA, REFLECTANCE
from skymend.report import quicklook
from skymend.report.quicklook import Stretch
from tests.report_case import grid


def decode(uri: str) -> np.ndarray:
    head, text = uri.split(",", 1)
    assert head in {"data:image/webp;base64", "data:image/png;base64"}
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGBA"))


def test_decimation_averages_blocks_and_keeps_holes(tmp_path):
    values = np.random.default_rng(0).uniform(0.05, 0.4, (2, 64, 96)).astype(np.float32)
    values[:, :8, :8] = np.nan
    path = tmp_path / "a.tif"
    write_cog(path, values, grid(64, 96), ("B04", "B08"), REFLECTANCE)
    small = quicklook.read_decimated(path, 24, bands=("B08",))
    expected = values[1].reshape(16, 4, 24, 4).mean(axis=(1, 3))
    assert small.shape == (1, 16, 24)
    # stored to 1e-4 and averaged as integers: half a step each
    np.testing.assert_allclose(small[0], expected, atol=1.1e-4, equal_nan=True)
    assert np.isnan(small[0, :2, :2]).all()


def test_small_rasters_are_not_enlarged(tmp_path):
    path = tmp_path / "a.tif"
    write_cog(path, np.full((1, 20, 30), 0.1, np.float32), grid(20, 30), ("B04",), REFLECTANCE)
    assert quicklook.read_decimated(path, 512).shape == (1, 20, 30)


def test_labels_stay_labels_when_decimated(tmp_path):
    labels = np.random.default_rng(1).choice([1, 3], (64, 64)).astype(np.uint8)
    path = tmp_path / "qa.tif"
    write_cog(path, labels[None], grid(64, 64), ("qa",), QA)
    assert set(np.unique(quicklook.read_labels_decimated(path, 16))) <= {1, 3}


def test_a_full_tile_is_decimated_to_the_limit_and_keeps_its_sides():
    assert quicklook.decimated_shape((10980, 10980), 512) == (512, 512)
    assert quicklook.decimated_shape((1000, 4000), 512) == (128, 512)


@pytest.mark.parametrize(
    ("bands", "chosen"),
    [
        (("B02", "B03", "B04", "B08"), ("B04", "B03", "B02")),
        (("B8A", "B11", "B12", "B05"), ("B8A", "B11", "B12")),
        (("B08", "B04"), ("B08",)),
    ],
)
def test_picture_bands_are_chosen_by_name(bands, chosen):
    assert quicklook.picture_bands(bands) == chosen


def test_stretch_is_the_2_and_98_percentiles_of_all_dates_together():
    generator = np.random.default_rng(2)
    samples = [generator.uniform(0, 0.2, (3, 500)), generator.uniform(0.1, 0.5, (3, 300))]
    samples[0][:, ::7] = np.nan
    together = np.concatenate([s.ravel() for s in samples])
    low, high = np.nanpercentile(together, (2, 98))
    stretch = quicklook.common_stretch(("B04", "B03", "B02"), samples)
    # limits are rounded to one stored step of reflectance
    assert stretch.low == pytest.approx((low,) * 3, abs=1e-4)
    assert stretch.high == pytest.approx((high,) * 3, abs=1e-4)


def test_bands_of_different_level_are_stretched_each_by_itself():
    samples = [np.stack([np.linspace(0, 0.1, 201), np.linspace(0.2, 0.4, 201)])]
    stretch = quicklook.common_stretch(("B04", "B08"), samples)
    assert stretch.low == (0.002, 0.204)
    assert stretch.high == (0.098, 0.396)


def test_a_series_without_any_clear_pixel_still_has_a_stretch():
    empty = quicklook.common_stretch(("B04",), [np.empty((1, 0), np.float32)])
    assert (empty.low, empty.high) == ((0.0,), (0.3,))


def test_clouds_saturate_and_holes_are_clear():
    values = np.array([[[0.0, 0.9, np.nan]]] * 3, np.float32)
    rgba = quicklook.to_rgba(values, Stretch(("B04", "B03", "B02"), (0.02,) * 3, (0.2,) * 3))
    assert rgba[0].tolist() == [[0, 0, 0, 255], [255, 255, 255, 255], [0, 0, 0, 0]]


def test_quality_map_decodes_to_its_legend_colours():
    labels = np.array([[0, 1, 2], [3, 4, 5]], np.uint8)
    shown = decode(quicklook.qa_uri(labels))
    assert shown[0, 0, 3] == 0
    for code in range(1, 6):
        assert tuple(shown[labels == code][0]) == quicklook.QA_COLOURS[code]


def test_photographs_keep_shape_transparency_and_bytes():
    rgba = np.full((40, 60, 4), 128, np.uint8)
    rgba[:10, :, 3] = 0
    rgba[10:, :, 3] = 255
    first = quicklook.photo_uri(rgba)
    assert first == quicklook.photo_uri(rgba)
    shown = decode(first)
    assert shown.shape == (40, 60, 4)
    assert (shown[:10, :, 3] == 0).all()
    assert (shown[10:, :, 3] == 255).all()


def test_ramp_runs_from_light_to_dark():
    rgba = quicklook.ramp_rgba(np.array([[0.0, 0.025, 0.05, np.nan]]), 0.05)[0]
    lightness = rgba[:3, :3].sum(axis=1)
    assert lightness[0] > lightness[1] > lightness[2]
    assert rgba[3, 3] == 0
