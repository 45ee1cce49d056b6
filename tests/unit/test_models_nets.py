"""Nets and bundles: published parameter counts, reach, ONNX against Keras, tampering."""

import json
import zipfile

import numpy as np
import pytest

from skymend.core.errors import BundleError, InternalError
from skymend.models.branch_unet import Branch, UNetSpec, branch_unet, build
from skymend.models.bundle import CARD, ONNX, WEIGHTS, Card, load_bundle, save_bundle
from skymend.models.registry import architecture, build_named
from skymend.models.shelf import (
    describe_architectures,
    describe_bundles,
    export_bundle,
    import_bundle,
    list_bundles,
    show_bundle,
)
from skymend.training.normalise import input_specs, output_specs

pytest.importorskip("tensorflow", reason="needs the extra `train`")
keras = pytest.importorskip("keras", reason="needs the extra `train`")

# decloud.md section 12.
PUBLISHED = {
    "crga-os1": 29_275_716,
    "crga-os2": 29_272_452,
    "crga-os2-david": 1_491_844,
    "crga-os1-all-bands": 29_614_666,
    "crga-os2-all-bands": 30_496_138,
    "crga-os2-david-all-bands": 1_941_386,
    "meraner-unet": 16_652_164,
    "meraner-unet-all-bands": 17_353_354,
    "synthesis-s2": 47_830_404,
    "synthesis-s2-david": 2_225_284,
    "synthesis-s2s1": 85_556_420,
    "synthesis-s2s1-david": 4_146_116,
}
OPTICAL = ("B02", "B03", "B04", "B08")


@pytest.mark.parametrize(("name", "parameters"), sorted(PUBLISHED.items()))
def test_parameter_counts_are_the_published_ones(name, parameters):
    assert build_named(name).count_params() == parameters


def test_shared_branches_share_their_weights():
    model = build_named("crga-os2-david")
    layers = {layer.name for layer in model.layers if layer.count_params()}
    assert layers == {"conv1", "conv1_dem", "conv2", "conv3", "deconv1", "deconv2", "s2_target"}


def test_the_plain_builder_equals_the_specification():
    spec = architecture("crga-os2-david")
    model = branch_unet(
        spec.branches,
        2,
        spec.widths,
        channels=spec.channels,
        decoder=spec.decoder,
        skips=(),
        activation="relu",
    )
    assert model.count_params() == PUBLISHED["crga-os2-david"]
    with pytest.raises(InternalError, match="expected 4 widths and 3 decoder widths"):
        branch_unet(spec.branches, 3, spec.widths, channels=spec.channels, decoder=spec.decoder)


