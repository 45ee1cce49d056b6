"""The network as a filling method: what it sees, and what it says of itself."""

import hashlib

import numpy as np
import pytest

from skymend.core.errors import BundleError, ConfigError
from skymend.fusion.stack import Stack
from skymend.inference.network import NetworkMethod, compose, halve, nearest_radar
from skymend.models.card import (
    Calibration,
    Card,
    GapScale,
    InputSpec,
    OutputSpec,
    Scaling,
)
from skymend.models.registry import architecture
from tests.nets import probe

ARCHITECTURE = "crga-os2-tiny"
BANDS = ("B02", "B03", "B04", "B08")
SCALING = {
    "optical": Scaling(),
    "radar": Scaling(kind="db", low=-30.0, high=10.0),
    "dem": Scaling(high=1000.0),
    "days": Scaling(high=30.0),
}
KINDS = {"s2": ("optical", BANDS), "s1": ("radar", ("VV", "VH")), "dem": ("dem", ("height",))}
KINDS["days"] = ("days", ("days",))
SHAPE = (40, 44)


def card(**changes):
    spec = architecture(ARCHITECTURE)
    inputs = []
    for name, _ in spec.channels:
        kind, bands = KINDS[name.split("_")[0]]
        inputs.append(
            InputSpec(
                name=name,
                acquisition="" if name == "dem" else name.rsplit("_", 1)[1],
                kind=kind,
                bands=bands,
                scaling=SCALING[kind],
                resolution_ratio=2 if name == "dem" else 1,
                fill=0.0 if name == "dem" else -1.0,
            )
        )
    values = {
        "name": "probe",
        "architecture": ARCHITECTURE,
        "uncertainty": True,
        "inputs": tuple(inputs),
        "outputs": (
            OutputSpec(name="s2_target", quantity="mean", bands=BANDS),
            OutputSpec(name="s2_target_sigma", quantity="sigma", bands=BANDS),
        ),
        "margin": spec.margin,
        "stride": spec.stride,
        "window_days": 20.0,
        "radar_gap_hours": 72.0,
        "radar_convention": "sigma0",
        "calibration": Calibration(
            gaps=(GapScale(max_days=12.0, scale=2.0), GapScale(max_days=None, scale=3.0))
        ),
    }
    return Card(**values | changes)


def bundle(folder, source, **changes):
    """Write a bundle whose net returns one of its own inputs."""
    folder.mkdir()
    channels = dict(architecture(ARCHITECTURE).channels)
    probe(folder / "model.onnx", channels, ["dem"], source, sigma=0.02)
    (folder / "model.weights.h5").write_bytes(b"none")
    files = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("model.onnx", "model.weights.h5")
    }
    (folder / "card.json").write_text(card(files=files, **changes).model_dump_json())
    return folder


def stack(**changes):
    """Dates -15, -8, +4, +50 days; the closer one before is hidden on the left half."""
    optical = np.stack([np.full((4, *SHAPE), value, np.float32) for value in (0.1, 0.2, 0.3, 0.4)])
    optical[1, :, :, :22] = np.nan
    radar = np.stack([np.full((2, *SHAPE), 10.0**n, np.float32) for n in (-2, -1, 0)])
    values = {
        "times": np.array([85.0, 92.0, 104.0, 150.0]),
        "optical": optical,
        "target_time": 100.0,
        "bands": BANDS,
        "radar_times": np.array([91.0, 98.0, 105.0]),
        "radar": radar,
        "target": np.full((4, *SHAPE), 0.25, np.float32),
        "dem": np.arange(SHAPE[0] * SHAPE[1], dtype=np.float32).reshape(SHAPE) / 4,
    }
    return Stack(**values | changes)


def seen(tmp_path, source, block=None, **changes):
    """Return what the net saw as ``source``, as it came out of the estimate."""
    method = NetworkMethod(bundle(tmp_path / source, source, **changes))
    return method.fit(stack()).predict(block or stack())


def test_before_is_the_clear_observation_closest_in_time(tmp_path):
    mean = seen(tmp_path, "s2_tm1").mean
    np.testing.assert_array_equal(mean[:, :, :22], np.float32(0.1))
    np.testing.assert_array_equal(mean[:, :, 22:], np.float32(0.2))
    np.testing.assert_array_equal(seen(tmp_path, "s2_tp1").mean, np.float32(0.3))


