"""Cards: scaling, calibration, and what an architecture says before any net is built."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from skymend.core.errors import BundleError, ConfigError
from skymend.models.card import Calibration, GapScale, InputSpec, Scaling
from skymend.models.registry import ARCHITECTURES, architecture
from skymend.training.normalise import input_specs, output_specs

OPTICAL = ("B02", "B03", "B04", "B08")


def _bands(name):
    kinds = {"s2_20m": ("B05", "B06", "B07", "B8A", "B11", "B12"), "s2": OPTICAL}
    return {
        key: next((b for p, b in kinds.items() if key.startswith(p)), ("VV", "VH"))
        for key, _ in architecture(name).channels
    }


def test_decibel_scaling_is_ten_log_ten_clipped_to_its_range():
    scaling = Scaling(kind="db", low=-30.0, high=5.0)
    power = np.array([1.0, 0.1, 10**-3.5, 100.0, 0.0, -1.0, np.nan], np.float32)
    # 0 dB, -10 dB, below the range, above it; what has no logarithm is NaN.
    expected = [30 / 35, 20 / 35, 0.0, 1.0, np.nan, np.nan, np.nan]
    np.testing.assert_allclose(scaling.apply(power), expected, atol=1e-6)  # float32 rounding


@given(st.floats(-1, 1), st.sampled_from([Scaling(), Scaling(low=0.0, high=1e4)]))
def test_linear_scaling_is_inverted(value, scaling):
    values = np.float32([value])
    # float32 keeps 7 digits of the range.
    tolerance = 1e-6 * (scaling.high - scaling.low)
    np.testing.assert_allclose(scaling.invert(scaling.apply(values)), values, atol=tolerance)


@given(st.floats(-29.9, 4.9))
def test_decibel_scaling_is_inverted_inside_its_range(decibel):
    scaling = Scaling(kind="db", low=-30.0, high=5.0)
    power = np.float32([10 ** (decibel / 10)])
    np.testing.assert_allclose(scaling.invert(scaling.apply(power)), power, rtol=1e-4)


def test_decibels_and_linear_power_give_the_same_input():
    item = next(i for i in input_specs(architecture("crga-os2"), _bands("crga-os2")))
    decibel = np.array([-25.0, -12.5, 0.0, np.nan], np.float32)
    np.testing.assert_allclose(
        item.prepare(10 ** (decibel / 10)), item.prepare_db(decibel), atol=1e-6
    )


def test_unusable_values_become_the_fill_value_of_the_card():
    item = InputSpec(
        name="s2_t",
        acquisition="t",
        kind="optical",
        bands=OPTICAL,
        scaling=Scaling(),
        fill=-1.0,
    )
    np.testing.assert_array_equal(
        item.prepare(np.array([0.25, np.nan], np.float32)), np.float32([0.25, -1.0])
    )


def test_calibration_takes_the_class_of_the_gap_and_the_last_for_endless_ones():
    calibration = Calibration(
        gaps=(
            GapScale(max_days=10.0, scale=1.0),
            GapScale(max_days=20.0, scale=2.0),
            GapScale(max_days=None, scale=3.0),
        )
    )
    gaps = np.array([0.0, 10.0, 10.1, 20.0, 400.0, np.inf, np.nan])
    np.testing.assert_array_equal(calibration.factor(gaps), np.float32([1, 1, 2, 2, 3, 3, 3]))


@pytest.mark.parametrize(
    ("name", "reach", "margin", "stride"),
    [
        # decloud.md section 12.1: reach 66 at depth 5, 10 for David.
        ("crga-os2", 66, 96, 32),
        ("crga-os2-david", 10, 12, 4),
        ("crga-os2-tiny", 16, 16, 8),
    ],
)
def test_margin_is_the_reach_rounded_up_to_the_stride(name, reach, margin, stride):
    spec = architecture(name)
    assert (spec.reach, spec.margin, spec.stride) == (reach, margin, stride)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_has_a_scaling_for_every_input(name):
    spec = architecture(name)
    inputs = input_specs(spec, _bands(name))
    assert [(i.name, len(i.bands)) for i in inputs] == list(spec.channels)
    assert [o.name for o in output_specs(spec, OPTICAL, True)] == spec.outputs(True)


def test_a_missing_band_is_named():
    with pytest.raises(ConfigError, match=r"input s2_tm1: expected 4 bands.*found B02"):
        input_specs(architecture("crga-os2"), {**_bands("crga-os2"), "s2_tm1": ("B02",)})


def test_an_unknown_architecture_is_refused_in_one_sentence():
    with pytest.raises(BundleError, match=r"expected one of .*crga-os2.*found an unknown name"):
        architecture("crga-os9")


def test_cards_are_frozen_and_refuse_unknown_fields():
    with pytest.raises(ValidationError, match="frozen"):
        Scaling().low = 1.0
    with pytest.raises(ValidationError, match="Extra inputs"):
        Scaling(gain=2.0)
