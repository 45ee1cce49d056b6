"""The plain door: one product, or the slices of one pass, to backscatter in a folder."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from skymend.core.cog import CogWriter
from skymend.core.encoding import Encoding
from skymend.core.errors import ConfigError
from skymend.core.files import write_json
from skymend.core.grid import TILE_EXTENT_M, Grid
from skymend.core.raster import describe, read
from skymend.products.strips import strips
from skymend.sar.engine import BackscatterScene, Chain
from skymend.sar.engines import open_engine
from skymend.sar.naming import s1tiling_name
from skymend.sar.passes import open_pass

FACTS = "backscatter.json"
_IMAGES = ("backscatter", "incidence", "state")

_POWER = Encoding("backscatter", "float32", 1.0, 0.0, "1")
_MAX_PIXELS = 2_000_000_000


def backscatter(
    products: Sequence[Path] | Path,
    output: Path,
    *,
    dem: Path,
    grid: str | Grid | None = None,
    epsg: int | None = None,
    resolution: float | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    orbit: Path | None = None,
    geoid: Path | None = None,
    engine: str = "embedded",
    chain: Chain | None = None,
    s1tiling_names: bool = False,
    cpus: int = 1,
) -> BackscatterScene:
    """Make backscatter from Sentinel-1 GRD.

    Parameters
    ----------
    products : one IW GRD folder or zip, or the slices of one pass.
    output : folder; made if it is not there. ``backscatter.tif``, ``incidence.tif``,
        ``state.tif`` and ``backscatter.json`` (how they were made) appear in it.
    dem : GeoTIFF or folder of them, heights above the geoid, 20 km around the area.
    grid : a Sentinel-2 tile such as ``31TCJ``, or a grid; the tile under the middle of the first
        slice when neither this nor ``epsg`` is given.
    epsg, resolution, bounds : instead of a tile: CRS, pixel size (10 when None) and left,
        bottom, right, top in that CRS, widened to whole pixels.
    orbit : EOF file or folder of them; else the annotation's orbit.
    geoid : undulation grid; EGM96 when None.
    engine : ``embedded``, ``snap``, ``s1tiling`` or ``otb``.
    chain : what is done to the pixels.
    s1tiling_names : write a GeoTIFF for each channel, named as S1Tiling names it, as well.

    Raises
    ------
    ConfigError
        if options contradict each other.
    ProductError
        if a product, the DEM or the orbit file is unfit.
    SkipJob
        if the pass does not touch the area.
    """
    paths = [Path(products)] if isinstance(products, str | Path) else [Path(p) for p in products]
    steps = chain or Chain()
    where = grid_of(paths, grid, epsg, resolution, bounds)
    tile = _tile_name(paths, grid, epsg, steps) if s1tiling_names else None

    def make(out: Path, work: Path) -> BackscatterScene:
        run = open_engine(engine).process
        scene = run(
            paths, where, dem, out, chain=steps, orbit=orbit, geoid=geoid, work=work, cpus=cpus
        )
        if tile is not None:
            write_s1tiling(scene, paths, steps, out, tile)
        return scene

    return _into_place(make, output)


def _into_place(make: Callable[[Path, Path], BackscatterScene], output: Path) -> BackscatterScene:
    """Make a scene in a folder of its own, then move all of it to where it belongs."""
    with _working_folder(output) as (work, made):
        scene = make(made, work)
        for path in sorted(p for p in made.rglob("*") if p.is_file()):
            place = output / path.relative_to(made)
            place.parent.mkdir(exist_ok=True)
            path.replace(place)
    write_json(output / FACTS, dict(scene.facts))
    moved = {n: output / p.name for n in _IMAGES if (p := getattr(scene, n)) is not None}
    return replace(scene, **moved)


@contextmanager
def _working_folder(output: Path) -> Iterator[tuple[Path, Path]]:
    """Give a folder for work and one for results beside the place of the latter.

    An output folder that was not there before is gone again if nothing came into it.
    """
    fresh = not output.exists()
    output.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".work-", dir=output) as folder:
            work, made = Path(folder) / "work", Path(folder) / "made"
            work.mkdir()
            made.mkdir()
            yield work, made
    except BaseException:
        if fresh:
            with suppress(OSError):
                output.rmdir()
        raise


def grid_of(
    paths: Sequence[Path],
    grid: str | Grid | None,
    epsg: int | None,
    resolution: float | None,
    bounds: tuple[float, float, float, float] | None,
) -> Grid:
    """Return the grid that the options of :func:`backscatter` mean.

    Raises
    ------
    ConfigError
        if they contradict each other.
    """
    if (grid is not None) == (epsg is not None) and grid is not None:
        raise _conflict("either a tile or an EPSG code", "both")
    if epsg is not None:
        if bounds is None:
            raise _conflict("bounds (left, bottom, right, top) beside the EPSG code", "none")
        return grid_of_bounds(epsg, resolution, bounds)
    if bounds is not None:
        raise _conflict("an EPSG code beside the bounds", "none")
    if isinstance(grid, Grid):
        return grid
    size = 10.0 if resolution is None else resolution
    if not (math.isfinite(size) and size > 0 and (TILE_EXTENT_M / size).is_integer()):
        raise _conflict(f"a pixel size that divides a tile of {TILE_EXTENT_M:g} m", f"{size:g}")
    return Grid.from_mgrs(grid or middle_tile(paths), size)


def _conflict(expected: str, found: str) -> ConfigError:
    return ConfigError(
        where="grid",
        expected=expected,
        found=found,
        fix="give --grid 31TCJ, or --epsg N --resolution 10 --bounds LEFT,BOTTOM,RIGHT,TOP",
    )


def grid_of_bounds(
    epsg: int, resolution: float | None, bounds: tuple[float, float, float, float]
) -> Grid:
    """Return the grid of whole pixels that covers bounds; edges are multiples of the pixel size.

    Raises
    ------
    ConfigError
        if bounds are empty or the CRS unknown, or the grid would be immense.
    """
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        geographic = CRS.from_epsg(epsg).is_geographic
    except CRSError:
        raise _conflict("an EPSG code", str(epsg)) from None
    usual = 10 / 111_320 if geographic else 10.0
    size = usual if resolution is None else resolution
    left, bottom, right, top = bounds
    finite = all(math.isfinite(v) for v in (*bounds, size))
    if not finite or size <= 0 or right <= left or top <= bottom:
        raise _conflict("left < right, bottom < top and a pixel size above 0", f"{bounds}, {size}")
    west, south = math.floor(left / size + 1e-6), math.floor(bottom / size + 1e-6)
    east, north = math.ceil(right / size - 1e-6), math.ceil(top / size - 1e-6)
    if (east - west) * (north - south) > _MAX_PIXELS:
        raise _conflict(f"at most {_MAX_PIXELS:.0e} pixels", f"{east - west} x {north - south}")
    transform = (size, 0.0, west * size, 0.0, -size, north * size)
    return Grid(f"EPSG:{epsg}", transform, (north - south, east - west))


def middle_tile(paths: Sequence[Path]) -> str:
    """Return the Sentinel-2 tile under the middle of the first slice."""
    track = open_pass(paths, ())
    points = track.first.annotation(track.channels[0]).geolocation
    middle = points.line.size // 2
    return Grid.mgrs_at(float(points.longitude[middle]), float(points.latitude[middle]))


def _tile_name(
    paths: Sequence[Path], grid: str | Grid | None, epsg: int | None, chain: Chain
) -> str:
    """Return what files are named after, before anything is computed."""
    if chain.decibel:
        raise _decibels()
    if isinstance(grid, Grid) or epsg is not None:
        raise _conflict("a tile: files of S1Tiling are named after it", "another grid")
    return grid.removeprefix("T") if grid is not None else middle_tile(paths)


def _decibels() -> ConfigError:
    return ConfigError(
        where="files named as S1Tiling names them",
        expected="linear power",
        found="decibels",
        fix="leave --db away",
    )


def write_s1tiling(
    scene: BackscatterScene, paths: Sequence[Path], chain: Chain, folder: Path, tile: str
) -> tuple[Path, ...]:
    """Write each channel as S1Tiling does: ``folder/TILE/s1a_TILE_vv_DES_139_....tif``.

    Values are linear power with 0 as nodata.

    Raises
    ------
    ConfigError
        if the scene is in decibels, which those files never are.
    """
    if chain.decibel:
        raise _decibels()
    bands = describe(scene.backscatter).bands
    track = open_pass(paths, bands)
    grid = describe(scene.backscatter).grid
    (folder / tile).mkdir(exist_ok=True)
    written = []
    for band in bands:
        path = folder / tile / s1tiling_name(track, tile, band, chain.convention)
        with CogWriter(path, grid, (band.lower(),), _POWER) as writer:
            for window, _ in strips(grid):
                power = read(scene.backscatter, bands=(band,), window=window)
                writer.write_stored(np.nan_to_num(power, nan=0.0), window)
        written.append(path)
    return tuple(written)
