"""Speckle filters: against slow transcriptions of the papers, and what every filter must keep."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, special
from scipy.ndimage import uniform_filter

from skymend.core.errors import ConfigError
from skymend.sar.multilook import multilook
from skymend.sar.speckle import FILTERS, bright_threshold, filter_speckle, margin
from skymend.sar.speckle.statistics import sigma_range

ADAPTIVE = [name for name in FILTERS if name != "none"]
LOOKS = 4.4


def speckle(shape, looks=LOOKS, seed=0):
    generator = np.random.default_rng(seed)
    return generator.gamma(looks, 1 / looks, shape).astype(np.float32)


def town(seed=1):
    """A field with an edge, a road, a bright house and a hole: everything a filter reacts to."""
    truth = np.full((41, 37), 0.05, np.float32)
    truth[:, 20:] = 0.4
    truth[18] = 0.01
    truth[8:11, 6:9] = 30.0
    truth += np.add.outer(np.arange(41), np.arange(37)).astype(np.float32) % 11 * 0.01
    power = truth * speckle(truth.shape, seed=seed)
    power[30:33, 28:34] = np.nan
    power[0, 0] = np.nan
    return power


# Slow and direct: one pixel at a time, straight from the text of the papers. ----------------


def patch(power, row, column, radius):
    rows = slice(max(row - radius, 0), row + radius + 1)
    columns = slice(max(column - radius, 0), column + radius + 1)
    values = power[rows, columns].astype(np.float64).ravel()
    return values[~np.isnan(values)]


def mmse(pixels, centre, noise):
    mean, variance = pixels.mean(), pixels.var()
    if variance == 0:
        return mean
    signal = max((variance - mean**2 * noise) / (1 + noise), 0)
    return mean + signal / variance * (centre - mean)


def refined_lee_pixel(power, row, column, noise):
    """Lee (1981): nine 3 x 3 means, strongest of four gradients, the half nearer the centre."""
    padded = np.pad(power.astype(np.float64), 4, constant_values=np.nan)
    r, c = row + 4, column + 4
    window = padded[r - 3 : r + 4, c - 3 : c + 4]
    means = np.empty((3, 3))
    for i, j in itertools.product(range(3), range(3)):
        # The centre of each sub-area is 0 or 2 pixels away; outside the image there is none.
        inside = 0 <= row + 2 * i - 2 < power.shape[0] and 0 <= column + 2 * j - 2 < power.shape[1]
        area = window[2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        found = area[~np.isnan(area)]
        means[i, j] = found.mean() if inside and found.size else np.nan
    means[np.isnan(means)] = means[1, 1]
    # Lee's four templates with the two means at their ends and the half windows behind these.
    up, down = np.triu(np.ones((7, 7))), np.tril(np.ones((7, 7)))
    left = np.repeat([[1, 1, 1, 1, 0, 0, 0]], 7, axis=0)
    templates = [
        ([[-1, 0, 1]] * 3, (1, 0), left, (1, 2), left[:, ::-1]),
        ([[0, 1, 1], [-1, 0, 1], [-1, -1, 0]], (0, 2), up, (2, 0), down),
        ([[1, 1, 1], [0, 0, 0], [-1, -1, -1]], (0, 1), left.T, (2, 1), left.T[::-1]),
        ([[1, 1, 0], [1, 0, -1], [0, -1, -1]], (0, 0), up[:, ::-1], (2, 2), down[:, ::-1]),
    ]
    strength = [abs((np.array(t[0]) * means).sum()) for t in templates]
    _, first, first_half, second, second_half = templates[int(np.argmax(np.round(strength, 9)))]
    near = abs(means[first] - means[1, 1]) <= abs(means[second] - means[1, 1])
    chosen = window[(first_half if near else second_half) > 0]
    assert chosen.size == 28
    return mmse(chosen[~np.isnan(chosen)], power[row, column], noise)


def sigma_limits(looks, share):
    """Solve for the unbiased sigma range by numerical integration of the gamma density."""

    def density(v):
        return looks**looks * v ** (looks - 1) * math.exp(-looks * v) / special.gamma(looks)

    def moment(power, low, high):
        return integrate.quad(lambda v: v**power * density(v), low, high, epsabs=1e-13)[0]

    def conditions(limits):
        low, high = limits
        held = moment(0, low, high)
        return held - share, moment(1, low, high) / held - 1

    low, high = optimize.fsolve(conditions, (0.3, 2.2), xtol=1e-13)
    held = moment(0, low, high)
    return low, high, moment(2, low, high) / held - 1


def lee_sigma_image(power, looks, window, bright):
    """Lee et al. (2009): point targets, first estimate in 3 x 3, range, estimate in the range."""
    low, high, noise = sigma_limits(looks, 0.9)
    rows, columns = power.shape
    kept = np.zeros(power.shape, bool)
    for row, column in itertools.product(range(rows), range(columns)):
        if power[row, column] >= bright and (patch(power, row, column, 1) >= bright).sum() >= 5:
            box = slice(max(row - 1, 0), row + 2), slice(max(column - 1, 0), column + 2)
            kept[box] |= power[box] >= bright
    out = np.full(power.shape, np.nan)
    for row, column in zip(*np.nonzero(~np.isnan(power)), strict=True):
        centre = float(power[row, column])
        out[row, column] = centre
        if not kept[row, column]:
            prior = mmse(patch(power, row, column, 1), centre, 1 / looks)
            pixels = patch(power, row, column, window // 2)
            pixels = pixels[(pixels >= low * prior) & (pixels <= high * prior)]
            if pixels.size:
                out[row, column] = mmse(pixels, centre, noise)
    return out


@pytest.mark.parametrize("seed", [1, 2])
def test_refined_lee_is_the_paper(seed):
    power = town(seed)
    direct = np.full(power.shape, np.nan)
    for row, column in zip(*np.nonzero(~np.isnan(power)), strict=True):
        direct[row, column] = refined_lee_pixel(power, row, column, 1 / LOOKS)
    ours = filter_speckle("refined-lee", power, looks=LOOKS)
    # Both in double precision until the float32 result.
    np.testing.assert_allclose(ours, direct, rtol=1e-6)


@pytest.mark.parametrize(("seed", "looks", "window"), [(1, 4.4, 9), (2, 1.0, 7)])
def test_lee_sigma_is_the_paper(seed, looks, window):
    power = town(seed)
    bright = float(np.nanpercentile(power, 98))
    direct = lee_sigma_image(power, looks, window, bright)
    ours = filter_speckle("lee-sigma", power, looks=looks, window=window)
    # A pixel within 1e-9 of a limit could fall on the other side; none does here.
    np.testing.assert_allclose(ours, direct, rtol=1e-6)


def test_the_sigma_ranges_are_those_published():
    """Lee et al. (2009), table for one-look intensity; it gives three digits, solved by hand."""
    table = {
        0.5: (0.436, 1.920, 0.4057),
        0.6: (0.343, 2.210, 0.4954),
        0.7: (0.254, 2.582, 0.5911),
        0.8: (0.168, 3.094, 0.6966),
        0.9: (0.084, 3.941, 0.8191),
    }
    for share, (low, high, deviation) in table.items():
        found = sigma_range(1.0, share)
        assert (found.low, found.high) == pytest.approx((low, high), rel=0.006)
        assert math.sqrt(found.speckle_variance) == pytest.approx(deviation, rel=0.002)


@given(looks=st.floats(0.8, 40.0), share=st.floats(0.3, 0.97))
@settings(max_examples=40, deadline=None)
def test_a_sigma_range_holds_its_share_without_bias(looks, share):
    found = sigma_range(looks, share)
    assert 0 <= found.low < 1 < found.high
    draws = special.gammaincinv(looks, (np.arange(20_000) + 0.5) / 20_000) / looks
    inside = draws[(draws >= found.low) & (draws <= found.high)]
    # 20,000 quantiles stand for the distribution; their step limits the comparison.
    assert inside.size / draws.size == pytest.approx(share, abs=2e-4)
    assert inside.mean() == pytest.approx(1.0, abs=2e-3)
    assert inside.var() == pytest.approx(found.speckle_variance, abs=2e-3)


def test_boxcar_and_lee_agree_with_scipy_inside():
    power = speckle((40, 50))
    double = power.astype(np.float64)
    mean = uniform_filter(double, 7)
    variance = uniform_filter(double**2, 7) - mean**2
    weight = np.maximum(variance - mean**2 / LOOKS, 0) / (1 + 1 / LOOKS) / variance
    inside = np.s_[3:-3, 3:-3]
    boxcar = filter_speckle("boxcar", power, looks=LOOKS)
    np.testing.assert_allclose(boxcar[inside], mean[inside], rtol=1e-6)
    lee = filter_speckle("lee", power, looks=LOOKS)
    np.testing.assert_allclose(lee[inside], (mean + weight * (double - mean))[inside], rtol=1e-6)


def test_gamma_map_is_the_mode_of_the_posterior():
    """The estimate maximises gamma likelihood times gamma prior, found by brute force."""
    power = (speckle((60, 60)) * speckle((60, 60), looks=7.0, seed=3)).astype(np.float32)
    ours = filter_speckle("gamma-map", power, looks=LOOKS)
    seen = set()
    for row, column in itertools.product(range(4, 56, 7), range(4, 56, 5)):
        pixels, z = patch(power, row, column, 3), float(power[row, column])
        mean, ci, cu = pixels.mean(), pixels.var() / pixels.mean() ** 2, 1 / LOOKS
        if ci <= cu:
            expected, case = mean, "flat"
        elif ci >= 2 * cu:
            expected, case = z, "point"
        else:
            alpha, case = (1 + cu) / (ci - cu), "texture"

            def cost(x, z=z, alpha=alpha, mean=mean):
                likelihood = LOOKS * math.log(x) + LOOKS * z / x
                return likelihood - (alpha - 1) * math.log(x) + alpha * x / mean

            bounds = (1e-3 * mean, 50 * mean)
            found = optimize.minimize_scalar(cost, bounds=bounds, options={"xatol": 1e-10})
            expected = found.x
        seen.add(case)
        # The minimum of a smooth function is known to the root of the machine's precision.
        assert ours[row, column] == pytest.approx(expected, rel=1e-4)
    assert seen == {"flat", "point", "texture"}


@pytest.mark.parametrize("name", ADAPTIVE)
def test_a_block_with_its_margin_is_the_whole_image(name):
    power = town()
    bright = bright_threshold(power)
    whole = filter_speckle(name, power, looks=LOOKS, bright=bright)
    reach = margin(name)
    for top, left, rows, columns in [(0, 0, 20, 20), (13, 9, 11, 17), (25, 20, 16, 17)]:
        above, before = max(top - reach, 0), max(left - reach, 0)
        part = power[above : top + rows + reach, before : left + columns + reach]
        block = filter_speckle(name, part, looks=LOOKS, bright=bright)
        inner = block[top - above :, left - before :][:rows, :columns]
        np.testing.assert_array_equal(inner, whole[top : top + rows, left : left + columns])


@pytest.mark.parametrize("name", ADAPTIVE)
def test_margin_is_not_one_pixel_too_small(name):
    """A pixel as far away as the margin changes the result; none farther does."""
    power = np.linspace(1.0, 1.4, 41 * 41, dtype=np.float32).reshape(41, 41)
    power[19:22, 19:22] *= speckle((3, 3))
    base = filter_speckle(name, power, looks=LOOKS, bright=5.0)
    reach = margin(name)
    changed = set()
    for distance in range(reach + 3):
        for other in (0.93, 3.0):
            touched = power.copy()
            touched[20 - distance : 21 + distance, 20 - distance] *= other
            touched[20 - distance, 20 - distance : 21 + distance] *= other
            if filter_speckle(name, touched, looks=LOOKS, bright=5.0)[20, 20] != base[20, 20]:
                changed.add(distance)
    assert reach in changed
    assert max(changed) == reach


@pytest.mark.parametrize("name", ADAPTIVE)
def test_missing_pixels_stay_missing_and_spoil_nothing(name):
    power = town()
    power[10:20, :5] = np.nan
    out = filter_speckle(name, power, looks=LOOKS)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(power))
    assert out.dtype == np.float32
    valid = np.isfinite(power)
    assert power[valid].min() <= out[valid].min()
    assert out[valid].max() <= power[valid].max()


@pytest.mark.parametrize("name", ADAPTIVE)
@given(level=st.floats(1e-4, 1e3), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_a_filter_scales_with_the_power(name, level, seed):
    """Multiplicative speckle: filtering in other units is the same filtering."""
    power = speckle((15, 16), seed=seed)
    plain = filter_speckle(name, power, looks=LOOKS, bright=2.5)
    factor = np.float32(2.0 ** round(math.log2(level)))
    scaled = filter_speckle(name, power * factor, looks=LOOKS, bright=2.5 * float(factor))
    # A power of two moves the exponent only.
    np.testing.assert_allclose(scaled, plain * factor, rtol=1e-6)


@pytest.mark.parametrize("name", ADAPTIVE)
def test_flat_ground_gains_looks_and_keeps_its_mean(name):
    power = 0.2 * speckle((256, 256))
    out = filter_speckle(name, power, looks=LOOKS)[8:-8, 8:-8].astype(np.float64)
    gained = (out.mean() / out.std()) ** 2 / LOOKS
    # 57,600 pixels of 4.4 looks: the mean is known to 0.2 %. Gamma-MAP is the mode of a
    # posterior, which lies below its mean; the sigma and refined filters cut the bright tail.
    allowed = {"boxcar": 0.003, "lee": 0.003, "gamma-map": 0.02}.get(name, 0.01)
    assert out.mean() == pytest.approx(0.2, rel=allowed)
    assert gained > {"boxcar": 45, "lee": 25, "gamma-map": 22}.get(name, 10)


def test_refined_lee_keeps_an_edge_that_boxcar_blurs():
    truth = np.where(np.arange(64) < 32, 0.05, 0.5) * np.ones((64, 1))
    power = (truth * speckle(truth.shape)).astype(np.float32)

    def error(name):
        out = filter_speckle(name, power, looks=LOOKS)[8:-8, 30:34]
        return np.abs(np.log(out / truth[8:-8, 30:34])).mean()

    assert error("refined-lee") < 0.4 * error("boxcar")
    assert error("lee-sigma") < 0.4 * error("boxcar")


def test_lee_sigma_keeps_a_point_target():
    power = 0.1 * speckle((80, 80))
    power[40:43, 40:43] = 50.0
    out = filter_speckle("lee-sigma", power, looks=LOOKS)
    np.testing.assert_array_equal(out[40:43, 40:43], power[40:43, 40:43])
    assert filter_speckle("boxcar", power, looks=LOOKS)[41, 41] < 15


def test_none_copies_and_an_empty_image_stays_empty():
    power = town()
    out = filter_speckle("none", power, looks=LOOKS)
    np.testing.assert_array_equal(out, power)
    assert out is not power
    nothing = np.full((9, 9), np.nan, np.float32)
    assert bright_threshold(nothing) == math.inf
    for name in ADAPTIVE:
        assert np.isnan(filter_speckle(name, nothing, looks=LOOKS)).all()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "frost"}, "expected one of none, boxcar"),
        ({"name": "lee", "window": 6}, "expected an odd number of pixels, 3 or more, found 6"),
        ({"name": "refined-lee", "window": 9}, "the edge-aligned windows of refined-lee are 7 x 7"),
        ({"name": "lee", "looks": 0.0}, "looks: expected a number above 0, found 0"),
    ],
)
def test_wrong_questions_get_a_sentence(arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        filter_speckle(**{"power": speckle((9, 9)), "looks": LOOKS, **arguments})


# Multilook ------------------------------------------------------------------------------------


def test_multilook_is_the_mean_of_blocks():
    power = speckle((2, 12, 10))
    out = multilook(power, 2)
    expected = power.astype(np.float64).reshape(2, 6, 2, 5, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(out, expected, rtol=1e-6)
    np.testing.assert_array_equal(multilook(power, 1), power)


def test_multilook_counts_valid_pixels_only():
    power = np.array([[1, 3, np.nan], [5, np.nan, np.nan], [2, 4, 6]], np.float32)
    np.testing.assert_array_equal(multilook(power, 2), [[3, np.nan], [3, 6]])
    np.testing.assert_array_equal(multilook(power, 2, minimum_share=0.9), [[np.nan] * 2, [3, 6]])


@given(looks=st.integers(1, 5), rows=st.integers(1, 13), columns=st.integers(1, 13))
def test_multilook_keeps_total_power(looks, rows, columns):
    power = speckle((rows, columns))
    out = multilook(power, looks).astype(np.float64)
    assert out.shape == (-(-rows // looks), -(-columns // looks))
    sizes = multilook(np.ones_like(power), looks)
    heights = np.minimum(looks, rows - np.arange(0, rows, looks))
    widths = np.minimum(looks, columns - np.arange(0, columns, looks))
    assert (sizes == 1).all()
    total = (out * np.outer(heights, widths)).sum()
    assert total == pytest.approx(power.astype(np.float64).sum(), rel=1e-6)


def test_multilook_refuses_less_than_one():
    with pytest.raises(ConfigError, match="expected 1 or more, found 0"):
        multilook(speckle((4, 4)), 0)
