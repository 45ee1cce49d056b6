"""Speckle filters: what each takes and what it keeps; speed against OTB's Despeckle.

    python -m benchmarks speckle
    python benchmarks/speckle.py --picture docs/images/speckle.png

The scene: flat fields, a straight and a slanted step of 7 dB, lines two pixels wide and point
targets of 3 x 3 pixels, under speckle of 4.4 looks, white and correlated as the sensor's is.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skymend.sar.speckle import FILTERS, filter_speckle

LOOKS = 4.4
SIDE = 1024
LOW, HIGH, LINE, POINT = 0.04, 0.2, 0.25, 20.0
WINDOWS = {"refined-lee": 7, "lee-sigma": 9}


@dataclass(frozen=True)
class Scene:
    """Truth and places: where it is flat, where edges, lines and points are."""

    truth: np.ndarray
    flat: tuple[slice, slice]
    edge_column: int
    edge_rows: slice
    slant: np.ndarray
    line_columns: np.ndarray
    line_rows: slice
    points: np.ndarray


def scene(side: int = SIDE) -> Scene:
    """Draw the reflectivity."""
    row, column = np.mgrid[:side, :side]
    truth = np.where(column < side // 2, LOW, HIGH).astype(np.float64)
    lower = row >= 3 * side // 4
    slant = (row - 3 * side // 4) * 1.0 - (column - side // 8) * 0.5
    truth[lower] = np.where(slant[lower] > 0, HIGH, LOW)
    lines = np.arange(side // 16, side // 2 - 16, 48)
    rows = slice(side // 2 + 16, 3 * side // 4 - 16)
    for start in lines:
        truth[rows, start : start + 2] = LINE
    grid = np.arange(24, side // 4 - 16, 32)
    points = np.array([(r, c) for r in grid for c in grid])
    for r, c in points:
        truth[r - 1 : r + 2, c - 1 : c + 2] = POINT
    flat = (slice(side // 4 + 16, side // 2 - 16), slice(16, side // 2 - 16))
    edge_rows = slice(16, side // 2 - 16)
    distance = np.where(lower, slant / np.hypot(1.0, 0.5), np.nan)
    return Scene(truth, flat, side // 2, edge_rows, distance, lines, rows, points)


def speckled(made: Scene, *, correlated: bool, seed: int = 7) -> np.ndarray:
    """Return power: truth under speckle; point targets have none."""
    shape = made.truth.shape
    if correlated:
        from skymend.simulate.s1_signal import speckle

        grain = speckle(shape, seed, "benchmark", looks=LOOKS)
    else:
        grain = np.random.default_rng(seed).gamma(LOOKS, 1 / LOOKS, shape)
    return (made.truth * np.where(made.truth == POINT, 1.0, grain)).astype(np.float32)


def enl(values: np.ndarray) -> float:
    """Return the equivalent number of looks of a flat field: squared mean over variance."""
    valid = values[np.isfinite(values)].astype(np.float64)
    return float(valid.mean() ** 2 / valid.var())


def bias_db(values: np.ndarray, truth: float) -> float:
    """Return how far the mean is off, dB."""
    return float(10 * np.log10(np.nanmean(values, dtype=np.float64) / truth))


def edge_error_db(made: Scene, power: np.ndarray) -> float:
    """Return the mean error of the averaged profile within two pixels of the straight step, dB."""
    near = slice(made.edge_column - 2, made.edge_column + 2)
    profile = power[made.edge_rows, near].mean(axis=0, dtype=np.float64)
    return float(np.abs(10 * np.log10(profile / made.truth[100, near])).mean())


def edge_enl(made: Scene, power: np.ndarray) -> float:
    """Return the looks of the three columns on the bright side of the straight step."""
    return enl(power[made.edge_rows, made.edge_column : made.edge_column + 3])


def slant_error_db(made: Scene, power: np.ndarray) -> float:
    """Return the same for the slanted step, by distance from it."""
    errors = []
    for low, high in ((-2, -1), (-1, -0.2), (0.2, 1), (1, 2)):
        chosen = (made.slant > low) & (made.slant < high)
        errors.append(bias_db(power[chosen], HIGH if low >= 0 else LOW))
    return float(np.abs(errors).mean())


def line_kept(made: Scene, power: np.ndarray) -> float:
    """Return the share of the lines' contrast that is left."""
    columns = np.concatenate([made.line_columns, made.line_columns + 1])
    mean = power[made.line_rows][:, columns].mean(dtype=np.float64)
    return float((mean - LOW) / (LINE - LOW))


