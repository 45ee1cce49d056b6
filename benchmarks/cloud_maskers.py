"""Every masker on simulated scenes with truth, and against one another on real ones.

Simulated: five seeds with snow, a bright town and a coast under a sun at 65 degrees, read from
level-1C SAFE folders; F1 of cloud and of shadow on the 20 m grid (s2cloudless works at 60 m and
is spread by nearest neighbour). Real scenes come from beside the checkout (SKYMEND_SHARED) and
have no truth: shares, and how often two maskers agree on cloud.

Thresholds of fmask were chosen while looking at seeds 1 to 5; ``--held-out`` takes those from
2101 on, which were drawn once and nothing was changed after.

    python benchmarks/cloud_maskers.py [--seeds 5] [--held-out] [--picture maskers.png]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from skymend.clouds.masker import Mask, open_masker
from skymend.clouds.s2cloudless import S2CloudlessMasker
from skymend.core.grid import Grid
from skymend.products.labels import Label
from skymend.products.toa import Angles, open_toa

BANDS = (
    *("B01", "B02", "B03", "B04", "B05", "B06", "B07"),
    *("B08", "B8A", "B09", "B10", "B11", "B12"),
)
SHARED = Path(os.environ.get("SKYMEND_SHARED", Path(__file__).resolve().parents[2] / "shared"))
COLOURS = np.array(
    [(30, 30, 30), (90, 140, 80), (250, 250, 250), (60, 60, 110), (150, 220, 250), (60, 110, 200)],
    np.uint8,
)
UNSEEN = 2101
NAMES = ("fmask", "s2cloudless", "s2cloudless, bare", "csmask", "consensus")


def run(name: str, product: object, dem: Path | None = None, resolution: float = 20.0) -> Mask:
    """Run a masker by the name of a row."""
    if name == "s2cloudless, bare":
        masker = S2CloudlessMasker(average_m=0.0, dilate_m=0.0)
        return masker.mask(product, resolution_m=max(60.0, resolution), cpus=2)
    if name == "s2cloudless":
        return open_masker(name).mask(product, resolution_m=max(60.0, resolution), cpus=2)
    return open_masker(name).mask(product, resolution_m=resolution, dem=dem, cpus=2)


def spread(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bring labels to a finer shape by nearest neighbour."""
    rows = np.arange(shape[0]) * labels.shape[0] // shape[0]
    columns = np.arange(shape[1]) * labels.shape[1] // shape[1]
    return labels[np.ix_(rows, columns)]


def f1(found: np.ndarray, truth: np.ndarray) -> float:
    """Return 2 TP / (2 TP + FP + FN)."""
    both = int((found & truth).sum())
    return 2 * both / max(1, int(found.sum()) + int(truth.sum()))


def simulated(seeds: range) -> None:
    """Print F1 of the maskers on scenes of Sentinel-2 and of Landsat with truth."""
    from skymend.simulate.toa_series import write_scene
    from skymend.simulate.toa_series_landsat import write_landsat

    _score("sentinel-2", seeds, NAMES, write_scene)
    _score("landsat-8", seeds, ("fmask", "csmask"), write_landsat)


def _score(
    sensor: str, seeds: range, names: tuple[str, ...], write: Callable[[Path, Any], Path]
) -> None:
    from skymend.simulate.cloud_scene import cloud_scene

    hard = {"snow": True, "town": True, "coast": True, "sun_zenith": 65.0}
    pixel = 20.0 if sensor == "sentinel-2" else 30.0
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for seed in seeds:
        scene = cloud_scene(seed, sensor=sensor, **hard)
        step = round(pixel / scene.grid.resolution)
        truth = scene.labels[::step, ::step]
        with tempfile.TemporaryDirectory() as folder:
            product = open_toa(write(Path(folder), scene))
            dem = Path(folder) / "elevation.tif"
            for name in names:
                labels = spread(run(name, product, dem, pixel).labels, truth.shape)
                pair = tuple(f1(labels == x, truth == x) for x in (Label.CLOUD, Label.SHADOW))
                scores[name].append(pair)
    print(f"\n{sensor}: snow, town, coast, sun 65 degrees from the zenith, {pixel:g} m")
    print(f"seeds {seeds[0]} to {seeds[-1]}")
    print("| masker | cloud F1: median (least) | shadow F1: median (least) |\n|---|---|---|")
    for name, pairs in scores.items():
        cloud, shadow = zip(*pairs, strict=True)
        print(
            f"| {name} | {np.median(cloud):.3f} ({min(cloud):.3f}) "
            f"| {np.median(shadow):.3f} ({min(shadow):.3f}) |",
            flush=True,
        )


