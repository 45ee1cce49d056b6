"""The tiler against a prediction of the whole image in one go."""

import threading
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skymend.core.cog import write_cog
from skymend.core.encoding import REFLECTANCE
from skymend.core.errors import BundleError, ConfigError, GridError
from skymend.core.grid import Grid
from skymend.core.raster import read
from skymend.inference.checkpoint import Checkpoint
from skymend.inference.predictor import KerasPredictor, OnnxPredictor
from skymend.inference.readers import ArrayReader, RasterInput, RasterReader
from skymend.inference.streaming import overlap
from skymend.inference.tiler import OutputRaster, predict_arrays, predict_raster
from tests.nets import DATES, DAVID_RATIOS, david

CHANNELS = {f"s2_{d}": 4 for d in DATES} | {f"s1_{d}": 2 for d in DATES} | {"dem": 1}
TOLERANCE = 1e-5
"""Asked for by the specification; float32 sums in another order differ by some 1e-7."""


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    import onnxruntime

    path = tmp_path_factory.mktemp("net") / "model.onnx"
    david(path, widths=(6, 8, 8, 4))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return OnnxPredictor(session, 10, 4, DAVID_RATIOS, {"s2_target": 4})


def image(rows, columns, seed=0):
    random = np.random.default_rng(seed)
    return {
        name: random.random(
            (-(-rows // DAVID_RATIOS[name]), -(-columns // DAVID_RATIOS[name]), channels),
            dtype=np.float32,
        )
        for name, channels in CHANNELS.items()
    }


def whole(net, inputs, shape, margin=12, stride=4):
    """Pad by numpy, predict at once, crop: the oracle."""
    padded = {}
    for name, values in inputs.items():
        ratio = DAVID_RATIOS[name]
        full = [(-(-n // stride) * stride + 2 * margin) // ratio for n in shape]
        widths = [(margin // ratio, full[i] - margin // ratio - values.shape[i]) for i in (0, 1)]
        padded[name] = np.pad(values, (*widths, (0, 0)), mode="reflect")[np.newaxis]
    result = net.session.run(["s2_target"], padded)[0][0]
    return result[margin : margin + shape[0], margin : margin + shape[1]]


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 301), st.integers(1, 301), st.sampled_from([32, 64, 128, 256, 512]))
def test_tiles_equal_the_whole_image_for_every_size_and_block(net, rows, columns, block):
    inputs = image(rows, columns)
    tiled = predict_arrays(net, inputs, (rows, columns), block=block)["s2_target"]
    expected = whole(net, inputs, (rows, columns))
    assert expected.std() > 0.01
    np.testing.assert_allclose(tiled, expected, atol=TOLERANCE)


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (11, 640), (530, 517)])
def test_block_sizes_128_256_512_agree(net, shape):
    inputs = image(*shape)
    results = [predict_arrays(net, inputs, shape, block=b)["s2_target"] for b in (128, 256, 512)]
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], atol=TOLERANCE)


def test_a_margin_below_the_reach_would_show(net):
    short = OnnxPredictor(net.session, 4, 4, DAVID_RATIOS, {"s2_target": 4})
    inputs = image(200, 200)
    a, b = (predict_arrays(short, inputs, (200, 200), block=n)["s2_target"] for n in (32, 128))
    assert np.abs(a - b).max() > 10 * TOLERANCE


def test_wanted_pixels_come_out_the_same_and_others_as_nan(net):
    inputs = image(150, 170)
    wanted = np.zeros((150, 170), bool)
    wanted[70:91, 33:99] = True
    part = predict_arrays(net, inputs, (150, 170), wanted=wanted)["s2_target"]
    expected = whole(net, inputs, (150, 170))
    np.testing.assert_allclose(part[wanted], expected[wanted], atol=TOLERANCE)
    assert np.isnan(part[~wanted]).all()


def test_missing_pixels_become_the_fill_and_lack_of_evidence_nan(net):
    fills = {"s2_t": 0.5, "dem": 0.25}
    filled = OnnxPredictor(net.session, 10, 4, DAVID_RATIOS, {"s2_target": 4}, fills)
    inputs = image(60, 60)
    inputs["s2_t"][10:20] = np.nan
    inputs["dem"][5:8] = np.nan
    replaced = {n: np.where(np.isnan(v), fills.get(n, 0), v) for n, v in inputs.items()}
    result = predict_arrays(filled, inputs, (60, 60))["s2_target"]
    np.testing.assert_allclose(result, whole(net, replaced, (60, 60)), atol=TOLERANCE)
    optical = predict_arrays(filled, inputs, (60, 60), evidence=["s2_t"])["s2_target"]
    assert np.isnan(optical[10:20]).all()
    np.testing.assert_array_equal(optical[20:], result[20:])


def test_wrong_block_names_and_shapes_are_refused(net):
    with pytest.raises(ConfigError, match="multiple of 4"):
        predict_arrays(net, image(8, 8), (8, 8), block=30)
    with pytest.raises(BundleError, match="inputs named"):
        OnnxPredictor(net.session, 10, 4, {"s2_t": 1}, {"s2_target": 4})
    lying = OnnxPredictor(net.session, 10, 4, DAVID_RATIOS, {"s2_target": 3})
    with pytest.raises(BundleError, match="output s2_target"):
        predict_arrays(lying, image(8, 8), (8, 8))


@dataclass
class WindowMean:
    """A net of endless reach: each pixel less the mean of its window."""

    margin: int = 16
    stride: int = 8
    finite_reach: bool = False
    ratios: dict = field(default_factory=lambda: {"x": 1})
    fills: dict = field(default_factory=dict)
    outputs: dict = field(default_factory=lambda: {"y": 1})

    def predict(self, inputs):
        return {"y": inputs["x"] - inputs["x"].mean(axis=(1, 2), keepdims=True)}


@dataclass
class Echo(WindowMean):
    def predict(self, inputs):
        return {"y": inputs["x"].copy()}


@pytest.mark.parametrize("shape", [(5, 9), (700, 530), (64, 1100)])
def test_blending_weighs_to_one(shape):
    x = np.random.default_rng(1).random((*shape, 1), dtype=np.float32)
    y = predict_arrays(Echo(), {"x": x}, shape, block=64)["y"]
    np.testing.assert_allclose(y, x, atol=1e-6)


def test_blending_leaves_no_seams():
    row = np.linspace(0, 1, 640, dtype=np.float32)
    x = np.broadcast_to(row, (128, 640))[..., np.newaxis]
    blended = predict_arrays(WindowMean(), {"x": x}, (128, 640), block=64)["y"]
    hard = predict_arrays(WindowMean(finite_reach=True), {"x": x}, (128, 640), block=64)["y"]
    # Window means step by 0.1 every 64 pixels; the ramp spreads that over 32 pixels.
    assert np.abs(np.diff(hard, axis=1)).max() > 0.09
    assert np.abs(np.diff(blended, axis=1)).max() < 0.01


GRID = Grid("EPSG:32631", (10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0), (600, 1100))


def outputs(folder):
    bands = ("B02", "B03", "B04", "B08")
    return [OutputRaster("s2_target", folder / "out.tif", bands, REFLECTANCE, scale=0.1)]


def test_rasters_come_out_as_arrays_do(net, tmp_path):
    inputs = image(*GRID.shape)
    sources = {}
    for name, values in inputs.items():
        grid = GRID if DAVID_RATIOS[name] == 1 else GRID.at_resolution(20.0)
        path = tmp_path / f"{name}.tif"
        bands = tuple(f"b{i}" for i in range(values.shape[-1]))
        write_cog(path, np.moveaxis(values, -1, 0), grid, bands, REFLECTANCE)
        sources[name] = RasterInput(path, bands, DAVID_RATIOS[name])
        inputs[name] = np.moveaxis(read(path), 0, -1)
    report = predict_raster(
        net, RasterReader(GRID.shape, sources), outputs(tmp_path), GRID, work=tmp_path / "work"
    )
    assert (report.cells, report.resumed) == (6, 0)
    expected = predict_arrays(net, inputs, GRID.shape)["s2_target"] * np.float32(0.1)
    stored = REFLECTANCE.decode(REFLECTANCE.encode(np.moveaxis(expected, -1, 0)))
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), stored)
    assert not list((tmp_path / "work").iterdir())


