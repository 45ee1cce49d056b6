"""The embedded radar engine to a whole Sentinel-2 tile, against OTB and sarsen.

Run ``python benchmarks/sar.py --product ZIP`` with a GRD SAFE zip or folder that has VV and VH
annotation; its pixels are made here, uncompressed, of speckle on a flat field. Without
``--product`` the metadata of the shared imagery are taken. ``--full`` does the whole tile of
10980 x 10980 pixels; the default a quarter of its side. The DEM is simulated, 1 arc second in
degrees like Copernicus GLO-30, with 800 m of relief, so that shadow, layover and the margin cost
what they cost in hills.

Each figure comes from a process of its own; compiled code is warmed on a small grid first.
Writing the three COGs is part of the time. OTB (``otbcli_SARCalibration`` to sigma nought, then
``otbcli_OrthoRectification`` with the same DEM and geoid, one channel) runs with the same number
of threads; sarsen's marginal rate is the time that more pixels cost, without its start.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
TILE = "30NVN"
PRODUCT = (
    "s1-grd-safe-metadata/S1A_IW_GRDH_1SDV_20200708T182643_20200708T182708_033367_03DDAA_9550.zip"
)
SIDE = 10980
GEOID = "/usr/share/proj/egm96_15.gtx"


def main() -> None:
    options = _arguments()
    if options.picture:
        picture(options.picture)
        return
    if options.role:
        print(json.dumps(ROLES[options.role](options)))
        return
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        options.folder = Path(folder)
        runs = {"make": _child("make", options)}
        for role in options.roles:
            runs[role] = _child(role, options)
            print(f"{role}: {runs[role]}", file=sys.stderr)
    _table(options, runs)


def _arguments() -> argparse.Namespace:
    shared = Path(os.environ.get("SKYMEND_SHARED", ROOT.parent / "shared")) / "data"
    parser = argparse.ArgumentParser(description="radar engines to a tile")
    parser.add_argument("--product", type=Path, default=shared / PRODUCT)
    parser.add_argument("--side", type=int, default=SIDE // 4)
    parser.add_argument("--full", action="store_true", help="the whole tile")
    parser.add_argument("--cpus", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--work", type=Path, help="folder for the temporary files")
    parser.add_argument(
        "--roles", nargs="*", default=["flattened", "sigma0", "otb", "sarsen"], choices=list(ROLES)
    )
    parser.add_argument("--picture", type=Path, help="draw hills before and after, and stop")
    parser.add_argument("--role", choices=list(ROLES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.full:
        options.side = SIDE
    return options


def _child(role: str, options: argparse.Namespace) -> dict[str, float]:
    flags = [f"--{n}={getattr(options, n)}" for n in ("product", "side", "cpus", "folder")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        "OMP_NUM_THREADS": str(options.cpus),
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(options.cpus),
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, __file__, f"--role={role}", *flags]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def grid(options: argparse.Namespace, side: int | None = None):
    from skymend.core.grid import Grid, Window

    side = side or options.side
    tile = Grid.from_mgrs(TILE)
    start = (SIDE - side) // 2
    return tile.crop(Window(start, start, side, side))


def safe(options: argparse.Namespace) -> Path:
    return next(options.folder.glob("*.SAFE"))


def make(options: argparse.Namespace) -> dict[str, float]:
    """Write the product with pixels, and the DEM."""
    product = options.product
    if product.is_dir():
        shutil.copytree(product, options.folder / product.name)
    else:
        with zipfile.ZipFile(product) as archive:
            archive.extractall(options.folder)
    for polarisation in ("VV", "VH"):
        _write_pixels(safe(options), polarisation)
    _write_dem(options)
    return {"seconds": 0.0}


def _write_pixels(folder: Path, polarisation: str) -> None:
    import rasterio
    from rasterio.control import GroundControlPoint
    from rasterio.windows import Window

    from skymend.products.sentinel1 import open_grd

    product = open_grd(folder)
    annotation = product.annotation(polarisation)
    path = folder / product.manifest.files["measurement", polarisation]
    path.parent.mkdir(exist_ok=True)
    lines, samples = annotation.shape
    rng = np.random.default_rng(1)
    chunk = np.sqrt(rng.gamma(4.4, 200.0**2 / 4.4, (512, samples))).astype(np.uint16) + 1
    g = annotation.geolocation
    points = zip(g.line, g.pixel, g.longitude, g.latitude, g.height, strict=True)
    with rasterio.open(
        path, "w", driver="GTiff", height=lines, width=samples, count=1, dtype="uint16"
    ) as out:
        gcps = [GroundControlPoint(r + 0.5, c + 0.5, x, y, z) for r, c, x, y, z in points]
        out.gcps = (gcps, "EPSG:4326")
        out.update_tags(TIFFTAG_IMAGEDESCRIPTION="Sentinel-1A IW GRD HR L1")
        for row in range(0, lines, 512):
            rows = min(512, lines - row)
            out.write(np.roll(chunk, row, axis=1)[:rows], 1, window=Window(0, row, samples, rows))


def _write_dem(options: argparse.Namespace) -> None:
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.warp import transform_bounds
    from scipy.ndimage import gaussian_filter, zoom

    wide = grid(options)
    left, bottom, right, top = wide.bounds
    box = (left - 21_000, bottom - 21_000, right + 21_000, top + 21_000)
    west, south, east, north = transform_bounds(wide.crs, "EPSG:4326", *box)
    step = 1 / 3600
    rows, columns = int((north - south) / step), int((east - west) / step)
    rng = np.random.default_rng(2)
    coarse = rng.standard_normal((rows // 8 + 2, columns // 8 + 2)).astype(np.float32)
    hills = gaussian_filter(coarse, 4) * 8 + gaussian_filter(coarse, 1.2)
    hills = zoom(hills, 8, order=1)[:rows, :columns]
    hills = (hills - hills.min()) / (hills.max() - hills.min()) * 800
    folder = options.folder / "dem"
    folder.mkdir()
    with rasterio.open(
        folder / "dem.tif",
        "w",
        driver="GTiff",
        height=hills.shape[0],
        width=hills.shape[1],
        count=1,
        dtype="float32",
        crs="EPSG:4326",
        transform=from_origin(west, north, step, step),
    ) as out:
        out.write(hills.astype(np.float32), 1)


def _embedded(options: argparse.Namespace, convention: str, polarisations: tuple[str, ...]):
    from skymend.sar.embedded import EmbeddedEngine
    from skymend.sar.engine import Chain

    out = options.folder / convention
    chain = Chain(convention=convention, polarisations=polarisations)

    def run(where, cpus: int) -> dict:
        out.mkdir(exist_ok=True)
        scene = EmbeddedEngine().process(
            [safe(options)],
            where,
            options.folder / "dem",
            out,
            chain=chain,
            work=options.folder / "scratch",
            cpus=cpus,
        )
        return dict(scene.facts)

    run(grid(options, 256), 1)
    before, start = time.process_time(), time.perf_counter()
    facts = run(grid(options), options.cpus)
    seconds = time.perf_counter() - start
    return _result(seconds, time.process_time() - before, len(polarisations) * options.side**2) | {
        "valid_share": facts["valid_share"]
    }


def flattened(options: argparse.Namespace) -> dict[str, float]:
    """Both channels, everything on."""
    return _embedded(options, "gamma0-flattened", ("VV", "VH"))


def sigma0(options: argparse.Namespace) -> dict[str, float]:
    """One channel to sigma nought, as OTB does it."""
    return _embedded(options, "sigma0", ("VV",))


def otb(options: argparse.Namespace) -> dict[str, float]:
    """One channel to sigma nought with OTB's applications."""
    where = grid(options)
    source = next((safe(options) / "measurement").glob("*-vv-*.tiff"))
    calibrated = options.folder / "sigma.tif"
    left, _, _, top = where.bounds
    start = time.perf_counter()
    _quiet(
        "otbcli_SARCalibration", "-in", source, "-out", calibrated, "-lut", "sigma",
        "-removenoise", "true",
    )  # fmt: skip
    _quiet(
        "otbcli_OrthoRectification", "-io.in", calibrated, "-io.out", options.folder / "otb.tif",
        "-map", "epsg", "-map.epsg.code", where.crs.split(":")[1], "-outputs.isotropic", "false",
        "-outputs.ulx", left, "-outputs.uly", top, "-outputs.sizex", options.side,
        "-outputs.sizey", options.side, "-outputs.spacingx", 10, "-outputs.spacingy", -10,
        "-interpolator", "linear", "-opt.gridspacing", 40, "-elev.dem", options.folder / "dem",
        "-elev.geoid", GEOID,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return _result(seconds, used.ru_utime + used.ru_stime, options.side**2)


def _quiet(*command: object) -> None:
    subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL)


