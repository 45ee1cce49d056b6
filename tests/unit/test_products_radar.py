"""S1Tiling names and images, and what every backscatter reader masks."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core.errors import ProductError
from skymend.products import open_radar
from skymend.products.s1tiling import Name, refusal
from tests.product_case import GRID, stac_item, write_tif

RNG = np.random.default_rng(7)
VV = RNG.gamma(4, 0.02, GRID.shape).astype(np.float32)
VH = VV / 5


@given(
    st.sampled_from("abc"),
    st.sampled_from(["vv", "vh"]),
    st.sampled_from(["ASC", "DES"]),
    st.integers(1, 175),
    st.datetimes(datetime(2014, 10, 3), datetime(2030, 1, 1)),
)
def test_names_come_back_as_they_were_made(letter, channel, way, orbit, time):
    time = time.replace(microsecond=0, tzinfo=UTC)
    name = Name.parse(f"s1{letter}_31TEJ_{channel}_{way}_{orbit:03d}_{time:%Y%m%dt%H%M%S}.tif")
    assert name.time == time
    assert name.platform == f"sentinel-1{letter}"
    assert name.direction == {"ASC": "ascending", "DES": "descending"}[way]
    assert (name.relative_orbit, name.polarisation) == (orbit, channel.upper())
    assert name.id == f"s1{letter}_31TEJ_{way}_{orbit:03d}_{time:%Y%m%dt%H%M%S}"


@pytest.mark.parametrize(
    ("way", "tile", "expected"),
    [("DES", "31TEJ", "05:48"), ("ASC", "31TEJ", "17:48"), ("DES", "10SGD", "14:12")],
)
def test_joined_frames_get_dawn_or_dusk(way, tile, expected):
    # Zone 31 is centred on 3 degrees east: 12 minutes before Greenwich.
    name = Name.parse(f"s1a_{tile}_vv_{way}_139_20200919txxxxxx.tif")
    assert f"{name.time:%Y-%m-%d %H:%M}" == f"2020-09-19 {expected}"


@pytest.mark.parametrize(
    ("suffix", "convention"),
    [
        ("", "sigma0"),
        ("_filtered", "sigma0"),
        ("_NormLim", "sigma0"),
        ("_GammaNaughtRTC", "gamma0-flattened"),
        ("_gamma", "gamma0"),
        ("_beta", "beta0"),
        ("_odd", "unknown"),
    ],
)
def test_conventions(suffix, convention):
    name = Name.parse(f"s1a_31TEJ_vv_DES_139_20200919t054329{suffix}.tif")
    assert name.convention == convention


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("s1b_31TEJ_vvvh_DES_110_20201011t060008_from-10to3dB.tif", "logarithms"),
        ("s1a_31TEJ_vv_DES_139_20200919t054329_BorderMask.tif", "border mask"),
        ("s1a_31TEJ_vv_DES_139_20201350t054329.tif", "is not like"),
        ("s1a_31TEJ_vv_DES_139_20200919t054329.tif", "no such file"),
        ("dem.tif", "is not like"),
    ],
)
def test_refusals(tmp_path, name, reason):
    if "Border" in name:
        (tmp_path / name).touch()
    assert reason in refusal(tmp_path / name)


def _write_pass(folder, channels):
    for channel, values in channels.items():
        write_tif(folder / f"s1a_31TFJ_{channel}_DES_037_20200919t054329.tif", values, GRID)
    return folder / f"s1a_31TFJ_{next(iter(channels))}_DES_037_20200919t054329.tif"


def test_both_polarisations_are_found_from_either(tmp_path):
    vv = VV.copy()
    vv[:4] = 0
    _write_pass(tmp_path, {"vv": vv, "vh": VH})
    for channel in ("vv", "vh"):
        product = open_radar(tmp_path / f"s1a_31TFJ_{channel}_DES_037_20200919t054329.tif")
        assert product.polarisations == ("VV", "VH")
        values = product.read(("VH", "VV"), GRID)
        np.testing.assert_array_equal(values[0], VH)
        np.testing.assert_array_equal(values[1], np.where(vv == 0, np.nan, vv))


def test_a_missing_polarisation_is_named(tmp_path):
    product = open_radar(_write_pass(tmp_path, {"vv": VV}))
    with pytest.raises(ProductError, match=r"the polarisation VH in s1a_31TFJ_vh_.* found VV"):
        product.read(("VV", "VH"), GRID)


def test_power_that_cannot_be_is_masked(tmp_path):
    vv, vh = VV.copy(), VH.copy()
    vv[0, :4] = (21.524513, -0.1, np.inf, 0.03)
    vh[0, :4] = (21.524513, 0.01, 0.01, 0.03)
    values = open_radar(_write_pass(tmp_path, {"vv": vv, "vh": vh})).read(("VV", "VH"), GRID)
    np.testing.assert_array_equal(np.isnan(values[0, 0, :5]), [True, True, True, False, False])
    np.testing.assert_array_equal(np.isnan(values[1, 0, :5]), [True, False, False, False, False])


def test_stac_radar_in_decibel_becomes_linear(tmp_path):
    decibel = (10 * np.log10(VV)).astype(np.float32)
    band = {"unit": "gamma0 RTC dB", "nodata": "nan"}
    item = stac_item(
        tmp_path,
        "S1X",
        "2020-09-19T05:43:29Z",
        {"vv": (decibel, band)},
        **{"sat:relative_orbit": 37, "sat:orbit_state": "descending"},
    )
    product = open_radar(item)
    # dB of float32 carries 1e-6 of about 20, which is 2e-6 of the power.
    np.testing.assert_allclose(product.read(("VV",), GRID)[0], VV, rtol=1e-5)
    assert product.convention == "gamma0-flattened"
    assert (product.relative_orbit, product.direction) == (37, "descending")
