"""A tiler run in a process of its own, to be killed or measured by the tests.

Usage: tiler_job.py MODEL OUT ROWS COLUMNS DELAY BLOCK. Prints cells, resumed cells and the
peak resident memory in megabytes.
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np

from skymend.core.encoding import REFLECTANCE
from skymend.core.grid import Grid
from skymend.inference.predictor import OnnxPredictor
from skymend.inference.tiler import OutputRaster, predict_raster
from tests.nets import DATES, DAVID_RATIOS

CHANNELS = {f"s2_{d}": 4 for d in DATES} | {f"s1_{d}": 2 for d in DATES} | {"dem": 1}


class Pattern:
    """Inputs made on the fly from the pixel's place, so that only windows are ever held."""

    def __init__(self, shape):
        self.shape = shape

    def read(self, windows):
        return {name: self._pattern(name, window) for name, window in windows.items()}

    def _pattern(self, name, window):
        rows = np.arange(window.row, window.row + window.rows)[:, None, None]
        columns = np.arange(window.column, window.column + window.columns)[:, None]
        bands = np.arange(CHANNELS[name])
        hashed = (rows * 7919 + columns * 104729 + (bands + len(name)) * 1299709) % 1013
        return (hashed / np.float32(1013)).astype(np.float32)


class Slow(OnnxPredictor):
    """Waits before each window, so that a kill finds the run under way."""

    def predict(self, inputs):
        time.sleep(float(sys.argv[5]))
        return super().predict(inputs)


def main():
    import onnxruntime

    model, out = sys.argv[1], Path(sys.argv[2])
    shape = int(sys.argv[3]), int(sys.argv[4])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    grid = Grid("EPSG:32631", (10.0, 0.0, 300000.0, 0.0, -10.0, 5000000.0), shape)
    raster = OutputRaster("s2_target", out / "out.tif", ("B02", "B03", "B04", "B08"), REFLECTANCE)
    report = predict_raster(
        Slow(session, 10, 4, DAVID_RATIOS, {"s2_target": 4}),
        Pattern(shape),
        [raster],
        grid,
        work=out / "work",
        block=int(sys.argv[6]),
        checkpoint_seconds=0,
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(report.cells, report.resumed, peak)


if __name__ == "__main__":
    main()
