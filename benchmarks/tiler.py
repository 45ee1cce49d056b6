"""The tiler against the bare network on the same windows in memory.

Run ``python benchmarks/tiler.py`` (a strip of a Sentinel-2 tile) or with ``--full`` (the whole
tile of 10980 x 10980 pixels). Needs the ``train`` extra once, to build the net. Each figure
comes from a process of its own; pairs of (tiler, bare) runs alternate in order, so that other
load on the machine falls on both.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TILE = 10980
BANDS = ("B02", "B03", "B04", "B08")
DATES = ("tm1", "t", "tp1")
SOURCE = Path(__file__).resolve().parents[1] / "src"


def main() -> None:
    options = _arguments()
    if options.role:
        print(json.dumps({"make": make, "tiler": tiler, "bare": bare}[options.role](options)))
        return
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        made = _child("make", options, folder)
        runs: dict[str, list[dict[str, float]]] = {"tiler": [], "bare": []}
        for pair in range(options.pairs):
            for role in ("tiler", "bare") if pair % 2 == 0 else ("bare", "tiler"):
                runs[role].append(_child(role, options, folder))
                print(f"pair {pair + 1} {role}: {runs[role][-1]}", file=sys.stderr)
    _table(options, made, runs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="tiler against the bare network")
    parser.add_argument("--rows", type=int, default=512, help="rows of the strip")
    parser.add_argument("--columns", type=int, default=TILE)
    parser.add_argument("--full", action="store_true", help="the whole tile, one pair")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--block", type=int, default=512)
    parser.add_argument("--cpus", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--architecture", default="crga-os2-david")
    parser.add_argument("--work", type=Path, help="folder for the temporary files")
    parser.add_argument("--role", choices=("make", "tiler", "bare"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.full:
        options.rows, options.pairs = TILE, min(options.pairs, 1)
    return options


def _child(role: str, options: argparse.Namespace, folder: str) -> dict[str, float]:
    names = ("rows", "columns", "block", "cpus", "architecture")
    flags = [f"--{name}={getattr(options, name)}" for name in names]
    command = [sys.executable, __file__, f"--role={role}", f"--folder={folder}", *flags]
    path = os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def make(options: argparse.Namespace) -> dict[str, float]:
    """Write the net with random weights and the seven input rasters."""
    import keras

    from skymend.models.onnx_export import write_onnx
    from skymend.models.registry import architecture, build_named

    keras.utils.set_random_seed(1)
    net = build_named(options.architecture)
    write_onnx(net, options.folder / "model.onnx")
    spec = architecture(options.architecture)
    (options.folder / "net.json").write_text(json.dumps([spec.margin, spec.stride]))
    random = np.random.default_rng(1)
    for name in _sources():
        _write_input(options, name, random)
    return {"parameters": net.count_params()}


def _sources() -> dict[str, tuple[tuple[str, ...], int]]:
    """Input -> its bands and resolution ratio."""
    optical = {f"s2_{date}": (BANDS, 1) for date in DATES}
    radar = {f"s1_{date}": (("VV", "VH"), 1) for date in DATES}
    return {**optical, **radar, "dem": (("height",), 2)}


def _grid(options: argparse.Namespace):
    from skymend.core.grid import Grid, Window

    return Grid.from_mgrs("31TCJ").crop(Window(0, 0, options.rows, options.columns))


def _write_input(options: argparse.Namespace, name: str, random: np.random.Generator) -> None:
    """Write one raster: fields of 16 pixels with noise, or speckle, in its real encoding."""
    from skymend.core.cog import CogWriter
    from skymend.core.encoding import BACKSCATTER, ELEVATION, REFLECTANCE

    bands, ratio = _sources()[name]
    grid = _grid(options)
    encoding = {"s2": REFLECTANCE, "s1": BACKSCATTER, "de": ELEVATION}[name[:2]]
    if ratio == 2:
        grid = grid.at_resolution(20.0)
    with CogWriter(options.folder / f"{name}.tif", grid, bands, encoding) as writer:
        for window in grid.blocks(1024):
            size = (len(bands), -(-window.rows // 16), -(-window.columns // 16))
            fields = random.uniform(0.02, 0.4, size).astype(np.float32)
            values = fields.repeat(16, 1).repeat(16, 2)[:, : window.rows, : window.columns]
            if name.startswith("s1"):
                values = values * random.gamma(4.0, 0.25, values.shape).astype(np.float32)
            elif name.startswith("s2"):
                values = values + random.normal(0, 0.005, values.shape).astype(np.float32)
            writer.write(values if ratio == 1 else values * 1000, window)


def _job(options: argparse.Namespace):
    """Return the predictor and the reader that both roles use."""
    import onnxruntime

    from skymend.inference.predictor import OnnxPredictor
    from skymend.inference.readers import RasterInput, RasterReader
    from skymend.models.card import Scaling

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.cpus
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        str(options.folder / "model.onnx"), settings, providers=["CPUExecutionProvider"]
    )
    margin, stride = json.loads((options.folder / "net.json").read_text())
    ratios = {name: ratio for name, (_, ratio) in _sources().items()}
    output = session.get_outputs()[0].name
    scale = {
        "s2": Scaling(),
        "s1": Scaling(kind="db", low=-30.0, high=10.0),
        "de": Scaling(high=10000.0),
    }
    inputs = {
        name: RasterInput(options.folder / f"{name}.tif", bands, ratio, scale[name[:2]].apply)
        for name, (bands, ratio) in _sources().items()
    }
    predictor = OnnxPredictor(session, margin, stride, ratios, {output: len(BANDS)})
    return predictor, RasterReader((options.rows, options.columns), inputs)


def tiler(options: argparse.Namespace) -> dict[str, float]:
    """Predict from disk to disk."""
    from skymend.core.encoding import REFLECTANCE
    from skymend.inference.tiler import OutputRaster, predict_raster

    predictor, reader = _job(options)
    work = options.folder / "work"
    name = next(iter(predictor.outputs))
    raster = OutputRaster(name, options.folder / "out.tif", BANDS, REFLECTANCE)
    cpu = [time.process_time()]
    start = time.perf_counter()
    report = predict_raster(
        predictor,
        reader,
        [raster],
        _grid(options),
        work=work,
        block=options.block,
        progress=lambda share, text: cpu.append(time.process_time()),
    )
    wall = time.perf_counter() - start - report.finishing_seconds
    return _measured(wall, cpu[-1] - cpu[0], finishing=report.finishing_seconds)


def bare(options: argparse.Namespace) -> dict[str, float]:
    """Time the network alone; the windows are read and scaled between the timings."""
    from skymend.inference.cells import CellPredictor

    predictor, reader = _job(options)
    timed = _Stopwatch(predictor)
    job = CellPredictor(timed, reader, options.block, None)
    for cell in job.tiling.cells():
        job.predict(cell, job.read(cell))
    return _measured(timed.wall, timed.cpu)


class _Stopwatch:
    """A predictor that counts the time of the network and nothing else."""

    def __init__(self, predictor) -> None:
        self._predictor = predictor
        self.wall = self.cpu = 0.0

    def __getattr__(self, name: str):
        return getattr(self._predictor, name)

    def predict(self, inputs):
        start, cpu = time.perf_counter(), time.process_time()
        values = self._predictor.predict(inputs)
        self.wall += time.perf_counter() - start
        self.cpu += time.process_time() - cpu
        return values


def _measured(wall: float, cpu: float, **others: float) -> dict[str, float]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"wall_s": wall, "cpu_s": cpu, "peak_gib": peak, **others}


def _table(options: argparse.Namespace, made, runs) -> None:
    def median(role: str, key: str) -> float:
        return statistics.median(run[key] for run in runs[role])

    pairs = list(zip(runs["tiler"], runs["bare"], strict=True))
    ratios = [t["wall_s"] / b["wall_s"] for t, b in pairs]
    work = [t["cpu_s"] / b["cpu_s"] for t, b in pairs]
    pixels = options.rows * options.columns
    print(f"net {options.architecture}, {made['parameters']:,.0f} parameters, random weights")
    print(
        f"image {options.rows} x {options.columns} pixels, 4 bands, blocks of {options.block}, "
        f"{options.cpus} threads, median of {len(pairs)} pairs\n"
    )
    print("| run | wall s | CPU s | us a pixel | full tile min | peak GiB |")
    print("|---|---|---|---|---|---|")
    for role, label in (("bare", "bare network"), ("tiler", "tiler, disk to disk")):
        wall = median(role, "wall_s")
        print(
            f"| {label} | {wall:.1f} | {median(role, 'cpu_s'):.1f} | {wall / pixels * 1e6:.2f} | "
            f"{wall / pixels * TILE**2 / 60:.1f} | {median(role, 'peak_gib'):.2f} |"
        )
    print(
        f"\nratio of wall times: {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f}; wanted: at most 1.25); "
        f"of CPU times: {statistics.median(work):.3f}"
    )
    print(f"COG finishing, counted apart: {median('tiler', 'finishing'):.1f} s")
    if pixels < TILE**2:
        print("The strip stands for the tile: every row of windows costs the same.")


if __name__ == "__main__":
    main()