@dataclass(frozen=True)
class Array:
    """Thirteen bands of a real scene that knows neither place nor, mostly, sun."""

    id: str
    values: np.ndarray
    resolution: float
    sun_angles: tuple[float, float]

    sensor = "sentinel-2"
    platform = "sentinel-2a"
    tile = None
    bands = BANDS
    time = datetime(2017, 7, 29, 15, 20, tzinfo=UTC)
    path = Path("array")

    def grid(self, resolution_m: float | None = None) -> Grid:
        """Return the grid of the array, or a coarser one."""
        size = resolution_m or self.resolution
        step = max(1, round(size / self.resolution))
        rows, columns = (n // step for n in self.values.shape[1:])
        return Grid("EPSG:32619", (size, 0.0, 400_000.0, 0.0, -size, 5_400_000.0), (rows, columns))

    def read(self, bands: tuple[str, ...], grid: Grid) -> np.ndarray:
        """Return means over the pixels of a coarser grid, inside a window of it."""
        step = max(1, round(grid.resolution / self.resolution))
        first = round((5_400_000.0 - grid.transform[5]) / grid.resolution)
        left = round((grid.transform[2] - 400_000.0) / grid.resolution)
        rows, columns = grid.shape
        part = self.values[
            [BANDS.index(b) for b in bands],
            first * step : (first + rows) * step,
            left * step : (left + columns) * step,
        ]
        return part.reshape(len(bands), rows, step, columns, step).mean((2, 4)).astype(np.float32)

    def brightness_temperature(self, grid: Grid) -> None:
        """There is no thermal band."""

    def sun(self, grid: Grid) -> Angles:
        """Return the sun."""
        return Angles(*self.sun_angles)

    def view(self, grid: Grid) -> Angles:
        """Return a view from straight above."""
        return Angles(0.0, 0.0)


def real() -> list[Array]:
    """Return the real scenes that are there."""
    import warnings

    import rasterio

    warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
    found = []
    folder = SHARED / "data/s2-l1c-preview-19UDP/sentinel-s2-l1c/tiles/19/U/DP/2017/7/29/0/preview"
    if folder.is_dir():
        planes = [rasterio.open(folder / f"{b}.jp2").read(1) for b in BANDS]
        values = np.stack(planes).astype(np.float32) / 10_000
        values[:, (values <= 0).any(axis=0)] = np.nan
        # The sun of 29 July 2017, 15:20 UTC at 49 N, 69 W (Meeus, 1998, chapter 25).
        found.append(Array("19UDP, 160 m", values, 160.0, (34.0, 143.0)))
    for kind in ("s2_cloudy", "s2_cloudfree"):
        path = SHARED / f"data/sen12mscr-glfcr/{kind}/ROIs1970_fall_139_p839.tif"
        if path.is_file():
            values = rasterio.open(path).read().astype(np.float32) / 10_000
            found.append(Array(f"SEN12MS-CR {kind}", values, 10.0, (45.0, 160.0)))
    path = SHARED / "data/eo-learn-testeopatch/REFERENCE_SCENES.npy"
    if path.is_file():
        for number, scene in enumerate(np.load(path, allow_pickle=False)):
            values = np.moveaxis(scene, -1, 0)[:, :96, :96]
            found.append(Array(f"EOPatch scene {number}", values, 10.0, (45.0, 160.0)))
    return found


def compare(scenes: list[Array], picture: Path | None) -> None:
    """Print shares and agreement on the real scenes."""
    print("\nreal scenes: share of cloud, of shadow; agreement with fmask on cloud")
    names = ("fmask", "s2cloudless, bare", "csmask", "consensus")
    print("| scene | " + " | ".join(names) + " |\n|---" * 1 + "|---" * (len(names)) + "|")
    strips = []
    for scene in scenes:
        resolution = max(20.0, scene.resolution)
        masks = {n: run(n, scene, None, resolution).labels for n in names}
        shape = masks["fmask"].shape
        masks = {n: spread(m, shape) for n, m in masks.items()}
        valid = masks["fmask"] != Label.NODATA
        cells = []
        for labels in masks.values():
            cloud, shadow = ((labels == x)[valid].mean() for x in (Label.CLOUD, Label.SHADOW))
            same = ((labels == Label.CLOUD) == (masks["fmask"] == Label.CLOUD))[valid].mean()
            cells.append(f"{cloud:.1%}, {shadow:.1%}; {same:.1%}")
        print(f"| {scene.id} | " + " | ".join(cells) + " |")
        strips.append(_strip(scene, masks, resolution))
    if picture is not None and strips:
        _draw(strips, picture)


def _strip(scene: Array, masks: dict[str, np.ndarray], resolution: float) -> list[np.ndarray]:
    colour = scene.read(("B04", "B03", "B02"), scene.grid(resolution))
    shown = np.nan_to_num(np.clip(colour / 0.35, 0, 1) * 255).astype(np.uint8)
    return [np.moveaxis(shown, 0, -1), *(COLOURS[m] for m in masks.values())]


def _draw(strips: list[list[np.ndarray]], path: Path) -> None:
    """Draw one row for each scene: the image, then the masks."""
    import cv2

    side = 220
    rows = [
        np.hstack(
            [
                np.pad(
                    cv2.resize(i, (side, side), interpolation=cv2.INTER_NEAREST),
                    ((2, 2), (2, 2), (0, 0)),
                )
                for i in strip
            ]
        )
        for strip in strips
    ]
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--held-out", action="store_true", help="simulated seeds from 2101 on")
    options = parser.parse_args()
    first = UNSEEN if options.held_out else 1
    if not options.held_out:
        compare(real(), options.picture)
    simulated(range(first, first + options.seeds))


if __name__ == "__main__":
    main()
