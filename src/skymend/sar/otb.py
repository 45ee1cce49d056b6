"""The Orfeo ToolBox as an engine, through its command line alone (Debian: ``otb-bin``).

Each slice and channel goes through SARCalibration, BandMath (noise floor), ResetMargin (border)
and OrthoRectification; slices are then joined and the image named as S1Tiling names it. There is
no terrain flattening, speckle filter or multilook: the chain must not ask for them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from skymend.core.cog import CogWriter
from skymend.core.encoding import BACKSCATTER, FloatArray
from skymend.core.errors import ConfigError, ProductError
from skymend.core.grid import Grid
from skymend.core.raster import describe
from skymend.products.radar import POWER
from skymend.products.sampling import read_continuous
from skymend.products.sentinel1 import GrdProduct
from skymend.products.strips import strips
from skymend.sar.engine import BackscatterScene, Chain
from skymend.sar.external import ExternalEngine, Fence, Order, Tool, ToolSettings, launch
from skymend.sar.geoid import find_egm96
from skymend.sar.naming import s1tiling_name
from skymend.sar.otb_margins import Margins, margins_of
from skymend.sar.passes import Pass, pass_facts
from skymend.sar.programs import Finished, check_killed, last_words
from skymend.sar.s1tiling_inputs import dem_tiles, lay_out, tile_of
from skymend.sar.tiled_scene import write_tiled

FLOOR = 1e-7
"""What power at or below the noise becomes, as S1Tiling has it."""

_LUTS = {"sigma0": "sigma", "gamma0": "gamma", "beta0": "beta"}
_INTERPOLATIONS = {"nearest": "nn", "bilinear": "linear"}
_GRID_SPACING_M = 40.0


@dataclass(frozen=True, slots=True)
class OtbSettings(ToolSettings):
    """Where OTB is and what it may use; ``memory_gb`` are the buffers of one application."""

    ENGINE: ClassVar[str] = "OTB"

    memory_gb: float = 1.0


@dataclass(frozen=True, slots=True)
class OtbEngine(ExternalEngine):
    """The engine ``otb``.

    The grid must lie on a Sentinel-2 tile. The image under its S1Tiling name stays in
    ``work/s1tiling``.
    """

    settings: OtbSettings = field(default_factory=OtbSettings.of_environment)
    name: str = "otb"

    def demands(
        self, chain: Chain, orbit: Path | None, geoid: Path | None
    ) -> dict[str, tuple[bool, str, object]]:
        """Return what the chain of OTB applications can do."""
        convention = chain.convention
        return {
            "chain.convention": (convention in _LUTS, "sigma0, gamma0 or beta0", convention),
            "chain.speckle": (chain.speckle == "none", "none", chain.speckle),
            "chain.multilook": (chain.multilook == 1, "1", chain.multilook),
            "orbit": (orbit is None, "none (OTB takes the annotation's)", orbit),
        }

    def tools(self) -> tuple[Tool, ...]:
        """Return the first application of the chain and the last."""
        return (tool_of("SARCalibration"), tool_of("OrthoRectification"))

    def make(self, order: Order) -> BackscatterScene:
        """Make the backscatter of a pass."""
        track, chain, work = order.track, order.chain, order.work
        tile = tile_of(order.grid)
        lay_out(track, work / "safe")
        dem_tiles(order.dem, tile, track, work / "dem", whole=False)
        run = _Run(self.settings, order, order.geoid or find_egm96())
        images = [_channel(run, tile, channel) for channel in track.channels]
        target = order.out / "backscatter.tif"
        write_tiled(images[0], order.grid, track.channels, target, decibel=chain.decibel)
        return BackscatterScene(
            backscatter=target,
            incidence=None,
            state=None,
            facts=pass_facts(track, chain, self.name) | {"geoid": run.geoid.name},
        )


@dataclass(frozen=True, slots=True)
class _Run:
    """What every application of one run shares."""

    settings: OtbSettings
    order: Order
    geoid: Path

    @property
    def chain(self) -> Chain:
        return self.order.chain

    @property
    def work(self) -> Path:
        return self.order.work

    @property
    def memory_mb(self) -> int:
        return round(self.settings.memory_gb * 1024)

    def call(self, application: str, **options: object) -> None:
        """Run one application; underscores of option names stand for dots."""
        arguments = [part for n, v in options.items() for part in _option(n, v)]
        cpus = self.order.cpus
        fence = Fence(
            read=[*self.order.track.paths, self.geoid],
            write=[self.work],
            memory_gb=self.settings.memory_gb * 4 + 2,
            cpus=cpus,
        )
        finished = launch(
            tool_of(application),
            [*arguments, "-progress", "false"],
            self.settings.image,
            fence,
            environment={"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(cpus)},
        )
        judge(finished, application)


def _option(name: str, value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [f"-{name.replace('_', '.')}", *(str(v) for v in values)]


def tool_of(application: str) -> Tool:
    """Return the program of an application."""
    return Tool(
        engine="otb",
        name=f"otbcli_{application}",
        homes=(("OTB_HOME", "bin"),),
        fix="install it (Debian: apt-get install otb-bin), or name SKYMEND_OTB_IMAGE",
    )


def judge(finished: Finished, application: str) -> None:
    """Turn the way an application ended into an outcome; do nothing if all went well.

    Raises
    ------
    ProductError
        if it failed.
    RetryableError, StoreError
        if it was killed, or the disk is full.
    """
    check_killed(finished, application)
    # otbcli ends with 0 after some errors: what it says counts as well.
    fatal = any("(FATAL)" in line for line in finished.lines)
    if finished.code == 0 and not fatal:
        return
    raise ProductError(
        where=f"OTB {application}",
        expected="to run to its end",
        found=last_words(finished, "(FATAL)", "ERROR"),
        fix="check the product and the DEM, or use the engine embedded",
    )


def _channel(run: _Run, tile: str, channel: str) -> Path:
    """Make the image of one channel and return it under its S1Tiling name."""
    track, grid = run.order.track, run.order.grid
    parts = [_slice(run, track, product, channel) for product in track.slices]
    folder = run.work / "s1tiling" / tile
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / s1tiling_name(track, tile, channel, run.chain.convention)
    with CogWriter(path, grid, [channel], BACKSCATTER) as writer:
        for window, part in strips(grid):
            writer.write(_joined(parts, part)[None], window)
    for file in parts:
        file.unlink()
    return path


def _joined(parts: Sequence[Path], grid: Grid) -> FloatArray:
    """Return power of the first slice that has a value at each pixel."""
    power = np.full(grid.shape, np.nan, np.float32)
    for path in parts:
        np.copyto(power, read_continuous(path, grid, POWER), where=np.isnan(power))
    return power


def _slice(run: _Run, track: Pass, product: GrdProduct, channel: str) -> Path:
    """Calibrate, clean and orthorectify one slice.

    A whole slice is 1.7 GB in float32: each image is removed once the next one is there.
    """
    safe = run.work / "safe" / product.id / f"{product.id}.SAFE"
    measurement = safe / product.manifest.files["measurement", channel]
    stem = run.work / f"{product.id}_{channel}"
    image = _calibrate(run, measurement, Path(f"{stem}_cal.tif"))
    if run.chain.remove_thermal_noise:
        image = _replace(image, _raise_to_floor(run, measurement, image, Path(f"{stem}_floor.tif")))
    margins = margins_of(product, track) if run.chain.remove_border_noise else Margins()
    if margins.any:
        image = _replace(image, _reset_margins(run, image, Path(f"{stem}_margin.tif"), margins))
    return _replace(image, _orthorectify(run, image, Path(f"{stem}_ortho.tif")))


def _replace(old: Path, new: Path) -> Path:
    old.unlink()
    return new


def _calibrate(run: _Run, measurement: Path, out: Path) -> Path:
    run.call(
        "SARCalibration",
        **{"in": measurement, "out": [out, "float"], "lut": _LUTS[run.chain.convention]},
        removenoise="true" if run.chain.remove_thermal_noise else "false",
        ram=run.memory_mb,
    )
    return out


def _raise_to_floor(run: _Run, measurement: Path, image: Path, out: Path) -> Path:
    """Raise power at or below the noise to the floor; only a DN of 0 stays 0, no data."""
    floor = f"im1b1 == 0 ? 0 : (im2b1 <= {FLOOR} ? {FLOOR} : im2b1)"
    inputs = [measurement, image]
    run.call("BandMath", il=inputs, out=[out, "float"], exp=floor, ram=run.memory_mb)
    return out


def _reset_margins(run: _Run, image: Path, out: Path, margins: Margins) -> Path:
    run.call(
        "ResetMargin",
        **{"in": image, "out": [out, "float"], "mode": "margin", "ram": run.memory_mb},
        margin_top=margins.top,
        margin_bottom=margins.bottom,
        margin_left=margins.left,
        margin_right=margins.right,
    )
    return out


def _orthorectify(run: _Run, image: Path, out: Path) -> Path:
    """Bring an image onto the grid; OTB counts from the corner of the upper left pixel."""
    grid = run.order.grid
    rows, columns = grid.shape
    run.call(
        "OrthoRectification",
        io_in=image,
        io_out=[out, "float"],
        map="epsg",
        map_epsg_code=_epsg(grid),
        outputs_ulx=repr(grid.transform[2]),
        outputs_uly=repr(grid.transform[5]),
        outputs_sizex=columns,
        outputs_sizey=rows,
        outputs_spacingx=repr(grid.resolution),
        outputs_spacingy=repr(-grid.resolution),
        elev_dem=run.work / "dem",
        elev_geoid=run.geoid,
        interpolator=_INTERPOLATIONS[run.chain.resampling],
        opt_gridspacing=_GRID_SPACING_M,
        opt_ram=run.memory_mb,
    )
    made = describe(out).grid
    same = np.allclose(made.transform, grid.transform, atol=1e-3) and made.shape == grid.shape
    if not same:
        raise ProductError(
            where=out,
            expected=f"the grid asked for, {grid.transform} {grid.shape}",
            found=f"{made.transform} {made.shape}",
            fix="report this: OTB's options have changed their meaning",
        )
    return out


def _epsg(grid: Grid) -> int:
    match = re.fullmatch(r"EPSG:(\d+)", grid.crs)
    if match is None:
        raise ConfigError(
            where="grid", expected="a CRS such as EPSG:32631", found=grid.crs, fix="give its code"
        )
    return int(match[1])