def point_loss_db(made: Scene, power: np.ndarray) -> float:
    """Return by how much the centres of point targets are dimmed, dB."""
    return float(-10 * np.log10(power[made.points[:, 0], made.points[:, 1]].mean() / POINT))


def table(correlated: bool) -> list[tuple[str, ...]]:
    """Return one row per filter."""
    made = scene()
    power = speckled(made, correlated=correlated)
    rows = []
    for name in FILTERS:
        window = WINDOWS.get(name, 7)
        out = filter_speckle(name, power, looks=LOOKS, window=window)
        flat = out[made.flat]
        rows.append(
            (
                name if name in {"none", "refined-lee"} else f"{name} {window}",
                f"{bias_db(flat, LOW):+.2f}",
                f"{enl(flat):.1f}",
                f"{edge_error_db(made, out):.2f}",
                f"{edge_enl(made, out):.1f}",
                f"{slant_error_db(made, out):.2f}",
                f"{line_kept(made, out):.2f}",
                f"{point_loss_db(made, out):.2f}",
            )
        )
    return rows


SEA = (slice(560, 640), slice(1100, 1180))
"""A calm part of the real image."""

REAL_LOOKS = 120.0
"""Equivalent number of looks of the real image: its overview averages blocks of pixels."""


def real_power(shared: Path) -> np.ndarray | None:
    """Return DN^2 of the real decimated GRD (VV), NaN outside the swath; None if not at hand."""
    import rasterio

    found = sorted((shared / "s1-grd-safe-rio-tiler-pds").rglob("iw-vv.tiff"))
    if not found:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(found[0], driver="GTiff") as file:
            dn = file.read(1).astype(np.float32)
    return np.where(dn > 0, dn**2, np.float32(np.nan))


def gradient_kept(before: np.ndarray, after: np.ndarray) -> float:
    """Return the edge preservation index: gradients across the strongest edges, after / before.

    The edges are the 2 % of pixels with the strongest gradient of the logarithm of a 5 x 5 mean,
    away from the border of the swath; the gradient is the central difference over 4 pixels.
    """
    from scipy.ndimage import uniform_filter

    valid = uniform_filter(np.isfinite(before).astype(float), 11) > 0.999
    smooth = np.log(filter_speckle("boxcar", before, looks=1.0, window=5))
    strength = np.hypot(*_differences(smooth))
    strength[~valid] = 0.0
    edges = strength > np.quantile(strength[valid], 0.98)
    old, new = (np.hypot(*_differences(np.log(p)))[edges].sum() for p in (before, after))
    return float(new / old)


