"""A real bundle through both backends: ONNX Runtime and Keras say the same."""

import numpy as np
import pytest

from skymend.fusion.stack import Stack
from skymend.inference.network import NetworkMethod

pytest.importorskip("keras", reason="needs the train extra")

BANDS = {"optical": ("B02", "B03", "B04", "B08"), "radar": ("VV", "VH")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import keras

    from skymend.models.bundle import Card, save_bundle
    from skymend.models.registry import architecture, build_named
    from skymend.training.normalise import input_specs, kind_of, output_specs

    keras.utils.set_random_seed(3)
    name = "crga-os2-tiny"
    spec = architecture(name)
    bands = {n: BANDS[kind_of(n)] for n, _ in spec.channels if kind_of(n) in BANDS}
    model = build_named(name, uncertainty=True)
    random = np.random.default_rng(3)
    model.set_weights(
        [w + 0.05 * random.standard_normal(w.shape).astype(w.dtype) for w in model.get_weights()]
    )
    card = Card(
        name="both",
        architecture=name,
        uncertainty=True,
        inputs=input_specs(spec, bands),
        outputs=output_specs(spec, BANDS["optical"], uncertainty=True),
        margin=spec.margin,
        stride=spec.stride,
        window_days=30.0,
        radar_gap_hours=72.0,
    )
    out = tmp_path_factory.mktemp("bundle")
    save_bundle(out, model, card)
    return out


def stack(shape=(70, 90)):
    random = np.random.default_rng(5)
    optical = random.uniform(0, 0.5, (3, 4, *shape)).astype(np.float32)
    optical[1, :, 20:50, 10:60] = np.nan
    return Stack(
        times=np.array([90.0, 97.0, 105.0]),
        optical=optical,
        target_time=100.0,
        bands=BANDS["optical"],
        radar_times=np.array([89.0, 96.0, 101.0]),
        radar=random.gamma(4.0, 0.02, (3, 2, *shape)).astype(np.float32),
        dem=random.uniform(0, 300, shape).astype(np.float32),
    )


@pytest.mark.slow
def test_onnx_and_keras_agree(folder):
    estimates = [
        NetworkMethod(folder, 1, backend=backend).fit(stack()).predict(stack())
        for backend in ("onnx", "keras")
    ]
    # Two runtimes sum float32 products in different orders.
    np.testing.assert_allclose(estimates[0].mean, estimates[1].mean, atol=1e-5)
    np.testing.assert_allclose(estimates[0].sigma, estimates[1].sigma, atol=1e-5)
    assert estimates[0].mean.std() > 0.01