def _inputs(spec, rows, columns, seed=0, batch=1):
    rng = np.random.default_rng(seed)
    return {
        key: rng.random(
            (batch, rows // (1 + (key == "dem")), columns // (1 + (key == "dem")), n)
        ).astype(np.float32)
        for key, n in spec.channels
    }


def _ramped(model):
    """Give a model positive weights, so that no path is cut by a ReLU."""
    rng = np.random.default_rng(0)
    model.set_weights([0.05 + 0.05 * rng.random(w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("depth", [2, 5])
def test_a_pixel_beyond_the_reach_changes_nothing(depth):
    spec = UNetSpec(
        (Branch(("s2_t",), dem=False),),
        (("s2_t", 4),),
        widths=(2,) * (depth + 1),
        decoder=(2,) * depth,
        dem=None,
    )
    model = _ramped(build(spec))
    size = 2 * spec.margin + 2 * spec.stride
    plain = _inputs(spec, size, size)["s2_t"]
    reached = []
    # Every phase of the stride, from both sides.
    for shift in range(0, spec.stride, max(1, spec.stride // 4)):
        row = size // 2 + shift
        changed = plain.copy()
        changed[:, row] += 1.0
        moved = np.abs(model({"s2_t": changed})[0] - model({"s2_t": plain})[0]).max(axis=(1, 2)) > 0
        reached += list(np.abs(np.flatnonzero(moved) - row))
    assert max(reached) <= spec.reach
    # The formula is a bound, but not a loose one.
    assert max(reached) >= spec.reach - spec.stride


def _card(name, uncertainty=True):
    spec = architecture(name)
    bands = {k: OPTICAL if n == 4 else ("VV", "VH") for k, n in spec.channels}
    return Card(
        name=name,
        architecture=name,
        uncertainty=uncertainty,
        inputs=input_specs(spec, bands),
        outputs=output_specs(spec, OPTICAL, uncertainty),
        margin=spec.margin,
        stride=spec.stride,
        licence="CC0-1.0",
    )


def _model(name, seed=0):
    """Return a net whose every output depends on its inputs, also the zero-initialised head."""
    keras.utils.set_random_seed(seed)
    model = build_named(name, uncertainty=True)
    rng = np.random.default_rng(seed)
    model.set_weights([w + 0.02 * rng.standard_normal(w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelf") / "tiny"
    return save_bundle(folder, _model("crga-os2-tiny"), _card("crga-os2-tiny"))


@pytest.fixture
def copy(bundle, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in bundle.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (40, 72)])
def test_onnx_equals_keras(bundle, rows, columns):
    spec = architecture("crga-os2-tiny")
    inputs = _inputs(spec, rows, columns, batch=2)
    inputs["s2_tm1"][:, :9] = -1.0
    session = load_bundle(bundle.folder).session(1)
    ours = dict(
        zip([o.name for o in session.get_outputs()], session.run(None, inputs), strict=True)
    )
    theirs = bundle.keras().predict_on_batch(inputs)
    for name, values in zip(spec.outputs(True), theirs, strict=True):
        assert ours[name].shape == (2, rows, columns, 4)
        # Same float32 operations in another order.
        np.testing.assert_allclose(ours[name], np.asarray(values), atol=1e-5)
    assert (ours["s2_target_sigma"] > 0).all()


def test_david_in_onnx_equals_keras(tmp_path):
    made = save_bundle(tmp_path / "david", _model("crga-os2-david"), _card("crga-os2-david"))
    inputs = _inputs(architecture("crga-os2-david"), 24, 32)
    ours = made.session(1).run(["s2_target"], inputs)[0]
    theirs = made.keras().predict_on_batch(inputs)[0]
    np.testing.assert_allclose(ours, np.asarray(theirs), atol=1e-5)


def test_an_untrained_tiny_net_is_linear_interpolation():
    model = build_named("crga-os2-tiny")
    inputs = _inputs(architecture("crga-os2-tiny"), 16, 16)
    inputs["days_tm1"][:], inputs["days_tp1"][:] = 0.05, 0.15
    inputs["s2_tm1"][:, 0], inputs["s2_tp1"][:, 1] = -1.0, -1.0
    before, after = inputs["s2_tm1"], inputs["s2_tp1"]
    expected = 0.75 * before + 0.25 * after
    expected[:, 0], expected[:, 1] = after[:, 0], before[:, 1]
    # The offset of 0.1 days that keeps the logarithm finite moves the weight by 0.005.
    np.testing.assert_allclose(model(inputs)[0], expected[0], atol=6e-3)


def test_the_same_model_gives_the_same_bytes(bundle, tmp_path):
    again = save_bundle(tmp_path / "again", _model("crga-os2-tiny"), _card("crga-os2-tiny"))
    assert again.card.files == bundle.card.files
    assert again.hash == bundle.hash


@pytest.mark.parametrize("name", [ONNX, WEIGHTS])
def test_a_changed_file_is_refused(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name}: expected sha256 .* as on the card, found"):
        load_bundle(copy)


def test_a_file_that_changes_after_loading_is_refused(copy):
    opened = load_bundle(copy)
    (copy / ONNX).write_bytes(b"something else")
    with pytest.raises(BundleError, match="expected sha256"):
        opened.session(1)


@pytest.mark.parametrize("name", [CARD, ONNX, WEIGHTS])
def test_a_missing_or_linked_file_is_refused(copy, name, tmp_path):
    (copy / name).rename(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match=f"{name}: expected a plain file.*found nothing"):
        load_bundle(copy)
    (copy / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="found a link"):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architecture": "os.system"}, "found an unknown name"),
        ({"margin": 8}, "margin 16 or more.*found outputs .* margin 8"),
        ({"stride": 4}, "a multiple of 8"),
        ({"inputs": []}, "expected the inputs of crga-os2-tiny"),
        ({"format": 2}, "expected a card of format 1, found format"),
        ({"code": "print()"}, "found code: Extra inputs are not permitted"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(copy, change, words):
    card = json.loads((copy / CARD).read_text()) | change
    (copy / CARD).write_text(json.dumps(card))
    with pytest.raises(BundleError, match=words):
        load_bundle(copy)


def test_a_bundle_travels_as_an_archive(bundle, tmp_path):
    export_bundle(bundle.folder, tmp_path / "one.zip")
    export_bundle(bundle.folder, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    imported = import_bundle(tmp_path / "one.zip", tmp_path / "new")
    assert imported.hash == bundle.hash
    assert f"bundle:sha256:{bundle.hash}" in show_bundle(tmp_path / "new")
    assert [e.folder.name for e in list_bundles(tmp_path)] == ["new"]
    assert "crga-os2-tiny" in describe_bundles(tmp_path)
    assert describe_bundles(tmp_path / "one.zip").startswith("no bundle below")
    assert "crga-os2-david" in describe_architectures()


def _zip(folder, path, compression=zipfile.ZIP_STORED, extra=()):
    with zipfile.ZipFile(path, "w", compression) as packed:
        for name in (CARD, ONNX, WEIGHTS):
            packed.write(folder / name, name)
        for name in extra:
            packed.write(folder / CARD, name)
    return path


def test_an_archive_with_anything_else_is_refused(bundle, tmp_path):
    for archive in (
        _zip(bundle.folder, tmp_path / "escape.zip", extra=["../escaped.json"]),
        _zip(bundle.folder, tmp_path / "swells.zip", zipfile.ZIP_DEFLATED),
    ):
        with pytest.raises(BundleError, match="expected exactly the files"):
            import_bundle(archive, tmp_path / "new")
        assert not (tmp_path / "new").exists()
    (tmp_path / "junk.zip").write_bytes(b"junk")
    with pytest.raises(BundleError, match="expected a bundle archive"):
        import_bundle(tmp_path / "junk.zip", tmp_path / "new")


def test_a_tampered_archive_leaves_nothing_behind(copy, tmp_path):
    card = json.loads((copy / CARD).read_text()) | {"margin": 32}
    (copy / CARD).write_text(json.dumps(card))
    (copy / ONNX).write_bytes(b"other")
    with pytest.raises(BundleError, match="expected sha256"):
        import_bundle(_zip(copy, tmp_path / "bad.zip"), tmp_path / "new")
    assert not (tmp_path / "new").exists()
