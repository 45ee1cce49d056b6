"""Fmask on the 20 m grid of a whole Sentinel-2 tile, against python-fmask's measured figures.

Run ``python benchmarks/fmask.py`` (a quarter of a tile) or with ``--full`` (5490 x 5490 pixels),
``--safe FOLDER`` to time a real or simulated L1C product from its files as well. The scene is a
simulated one, mirrored until it fills the tile. Compiled code is warm; each figure comes from a
process of its own. python-fmask 0.5.10 took 70 s and 2.5 GB for 5496 x 5496 pixels on the same kind
of machine (one process, arrays as files, parallax test off), which is what the ratio is against.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

FULL = 5490
PYTHON_FMASK_S_PER_MPX, PYTHON_FMASK_GB = 70 / 30.2, 2.5
SOURCE = Path(__file__).resolve().parents[1] / "src"


def main() -> None:
    options = _arguments()
    if options.role:
        print(json.dumps({"arrays": arrays, "safe": safe, "scene": scene}[options.role](options)))
        return
    _child("scene", options)
    rows = [("decoded arrays", _child("arrays", options))]
    if options.safe:
        rows.append(("from SAFE, 20 m", _child("safe", options)))
    megapixels = options.size**2 / 1e6
    print(
        f"\n{options.size} x {options.size} pixels, {options.cpus} threads; load {os.getloadavg()}"
    )
    print("| run | wall s | CPU s | peak GB | Mpx/s | python-fmask / this |")
    print("|---|---|---|---|---|---|")
    for name, run in rows:
        ratio = PYTHON_FMASK_S_PER_MPX * megapixels / run["wall"]
        print(
            f"| {name} | {run['wall']:.2f} | {run['cpu']:.2f} | {run['peak_gb']:.2f} "
            f"| {megapixels / run['wall']:.1f} | {ratio:.1f} |"
        )
    print(
        f"python-fmask, quoted: {PYTHON_FMASK_S_PER_MPX * megapixels:.0f} s, {PYTHON_FMASK_GB} GB"
    )


def arrays(options: argparse.Namespace) -> dict[str, float]:
    """Time the engine on bands that are in memory already."""
    from skymend.clouds.fmask.engine import run_fmask

    tile = _tile(options.size, options.scene)
    small = _tile(300, options.scene)
    run_fmask(small, cpus=options.cpus)
    wall, cpu = time.perf_counter(), time.process_time()
    mask = run_fmask(tile, cpus=options.cpus)
    cloud = float((mask.labels == 2).mean())
    return _measured(wall, cpu) | {"cloud": cloud}


def safe(options: argparse.Namespace) -> dict[str, float]:
    """Time a SAFE folder from its JPEG 2000 files to labels."""
    from skymend.clouds.fmask.engine import run_fmask
    from skymend.clouds.fmask.masker import FmaskMasker
    from skymend.products.toa import open_toa

    run_fmask(_tile(300, options.scene), cpus=options.cpus)
    wall, cpu = time.perf_counter(), time.process_time()
    FmaskMasker().mask(open_toa(options.safe), resolution_m=20.0, cpus=options.cpus)
    return _measured(wall, cpu)


def scene(options: argparse.Namespace) -> dict[str, float]:
    """Simulate the scene once and keep its bands."""
    from skymend.clouds.fmask.scene import to_short
    from skymend.simulate.cloud_scene import cloud_scene, means

    if not options.scene.exists():
        made = cloud_scene(1, size_px=1200, town=True, coast=True)
        bands = {
            name: to_short(means(made.reflectance[index], 2))
            for index, name in enumerate(made.bands)
        }
        np.savez(options.scene, **bands)
    return {}


def _tile(size: int, path: Path):
    """Return a scene of ``size`` pixels a side: the simulated one, mirrored over and over."""
    from skymend.clouds.fmask.scene import Bands, Scene, absent
    from skymend.core.grid import Grid
    from skymend.products.toa import Angles

    stored = np.load(path)

    def band(name: str):
        plane = stored[name]
        twice = np.block([[plane, plane[:, ::-1]], [plane[::-1], plane[::-1, ::-1]]])
        times = -(-size // twice.shape[0])
        return np.ascontiguousarray(np.tile(twice, (times, times))[:size, :size])

    names = ("B02", "B03", "B04", "B8A", "B11", "B12", "B10")
    return Scene(
        Bands(*(band(name) for name in names), absent()),
        Grid("EPSG:32631", (20.0, 0.0, 3e5, 0.0, -20.0, 4.9e6), (size, size)),
        "sentinel-2",
        Angles(35.0, 150.0),
        Angles(5.0, 100.0),
        red_edge=band("B07"),
        nir_wide=band("B08"),
    )


def _measured(wall: float, cpu: float) -> dict[str, float]:
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


def _child(role: str, options: argparse.Namespace) -> dict[str, float]:
    flags = [f"--role={role}", f"--size={options.size}", f"--cpus={options.cpus}"]
    flags += [f"--scene={options.scene}"] + ([f"--safe={options.safe}"] if options.safe else [])
    path = os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(options.cpus)}
    done = subprocess.run(
        [sys.executable, __file__, *flags],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="fmask on a tile")
    parser.add_argument("--size", type=int, default=FULL // 2)
    parser.add_argument("--full", action="store_true", help="the whole tile")
    parser.add_argument("--safe", type=Path, help="an L1C SAFE folder to time from its files")
    parser.add_argument("--cpus", type=int, default=min(2, len(os.sched_getaffinity(0))))
    parser.add_argument("--scene", type=Path, default=Path("/tmp/skymend-fmask-scene.npz"))
    parser.add_argument("--role", choices=("scene", "arrays", "safe"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.full:
        options.size = FULL
    return options


if __name__ == "__main__":
    main()
