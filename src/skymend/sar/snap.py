"""SNAP as an engine: a graph for the chain, run by gpt, its result brought onto the grid.

gpt is looked for in ``SKYMEND_GPT``, ``SNAP_HOME`` and on the PATH; ``SKYMEND_SNAP_IMAGE`` names
a container image to run it in instead, ``SKYMEND_SNAPPY_PYTHON`` a Python that has esa-snappy.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from skymend.core.errors import ConfigError
from skymend.core.files import write_text
from skymend.core.grid import Grid
from skymend.sar.engine import BackscatterScene, Chain
from skymend.sar.external import ExternalEngine, Fence, Order, Tool, ToolSettings, launch, variable
from skymend.sar.passes import Pass, pass_facts
from skymend.sar.programs import Finished, run_program
from skymend.sar.snap_graphs import Filter, Graph, Recipe, compose, parse_graph
from skymend.sar.snap_inputs import elevation, orbit_home, subset_wkt
from skymend.sar.snap_outcomes import judge
from skymend.sar.snap_outputs import write_scene

LOG = logging.getLogger("skymend.sar")

GPT = Tool(
    engine="snap",
    name="gpt",
    variable="SKYMEND_GPT",
    homes=(("SNAP_HOME", "bin"),),
    fix="install SNAP, name an image in SKYMEND_SNAP_IMAGE, or use the engine embedded",
)

_FILTERS = {
    "boxcar": "Boxcar",
    "lee": "Lee",
    "refined-lee": "Refined Lee",
    "lee-sigma": "Lee Sigma",
    "gamma-map": "Gamma Map",
}
_RESAMPLINGS = {"bilinear": "BILINEAR_INTERPOLATION", "nearest": "NEAREST_NEIGHBOUR"}
_SIGMA_WINDOWS = range(5, 18, 2)
_POEORB = "Sentinel Precise (Auto Download)"
_RESORB = "Sentinel Restituted (Auto Download)"
_PROGRESS = re.compile(r"(?<!\d)(\d0|100)%")
_HEAP_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class SnapSettings(ToolSettings):
    """Where SNAP is and what it may use.

    Parameters
    ----------
    snappy : Python that has esa-snappy; it wins over image and program.
    graph : a graph of the user's own instead of the one composed from the chain.
    memory_gb : Java heap and tile cache together (``-Xmx``; three quarters of it ``-c``).
    """

    ENGINE: ClassVar[str] = "SNAP"

    memory_gb: float = 8.0
    snappy: Path | None = None
    graph: Path | None = None

    @classmethod
    def of_environment(cls) -> Self:
        """Read the settings from the variables ``SKYMEND_SNAP...``."""
        snappy, graph = variable("SKYMEND_SNAPPY_PYTHON"), variable("SKYMEND_SNAP_GRAPH")
        return cls(
            image=variable("SKYMEND_SNAP_IMAGE"),
            memory_gb=cls._memory(),
            snappy=None if snappy is None else Path(snappy).absolute(),
            graph=None if graph is None else Path(graph),
        )


def log_progress(share: float) -> None:
    """Say how far SNAP is; ``skymend -v`` shows it."""
    LOG.info("SNAP: %.0f %%", 100 * share)


@dataclass(frozen=True, slots=True)
class SnapEngine(ExternalEngine):
    """The engine ``snap``.

    Parameters
    ----------
    progress : takes the share done as gpt tells it, 0..1, rising.
    """

    settings: SnapSettings = field(default_factory=SnapSettings.of_environment)
    progress: Callable[[float], None] = log_progress
    name: str = "snap"

    def demands(
        self, chain: Chain, orbit: Path | None, geoid: Path | None
    ) -> dict[str, tuple[bool, str, object]]:
        """Return what SNAP demands: it brings its EGM96, so there must be no geoid."""
        return {"geoid": (geoid is None, "none: SNAP adds its own EGM96", geoid)}

    def tools(self) -> tuple[Tool, ...]:
        """Return gpt, unless esa-snappy takes its place."""
        return (GPT,) if self.settings.snappy is None else ()

    def make(self, order: Order) -> BackscatterScene:
        """Make the backscatter of a pass."""
        track, work = order.track, order.work
        eof = track.orbit_file(order.orbit)
        graph = self._graph(order.chain, len(track.slices))
        result = work / "snap.dim"
        # What a killed run left would be taken for a result.
        shutil.rmtree(result.with_suffix(".data"), ignore_errors=True)
        result.unlink(missing_ok=True)
        values = _values(track, order.grid, eof, result)
        self._check_placeholders(graph, {*values, "dem", "demFile"})
        dem = elevation(order.dem, order.grid, work)
        values |= {"dem": "External DEM", "demFile": str(dem)}
        home = orbit_home(eof, work) if eof is not None else None
        judge(self._run(graph, values, order, home), track.paths)
        facts = _facts(track, order.chain, graph, eof)
        return write_scene(result, order.grid, track.channels, order.chain, order.out, facts)

    def _graph(self, chain: Chain, slices: int) -> Graph:
        if self.settings.graph is None:
            return compose(recipe(chain, slices))
        path = self.settings.graph
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                where=path, expected="a SNAP graph", found=str(error), fix="correct the path"
            ) from None
        graph = parse_graph(text, path)
        graph.check(path)
        return graph

    def _check_placeholders(self, graph: Graph, names: set[str]) -> None:
        missing = [name for name in graph.placeholders if name not in names]
        if missing:
            raise ConfigError(
                where=self.settings.graph or "SNAP graph",
                expected=f"placeholders out of {', '.join(sorted(names))}",
                found=f"${{{missing[0]}}}",
                fix="write its value into the graph",
            )

    def _run(
        self, graph: Graph, values: Mapping[str, str], order: Order, home: Path | None
    ) -> Finished:
        """Run a graph through esa-snappy, gpt in its image, or gpt here."""
        settings, work = self.settings, order.work
        file = work / "graph.xml"
        write_text(file, graph.xml())
        used = {name: values[name] for name in graph.placeholders}
        watch = Percentages(self.progress)
        if settings.snappy is not None:
            return run_snappy(settings, file, used, order, home, watch)
        fence = Fence(
            read=order.track.paths,
            write=[work],
            memory_gb=settings.memory_gb + 2,
            cpus=order.cpus,
            # SNAP looks for an orbit file, and a graph of the user's own for anything.
            network=home is None or settings.graph is not None,
        )
        options = gpt_options(used, settings.memory_gb, order.cpus, home)
        return launch(GPT, [str(file), *options], settings.image, fence, on_text=watch)


class Percentages:
    """Takes gpt's output piece by piece and tells each share of it once.

    Parameters
    ----------
    tell : takes the share done, 0..1.
    """

    def __init__(self, tell: Callable[[float], None]) -> None:
        self._tell = tell
        self._rest = ""
        self._most = 0

    def __call__(self, text: str) -> None:
        """Take the next piece; a number may be cut in two."""
        seen = self._rest + text
        for found in _PROGRESS.findall(seen):
            if int(found) > self._most:
                self._most = int(found)
                self._tell(self._most / 100)
        self._rest = seen[-len("100%") + 1 :]


def run_snappy(
    settings: SnapSettings,
    graph: Path,
    values: Mapping[str, str],
    order: Order,
    home: Path | None,
    on_text: Callable[[str], None],
) -> Finished:
    """Run a graph in a child process, by the Python that has esa-snappy.

    Java takes heap and user folder from ``_JAVA_OPTIONS``, which wins over esa-snappy's own file
    of settings; tile cache and threads go with the values.
    """
    heap = _megabytes(settings.memory_gb)
    job = {"cache_mb": int(heap * _HEAP_SHARE), "threads": order.cpus, "values": dict(values)}
    listed = order.work / "values.json"
    write_text(listed, json.dumps(job, indent=1))
    # Of two values Java takes the later one: those of the user stay, but for these.
    options = [os.environ.get("_JAVA_OPTIONS", ""), f"-Xmx{heap}M"]
    options += [] if home is None else [f'"-Dsnap.userdir={home}"']
    child = Path(__file__).with_name("snappy_child.py")
    return run_program(
        [str(settings.snappy), str(child), str(graph), str(listed)],
        environment={"_JAVA_OPTIONS": " ".join(options).strip()},
        folder=order.work,
        on_text=on_text,
    )


def _megabytes(gigabytes: float) -> int:
    return max(int(gigabytes * 1024), 1)


def gpt_options(
    values: Mapping[str, str], memory_gb: float, cpus: int, home: Path | None = None
) -> list[str]:
    """Return the options of gpt: errors in full, values, tile cache, threads, heap, user folder."""
    heap = _megabytes(memory_gb)
    options = [
        "-e",
        *(f"-P{name}={value}" for name, value in sorted(values.items())),
        *("-c", f"{max(int(heap * _HEAP_SHARE), 1)}M", "-q", str(cpus), "-x"),
        f"-J-Xmx{heap}M",
    ]
    return [*options, f"-J-Dsnap.userdir={home}"] if home is not None else options


def recipe(chain: Chain, slices: int = 1) -> Recipe:
    """Return the SNAP graph's recipe for a chain.

    Raises
    ------
    ConfigError
        if SNAP has no such window.
    """
    flatten = chain.convention == "gamma0-flattened"
    return Recipe(
        slices=slices,
        without_orbit=True,
        thermal_noise=chain.remove_thermal_noise,
        border=(500, 0.5) if chain.remove_border_noise else None,
        calibration="beta0" if flatten else chain.convention,
        flatten=flatten,
        speckle=_filter(chain),
        looks=chain.multilook,
        image_resampling=_RESAMPLINGS[chain.resampling],
        incidence=True,
        all_layers=True,
    )


def _filter(chain: Chain) -> Filter | None:
    if chain.speckle == "none":
        return None
    if chain.speckle == "lee-sigma" and chain.speckle_window not in _SIGMA_WINDOWS:
        raise ConfigError(
            where="chain.speckle_window",
            expected="5 to 17 for SNAP's Lee Sigma",
            found=str(chain.speckle_window),
            fix="change the window, or use the engine embedded",
        )
    return Filter(_FILTERS[chain.speckle], chain.speckle_window)


def _values(track: Pass, grid: Grid, orbit: Path | None, result: Path) -> dict[str, str]:
    """Return the value of every placeholder but the DEM's."""
    size = grid.resolution
    origin = [(edge + size / 2) % size for edge in (grid.transform[2], grid.transform[5])]
    inputs = {f"input{i}": str(p.resolve()) for i, p in enumerate(track.paths, start=1)}
    if len(track.paths) == 1:
        inputs = {"input": inputs["input1"]}
    return {
        **inputs,
        "output": str(result),
        "subset": subset_wkt(grid),
        "polarisations": ",".join(track.channels),
        "orbitType": _RESORB if orbit is not None and "RESORB" in orbit.name else _POEORB,
        "crs": grid.crs,
        "spacingMeter": repr(size),
        "spacingDegree": repr(size / 111_319.49079327358),
        "originX": repr(origin[0]),
        "originY": repr(origin[1]),
    }