def test_a_raster_of_another_size_is_refused(net, tmp_path):
    write_cog(tmp_path / "x.tif", np.zeros((1, 600, 1100), np.float32), GRID, ["a"], REFLECTANCE)
    with pytest.raises(GridError, match="300 x 550 pixels for the input dem"):
        RasterReader(GRID.shape, {"dem": RasterInput(tmp_path / "x.tif", ("a",), ratio=2)})


class Failing(ArrayReader):
    """Breaks when asked for the lower right cell."""

    def read(self, windows):
        if windows["s2_t"].row > 400 and windows["s2_t"].column > 1000:
            raise OSError("unplugged")
        return super().read(windows)


def test_an_interrupted_raster_goes_on_where_it_stopped(net, tmp_path):
    inputs = image(*GRID.shape)
    work = tmp_path / "work"
    with pytest.raises(OSError, match="unplugged"):
        predict_raster(net, Failing(GRID.shape, inputs), outputs(tmp_path), GRID, work=work)
    assert not (tmp_path / "out.tif").exists()
    good = ArrayReader(GRID.shape, inputs)
    assert predict_raster(net, good, outputs(tmp_path), GRID, work=work).resumed >= 3
    other = tmp_path / "straight"
    other.mkdir()
    predict_raster(net, good, outputs(other), GRID, work=other / "work")
    assert (tmp_path / "out.tif").read_bytes() == (other / "out.tif").read_bytes()