def sarsen(options: argparse.Namespace) -> dict[str, float]:
    """Marginal rate of sarsen's terrain correction, nearest, one channel."""
    import rasterio
    from sarsen import Sentinel1SarProduct, terrain_correction

    from skymend.products.dem import read_dem

    sides = (500, 1500)
    seconds = []
    for side in (sides[0], *sides):
        where = grid(options, side)
        heights = read_dem(options.folder / "dem", where)
        path = options.folder / f"dem{side}.tif"
        profile = {
            "driver": "GTiff", "height": side, "width": side, "count": 1, "dtype": "float32",
            "crs": where.crs, "transform": rasterio.Affine(*where.transform),
        }  # fmt: skip
        with rasterio.open(path, "w", **profile) as out:
            out.write(heights, 1)
        start = time.perf_counter()
        product = Sentinel1SarProduct(str(safe(options)), "IW/VV")
        terrain_correction(
            product,
            dem_urlpath=str(path),
            interp_method="nearest",
            output_urlpath=str(options.folder / "sarsen.tif"),
        )
        seconds.append(time.perf_counter() - start)
    return _result(seconds[2] - seconds[1], 0.0, sides[1] ** 2 - sides[0] ** 2)


def picture(path: Path) -> None:
    """Draw simulated hills: sigma nought, flattened gamma nought, local incidence with state."""
    import rasterio

    from skymend.core.raster import read
    from skymend.sar.embedded import EmbeddedEngine
    from skymend.sar.engine import Chain

    panels = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        products, dem, where = _hills(folder)
        for convention in ("sigma0", "gamma0-flattened"):
            scene = EmbeddedEngine().process(
                products, where, dem, folder, chain=Chain(convention=convention), work=folder / "w"
            )
            decibel = 10 * np.log10(read(scene.backscatter, bands=("VV",))[0])
            panels.append(np.clip((decibel + 20) / 20, 0, 1))
        incidence = read(scene.incidence)[0] / 90
        state = read(scene.state)[0].astype(int)
    grey = [np.repeat(np.nan_to_num(p)[None], 3, axis=0) for p in (*panels, incidence)]
    grey[2][:, (state & 1) > 0] = np.array([[0.9], [0.5], [0.1]])
    grey[2][:, (state & 2) > 0] = np.array([[0.1], [0.3], [0.8]])
    image = np.round(np.concatenate(grey, axis=2) * 255).astype(np.uint8)
    with rasterio.open(
        path, "w", driver="PNG", width=image.shape[2], height=image.shape[1], count=3, dtype="uint8"
    ) as out:
        out.write(image)


