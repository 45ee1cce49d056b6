"""Speckle filters on real images: a decimated IW GRDH and 21 dates of terrain-corrected gamma0."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from benchmarks.speckle import (
    REAL_LOOKS,
    SEA,
    WINDOWS,
    bias_db,
    brightest_loss_db,
    enl,
    gradient_kept,
    real_power,
)
from skymend.sar.border import border_noise_mask
from skymend.sar.quegan import mean_ratio, quegan
from skymend.sar.speckle import FILTERS, filter_speckle

pytestmark = pytest.mark.real

BURSTS = ("292319-IW2", "292322-IW2", "292325-IW1")


@pytest.fixture(scope="module")
def grd(shared_data):
    power = real_power(shared_data)
    if power is None:
        pytest.skip("the decimated GRD is not at hand")
    return power


@pytest.mark.parametrize("name", [n for n in FILTERS if n != "none"])
def test_a_filter_on_the_real_grd(grd, name):
    out = filter_speckle(name, grd, looks=REAL_LOOKS, window=WINDOWS.get(name, 7))
    np.testing.assert_array_equal(np.isnan(out), np.isnan(grd))
    # 6,400 pixels of some 100 looks: the mean is known to 0.01 dB.
    assert abs(bias_db(out[SEA], float(grd[SEA].mean()))) < 0.02
    # Swell and wind streaks stay: the sea gains less than flat ground would.
    assert enl(out[SEA]) > 1.5 * enl(grd[SEA])
    if name == "boxcar":
        assert gradient_kept(grd, out) < 0.8
        assert brightest_loss_db(grd, out) > 5
    else:
        assert gradient_kept(grd, out) > 0.95
        assert brightest_loss_db(grd, out) < 0.1


@pytest.fixture(scope="module", params=[(b, p) for b in BURSTS for p in ("VV", "VH")])
def series(request, shared_data):
    """(dates, rows, columns) linear gamma0 of one burst and channel, by date."""
    burst, channel = request.param
    folder = shared_data / "s1-rtc-timeseries-10SGD-opera" / "137"
    images = []
    for path in sorted(folder.glob(f"*/*{burst}*_{channel}.tif")):
        with rasterio.open(path, driver="GTiff") as file:
            images.append(file.read(1))
    stack = np.stack(images)
    assert stack.shape == (21, 100, 100)
    stack[~(stack > 0)] = np.nan
    return stack


def correlation(first, second):
    both = np.isfinite(first + second)
    return float(np.corrcoef(first[both], second[both])[0, 1])


def detail(power):
    """The logarithm of power over its local mean: what a filter must keep."""
    return np.log(mean_ratio(power[None], 7))


def test_quegan_averages_speckle_over_the_dates(series):
    """Halves of the stack have speckle of their own: how they differ tells what is left of it."""
    ten, eleven = series[1::2], series[0::2]
    pairs = zip(series[0:20:2], series[1:20:2], strict=True)
    single = np.mean([np.nanvar(detail(a) - detail(b)) for a, b in pairs])
    halves = np.nanvar(np.log(mean_ratio(ten, 7) / mean_ratio(eleven, 7)))
    # Ten and eleven dates would divide the variance by 10.5 if speckle and the surface's own
    # change were independent from date to date; what changes for good divides it by less.
    assert 8 < single / halves < 13


def test_quegan_keeps_detail_that_spatial_filters_lose(series):
    """Judged by the other half of the dates, which shares the detail but not the speckle."""
    truth = np.log(mean_ratio(series[1::2], 7))
    date = series[8]
    filtered = quegan(series[0::2], 7, dates=[4])[0]
    plain = correlation(detail(date), truth)
    multitemporal = correlation(detail(filtered), truth)
    spatial = correlation(detail(filter_speckle("boxcar", date, looks=LOOKS)), truth)
    assert multitemporal > 0.85
    assert multitemporal > plain + 0.1
    assert spatial < 0.3


LOOKS = 9.0
"""Of 30 m pixels made from 10 m ones; the box does not use it."""


def test_quegan_keeps_the_power_of_each_date(series):
    filtered = quegan(series)
    for before, after in zip(series, filtered, strict=True):
        # The filter keeps ratios to local means, not sums: a few hundredths of a decibel move.
        assert abs(10 * np.log10(np.nanmean(after) / np.nanmean(before))) < 0.05
    np.testing.assert_array_equal(np.isnan(filtered), np.isnan(series))


def test_the_border_of_a_real_image_is_its_zeros(grd):
    """Its processor (2018-07, IPF 2.91) wrote zeros: they go, with three samples beside them."""
    dn = np.sqrt(np.nan_to_num(grd)).round().astype(np.uint16)
    found = border_noise_mask(dn, "002.91")
    assert (dn == 0).mean() > 0.01
    assert found[dn == 0].all()
    beside = found & (dn > 0)
    lines = beside[20:-20].sum(axis=1)
    # Three samples, and one more where the edge of the zeros is ragged from line to line.
    assert (lines.min(), lines.max()) == (3, 4)
    assert not found[20:-20, 20:-60].any()
