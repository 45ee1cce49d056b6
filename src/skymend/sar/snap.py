"""SNAP as an engine: a graph for the chain, run by gpt, its result brought onto the grid.

gpt is looked for in ``SKYMEND_GPT``, ``SNAP_HOME`` and on the PATH; ``SKYMEND_SNAP_IMAGE`` names
a container image to run it in instead, ``SKYMEND_SNAPPY_PYTHON`` a Python that has esa-snappy.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skymend.core.errors import (
    ConfigError,
    ProductError,
    RetryableError,
    SkipJob,
    SkymendError,
    ToolMissingError,
)
from skymend.core.files import write_text
from skymend.core.grid import Grid
from skymend.sar.engine import BackscatterScene, Chain
from skymend.sar.external import (
    Container,
    Finished,
    check_killed,
    find_program,
    last_words,
    run_program,
)
from skymend.sar.passes import Pass, open_pass, pass_facts
from skymend.sar.snap_graphs import Filter, Graph, Recipe, compose, parse_graph
from skymend.sar.snap_inputs import elevation, orbit_home, subset_wkt
from skymend.sar.snap_outputs import write_scene

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
class SnapSettings:
    """Where SNAP is and what it may use.

    Parameters
    ----------
    gpt : the program; None to look for it.
    image : container image with gpt on its PATH; it wins over ``gpt``.
    snappy : Python that has esa-snappy; it wins over both.
    graph : a graph of the user's own instead of the one composed from the chain.
    memory_gb : Java heap and tile cache together (``-Xmx``; three quarters of it ``-c``).
    """

    gpt: Path | None = None
    image: str | None = None
    snappy: Path | None = None
    graph: Path | None = None
    memory_gb: float = 8.0

    @classmethod
    def of_environment(cls) -> SnapSettings:
        """Read the settings from the variables ``SKYMEND_SNAP_...``."""
        memory = os.environ.get("SKYMEND_SNAP_MEMORY_GB", "8")
        try:
            memory_gb = float(memory)
        except ValueError:
            memory_gb = 0.0
        if not memory_gb >= 1:
            raise ConfigError(
                where="SKYMEND_SNAP_MEMORY_GB",
                expected="gigabytes, 1 or more",
                found=repr(memory),
                fix="correct the variable, or unset it for 8",
            )
        return cls(
            image=os.environ.get("SKYMEND_SNAP_IMAGE") or None,
            snappy=_path("SKYMEND_SNAPPY_PYTHON"),
            graph=_path("SKYMEND_SNAP_GRAPH"),
            memory_gb=memory_gb,
        )


def _path(variable: str) -> Path | None:
    text = os.environ.get(variable)
    return Path(text) if text else None


@dataclass(frozen=True, slots=True)
class SnapEngine:
    """The engine ``snap``."""

    settings: SnapSettings = field(default_factory=SnapSettings.of_environment)
    progress: Callable[[float], None] = lambda share: None
    name: str = "snap"

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

        ``geoid`` must be None: SNAP brings its EGM96.
        """
        if geoid is not None:
            raise ConfigError(
                where="geoid",
                expected="none: SNAP adds its own EGM96",
                found=str(geoid),
                fix="leave the geoid out, or use the engine embedded or otb",
            )
        track = open_pass(products, chain.polarisations)
        eof = track.orbit_file(orbit)
        graph = self._graph(chain, len(products))
        result = work / "snap.dim"
        # What a killed run left would be taken for a result.
        shutil.rmtree(result.with_suffix(".data"), ignore_errors=True)
        result.unlink(missing_ok=True)
        values = _values(track, grid, eof, result)
        values |= {"dem": "External DEM", "demFile": str(elevation(dem, grid, work))}
        home = orbit_home(eof, work) if eof is not None else None
        judge(self._run(graph, values, work, cpus, track.paths, home), track.paths)
        facts = _facts(track, chain, graph, eof)
        return write_scene(result, grid, track.channels, chain, out, facts)

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

    def _run(
        self,
        graph: Graph,
        values: Mapping[str, str],
        work: Path,
        cpus: int,
        paths: Sequence[Path],
        home: Path | None,
    ) -> Finished:
        missing = [name for name in graph.placeholders if name not in values]
        if missing:
            raise ConfigError(
                where=self.settings.graph or "SNAP graph",
                expected=f"placeholders out of {', '.join(sorted(values))}",
                found=f"${{{missing[0]}}}",
                fix="write its value into the graph",
            )
        file = work / "graph.xml"
        write_text(file, graph.xml())
        used = {name: values[name] for name in graph.placeholders}
        argv = self._command(file, used, work, cpus, paths, home)
        return run_program(argv, on_text=self._watch, folder=work)

    def _watch(self, text: str) -> None:
        for found in _PROGRESS.findall(text):
            self.progress(min(int(found), 100) / 100)

    def _command(
        self,
        file: Path,
        values: Mapping[str, str],
        work: Path,
        cpus: int,
        paths: Sequence[Path],
        home: Path | None,
    ) -> list[str]:
        settings = self.settings
        if settings.snappy is not None:
            listed = work / "values.json"
            write_text(listed, json.dumps(dict(values), indent=1))
            child = Path(__file__).with_name("snappy_child.py")
            return [str(settings.snappy), str(child), str(file), str(listed)]
        options = gpt_options(values, settings.memory_gb, cpus, home)
        if settings.image is not None:
            box = Container(settings.image, network=True)
            return box.command(
                ["gpt", str(file), *options],
                read=paths,
                write=[work],
                memory_gb=settings.memory_gb + 2,
                cpus=cpus,
            )
        return [str(settings.gpt or find_gpt()), str(file), *options]