def _hills(folder: Path):
    from datetime import UTC, datetime

    import rasterio
    from pyproj import Transformer
    from rasterio.transform import Affine
    from scipy.ndimage import gaussian_filter

    from skymend.core.grid import Grid, Window
    from skymend.sar.geoid import read_geoid
    from skymend.simulate.facets import Terrain
    from skymend.simulate.terrain_grd import Survey, write_terrain_grd

    area = Grid("EPSG:32631", (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_800_000.0), (320, 320))
    wide = area.crop(Window(-110, -110, 540, 540))
    noise = np.random.default_rng(8).standard_normal(wide.shape)
    heights = gaussian_filter(noise, 24) * 9_000 + gaussian_filter(noise, 9) * 600 + 900
    a, _, c, _, e, f = wide.transform
    x, y = np.meshgrid(
        c + a * (np.arange(wide.shape[1]) + 0.5), f + e * (np.arange(wide.shape[0]) + 0.5)
    )
    degrees = Transformer.from_crs(wide.crs, "EPSG:4326", always_xy=True).transform(x, y)
    dem = folder / "dem.tif"
    with rasterio.open(
        dem,
        "w",
        driver="GTiff",
        height=wide.shape[0],
        width=wide.shape[1],
        count=1,
        dtype="float32",
        crs=wide.crs,
        transform=Affine(*wide.transform),
    ) as out:
        out.write(heights.astype(np.float32), 1)
    survey = Survey(datetime(2020, 5, 6, 6, tzinfo=UTC), 38.0, "DES")
    terrain = Terrain(wide, heights + read_geoid().at(*degrees))
    ground = {"VV": 0.1, "VH": 0.02}
    return write_terrain_grd(folder, area, terrain, ground, survey), dem, area


def _result(seconds: float, cpu: float, pixels: int) -> dict[str, float]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "megapixels_a_second": round(pixels / seconds / 1e6, 3),
        "peak_gb": round(max(peak, children), 2),
    }


ROLES = {"make": make, "flattened": flattened, "sigma0": sigma0, "otb": otb, "sarsen": sarsen}


def _table(options: argparse.Namespace, runs: dict[str, dict[str, float]]) -> None:
    load = os.getloadavg()[0]
    print(f"{options.side} x {options.side} pixels, {options.cpus} threads, load {load:.1f}")
    print("| run | s | CPU s | Mpx/s | peak GB |\n|---|---|---|---|---|")
    for role, run in runs.items():
        if role != "make":
            cells = (run["seconds"], run["cpu_seconds"], run["megapixels_a_second"], run["peak_gb"])
            print(f"| {role} | " + " | ".join(str(c) for c in cells) + " |")
    mine = runs.get("sigma0")
    for peer in ("otb", "sarsen"):
        if mine and peer in runs:
            ratio = mine["megapixels_a_second"] / runs[peer]["megapixels_a_second"]
            print(f"sigma0 against {peer}: {ratio:.1f} times as many pixels a second")


if __name__ == "__main__":
    main()
