"""Border noise: made images whose no-value area is known to the sample."""

from __future__ import annotations

import numpy as np
import pytest

from skymend.core.errors import ProductError
from skymend.core.grid import Window
from skymend.sar.border import (
    EROSION,
    REACH,
    Seams,
    border_noise_mask,
    find_border,
    parse_ipf,
)

NOISE = 900.0
"""Thermal noise in DN^2; of the real annotations in hand it is 330 to 2,800."""


def edges(lines, samples):
    """A swath whose sides move in steps, as the sampling start time does."""
    line = np.arange(lines)
    near = 40 + 15 * (line // 90)
    far = samples - 25 - 10 * (line // 140)
    return near, far


def scene(lines=700, samples=1500, *, old, level=200.0**2, top=0, bottom=0, seed=0):
    """Return DN, truth of the no-value area; ``old`` fills it with small numbers."""
    generator = np.random.default_rng(seed)
    near, far = edges(lines, samples)
    sample, line = np.arange(samples), np.arange(lines)[:, None]
    outside = (sample < near[:, None]) | (sample >= far[:, None])
    outside |= (line < top) | (line >= lines - bottom)
    speckle = generator.gamma(4.4, 1 / 4.4, outside.shape)
    power = (level + NOISE) * speckle
    power[outside] = NOISE / 40 * speckle[outside] if old else 0.0
    return np.rint(np.sqrt(power)).astype(np.uint16), outside


def noise_like(dn):
    return np.full(dn.shape, NOISE)


def depth_error(found, truth):
    """Largest distance, in samples along a line, by which the mask misses or overreaches."""
    return np.abs(found.sum(axis=1) - truth.sum(axis=1)).max()


@pytest.mark.parametrize("old", [True, False])
def test_the_sides_are_found_and_grown_by_the_response(old):
    dn, outside = scene(old=old, top=30, bottom=20)
    ipf = "002.72" if old else "003.40"
    found = border_noise_mask(dn, ipf, noise=noise_like(dn))
    assert found[outside].all()
    inside = ~outside
    # Along each line at most the erosion on both sides, and the step of a neighbouring line.
    extra = (found & inside)[40:-30].sum(axis=1)
    assert extra.min() == 2 * EROSION
    assert extra.max() <= 2 * EROSION + 15
    assert (found & inside).mean() < 0.02


def test_zero_inside_the_image_is_kept():
    dn, outside = scene(old=False)
    dn[300:340, 600:700] = 0
    found = border_noise_mask(dn, "3.52")
    assert not found[300:340, 600:700].any()
    assert found[outside].all()


def test_calm_water_beside_the_border_keeps_its_pixels():
    """Signal at the noise floor: half of it falls below zero, yet it has values."""
    dn, outside = scene(old=True, level=0.0)
    found = border_noise_mask(dn, "002.60", noise=noise_like(dn))
    assert found[outside].all()
    assert (found & ~outside).mean() < 0.05


def test_one_bright_sample_in_the_noise_is_no_beginning():
    dn, outside = scene(old=True)
    dn[::7, 12] = 300
    found = border_noise_mask(dn, "002.60", noise=noise_like(dn))
    assert found[outside].all()


def test_nothing_is_masked_at_a_seam():
    dn, _ = scene(old=True)
    middle = np.s_[:, 300:1200]
    dn[:30, 300:1200] = dn[-30:, 300:1200] = 3
    alone = border_noise_mask(dn, "002.72", noise=noise_like(dn))
    assert alone[middle][:30].all()
    assert alone[middle][-30:].all()
    seams = Seams(first_line=True, last_line=True)
    joined = border_noise_mask(dn, "002.72", noise=noise_like(dn), seams=seams)
    assert not joined[middle].any()
    half = border_noise_mask(dn, "002.72", noise=noise_like(dn), seams=Seams(last_line=True))
    assert half[middle][:30].all()
    assert not half[middle][-30:].any()


def test_a_full_image_loses_nothing():
    dn = np.full((200, 300), 120, np.uint16)
    assert not border_noise_mask(dn, "3.10").any()
    assert not border_noise_mask(dn, "2.60", noise=noise_like(dn)).any()
    assert not border_noise_mask(dn, "2.60").any()


def test_without_noise_vectors_a_raw_threshold_serves():
    dn, outside = scene(old=True)
    found = border_noise_mask(dn, "002.36")
    assert found[outside].all()
    assert (found & ~outside).mean() < 0.02


def test_an_image_without_any_value_is_masked_whole():
    assert border_noise_mask(np.zeros((50, 60), np.uint16), "3.1").all()


def test_noise_is_looked_for_near_the_sides_only():
    """MPC-0243 limits the search, so that a dark sea is not eaten from the side."""
    dn = np.full((50, 4 * REACH), 1, np.uint16)
    dn[:, 3 * REACH :] = 200
    found = border_noise_mask(dn, "2.5", seams=Seams(first_line=True, last_line=True))
    assert found[:, : REACH + EROSION].all()
    assert not found[:, REACH + EROSION :].any()


def test_windows_agree_with_the_whole_and_each_line_is_read_once():
    dn, _ = scene(1300, 1500, old=True, top=10)
    asked = []

    def read(window):
        asked.append(window)
        return dn[window.slices]

    border = find_border(read, dn.shape, "2.7", read_noise=lambda w: np.full((1, 1), NOISE))
    whole = border_noise_mask(dn, "2.7", noise=noise_like(dn))
    for window in (Window(0, 0, 100, 200), Window(640, 1300, 660, 200), Window(5, 5, 1, 1)):
        np.testing.assert_array_equal(border.invalid(window), whole[window.slices])
    assert sum(w.rows * w.columns for w in asked) == dn.size
    assert max(w.rows for w in asked) <= 1024


def test_tiny_images_are_no_trouble():
    for shape in [(1, 1), (1, 9), (9, 1), (2, 2)]:
        assert not border_noise_mask(np.full(shape, 99, np.uint16), "3.1").any()
        assert not border_noise_mask(np.full(shape, 99, np.uint16), "2.1").any()


@pytest.mark.parametrize(
    ("text", "version"),
    [("002.84", (2, 84)), ("003.40", (3, 40)), ("2.9", (2, 90)), ("3.5.2", (3, 50))],
)
def test_versions_of_the_processor(text, version):
    assert parse_ipf(text) == version


def test_an_unreadable_version_is_refused():
    with pytest.raises(ProductError, match=r"expected a number such as 003\.40, found 'n/a'"):
        parse_ipf("n/a")
