"""The embedded engine: GRD products to backscatter on a grid, with nothing else to install.

By blocks of the map: exact range-Doppler geometry on a coarse lattice, heights at every node,
illuminated area in radar geometry (Small 2011), calibration, noise removal and speckle filter on
the radar pixels under the block, then interpolation at the nodes. Blocks are independent, so they
run on as many threads as there are processors, and memory does not grow with the grid; only the
digital numbers under the grid are held whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skymend.core.cog import CogWriter
from skymend.core.encoding import INCIDENCE, Encoding
from skymend.core.errors import SkipJob
from skymend.core.grid import Grid, Window
from skymend.sar.block import Block, Recipe, channel_samples, process_block
from skymend.sar.engine import BackscatterScene, Chain
from skymend.sar.geoid import Geoid, read_geoid
from skymend.sar.passes import Pass, open_pass
from skymend.sar.scene import Slice, open_slices, radar_coordinates
from skymend.sar.speckle import bright_threshold
from skymend.sar.terrain import Terrain
from skymend.sar.tiled_scene import encoding

BLOCK = 2048
"""Side of a block of nodes, pixels; a multiple of the blocks of a COG."""

NODE_M = 15.0
"""Largest spacing of nodes: coarser pixels are the mean of several."""

STATE = Encoding("state", "uint8", 1.0, None, "bits")


@dataclass(frozen=True, slots=True)
class EmbeddedEngine:
    """Sentinel-1 GRD processing in Python and compiled kernels.

    Parameters
    ----------
    residual_bistatic : correct the bistatic delay that the processor leaves away from mid swath
        (up to 0.19 line); other software does not.
    block : side of a block in pixels of the grid.
    """

    residual_bistatic: bool = True
    block: int = BLOCK

    @property
    def name(self) -> str:
        """Name of the engine."""
        return "embedded"

    def process(
        self,
        products: Sequence[Path],
        grid: Grid,
        dem: Path,
        out: Path,
        *,
        chain: Chain,
        orbit: Path | None = None,
        geoid: Path | None = None,
        work: Path,
        cpus: int = 1,
    ) -> BackscatterScene:
        """Make the backscatter of one pass; see :class:`~skymend.sar.engine.SarEngine`."""
        track = open_pass(products, chain.polarisations)
        undulation = read_geoid(geoid)
        refine = _refinement(grid)
        terrain = Terrain.open(dem, grid.at_resolution(grid.resolution / refine))
        slices = open_slices(
            track,
            grid,
            _height_range(terrain, undulation),
            chain,
            orbit,
            residual_bistatic=self.residual_bistatic,
        )
        sea = terrain.demand_cover(_imaged(slices, terrain, grid))
        bright = _bright(slices) if chain.speckle == "lee-sigma" else ()
        recipe = Recipe(slices, terrain, undulation, chain, grid, refine, bright)
        scene, valid = self._write(recipe, track.channels, out, work, cpus)
        facts = _facts(track, recipe, valid, sea)
        return BackscatterScene(scene.backscatter, scene.incidence, scene.state, facts)

    def _write(
        self, recipe: Recipe, polarisations: Sequence[str], out: Path, work: Path, cpus: int
    ) -> tuple[BackscatterScene, float]:
        chain, grid = recipe.chain, recipe.grid
        scene = BackscatterScene(out / "backscatter.tif", out / "incidence.tif", out / "state.tif")
        writers = _writers(scene, grid, polarisations, chain, work)
        valid = 0
        try:
            for window, block in _in_order(recipe, _windows(grid, self.block), cpus):
                valid += int(np.isfinite(block.power).all(axis=0).sum())
                power = _decibel(block.power) if chain.decibel else block.power
                writers[0].write(power, window)
                writers[1].write(block.incidence, window)
                writers[2].write_stored(block.state[None], window)
            if valid == 0:
                raise SkipJob("the pass has no valid pixel in the area")
            _finish(writers, cpus)
        finally:
            for writer in writers:
                writer.close()
                writer.work.unlink(missing_ok=True)
        return scene, valid / (grid.shape[0] * grid.shape[1])


def _refinement(grid: Grid) -> int:
    metres = grid.resolution * (1.0 if grid.resolution > 1e-2 else 111_320.0)
    return max(1, int(np.ceil(metres / NODE_M - 1e-9)))


def _height_range(terrain: Terrain, geoid: Geoid) -> tuple[float, float]:
    """Return lowest and highest ellipsoidal height, generously, metres."""
    low, high = terrain.relief(terrain.grid.bounds)
    return low + float(geoid.undulation.min()), high + float(geoid.undulation.max())


def _imaged(slices: Sequence[Slice], terrain: Terrain, grid: Grid) -> Any:
    """Return where the image lies on the grid, (rows, columns) boolean of the coarse DEM."""
    from pyproj import Transformer

    coarse = terrain.coarse_grid
    a, _, c, _, e, f = coarse.transform
    rows, columns = coarse.shape
    stride = 8
    x, y = np.meshgrid(
        c + a * (np.arange(0, columns, stride) + 0.5), f + e * (np.arange(0, rows, stride) + 0.5)
    )
    transformer = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    longitude, latitude = transformer.transform(x, y)
    inside = np.zeros(x.shape, bool)
    for piece in slices:
        line, sample = radar_coordinates(piece.image, piece.track, longitude, latitude, 0.0)
        lines, samples = piece.image.shape
        inside |= (line > 0) & (line < lines) & (sample > 0) & (sample < samples)
    imaged = np.kron(inside, np.ones((stride, stride), bool))[:rows, :columns]
    left, bottom, right, top = grid.bounds
    x, y = c + a * (np.arange(columns) + 0.5), f + e * (np.arange(rows) + 0.5)
    return imaged & ((y > bottom) & (y < top))[:, None] & ((x > left) & (x < right))[None]


def _bright(slices: Sequence[Slice]) -> tuple[float, ...]:
    """Return the power of point targets by channel, from every 16th pixel."""
    count = len(slices[0].channels)
    return tuple(
        bright_threshold(
            np.concatenate([r for s in slices for r in channel_samples(s, s.channels[k], 16)])
        )
        for k in range(count)
    )


def _windows(grid: Grid, size: int) -> list[Window]:
    return list(grid.blocks(size))


def _in_order(
    recipe: Recipe, windows: Sequence[Window], cpus: int
) -> Iterator[tuple[Window, Block]]:
    """Yield finished blocks in the order of the windows, some threads ahead."""
    if cpus <= 1:
        for window in windows:
            yield window, process_block(recipe, window)
        return
    ahead: list[Future[Block]] = []
    with ThreadPoolExecutor(cpus) as pool:
        todo = iter(windows)
        for window in windows:
            while len(ahead) <= cpus and (following := next(todo, None)) is not None:
                ahead.append(pool.submit(process_block, recipe, following))
            yield window, ahead.pop(0).result()


def _writers(
    scene: BackscatterScene,
    grid: Grid,
    polarisations: Sequence[str],
    chain: Chain,
    work: Path,
) -> tuple[CogWriter, CogWriter, CogWriter]:
    work.mkdir(parents=True, exist_ok=True)

    def writer(path: Path, bands: Sequence[str], how: Encoding) -> CogWriter:
        place = work / f"{path.stem}.work.tif"
        place.unlink(missing_ok=True)
        return CogWriter(path, grid, bands, how, work=place)

    assert scene.incidence is not None and scene.state is not None  # noqa: PT018 - for the checker
    return (
        writer(scene.backscatter, polarisations, encoding(decibel=chain.decibel)),
        writer(scene.incidence, ("local", "ellipsoid"), INCIDENCE),
        writer(scene.state, ("state",), STATE),
    )


def _finish(writers: Sequence[CogWriter], cpus: int) -> None:
    """Turn the work files into COGs, at the same time; none is left if one fails."""
    with ExitStack() as undo:
        for writer in writers:
            undo.callback(writer.path.unlink, missing_ok=True)
        with ThreadPoolExecutor(cpus) as pool:
            for done in [pool.submit(writer.finish) for writer in writers]:
                done.result()
        undo.pop_all()


def _decibel(power: Any) -> Any:
    with np.errstate(invalid="ignore", divide="ignore"):
        return (10 * np.log10(power)).astype(np.float32)


def _facts(
    track: Pass,
    recipe: Recipe,
    valid: float,
    sea: float,
) -> dict[str, Any]:
    """Return what a user may want to know of how a scene was made."""
    used = recipe.slices
    noise = [c.radiometry.noise for s in used for c in s.channels]
    layouts = sorted({n.layout for n in noise if n is not None})
    first = track.first
    return {
        "engine": "embedded",
        "valid_share": round(valid, 6),
        "convention": recipe.chain.convention,
        "relative_orbit": first.relative_orbit,
        "direction": first.direction,
        "platform": first.platform,
        "datetime": used[0].product.time.isoformat(),
        "products": [s.product.id for s in used],
        "polarisations": list(track.channels),
        "ipf": sorted({s.product.ipf for s in used}),
        "orbit": sorted({s.facts["orbit"] for s in used}),
        "orbit_file": sorted({s.facts["orbit_file"] for s in used} - {""}),
        "thermal_noise_removed": all(n is not None for n in noise),
        "thermal_noise_layout": layouts,
        "border_noise_removed": all(s.border is not None for s in used),
        "geoid": recipe.geoid.name if recipe.geoid else None,
        "sea_without_dem_share": round(sea, 6),
        "speckle": recipe.chain.speckle,
        "multilook": recipe.chain.multilook,
        "decibel": recipe.chain.decibel,
    }
