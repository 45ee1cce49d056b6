"""s2cloudless on a whole tile at 60 m: skymend against the package's own call, same masks.

Pixels come from the real level-1C scene beside the checkout (SKYMEND_SHARED), brought from 160
to 60 m by interpolation with one digital number of noise, so that no pixel occurs twice; where
that folder is absent, from a simulated scene. Both sides get the same array and two threads and
are run in turns; compiled code is warm.

    python benchmarks/cloud_classifier.py [--side 1830] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from skymend.clouds import s2cloudless

THREADS = 2
SCENE = "data/s2-l1c-preview-19UDP/sentinel-s2-l1c/tiles/19/U/DP/2017/7/29/0/preview"


def real(side: int) -> np.ndarray | None:
    """Return (bands, side, side) reflectance of the real scene; None where it is absent."""
    import cv2
    import rasterio

    default = Path(__file__).resolve().parents[2] / "shared"
    warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
    folder = Path(os.environ.get("SKYMEND_SHARED", default)) / SCENE
    if not folder.is_dir():
        return None
    random = np.random.default_rng(1)
    bands = []
    for band in s2cloudless.BANDS:
        with rasterio.open(folder / f"{band}.jp2") as dataset:
            values = dataset.read(1).astype(np.float32)
        # The part inside the swath, without nodata.
        wide = cv2.resize(values[:300, 350:650], (side, side), interpolation=cv2.INTER_CUBIC)
        bands.append((wide + random.normal(0, 1, wide.shape)) / 10_000)
    return np.stack(bands).astype(np.float32)


def simulated(side: int) -> np.ndarray:
    """Return smooth clouds over textured ground."""
    import cv2

    random = np.random.default_rng(1)
    fine, wide = (
        cv2.GaussianBlur(random.normal(size=(side, side)).astype(np.float32), (0, 0), radius)
        for radius in (2, 40)
    )
    cover = np.clip(wide / wide.std() - 0.5, 0, 1)
    ground = 0.12 * (1 + 0.3 * fine / fine.std())
    noise = random.normal(1, 0.02, (len(s2cloudless.BANDS), side, side))
    return ((ground * (1 - cover) + 0.6 * cover) * noise).astype(np.float32)


def timed(run: Callable[[], np.ndarray]) -> tuple[np.ndarray, float, float]:
    """Return the result, wall seconds and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1830)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    values = real(options.side)
    origin = "real scene 19UDP" if values is not None else "simulated scene"
    values = simulated(options.side) if values is None else values

    from s2cloudless import S2PixelCloudDetector

    detector = S2PixelCloudDetector(threshold=0.4, average_over=4, dilation_size=2)
    package_input = np.ascontiguousarray(np.moveaxis(values, 0, -1))[None]

    def ours() -> np.ndarray:
        probability = s2cloudless.probabilities(values, cpus=THREADS)
        return s2cloudless.cloud_mask(probability, 0.4, 4, 2)

    def package() -> np.ndarray:
        return detector.get_cloud_masks(package_input, num_threads=THREADS)[0].astype(bool)

    s2cloudless.probabilities(values[:, :50, :50], cpus=THREADS)
    rows = []
    for _ in range(options.rounds):
        mask, wall, cpu = timed(ours)
        expected, package_wall, package_cpu = timed(package)
        same = "identical" if np.array_equal(mask, expected) else "DIFFERENT"
        rows.append((wall, cpu, package_wall, package_cpu))
        print(
            f"{options.side} x {options.side}, {origin}: skymend {wall:.1f} s ({cpu:.1f} CPU), "
            f"package {package_wall:.1f} s ({package_cpu:.1f} CPU), masks {same}, "
            f"cloud {expected.mean():.1%}"
        )
    wall_ratio = statistics.median(r[2] / r[0] for r in rows)
    cpu_ratio = statistics.median(r[3] / r[1] for r in rows)
    print(f"median ratio package / skymend: wall {wall_ratio:.1f}, CPU {cpu_ratio:.1f}")


if __name__ == "__main__":
    main()
