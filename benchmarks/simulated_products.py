"""Simulated SAFE products: what they cost, how true they are, and how they look.

    python -m benchmarks simulated_products
    python benchmarks/simulated_products.py --picture docs/images/simulated-products.png

The terrain of the radar figures is imaged by facets and brought back by the embedded engine,
which shares no geometry or radiometry code with the simulator.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import rasterio

from skymend.core.grid import Grid, Window
from skymend.sar.engine import Chain
from skymend.sar.engines import open_engine
from skymend.simulate import CloudScene, cloud_scene, tiny
from skymend.simulate.facets import Terrain
from skymend.simulate.noise import fractal
from skymend.simulate.radar_series import geoid_over
from skymend.simulate.s1_signal import speckle
from skymend.simulate.safe_s2 import write_l2a
from skymend.simulate.safe_series import surface_granule
from skymend.simulate.terrain_grd import Survey, write_terrain_grd
from skymend.simulate.toa_series import write_scene

WHOLE = Grid("EPSG:32631", (10.0, 0.0, 380_000.0, 0.0, -10.0, 4_840_000.0), (560, 560))
AREA = WHOLE.crop(Window(120, 120, 320, 320))
MAP = WHOLE.crop(Window(140, 140, 280, 280))
GAMMA0 = 0.15
LABEL_COLOURS = np.array(
    [[0, 0, 0], [90, 140, 70], [255, 255, 255], [70, 70, 70], [90, 220, 250], [30, 70, 190]],
    np.uint8,
)


def timed(label: str, work: Callable[[], object]) -> object:
    """Print the CPU seconds of some work; return what it returns."""
    start = time.process_time()
    result = work()
    print(f"| {label} | {time.process_time() - start:.1f} CPU s |", flush=True)
    return result


def terrain() -> tuple[Terrain, np.ndarray]:
    """Return hills with slopes up to 50 degrees, above the ellipsoid and above the geoid."""
    rng = np.random.default_rng(5)
    hills = 100 * fractal(WHOLE.shape, rng, slope=4.2, longest_px=200)
    elevation = 300 + hills.astype(np.float64)
    return Terrain(WHOLE, elevation + geoid_over(WHOLE)), elevation


def flattened(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image constant gamma nought, flatten it; return DN, gamma nought, local incidence."""
    ground, elevation = terrain()
    survey = Survey(
        datetime(2021, 5, 4, 6, tzinfo=UTC), 38.0, "DES", slices=2, noise={"VV": 10**-2.4}
    )
    products = timed(
        "GRD, 5.6 km of terrain by facets, two slices",
        lambda: write_terrain_grd(folder, AREA, ground, {"VV": GAMMA0}, survey, grainless=True),
    )
    dem = folder / "dem.tif"
    options = {"driver": "GTiff", "count": 1, "dtype": "float32", "crs": WHOLE.crs}
    with rasterio.open(
        dem, "w", height=560, width=560, transform=rasterio.Affine(*WHOLE.transform), **options
    ) as target:
        target.write(elevation.astype(np.float32), 1)
    out = folder / "out"
    out.mkdir()
    scene = open_engine("embedded").process(
        products, MAP, dem, out, chain=Chain(), work=folder / "work"
    )
    numbers = [rasterio.open(next(p.glob("measurement/*"))).read(1) for p in products]
    with rasterio.open(scene.backscatter) as one, rasterio.open(scene.incidence) as two:
        return np.concatenate(numbers), one.read(1), two.read(1) * two.scales[0]


def bins(gamma0: np.ndarray, incidence: np.ndarray) -> list[float]:
    """Print the mean error of each bin of 5 degrees with 2,000 pixels; return all."""
    errors = []
    for low in range(15, 75, 5):
        here = np.isfinite(gamma0) & (incidence >= low) & (incidence < low + 5)
        if here.sum() >= 2000:
            errors.append(10 * np.log10(gamma0[here].mean() / GAMMA0))
            print(f"| local incidence {low} to {low + 5} degrees | {errors[-1]:+.3f} dB |")
    return errors


def picture(path: Path, scene: CloudScene, numbers: np.ndarray, gamma0: np.ndarray) -> None:
    """Draw colours, truth, radar image and flattened map side by side."""
    from PIL import Image

    order = [scene.bands.index(b) for b in ("B04", "B03", "B02")]
    colours = np.clip(scene.reflectance[order] / 0.4, 0, 1) ** 0.7
    parts = [
        np.moveaxis(colours, 0, -1) * 255,
        LABEL_COLOURS[scene.labels],
        grey(numbers.astype(np.float64) ** 2 / 473.97**2),
        grey(gamma0),
    ]
    sheet = Image.new("RGB", (1640, 400), "white")
    for number, part in enumerate(parts):
        tile = Image.fromarray(part.astype(np.uint8)).convert("RGB").resize((400, 400))
        sheet.paste(tile, (number * 413, 0))
    sheet.quantize(160).save(path, optimize=True)


def grey(power: np.ndarray) -> np.ndarray:
    """Scale -20 to 0 dB to 0..255."""
    decibel = 10 * np.log10(np.maximum(np.nan_to_num(power), 1e-3))
    return np.clip((decibel + 20) / 20, 0, 1) * 255


def main() -> None:
    """Print the table, and draw if asked."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("| what | figure |\n|---|---|")
        day = tiny().optical_dates()[0]
        timed(
            "L2A, 0.96 km, four bands",
            lambda: write_l2a(folder, surface_granule(tiny(), day)),
        )
        options = {"snow": True, "town": True, "coast": True, "sun_zenith": 65.0}
        scene = timed("cloud scene, 9 km, 13 bands", lambda: cloud_scene(2, **options))
        timed("its L1C", lambda: write_scene(folder, scene))
        grain = speckle((1024, 1024), 1, "bench")
        print(f"| looks of the speckle (4.4 asked) | {1 / grain.var():.2f} |")
        numbers, gamma0, incidence = flattened(folder)
        errors = bins(gamma0, incidence)
        print(f"| range of the bins | {max(errors) - min(errors):.2f} dB |")
        if "--picture" in sys.argv:
            picture(Path(sys.argv[sys.argv.index("--picture") + 1]), scene, numbers, gamma0)


if __name__ == "__main__":
    main()
