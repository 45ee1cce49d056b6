"""Calibration and noise removal against the formula, in double precision, on real tables."""

import numpy as np
import pytest

from skymend.core.grid import Window
from skymend.products.sentinel1 import Noise, RangeTable, open_grd
from skymend.sar.calibration import NOISE_FLOOR, Radiometry
from tests.sar_case import lookup, noise_by_formula, rome, speckle, to_dn

WINDOWS = (
    Window(0, 0, 300, 400),
    Window(7000, 8800, 300, 200),  # across the border of IW1 and IW2
    Window(16_405, 25_802, 300, 300),
)


@pytest.fixture(scope="module")
def product(shared_data):
    return open_grd(rome(shared_data))


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("quantity", ["beta0", "sigma0", "gamma0"])
def test_calibration_is_the_formula_within_a_millionth(product, window, quantity):
    dn = np.random.default_rng(1).integers(1, 3000, (window.rows, window.columns)).astype(np.uint16)
    table, noise = product.calibration("VV").tables[quantity], product.noise("VV")
    rows = np.arange(window.row, window.row + window.rows)
    columns = np.arange(window.column, window.column + window.columns)
    a = lookup(table, rows, columns)
    plain = dn.astype(np.float64) ** 2 / a**2
    np.testing.assert_allclose(Radiometry(table, None).power(dn, window), plain, rtol=1e-6)
    under = noise_by_formula(noise, rows, columns) / a**2
    # Where the two terms cancel, a millionth of the larger one is what is asked for.
    found = Radiometry(table, noise).power(dn, window)
    assert (np.abs(found - (plain - under)) <= 1e-6 * np.maximum(plain, under)).all()
    level = Radiometry(table, noise).noise_power(window)
    np.testing.assert_allclose(level, noise_by_formula(noise, rows, columns), rtol=1e-6)


def test_noise_of_a_null_field_averages_to_zero(product):
    """DN^2 = noise x speckle: after the removal, before any floor, the mean is zero."""
    window = Window(5000, 10_000, 800, 800)
    table, noise = product.calibration("VV").tables["beta0"], product.noise("VV")
    rows = np.arange(window.row, window.row + window.rows)
    columns = np.arange(window.column, window.column + window.columns)
    level = noise_by_formula(noise, rows, columns)
    grain = speckle(level.shape, 3, looks=4, correlation=0.6)
    dn = to_dn(0.0, lookup(table, rows, columns), level, grain)
    power = Radiometry(table, noise).power(dn, window)
    # Correlated over some 2 x 2 pixels: four times fewer independent ones. Rounding adds 1/12.
    error = power.std() / np.sqrt(power.size / 4)
    rounding = 1 / 12 / 474.0**2
    assert abs(power.mean() - rounding) < 4 * error
    assert 0.4 < (power <= 0).mean() < 0.7


def test_zero_is_no_value(product):
    table = product.calibration("VV").tables["sigma0"]
    dn = np.array([[0, 1]], np.uint16)
    power = Radiometry(table, product.noise("VV")).power(dn, Window(100, 100, 1, 2))
    assert np.isnan(power[0, 0])
    assert power[0, 1] < 0
    assert NOISE_FLOOR < 10**-3.2


def test_ends_of_a_table_are_held():
    flat = (np.array([0.0, 10.0]),) * 2
    table = RangeTable(np.array([5.0, 9.0]), flat, (np.array([2.0, 2.0]), np.array([4.0, 4.0])))
    dn = np.full((15, 1), 8, np.uint16)
    power = Radiometry(table, Noise(None)).power(dn, Window(0, 3, 15, 1))[:, 0]
    assert power[0] == power[5] == 16
    assert power[7] == pytest.approx(64 / 9)
    assert power[9] == power[14] == 4
