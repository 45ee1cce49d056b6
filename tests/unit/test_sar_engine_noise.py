"""The embedded engine and noise: removed, floored, left in, missing."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from skymend.core.grid import Window
from skymend.products.sentinel1 import open_grd
from skymend.sar.engine import FLOOR
from tests.embedded_case import (
    DARK,
    GAMMA0,
    LITTLE,
    SURVEY,
    make,
    make_little,
    run,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("grd"))


@pytest.fixture(scope="module")
def dark(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dark")
    return make_little(folder, survey=DARK, gamma0={"VV": 0.0}, grainless=False)


def test_noise_of_a_dark_ground_averages_to_nothing(dark):
    """A null field: what is left after the noise has mean zero, before any floor."""
    products, _ = dark
    product = open_grd(products[0])
    from skymend.sar.calibration import Radiometry

    shape = product.annotation("VV").shape
    window = Window(0, 0, *shape)
    dn = product.dn("VV", window)
    table = product.calibration("VV").tables["beta0"]
    power = Radiometry(table, product.noise("VV")).power(dn, window)
    valid = np.isfinite(power)
    noise = Radiometry(table, None).power(dn, window)[valid].mean()
    # Speckle is correlated over some 2 x 2 pixels, so there are four times fewer looks; rounding
    # DN adds a twelfth of a DN^2.
    error = 2 * power[valid].std() / np.sqrt(valid.sum()) + 1 / 12 / table.values[0][0] ** 2
    assert abs(power[valid].mean()) < 4 * error
    assert abs(power[valid].mean()) < 0.01 * noise


def test_power_below_the_noise_becomes_a_flagged_floor(dark, tmp_path):
    _, power, _, state = run(*dark, tmp_path / "out", grid=LITTLE, convention="sigma0")
    low = (state & FLOOR) > 0
    assert 0.2 < low.mean() < 0.8
    assert (power[0][low] == np.float32(1e-5)).all()
    assert (power[0][np.isfinite(power[0])] > 0).all()


def test_noise_can_stay_in(made, tmp_path):
    clean = run(*made, tmp_path / "a", convention="sigma0")[1]
    noisy = run(*made, tmp_path / "b", convention="sigma0", remove_thermal_noise=False)
    assert (np.nanmean(noisy[1], axis=(1, 2)) > np.nanmean(clean, axis=(1, 2))).all()
    assert noisy[0].facts["thermal_noise_removed"] is False


def test_noise_before_ipf_290_is_removed_too(tmp_path):
    products, dem = make_little(tmp_path / "old", survey=replace(SURVEY, ipf="002.84"))
    scene, power, _, _ = run(
        products, dem, tmp_path / "out", grid=LITTLE, remove_border_noise=False
    )
    assert scene.facts["thermal_noise_layout"] == ["range"]
    assert 10 * np.log10(np.nanmedian(power[1]) / GAMMA0["VH"]) == pytest.approx(0, abs=0.1)


def test_missing_noise_vectors_warn_and_are_recorded(made, tmp_path, caplog):
    product = tmp_path / made[0][0].name
    shutil.copytree(made[0][0], product)
    for path in product.glob("annotation/calibration/noise-*"):
        path.unlink()
    scene = run([product], made[1], tmp_path / "out")[0]
    assert scene.facts["thermal_noise_removed"] is False
    assert "no vectors of thermal noise for VV" in caplog.text
