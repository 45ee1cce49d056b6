"""One full-size Sentinel-2 tile through ``reconstruct``: seconds per date and peak memory.

Run ``python benchmarks/full_tile_reconstruct.py`` for a strip of the tile (1,024 rows by
10,980 columns; the table says so and scales the time to the whole) or with ``--full`` for all
10,980 x 10,980 pixels. Six optical dates, one radar pass each; the fourth date is the target,
once as it is and once taken as wholly cloudy (every pixel rebuilt). Each figure comes from a
process of its own; its memory is the peak resident set, with files counted where mapped.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

TILE = 10980
STRIP_ROWS = 1024
BANDS = ("B02", "B03", "B04", "B08")
DATES = 6
SOURCE = Path(__file__).resolve().parents[1] / "src"


def main() -> None:
    options = _arguments()
    if options.role:
        print(json.dumps({"make": make, "rebuild": rebuild}[options.role](options)))
        return
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        made = _child(options, folder, "make")
        print(f"scenes of {made['rows']} x {TILE} pixels made in {made['seconds']:.0f} s\n")
        print("| method | target | s per date | s per whole tile | COG finish s | peak GB |")
        print("|---|---|---|---|---|---|")
        for method in ("linear", "regression"):
            for target in ("partly", "cloudy"):
                run = _child(options, folder, "rebuild", method, target)
                scale = TILE / made["rows"]
                print(
                    f"| {method} | {target} | {run['seconds']:.1f} | "
                    f"{run['seconds'] * scale:.0f} | {run['finish']:.1f} | {run['gb']:.2f} |",
                    flush=True,
                )


def make(options: argparse.Namespace) -> dict[str, float]:
    """Write six dates and passes on one grid: a simulated scene, repeated over the tile."""
    from skymend.core.cog import CogWriter
    from skymend.core.encoding import BACKSCATTER, LABELS, REFLECTANCE
    from skymend.simulate import Scenario
    from skymend.simulate.optical import observe
    from skymend.simulate.radar import backscatter

    started, grid = time.monotonic(), _grid(options)
    # Mostly clear neighbours: every hidden pixel has two anchors and costs the full method.
    scenario = Scenario(
        size_px=512,
        days=12 * DATES,
        cloudiness=0.3,
        spells=False,
        partial_swath_share=0,
        outside_swath_share=0,
    )
    folder = Path(options.folder)

    def tiled(path: Path, bands: tuple[str, ...], encoding: Any, pattern: Any) -> None:
        stored = encoding.encode(pattern) if pattern.dtype.kind == "f" else pattern
        with CogWriter(path, grid, bands, encoding) as writer:
            for window in grid.blocks(512):
                part = stored[:, : window.rows, : window.columns]
                writer.write_stored(part, window)

    dates = list(scenario.optical_dates())[:DATES]
    for index, day in enumerate(dates):
        image = observe(scenario, day)
        tiled(folder / f"s2_{index}.tif", BANDS, REFLECTANCE, image.reflectance)
        tiled(folder / f"mask_{index}.tif", ("mask",), LABELS, image.labels[None])
    for index, one in enumerate(list(scenario.radar_passes())[:DATES]):
        tiled(folder / f"s1_{index}.tif", ("VV", "VH"), BACKSCATTER, backscatter(scenario, one))
    tiled(folder / "cloud.tif", ("mask",), LABELS, np.full((1, 512, 512), 2, np.uint8))
    return {"seconds": time.monotonic() - started, "rows": grid.shape[0]}


def rebuild(options: argparse.Namespace) -> dict[str, float]:
    """Run the step once and measure it."""
    from skymend.core.cog import CogWriter
    from skymend.core.step import Context, GridParams
    from skymend.steps import reconstruct

    folder, finish = Path(options.folder), [0.0]
    original = CogWriter.finish

    def timed(writer: CogWriter) -> None:
        started = time.monotonic()
        original(writer)
        finish[0] += time.monotonic() - started

    CogWriter.finish = timed  # type: ignore[method-assign]
    target = DATES // 2
    masks = [_artifact(folder, "mask", i) for i in range(DATES)]
    if options.target == "cloudy":
        masks[target] = _artifact(folder, "mask", target, "cloud.tif")
    optical = [_artifact(folder, "reflectance", i) for i in range(DATES)]
    inputs = reconstruct.Inputs(
        target_optical=optical[target],
        target_mask=masks[target],
        candidates_optical=tuple(o for i, o in enumerate(optical) if i != target),
        candidates_mask=tuple(m for i, m in enumerate(masks) if i != target),
        radar=tuple(_artifact(folder, "backscatter", i) for i in range(DATES)),
    )
    params = reconstruct.Params(
        grid=GridParams.of(_grid(options)), bands=BANDS, method=options.method
    )
    with tempfile.TemporaryDirectory(dir=folder) as out:
        place = Path(out)
        (place / "out").mkdir()
        context = Context(cpus=options.cpus, work=place, final=place)
        started = time.monotonic()
        reconstruct.run(inputs, params, place / "out", context)
        seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": seconds - finish[0], "finish": finish[0], "gb": peak}


def _artifact(folder: Path, name: str, index: int, file: str | None = None) -> Any:
    from skymend.core.step import Artifact

    short = {"reflectance": "s2", "mask": "mask", "backscatter": "s1"}[name]
    when = datetime(2018, 6, 1, 10, tzinfo=UTC) + timedelta(days=5 * index)
    tags = {"id": f"date-{index}", "datetime": when.isoformat(), "relative_orbit": "110"}
    path = folder / (file or f"{short}_{index}.tif")
    return Artifact(key=f"{short}{index}", step=name, tags=tags, files={name: path})


def _grid(options: argparse.Namespace) -> Any:
    from skymend.core.grid import Grid, Window

    rows = TILE if options.full else options.rows
    return Grid.from_mgrs("31TCJ").crop(Window(0, 0, rows, TILE))


def _child(
    options: argparse.Namespace, folder: str, role: str, method: str = "", target: str = ""
) -> dict[str, float]:
    command = [sys.executable, __file__, "--role", role, "--folder", folder]
    command += ["--rows", str(options.rows), "--cpus", str(options.cpus)]
    command += ["--full"] if options.full else []
    command += ["--method", method, "--target", target] if method else []
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="the whole tile, not a strip")
    parser.add_argument("--rows", type=int, default=STRIP_ROWS)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--work", default=None, help="where the scenes are put for the while")
    parser.add_argument("--role", default="", help=argparse.SUPPRESS)
    parser.add_argument("--folder", default="", help=argparse.SUPPRESS)
    parser.add_argument("--method", default="linear", help=argparse.SUPPRESS)
    parser.add_argument("--target", default="partly", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
