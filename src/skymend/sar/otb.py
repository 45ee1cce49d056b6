"""The Orfeo ToolBox as an engine, through its command line alone (Debian: ``otb-bin``).

Each slice and channel goes through SARCalibration, BandMath (noise floor), ResetMargin (border)
and OrthoRectification; slices are then joined and the image named as S1Tiling names it. There is
no terrain flattening, speckle filter or multilook: the chain must not ask for them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skymend.core.cog import CogWriter
from skymend.core.encoding import BACKSCATTER, FloatArray
from skymend.core.errors import (
    ConfigError,
    ProductError,
    ToolMissingError,
)
from skymend.core.grid import Grid
from skymend.core.raster import describe
from skymend.products.radar import POWER
from skymend.products.sampling import read_continuous
from skymend.products.sentinel1 import GrdProduct
from skymend.products.strips import strips
from skymend.sar.engine import BackscatterScene, Chain
from skymend.sar.external import (
    Container,
    Finished,
    check_killed,
    find_program,
    last_words,
    run_program,
)
from skymend.sar.geoid import find_egm96
from skymend.sar.naming import s1tiling_name
from skymend.sar.otb_margins import Margins, margins_of
from skymend.sar.passes import Pass, open_pass, pass_facts
from skymend.sar.s1tiling_inputs import dem_tiles, lay_out, tile_of
from skymend.sar.tiled_scene import write_tiled

FLOOR = 1e-7
"""What power at or below the noise becomes, as S1Tiling has it."""

_LUTS = {"sigma0": "sigma", "gamma0": "gamma", "beta0": "beta"}
_INTERPOLATIONS = {"nearest": "nn", "bilinear": "linear"}
_GRID_SPACING_M = 40.0


@dataclass(frozen=True, slots=True)
class OtbSettings:
    """Where OTB is and what it may use.

    Parameters
    ----------
    image : container image with the programs ``otbcli_...``; None for those of this machine.
    memory_mb : the buffers of one application (``-ram``).
    """

    image: str | None = None
    memory_mb: int = 1024

    @classmethod
    def of_environment(cls) -> OtbSettings:
        """Read the settings from ``SKYMEND_OTB_IMAGE``."""
        return cls(image=os.environ.get("SKYMEND_OTB_IMAGE") or None)


@dataclass(frozen=True, slots=True)
class OtbEngine:
    """The engine ``otb``."""

    settings: OtbSettings = field(default_factory=OtbSettings.of_environment)
    name: str = "otb"

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
        """Make the backscatter of one pass; see :class:`~skymend.sar.engine.SarEngine`.

        The grid must lie on a Sentinel-2 tile. ``orbit`` must be None: OTB takes the
        annotation's. The image under its S1Tiling name stays in ``work/s1tiling``.
        """
        check_chain(chain, orbit)
        track = open_pass(products, chain.polarisations)
        tile = tile_of(grid)
        lay_out(track, work / "safe")
        dem_tiles(dem, tile, track, work / "dem", whole=False)
        run = _Run(self.settings, work, geoid or find_egm96(), chain, grid, cpus, tuple(products))
        images = [_channel(run, track, tile, channel) for channel in track.channels]
        target = out / "backscatter.tif"
        write_tiled(images[0], grid, track.channels, target, decibel=chain.decibel)
        return BackscatterScene(
            backscatter=target,
            incidence=None,
            state=None,
            facts=pass_facts(track, chain, self.name) | {"geoid": run.geoid.name},
        )


def check_chain(chain: Chain, orbit: Path | None) -> None:
    """Refuse what the chain of OTB applications cannot do.

    Raises
    ------
    ConfigError
        naming the option.
    """
    problems = {
        "convention": (chain.convention in _LUTS, "sigma0, gamma0 or beta0", chain.convention),
        "speckle": (chain.speckle == "none", "none", chain.speckle),
        "multilook": (chain.multilook == 1, "1", str(chain.multilook)),
        "orbit": (orbit is None, "none: OTB takes the annotation's", str(orbit)),
    }
    for option, (fits, expected, found) in problems.items():
        if not fits:
            raise ConfigError(
                where=f"chain.{option}" if option != "orbit" else option,
                expected=f"{expected} with the engine otb",
                found=found,
                fix="change the option, or use the engine embedded",
            )


@dataclass(frozen=True, slots=True)
class _Run:
    """What every application of one run shares."""

    settings: OtbSettings
    work: Path
    geoid: Path
    chain: Chain
    grid: Grid
    cpus: int
    products: tuple[Path, ...]

    def call(self, application: str, **options: object) -> None:
        """Run one application; underscores of option names stand for dots."""
        arguments = [part for n, v in options.items() for part in _option(n, v)]
        argv = [f"otbcli_{application}", *arguments, "-progress", "false"]
        environment = {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(self.cpus)}
        if self.settings.image is None:
            argv[0] = str(find_application(application))
            judge(run_program(argv, environment=environment), application)
            return
        box = Container(self.settings.image, environment=environment)
        command = box.command(
            argv,
            read=[*self.products, self.geoid],
            write=[self.work],
            memory_gb=self.settings.memory_mb / 256 + 2,
            cpus=self.cpus,
        )
        judge(run_program(command), application)


def _option(name: str, value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [f"-{name.replace('_', '.')}", *(str(v) for v in values)]


def find_application(application: str) -> Path:
    """Return where an application's program lies.

    Raises
    ------
    ToolMissingError
        if it is nowhere.
    """
    name = f"otbcli_{application}"
    found = find_program(name, variable=f"SKYMEND_{name.upper()}", homes=[("OTB_HOME", "bin")])
    if found is None:
        raise ToolMissingError(
            where="engine otb",
            expected=f"the program {name}",
            found="none in OTB_HOME or on the PATH",
            fix="install it (Debian: apt-get install otb-bin), or name SKYMEND_OTB_IMAGE",
        )
    return found


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


def _channel(run: _Run, track: Pass, tile: str, channel: str) -> Path:
    """Make the image of one channel and return it under its S1Tiling name."""
    parts = [_slice(run, track, product, channel) for product in track.slices]
    folder = run.work / "s1tiling" / tile
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / s1tiling_name(track, tile, channel, run.chain.convention)
    with CogWriter(path, run.grid, [channel], BACKSCATTER) as writer:
        for window, part in strips(run.grid):
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
        ram=run.settings.memory_mb,
    )
    return out


def _raise_to_floor(run: _Run, measurement: Path, image: Path, out: Path) -> Path:
    """Raise power at or below the noise to the floor; only a DN of 0 stays 0, no data."""
    floor = f"im1b1 == 0 ? 0 : (im2b1 <= {FLOOR} ? {FLOOR} : im2b1)"
    inputs, ram = [measurement, image], run.settings.memory_mb
    run.call("BandMath", il=inputs, out=[out, "float"], exp=floor, ram=ram)
    return out


def _reset_margins(run: _Run, image: Path, out: Path, margins: Margins) -> Path:
    run.call(
        "ResetMargin",
        **{"in": image, "out": [out, "float"], "mode": "margin", "ram": run.settings.memory_mb},
        margin_top=margins.top,
        margin_bottom=margins.bottom,
        margin_left=margins.left,
        margin_right=margins.right,
    )
    return out


def _orthorectify(run: _Run, image: Path, out: Path) -> Path:
    """Bring an image onto the grid; OTB counts from the corner of the upper left pixel."""
    grid = run.grid
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
        opt_ram=run.settings.memory_mb,
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
