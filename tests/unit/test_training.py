"""Training: losses, samples, calibration, and that it repeats and resumes bit by bit."""

import json
import logging
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core.errors import ConfigError
from skymend.core.step import Artifact, Context
from skymend.models.bundle import load_bundle
from skymend.models.registry import architecture
from skymend.patches.card import KeySpec, StoreCard
from skymend.patches.layout import load_layout
from skymend.patches.store import StoreWriter, decode, encode_decibel, sample_dtype
from skymend.steps.train import Inputs, Params
from skymend.steps.train import run as run_step
from skymend.training.augment import turn
from skymend.training.from_folder import train_folder
from skymend.training.loop import LoopSettings, configure, fit
from skymend.training.losses import masked_l1, masked_nll
from skymend.training.samples import Feeder, sample_days
from skymend.training.train import TrainingSettings, train
from skymend.training.validate import Validation, calibrate, linear_interpolation

tf = pytest.importorskip("tensorflow", reason="needs the extra `train`")

BANDS = ("B02", "B03", "B04", "B08")
SIZE, SAMPLES = 32, 40


class MemoryStore:
    """A patch store that never touches a disk."""

    def __init__(self, arrays, samples, card):
        self.arrays, self.samples, self.card = arrays, samples, card

    def __len__(self):
        return self.card.samples

    @property
    def keys(self):
        return tuple(self.arrays)

    def split(self, name):
        return np.flatnonzero(self.samples["split"] == ("train", "valid", "test").index(name))

    def batch(self, indices, keys=None):
        return {key: self.arrays[key][indices] for key in keys or self.arrays}

    def decode(self, batch, *, decibel=False):
        return decode(batch, self.card, decibel=decibel)


def _optical(values):
    return np.where(np.isnan(values), -10000, np.rint(values * 1e4)).astype(np.int16)