def test_each_composite_brings_the_radar_nearest_to_its_own_date(tmp_path):
    # Scaled dB: (10 log10 x + 30) / 40; -8 d meets 91 (-20 dB), -15 d nothing within 72 h.
    before = seen(tmp_path, "s1_tm1").mean
    np.testing.assert_allclose(before[:, :, 22:], 0.25, atol=1e-6)
    np.testing.assert_array_equal(before[:, :, :22], 0.0)  # the fill -1, clipped to 0..1
    np.testing.assert_allclose(seen(tmp_path, "s1_t").mean, 0.5, atol=1e-6)
    np.testing.assert_allclose(seen(tmp_path, "s1_tp1").mean, 0.75, atol=1e-6)


def test_hidden_target_pixels_are_filled(tmp_path):
    target = np.full((4, *SHAPE), 0.25, np.float32)
    target[:, 7, 9] = np.nan
    mean = seen(tmp_path, "s2_t", stack(target=target)).mean
    assert mean[0, 7, 9] == 0.0
    assert mean[0, 7, 10] == 0.25
    (tmp_path / "none").mkdir()
    assert (seen(tmp_path / "none", "s2_t", stack(target=None)).mean == 0.0).all()


def test_days_and_heights_are_scaled_as_the_card_says(tmp_path):
    days = seen(tmp_path, "days_tm1").mean
    np.testing.assert_allclose(days[0, 0, [0, 30]], [15 / 30, 8 / 30], atol=1e-6)
    dem = seen(tmp_path, "dem").mean
    expected = stack().dem.reshape(20, 2, 22, 2).mean(axis=(1, 3)) / 1000
    np.testing.assert_allclose(dem[0], expected.repeat(2, 0).repeat(2, 1), atol=1e-6)


def test_sigma_is_the_head_times_the_calibration_of_the_gap(tmp_path):
    estimate = seen(tmp_path, "s2_tm1")
    np.testing.assert_array_equal(estimate.gap_days[:, :22], 19.0)
    np.testing.assert_array_equal(estimate.gap_days[:, 22:], 12.0)
    np.testing.assert_allclose(estimate.sigma[:, :, :22], 0.06, rtol=1e-6)
    np.testing.assert_allclose(estimate.sigma[:, :, 22:], 0.04, rtol=1e-6)


def test_only_pixels_empty_on_both_sides_go_beyond_the_window(tmp_path):
    optical = stack().optical.copy()
    optical[:3, :, 5, 5] = np.nan
    optical[:, :, 6, 6] = np.nan
    estimate = seen(tmp_path, "s2_tp1", stack(optical=optical))
    assert estimate.outside[5, 5]
    assert estimate.outside.sum() == 1
    assert estimate.mean[0, 5, 5] == np.float32(0.4)
    assert estimate.same_date[6, 6]
    assert estimate.same_date.sum() == 1
    assert np.isnan(estimate.gap_days[6, 6])


def test_without_radar_time_alone_is_used_and_nothing_means_nan(tmp_path):
    optical = stack().optical.copy()
    optical[:, :, 6, 6] = np.nan
    blind = stack(optical=optical, radar=None, radar_times=None)
    estimate = seen(tmp_path, "s2_tp1", blind)
    assert not estimate.used_radar.any()
    assert not estimate.outside.any()
    assert np.isnan(estimate.mean[:, 6, 6]).all()
    assert np.isfinite(estimate.mean).sum() == 4 * (SHAPE[0] * SHAPE[1] - 1)
    assert np.isnan(estimate.sigma[:, 6, 6]).all()


def test_radar_beyond_the_gap_does_not_count(tmp_path):
    assert seen(tmp_path, "s1_t").used_radar.all()
    (tmp_path / "short").mkdir()
    late = seen(tmp_path / "short", "s1_t", radar_gap_hours=47.0)
    assert not late.used_radar.any()
    (tmp_path / "limit").mkdir()
    assert seen(tmp_path / "limit", "s1_t", radar_gap_hours=48.0).used_radar.all()


def test_only_wanted_pixels_are_estimated(tmp_path):
    wanted = np.zeros(SHAPE, bool)
    wanted[11:13, 17:30] = True
    estimate = seen(tmp_path, "s2_tp1", stack(wanted=wanted))
    np.testing.assert_array_equal(np.isfinite(estimate.mean[0]), wanted)
    np.testing.assert_array_equal(estimate.used_radar, wanted)