def _facts(track: Pass, chain: Chain, graph: Graph, orbit: Path | None) -> dict[str, Any]:
    """Return the facts; what a graph of the user's own does counts, not the chain."""
    nodes = {node.operator: node.parameters for node in graph.nodes}
    facts = pass_facts(track, chain, "snap")
    facts |= {
        "operators": [node.operator for node in graph.nodes],
        "thermal_noise_removed": "ThermalNoiseRemoval" in nodes,
        "border_noise_removed": "Remove-GRD-Border-Noise" in nodes,
        "speckle": _speckle_of(nodes),
        "multilook": _looks(nodes.get("Multilook", {}).get("nRgLooks", "1")),
        "geoid": "EGM96 of SNAP",
    }
    if "Terrain-Flattening" in nodes:
        facts["convention"] = "gamma0-flattened"
    if "Apply-Orbit-File" not in nodes:
        return facts
    facts["orbit"] = ["sought by SNAP, else the annotation's"]
    if orbit is not None:
        kind = "RESORB" if "RESORB" in orbit.name else "POEORB"
        facts |= {"orbit": [kind], "orbit_file": [orbit.name]}
    return facts


def _looks(text: str) -> int | str:
    """Return a number of looks; what a graph of the user's own says where it is no whole number."""
    return int(text) if text.isascii() and text.isdigit() else text


def _speckle_of(nodes: Mapping[str, Mapping[str, str]]) -> str:
    """Return the speckle filter of a graph by our name; SNAP's own where we have none."""
    if "Speckle-Filter" not in nodes:
        return "none"
    theirs = nodes["Speckle-Filter"].get("filter", "Lee Sigma")
    return next((ours for ours, name in _FILTERS.items() if name == theirs), theirs)