def _arrays(rng):
    """Land that greens on one half on a random day; radar that follows it."""
    half = np.zeros((SAMPLES, SIZE, SIZE, 1))
    half[:, :, SIZE // 2 :] = 1
    state = {"tm1": 0.0, "t": rng.integers(0, 2, (SAMPLES, 1, 1, 1)), "tp1": 1.0}
    arrays = {}
    for name, green in state.items():
        optical = 0.1 + 0.3 * half * green + rng.normal(0, 0.005, (SAMPLES, SIZE, SIZE, 4))
        power = 10 ** ((-15 + 6 * half * green) / 10) * np.ones(2)
        speckle = rng.gamma(4.4, 1 / 4.4, power.shape)
        arrays[f"s1_{name}"] = encode_decibel((power * speckle).astype(np.float32))
        arrays["s2_target" if name == "t" else f"s2_{name}"] = _optical(optical)
    cloud = np.zeros((SAMPLES, SIZE, SIZE, 1), np.uint8)
    cloud[:, 4:28] = 1
    arrays["s2_t"] = np.where(cloud, np.int16(6000), arrays["s2_target"])
    arrays["s2_target"][:, 0] = -10000
    arrays["cloud_t"] = cloud
    arrays["usable_target"] = np.ones_like(cloud)
    arrays["usable_target"][:, :, 0] = 0
    return arrays


def _key(name):
    kinds = {"s1": ("radar", ("VV", "VH")), "s2": ("optical", BANDS)}
    kind, bands = kinds.get(name[:2], ("mask", ("flag",)))
    return KeySpec(name=name, kind=kind, acquisition=name.split("_")[1], bands=bands, size=SIZE)


@pytest.fixture(scope="module")
def store():
    arrays = _arrays(np.random.default_rng(0))
    samples = np.zeros(SAMPLES, sample_dtype(3))
    samples["split"][::5] = 1
    samples["optical"] = [[0, 10, 40]]
    days = [date(2018, 6, 1) + timedelta(days=n) for n in range(41)]
    card = StoreCard(
        keys=tuple(_key(name) for name in arrays),
        samples=SAMPLES,
        splits={"train": SAMPLES - 8, "valid": 8},
        patch_size=SIZE,
        resolution_m=10,
        layout=load_layout("crga-os2-short").as_json(),
        convention="sigma0",
        scenes={"optical": tuple(f"SENTINEL2A_{d:%Y%m%d}-105000-000_L2A" for d in days)},
        data_hash="0" * 64,
    )
    return MemoryStore(arrays, samples, card)


@pytest.fixture(scope="module")
def feeder(store):
    return Feeder(store, architecture("crga-os2-tiny"))


# --- losses -------------------------------------------------------------------------------


def _pair(rng, sigma=False):
    truth = rng.random((2, 5, 6, 5)).astype(np.float32)
    truth[..., 4] = rng.choice([0.0, 0.2, 1.0], (2, 5, 6))
    prediction = rng.random((2, 5, 6, 8 if sigma else 4)).astype(np.float32) + 0.05
    return truth, prediction


def test_masked_l1_is_the_weighted_mean_of_absolute_errors():
    truth, prediction = _pair(np.random.default_rng(1))
    weights = np.broadcast_to(truth[..., 4:], (2, 5, 6, 4))
    expected = np.average(np.abs(truth[..., :4] - prediction), weights=weights)
    # float32 sums of 240 terms.
    assert float(masked_l1(4)(truth, prediction)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("likelihood", ["laplace", "gaussian"])
def test_the_likelihood_is_that_of_scipy_up_to_its_constant(likelihood):
    from scipy import stats

    truth, prediction = _pair(np.random.default_rng(2), sigma=True)
    mean, sigma = prediction[..., :4], prediction[..., 4:]
    if likelihood == "laplace":
        scale = sigma / np.sqrt(2)
        nll, constant = -stats.laplace.logpdf(truth[..., :4], mean, scale), np.log(np.sqrt(2))
    else:
        nll, constant = -stats.norm.logpdf(truth[..., :4], mean, sigma), np.log(2 * np.pi) / 2
    weights = np.broadcast_to(truth[..., 4:], nll.shape)
    l1 = np.average(np.abs(truth[..., :4] - mean), weights=weights)
    expected = l1 + 0.1 * (np.average(nll, weights=weights) - constant)
    found = float(masked_nll(4, likelihood)(truth, prediction))
    assert found == pytest.approx(expected, rel=1e-4)


def test_what_has_no_weight_carries_no_gradient():
    truth, prediction = _pair(np.random.default_rng(3), sigma=True)
    variable = tf.Variable(prediction)
    with tf.GradientTape() as tape:
        value = masked_nll(4)(truth, variable)
    gradient = tape.gradient(value, variable).numpy()
    unseen = truth[..., 4] == 0
    assert not gradient[unseen].any()
    assert (gradient[~unseen] != 0).all()


def test_the_mean_does_not_learn_from_the_likelihood():
    truth, prediction = _pair(np.random.default_rng(4), sigma=True)
    gradients = []
    for loss in (masked_l1(4), masked_nll(4)):
        variable = tf.Variable(prediction)
        with tf.GradientTape() as tape:
            value = loss(truth, variable)
        gradients.append(tape.gradient(value, variable).numpy()[..., :4])
    np.testing.assert_array_equal(*gradients)


def test_a_batch_without_any_truth_gives_zero():
    truth = np.zeros((1, 4, 4, 5), np.float32)
    assert float(masked_l1(4)(truth, np.ones((1, 4, 4, 4), np.float32))) == 0.0


# --- samples ------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1))
def test_all_arrays_of_a_sample_turn_alike(seed):
    plain = np.arange(3 * 4 * 4).reshape(3, 4, 4, 1)
    fine = np.repeat(np.repeat(plain, 2, axis=1), 2, axis=2)
    turned = turn({"a": plain, "b": fine}, np.random.default_rng(seed))
    np.testing.assert_array_equal(turned["a"], turned["b"][:, ::2, ::2])
    for before, after in zip(plain, turned["a"], strict=True):
        np.testing.assert_array_equal(np.sort(before.ravel()), np.sort(after.ravel()))


def test_hidden_and_unknown_pixels_are_told_apart(feeder):
    feed = feeder.feed(np.arange(3))
    hidden = np.zeros((3, SIZE, SIZE), bool)
    hidden[:, 4:28] = True
    np.testing.assert_array_equal(feed.hidden, hidden)
    # Clouds never reach the net: the fill value stands for them.
    assert (feed.inputs["s2_t"][hidden] == -1.0).all()
    truth = feed.truth(clear_weight=0.25)
    assert (truth[:, 0, :, 4] == 0).all(), "nodata in the target"
    assert (truth[:, :, 0, 4] == 0).all(), "marked as unusable"
    assert (truth[:, 1, 1:, 4] == 0.25).all()
    assert (truth[:, 5, 1:, 4] == 1.0).all()
    assert np.isfinite(truth).all()
    assert all(np.isfinite(values).all() for values in feed.inputs.values())


def test_inputs_are_scaled_as_the_card_says(feeder, store):
    feed = feeder.feed(np.array([5]))
    decibel = store.arrays["s1_tm1"][5] * 0.01
    np.testing.assert_allclose(
        feed.inputs["s1_tm1"][0], np.clip((decibel + 30) / 35, 0, 1), atol=1e-6
    )
    assert feed.inputs["dem"].shape == (1, SIZE // 2, SIZE // 2, 1)
    # 10 and 30 days in units of 100, in float32.
    np.testing.assert_allclose(feed.inputs["days_tm1"], 0.10, rtol=1e-6)
    np.testing.assert_allclose(feed.inputs["days_tp1"], 0.30, rtol=1e-6)


def test_days_come_from_the_identifiers_of_the_scenes(store):
    # Mid-June to mid-July, sensed at the same time of day: whole days.
    np.testing.assert_allclose(sample_days(store), [[10.0, 30.0]] * SAMPLES)


def test_linear_interpolation_weighs_by_time_and_uses_one_side_if_it_must(feeder):
    feed = feeder.feed(np.array([1]))
    feed.before[0, 0], feed.after[0, 1], feed.after[0, 0, 0] = np.nan, np.nan, np.nan
    found = linear_interpolation(feed)
    expected = 0.75 * feed.before + 0.25 * feed.after
    np.testing.assert_allclose(found[0, 2:], expected[0, 2:], rtol=1e-5)
    np.testing.assert_array_equal(found[0, 0], feed.after[0, 0])
    np.testing.assert_array_equal(found[0, 1], feed.before[0, 1])


def test_a_store_without_radar_is_refused_by_name(store):
    arrays = {key: values for key, values in store.arrays.items() if not key.startswith("s1")}
    with pytest.raises(ConfigError, match="expected the key s1_t, which the architecture needs"):
        Feeder(MemoryStore(arrays, store.samples, store.card), architecture("crga-os2-tiny"))


def test_undated_scenes_are_refused_with_a_way_out(store):
    card = store.card.model_copy(update={"scenes": {"optical": ("scene",) * 41}})
    undated = MemoryStore(store.arrays, store.samples, card)
    with pytest.raises(ConfigError, match="choose crga-os2-tiny-undated"):
        Feeder(undated, architecture("crga-os2-tiny"))
    assert Feeder(undated, architecture("crga-os2-tiny-undated")).bands == BANDS


# --- calibration --------------------------------------------------------------------------


def _validation(rng, head=True):
    gap = np.where(np.arange(60_000) < 30_000, 15.0, 30.0).astype(np.float32)
    real = np.where(gap == 15, 0.01, 0.03)[:, None]
    errors = (rng.normal(0, 1, (60_000, 4)) * real).astype(np.float32)
    sigma = [np.full((60_000, 4), 0.02, np.float32)] if head else []
    none = [np.zeros(60_000, bool)]
    return Validation([errors], [2 * errors], sigma, [gap], none), errors, gap


@pytest.mark.parametrize("head", [True, False])
def test_calibrated_sigma_covers_68_percent_in_every_gap_class(head):
    found, errors, gap = _validation(np.random.default_rng(5), head)
    calibration = calibrate(found)
    base = np.float32(0.02) if head else np.asarray(calibration.sigma, np.float32)
    sigma = base * calibration.factor(gap)[:, None]
    for days in (15, 30):
        within = (np.abs(errors) <= sigma)[gap == days].mean()
        assert within == pytest.approx(0.6827, abs=0.01)  # 120,000 draws


def test_metrics_set_network_and_interpolation_side_by_side():
    found, errors, _ = _validation(np.random.default_rng(6))
    metrics = found.metrics()
    assert metrics["mae_network"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)
    assert metrics["mae_linear"] == pytest.approx(2 * np.abs(errors).mean(), rel=1e-5)
    assert "mae_network_changed" not in metrics
    assert Validation().metrics() == {}


# --- the loop -----------------------------------------------------------------------------

SETTINGS = LoopSettings(steps=14, batch=8, learning_rate=5e-3, seed=3)


class KilledError(Exception):
    pass


def _fit(feeder, checkpoint, settings=SETTINGS, kill_at=None):
    from skymend.models.registry import build_named

    configure(1, settings.seed)
    model = build_named("crga-os2-tiny", uncertainty=True)

    def on_epoch(_, state):
        if state.step == kill_at:
            raise KilledError
        return {}

    state = fit(model, feeder, masked_nll(4), settings, checkpoint, on_epoch)
    return model.get_weights(), state


@pytest.fixture(scope="module")
def uninterrupted(feeder, tmp_path_factory):
    return _fit(feeder, tmp_path_factory.mktemp("whole") / "c.npz")


def _assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_killed_training_resumes_to_the_same_weights(feeder, uninterrupted, tmp_path):
    with pytest.raises(KilledError):
        _fit(feeder, tmp_path / "c.npz", kill_at=12)
    weights, state = _fit(feeder, tmp_path / "c.npz")
    _assert_equal(weights, uninterrupted[0])
    assert state.history == uninterrupted[1].history
    assert [entry["step"] for entry in state.history] == [4, 8, 12, 14]


def test_a_checkpoint_of_another_training_is_not_used(feeder, uninterrupted, tmp_path):
    shorter = LoopSettings(steps=4, batch=8, learning_rate=5e-3, seed=4)
    _fit(feeder, tmp_path / "c.npz", shorter)
    weights, _ = _fit(feeder, tmp_path / "c.npz")
    _assert_equal(weights, uninterrupted[0])


def test_a_damaged_checkpoint_is_not_used(feeder, uninterrupted, tmp_path):
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 cut short")
    weights, _ = _fit(feeder, tmp_path / "c.npz")
    _assert_equal(weights, uninterrupted[0])


@pytest.fixture(scope="module")
def folder(store, tmp_path_factory):
    """The same store on disk."""
    path = tmp_path_factory.mktemp("data") / "patches"
    with StoreWriter(path, store.card.keys, store.samples) as writer:
        for key, values in store.arrays.items():
            writer.write(key, range(SAMPLES), values)
        writer.finish(store.card)
    return path


def test_the_step_leaves_a_bundle_that_beats_interpolation(folder, tmp_path):
    dataset = Artifact(key="0" * 64, step="dataset", files={"patches": folder})
    params = Params(steps=60, batch=8, layout="crga-os2-short")
    out = tmp_path / "out"
    out.mkdir()
    context = Context(cpus=1, work=tmp_path, final=out, log=logging.getLogger())
    facts = run_step(Inputs(dataset=dataset), params, out, context)
    card = load_bundle(out / "bundle").card
    assert card.layout == "crga-os2-short"
    assert card.window_days == 40.0
    assert card.radar_gap_hours == 72.0
    assert card.radar_convention == "sigma0"
    assert facts["bundle"] == load_bundle(out / "bundle").hash
    # Radar shows on which side of t the land changed; interpolation cannot know.
    assert facts["mae_network_changed"] < 0.5 * facts["mae_linear_changed"]
    history = json.loads((out / "history.json").read_text())
    assert history[-1]["step"] == 60
    assert {p.name for p in out.iterdir()} == {"bundle", "history.json"}


def test_training_twice_gives_the_same_bundle(store, folder, tmp_path):
    settings = TrainingSettings(steps=5, batch=8)
    hashes = {
        train_folder(folder, tmp_path / name, settings).bundle.hash for name in ("one", "two")
    }
    assert len(hashes) == 1
    assert not (tmp_path / ".one.work").exists()


def test_a_store_without_validation_samples_is_refused(store, tmp_path):
    samples = store.samples.copy()
    samples["split"] = 0
    whole = MemoryStore(store.arrays, samples, store.card)
    with pytest.raises(ConfigError, match="expected samples in the split valid, found none"):
        train(whole, TrainingSettings(), tmp_path, tmp_path)