def test_bands_come_by_name_not_by_position(tmp_path):
    order = ("B08", "B02", "B04", "B03")
    optical = stack().optical * np.arange(1, 5, dtype=np.float32)[:, None, None] / 4
    method = NetworkMethod(bundle(tmp_path / "b", "s2_tp1"))
    block = stack(optical=optical, bands=order)
    estimate = method.fit(block).predict(block)
    # The probe repeats its first band, B02, which is the second of this stack.
    np.testing.assert_allclose(estimate.mean, 0.3 * 2 / 4, atol=1e-6)
    with pytest.raises(BundleError, match="a stack of the bands"):
        method.fit(stack(bands=("B02", "B03", "B04", "B11")))


def test_another_backscatter_convention_is_refused(tmp_path):
    folder = bundle(tmp_path / "b", "s2_t")
    method = NetworkMethod(folder, radar_convention="sigma0")
    assert (method.margin, method.window_days, method.needs_radar) == (
        card().margin,
        20.0,
        True,
    )
    with pytest.raises(BundleError, match=r"backscatter as sigma0.*scenes of gamma0"):
        NetworkMethod(folder, radar_convention="gamma0")


def test_a_net_for_other_acquisitions_is_refused(tmp_path):
    inputs = tuple(
        i.model_copy(update={"acquisition": "t3"}) if i.name == "s2_t" else i for i in card().inputs
    )
    with pytest.raises(BundleError, match="one of the acquisitions tm1, t, tp1"):
        NetworkMethod(bundle(tmp_path / "b", "s2_t", inputs=inputs))


def test_an_unknown_backend_is_refused(tmp_path):
    method = NetworkMethod(bundle(tmp_path / "b", "s2_t"), backend="torch")
    with pytest.raises(ConfigError, match="onnx or keras"):
        method.fit(stack()).predict(stack())


def test_an_even_and_an_odd_image_are_halved():
    values = np.array([[[1, 3, 5], [5, 7, np.nan], [2, np.nan, np.nan]]], np.float32)
    np.testing.assert_array_equal(halve(values), [[[4, 5], [2, np.nan]]])


def test_nearest_radar_falls_back_where_the_nearest_is_invalid():
    block = stack()
    radar = block.radar.copy()
    radar[1, 0, 3, 3] = np.nan
    values = nearest_radar(stack(radar=radar), np.zeros(SHAPE, np.float32), 5.0)
    assert values[0, 3, 3] == 1.0
    assert values[0, 3, 4] == np.float32(0.1)


def test_hidden_pixels_keep_the_date_and_the_radar_of_the_closest_candidate():
    optical = stack().optical.copy()
    optical[:3, :, 5, 5] = np.nan
    composed = compose(stack(optical=optical), 20.0, 72.0)
    assert (composed.dated["tm1"][5, 4], composed.dated["tm1"][5, 5]) == (15.0, 8.0)
    one_sided = stack().optical.copy()
    one_sided[:2, :, 5, 5] = np.nan
    composed = compose(stack(optical=one_sided), 20.0, 72.0)
    assert np.isnan(composed.optical["tm1"][:, 5, 5]).all()
    assert composed.dated["tm1"][5, 5] == 8.0
    np.testing.assert_allclose(composed.radar["tm1"][:, 5, 5], 0.01)


def test_a_net_without_the_head_takes_the_constants_of_the_card(tmp_path):
    outputs = card().outputs[:1]
    scales = (GapScale(max_days=None, scale=2.0),)
    fixed = Calibration(gaps=scales, sigma=(0.01, 0.02, 0.03, 0.04))
    estimate = seen(tmp_path, "s2_tp1", outputs=outputs, uncertainty=False, calibration=fixed)
    np.testing.assert_allclose(estimate.sigma[:, 3, 3], [0.02, 0.04, 0.06, 0.08], rtol=1e-6)


def test_compose_leaves_a_missing_side_empty():
    only_after = stack().keep(np.array([False, False, True, True]))
    composed = compose(only_after, 20.0, 72.0)
    assert np.isnan(composed.optical["tm1"]).all()
    assert np.isnan(composed.dated["tm1"]).all()
    assert np.isinf(composed.gap_days).all()
    assert not composed.outside.any()