def test_work_of_another_job_is_thrown_away(net, tmp_path):
    inputs = image(*GRID.shape)
    with pytest.raises(OSError, match="unplugged"):
        predict_raster(
            net, Failing(GRID.shape, inputs), outputs(tmp_path), GRID, work=tmp_path / "work"
        )
    report = predict_raster(
        net,
        ArrayReader(GRID.shape, inputs),
        outputs(tmp_path),
        GRID,
        work=tmp_path / "work",
        identity={"bundle": "another"},
    )
    assert report.resumed == 0


def test_a_damaged_work_file_means_to_begin_anew(net, tmp_path):
    inputs = image(*GRID.shape)
    work = tmp_path / "work"
    with pytest.raises(OSError, match="unplugged"):
        predict_raster(net, Failing(GRID.shape, inputs), outputs(tmp_path), GRID, work=work)
    (work / "s2_target.work.tif").write_bytes(b"II*\0\0\0\0\0")
    reader = ArrayReader(GRID.shape, inputs)
    assert predict_raster(net, reader, outputs(tmp_path), GRID, work=work).resumed == 0


def test_a_torn_line_of_the_record_is_ignored(tmp_path):
    record = Checkpoint(tmp_path / "record", {"a": 1})
    record.restart()
    record.append([type("Cell", (), {"row": 512, "column": 0})])
    with record.path.open("a") as file:
        file.write("[[512, 51")
    assert record.load() == {(512, 0)}
    assert Checkpoint(record.path, {"a": 2}).load() == frozenset()


def test_stages_overlap_in_time_and_keep_order():
    busy, written = [], []
    meeting = threading.Barrier(3, timeout=5)

    def stage(name, item):
        if item in (2, 3, 4) and (name, item) in {("read", 4), ("compute", 3), ("write", 2)}:
            meeting.wait()
            busy.append(name)
        return item

    overlap(
        range(8),
        lambda item: stage("read", item),
        lambda item, data: stage("compute", data),
        lambda item, data: written.append(stage("write", data)),
    )
    assert sorted(busy) == ["compute", "read", "write"]
    assert written == list(range(8))


def test_queues_are_bounded_when_writing_is_slow():
    read_count, written = [], []

    def write(item, data):
        time.sleep(0.002)
        written.append(item)
        assert len(read_count) - len(written) <= 2 + 2 + 2

    overlap(range(30), read_count.append, lambda i, d: i, write)
    assert written == list(range(30))


@pytest.mark.parametrize("stage", ["read", "compute", "write"])
def test_the_first_error_of_any_stage_ends_the_run(stage):
    def work(name, item):
        if name == stage and item == 3:
            raise ValueError(f"{name} {item}")
        return item

    with pytest.raises(ValueError, match=f"{stage} 3"):
        overlap(
            range(100),
            lambda i: work("read", i),
            lambda i, d: work("compute", i),
            lambda i, d: work("write", i),
        )


def test_keras_models_answer_by_name():
    class Model:
        def predict_on_batch(self, inputs):
            return [inputs["x"] + 1, inputs["x"] + 2]

    predictor = KerasPredictor(Model(), 0, 1, {"x": 1}, {"sigma": 1}, tensors=("mean", "sigma"))
    values = predictor.predict({"x": np.zeros((1, 2, 2, 1), np.float32)})
    np.testing.assert_array_equal(values["sigma"], 2.0)