def find_gpt() -> Path:
    """Return where gpt lies.

    Raises
    ------
    ToolMissingError
        if it is nowhere.
    """
    found = find_program("gpt", variable="SKYMEND_GPT", homes=[("SNAP_HOME", "bin")])
    if found is None:
        raise ToolMissingError(
            where="engine snap",
            expected="SNAP's program gpt",
            found="none in SKYMEND_GPT, SNAP_HOME or on the PATH",
            fix="install SNAP, name an image in SKYMEND_SNAP_IMAGE, or use the engine embedded",
        )
    return found


def gpt_options(
    values: Mapping[str, str], memory_gb: float, cpus: int, home: Path | None = None
) -> list[str]:
    """Return the options of gpt: errors in full, values, tile cache, threads, heap, user folder."""
    heap = max(int(memory_gb * 1024), 1)
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
    operators = [node.operator for node in graph.nodes]
    facts = pass_facts(track, chain, "snap")
    facts |= {
        "operators": operators,
        "thermal_noise_removed": "ThermalNoiseRemoval" in operators,
        "border_noise_removed": "Remove-GRD-Border-Noise" in operators,
        "orbit": ["sought by SNAP, else the annotation's"],
        "geoid": "EGM96 of SNAP",
    }
    if "Terrain-Flattening" in operators:
        facts["convention"] = "gamma0-flattened"
    if orbit is not None:
        facts |= {
            "orbit": ["RESORB" if "RESORB" in orbit.name else "POEORB"],
            "orbit_file": [orbit.name],
        }
    return facts


_CAUSES: tuple[tuple[tuple[str, ...], type[SkymendError], str, str], ...] = (
    (
        ("outofmemoryerror", "java heap space", "gc overhead limit"),
        ConfigError,
        "enough memory for the graph",
        "raise SKYMEND_SNAP_MEMORY_GB, or process a smaller area",
    ),
    (
        ("unknownhostexception", "connectexception", "sockettimeout", "connection timed out"),
        RetryableError,
        "SNAP's own downloads (orbit, DEM) to succeed",
        "run again, or give the orbit file and the DEM",
    ),
    (
        ("no product reader found", "could not open", "not a valid product", "zip end header"),
        ProductError,
        "a product that SNAP can read",
        "fetch the product again",
    ),
    (
        ("unable to get orbit", "no valid orbit file", "orbit file not found"),
        RetryableError,
        "an orbit file for the pass",
        "give the orbit file, or wait until it is published",
    ),
    (
        ("entire image is outside", "outside of dem", "is outside of srtm"),
        ProductError,
        "a DEM that covers the scene",
        "give a DEM that reaches 20 km beyond the area",
    ),
    (
        ("esa_snappy cannot be imported",),
        ToolMissingError,
        "a Python that has esa-snappy",
        "correct SKYMEND_SNAPPY_PYTHON, or unset it to use gpt",
    ),
)
_NO_OVERLAP = ("does not intersect", "no intersection", "empty region", "outside the source")


def judge(finished: Finished, products: Sequence[Path]) -> None:
    """Turn the way gpt ended into an outcome; do nothing if all went well.

    Raises
    ------
    SkipJob
        if the pass does not touch the area.
    ConfigError, ProductError, RetryableError, StoreError, ToolMissingError
        by cause.
    """
    check_killed(finished, "gpt")
    if finished.code == 0:
        return
    said = finished.text.lower()
    if any(words in said for words in _NO_OVERLAP):
        raise SkipJob("the pass does not touch the area")
    found = last_words(finished, "Error", "Exception")
    where = products[0].name
    for words, kind, expected, fix in _CAUSES:
        if any(word in said for word in words):
            raise kind(where=where, expected=expected, found=found, fix=fix)
    raise ProductError(
        where=where,
        expected="SNAP to process the product",
        found=found,
        fix="run gpt by hand on graph.xml in the work folder, or use the engine embedded",
    )