def _differences(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    filled = np.where(np.isfinite(values), values, 0.0)
    return np.roll(filled, -2, 0) - np.roll(filled, 2, 0), np.roll(filled, -2, 1) - np.roll(
        filled, 2, 1
    )


def brightest_loss_db(before: np.ndarray, after: np.ndarray) -> float:
    """Return by how much the brightest 0.02 % of the pixels are dimmed on average, dB."""
    bright = before >= np.nanquantile(before, 0.9998)
    return float(10 * np.log10(before[bright].mean() / after[bright].mean()))


def real_table(power: np.ndarray) -> list[tuple[str, ...]]:
    """Return one row per filter, measured on the real image."""
    rows = []
    for name in FILTERS:
        window = WINDOWS.get(name, 7)
        out = filter_speckle(name, power, looks=REAL_LOOKS, window=window)
        rows.append(
            (
                name if name in {"none", "refined-lee"} else f"{name} {window}",
                f"{bias_db(out[SEA], float(power[SEA].mean())):+.3f}",
                f"{enl(out[SEA]):.0f}",
                f"{gradient_kept(power, out):.2f}",
                f"{brightest_loss_db(power, out):.2f}",
            )
        )
    return rows


REAL_HEADER = ("filter", "bias dB", "ENL sea", "edges kept", "bright loss dB")
HEADER = (
    "filter",
    "bias dB",
    "ENL",
    "step dB",
    "ENL at step",
    "slant dB",
    "line kept",
    "point loss dB",
)


def show(title: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    print(f"\n{title}")
    print(" ".join(f"{text:>14}" for text in header))
    for row in rows:
        print(" ".join(f"{text:>14}" for text in row))


def cpu_of(name: str, power: np.ndarray) -> float:
    """Return CPU seconds of one filter, compiled code warm."""
    window = WINDOWS.get(name, 7)
    filter_speckle(name, power[:64, :64], looks=LOOKS, window=window)
    started = time.process_time()
    filter_speckle(name, power, looks=LOOKS, window=window)
    return time.process_time() - started


def cpu_of_otb(name: str, power: np.ndarray) -> float | None:
    """Return CPU seconds of OTB's filter of that name, start and files included."""
    import rasterio

    program = shutil.which("otbcli_Despeckle")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.tif"
        shape = {"height": power.shape[0], "width": power.shape[1], "count": 1}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(source, "w", driver="GTiff", dtype="float32", **shape) as file:
                file.write(power, 1)
        options = [f"-filter.{name}.rad", "3", f"-filter.{name}.nblooks", str(LOOKS)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [program, "-in", source, "-out", Path(folder) / "out.tif", "-filter", name, *options],
            check=True,
            capture_output=True,
            env={**os.environ, "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"},
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def speed(side: int = 2048) -> None:
    """Print CPU seconds a megapixel, and the ratio to OTB where it has the filter."""
    power = np.random.default_rng(1).gamma(LOOKS, 1 / LOOKS, (side, side)).astype(np.float32)
    peers = {"lee": "lee", "gamma-map": "gammamap"}
    rows = []
    for name in FILTERS[1:]:
        ours = cpu_of(name, power)
        theirs = cpu_of_otb(peers[name], power) if name in peers else None
        ratio = f"{theirs / ours:.0f} x" if theirs else "-"
        rows.append((name, f"{side**2 / 1e6 / ours:.1f}", f"{ours:.2f}", ratio))
    load = os.getloadavg()[0]
    show(
        f"Speed, one thread, {side} x {side} pixels (CPU seconds; load of the machine {load:.1f})",
        ("filter", "Mpx/s", "CPU s", "OTB takes"),
        rows,
    )


def picture(path: Path, real: np.ndarray | None) -> None:
    """Draw the slanted step and points of the made scene, and a coast of the real one, filtered."""
    from PIL import Image

    made = speckled(scene(), correlated=True)
    parts = [(made, LOOKS, (slice(180, 340), slice(20, 180)), (-16.0, 0.0))]
    parts.append((made, LOOKS, (slice(690, 850), slice(60, 220)), (-18.0, -4.0)))
    if real is not None:
        parts.append((real, REAL_LOOKS, (slice(100, 260), slice(840, 1000)), (36.0, 54.0)))
    rows = []
    for power, looks, where, (low, high) in parts:
        panels = [
            filter_speckle(n, power, looks=looks, window=WINDOWS.get(n, 7))[where] for n in FILTERS
        ]
        level = (10 * np.log10(np.concatenate(panels, axis=1)) - low) / (high - low)
        rows.append(np.nan_to_num(np.clip(level, 0, 1) * 255).astype(np.uint8))
    Image.fromarray(np.concatenate(rows)).save(path, optimize=True)
    print(f"\n{path}: from left to right {', '.join(FILTERS)}")


def main() -> None:
    """Print the tables; with ``--picture FILE`` draw as well."""
    words = sys.argv[1:]
    side = f"{SIDE} x {SIDE}"
    show(f"Speckle correlated as the sensor's, {LOOKS} looks, {side}", HEADER, table(True))
    show(f"White speckle, {LOOKS} looks, {side}", HEADER, table(False))
    root = Path(__file__).resolve().parents[1]
    power = real_power(Path(os.environ.get("SKYMEND_SHARED", root.parent / "shared")) / "data")
    if power is not None:
        show("Real IW GRDH, VV, decimated, 837 x 1280", REAL_HEADER, real_table(power))
    if "--picture" in words:
        picture(Path(words[words.index("--picture") + 1]), power)
    speed()


if __name__ == "__main__":
    main()
