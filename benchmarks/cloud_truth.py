"""Fmask on simulated scenes with truth: six kinds, Sentinel-2 and Landsat, seen and unseen seeds.

Thresholds were chosen while looking at seeds 1 to 5 and 3001 to 3006; those from 2101 on and from
4101 on are for the table of docs/cloud-masks.md, and nothing was changed after. Scored at 20 m
(Landsat: 30 m) against the commonest true label of each pixel.

    python benchmarks/cloud_truth.py [--seeds 1] [--held-out | --first 4101] [--sensor sentinel-2]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

SEEN, UNSEEN = 1, 2101
"""First seeds."""

NAMES = {
    "plain": "summer",
    "snow": "snow in mountains",
    "town": "bright town",
    "coast": "coast",
    "low sun": "sun zenith 65 degrees",
    "all": "all four together",
}


def score(sensor: str, case: str, seed: int) -> tuple[float, float]:
    """Return F1 of cloud and of shadow on one scene."""
    from skymend.clouds.fmask.engine import run_fmask
    from tests.fmask_case import f1, scene_of, simulated, truth_on

    made = simulated(seed, case, sensor=sensor)
    mask = run_fmask(scene_of(made))
    truth = truth_on(made, mask.labels.shape)
    cloud, shadow = (f1(mask.labels == n, truth == n) for n in (2, 3))
    return cloud, shadow


def table(sensor: str, seeds: Sequence[int]) -> None:
    """Print one row for each kind of scene."""
    print(f"\n{sensor}, seeds {seeds[0]} to {seeds[-1]}")
    print("| scene | cloud F1, worst | mean | shadow F1, worst | mean |\n|---|---|---|---|---|")
    with ProcessPoolExecutor(max_workers=min(2, len(os.sched_getaffinity(0)))) as pool:
        runs = {case: [pool.submit(score, sensor, case, seed) for seed in seeds] for case in NAMES}
        for case, futures in runs.items():
            cloud, shadow = np.array([future.result() for future in futures]).T
            numbers = (cloud.min(), cloud.mean(), shadow.min(), shadow.mean())
            print(
                f"| {NAMES[case]} | " + " | ".join(f"{n:.3f}" for n in numbers) + " |", flush=True
            )


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="how many of each kind")
    parser.add_argument("--held-out", action="store_true", help="seeds from 2101 on")
    parser.add_argument("--first", type=int, help="seeds from this one on")
    parser.add_argument("--sensor", choices=("sentinel-2", "landsat-8"))
    options = parser.parse_args()
    first = options.first or (UNSEEN if options.held_out else SEEN)
    for sensor in (options.sensor,) if options.sensor else ("sentinel-2", "landsat-8"):
        table(sensor, range(first, first + options.seeds))


if __name__ == "__main__":
    main()
