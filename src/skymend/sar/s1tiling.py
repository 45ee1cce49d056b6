"""S1Tiling as an engine: its configuration written, S1Processor run, its images taken by name.

S1Processor is looked for in ``SKYMEND_S1PROCESSOR`` and on the PATH; ``SKYMEND_S1TILING_IMAGE``
names a container image to run it in instead. It needs OTB 9 with its Python bindings; terrain
flattening also needs S1Tiling's own OTB modules, which its images have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from skymend.core.errors import (
    ConfigError,
    ProductError,
    RetryableError,
    SkipJob,
    SkymendError,
    StoreError,
    ToolMissingError,
)
from skymend.products.s1tiling import Name
from skymend.sar.engine import BackscatterScene, Chain
from skymend.sar.external import ExternalEngine, Fence, Order, Tool, launch
from skymend.sar.geoid import find_egm96
from skymend.sar.passes import Pass, pass_facts
from skymend.sar.programs import Finished, check_killed, last_words
from skymend.sar.s1tiling_config import S1TilingSettings, demands, prepare
from skymend.sar.s1tiling_inputs import tile_of
from skymend.sar.tiled_scene import write_tiled

S1PROCESSOR = Tool(
    engine="s1tiling",
    name="S1Processor",
    variable="SKYMEND_S1PROCESSOR",
    fix="name an image in SKYMEND_S1TILING_IMAGE, or use the engine embedded or otb",
    entry_point=True,
)


@dataclass(frozen=True, slots=True)
class S1TilingEngine(ExternalEngine):
    """The engine ``s1tiling``.

    The grid must lie on a Sentinel-2 tile; S1Tiling makes the whole tile, of which the part is
    taken. There is no incidence and no state.
    """

    settings: S1TilingSettings = field(default_factory=S1TilingSettings.of_environment)
    name: str = "s1tiling"

    def demands(
        self, chain: Chain, orbit: Path | None, geoid: Path | None
    ) -> dict[str, tuple[bool, str, object]]:
        """Return what S1Tiling can do."""
        return demands(chain)

    def tools(self) -> tuple[Tool, ...]:
        """Return S1Processor."""
        return (S1PROCESSOR,)

    def make(self, order: Order) -> BackscatterScene:
        """Make the backscatter of a pass."""
        track, chain = order.track, order.chain
        tile = tile_of(order.grid)
        config = prepare(order, tile, self.settings)
        judge(self._run(config, order), track)
        image = take(order.work / "out", tile, track, chain)
        target = order.out / "backscatter.tif"
        write_tiled(image, order.grid, track.channels, target, decibel=chain.decibel)
        facts = pass_facts(track, chain, self.name)
        return BackscatterScene(
            backscatter=target,
            incidence=None,
            state=None,
            facts=facts | {"geoid": (order.geoid or find_egm96()).name},
        )

    def _run(self, config: Path, order: Order) -> Finished:
        # Terrain flattening without an orbit file makes S1Tiling fetch one.
        flattened = order.chain.convention == "gamma0-flattened"
        fence = Fence(
            read=[*order.track.paths, order.geoid or find_egm96()],
            write=[order.work],
            memory_gb=self.settings.memory_gb * order.cpus + 2,
            cpus=order.cpus,
            network=flattened and order.track.orbit_file(order.orbit) is None,
        )
        return launch(S1PROCESSOR, [str(config)], self.settings.image, fence)


def take(folder: Path, tile: str, track: Pass, chain: Chain) -> Path:
    """Return the image of the pass's first channel, found by S1Tiling's naming rules.

    Raises
    ------
    ProductError
        if S1Tiling ended well and left none.
    """
    place = folder / "filtered" / tile if chain.speckle != "none" else folder / tile
    channel = track.channels[0]
    wanted = (f"s1{track.first.platform[-1]}", tile, track.first.relative_orbit)
    for path in sorted(place.glob("*.tif")) if place.is_dir() else []:
        name = Name.parse(path.name)
        if name is None or (name.satellite, name.tile, name.relative_orbit) != wanted:
            continue
        same_day = name.day == f"{track.first.time:%Y%m%d}"
        if same_day and (name.polarisation, name.convention) == (channel, chain.convention):
            return path
    raise ProductError(
        where=place,
        expected=f"an image such as {wanted[0]}_{tile}_{channel.lower()}_..._....tif",
        found="none",
        fix="read S1Tiling's log in the work folder",
    )


_OUTCOMES: Mapping[int, tuple[type[SkymendError], str, str]] = {
    66: (ProductError, "S1Tiling's tasks to succeed", "read its log in the work folder"),
    67: (RetryableError, "its downloads to succeed", "run again, or give the orbit file"),
    68: (RetryableError, "data that are online", "run again later"),
    69: (StoreError, "free space for its output", "free space on the disk of the store"),
    70: (StoreError, "free space for its work files", "free space, or move the work folder"),
    71: (ProductError, "a sound SAFE product", "fetch the product again"),
    72: (ConfigError, "a configuration it accepts", "check the chain's options and paths"),
    73: (ConfigError, "a Sentinel-2 tile it knows", "check the grid"),
    75: (ProductError, "a DEM over the whole tile", "give a DEM that covers tile and slices"),
    76: (ToolMissingError, "a geoid file", "install proj-data, or give the geoid"),
    77: (ToolMissingError, "all its OTB applications", "use S1Tiling's own image"),
    78: (ProductError, "S1Tiling to end well", "read its log in the work folder"),
}


def judge(finished: Finished, track: Pass) -> None:
    """Turn S1Processor's exit code into an outcome; do nothing for 0.

    Raises
    ------
    SkipJob
        for 74: no image touches the tile.
    SkymendError
        by cause, see S1Tiling's table of exit codes.
    """
    check_killed(finished, "S1Processor")
    if finished.code == 0:
        return
    if finished.code == 74:
        raise SkipJob("the pass does not touch the tile")
    code = finished.code
    if "DEM files are missing" in finished.text:
        code = 75
    elif "ModuleNotFoundError" in finished.text:  # OTB's Python bindings, at the very start
        code = 77
    kind, expected, fix = _OUTCOMES.get(code, _OUTCOMES[78])
    raise kind(
        where=track.first.id,
        expected=expected,
        found=last_words(finished, "CRITICAL", "ERROR", "Error"),
        fix=fix,
    )
