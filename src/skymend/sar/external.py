"""Engines that are other people's programs: what they share.

A program is found on this machine, or an image is named to run it in; the settings come from
the variables ``SKYMEND_<ENGINE>_...``; a pass is opened and handed on as one order.
"""

from __future__ import annotations

import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from skymend.core.container import bind, check_ready, limits
from skymend.core.errors import ConfigError, ToolMissingError
from skymend.core.grid import Grid
from skymend.sar.engine import BackscatterScene, Chain
from skymend.sar.passes import Pass, open_pass
from skymend.sar.programs import Finished, find_on_path, run_program

_DOCKER_FAILED = 125


@dataclass(frozen=True, slots=True)
class Order:
    """What an engine is to do: :meth:`~skymend.sar.engine.SarEngine.process` in one piece."""

    track: Pass
    grid: Grid
    dem: Path
    out: Path
    chain: Chain
    orbit: Path | None
    geoid: Path | None
    work: Path
    cpus: int


class ExternalEngine(ABC):
    """An engine that is a program of other people's."""

    __slots__ = ()
    name: str
    settings: ToolSettings

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
        for option, (fits, expected, found) in self.demands(chain, orbit, geoid).items():
            if not fits:
                raise ConfigError(
                    where=option,
                    expected=f"{expected} with the engine {self.name}",
                    found=str(found),
                    fix="change the option, or use the engine embedded",
                )
        # Before products are unpacked and heights are cut, which takes minutes.
        for tool in self.tools():
            make_sure(tool, self.settings.image)
        # Programs run in the work folder, so every path is whole; the name of an EOF file counts.
        track = open_pass([product.absolute() for product in products], chain.polarisations)
        orbit = None if orbit is None else orbit.absolute()
        geoid = None if geoid is None else geoid.resolve()
        folders = (dem.resolve(), out.resolve())
        return self.make(Order(track, grid, *folders, chain, orbit, geoid, work.resolve(), cpus))

    @abstractmethod
    def demands(
        self, chain: Chain, orbit: Path | None, geoid: Path | None
    ) -> dict[str, tuple[bool, str, object]]:
        """Return what the engine demands of the options.

        Returns
        -------
        Option -> whether it fits, what is expected, and what was found.
        """

    @abstractmethod
    def tools(self) -> tuple[Tool, ...]:
        """Return the programs that the engine cannot do without."""

    @abstractmethod
    def make(self, order: Order) -> BackscatterScene:
        """Make the backscatter of a pass whose options fit."""


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """Where an engine's program is and what it may use.

    Parameters
    ----------
    image : container image to run it in; None for the program of this machine.
    memory_gb : memory of the program.
    """

    ENGINE: ClassVar[str]

    image: str | None = None
    memory_gb: float = 4.0

    @classmethod
    def of_environment(cls) -> Self:
        """Read the settings from the variables ``SKYMEND_<ENGINE>_IMAGE``, ``..._MEMORY_GB``.

        Raises
        ------
        ConfigError
            if the memory is no number of gigabytes.
        """
        return cls(image=variable(f"SKYMEND_{cls.ENGINE}_IMAGE"), memory_gb=cls._memory())

    @classmethod
    def _memory(cls) -> float:
        name, usual = f"SKYMEND_{cls.ENGINE}_MEMORY_GB", cls().memory_gb
        text = variable(name)
        try:
            memory_gb = usual if text is None else float(text)
        except ValueError:
            memory_gb = 0.0
        # The upper end refuses infinity, and what nobody has.
        if not 1 <= memory_gb <= 100_000:
            raise ConfigError(
                where=name,
                expected="gigabytes, 1 or more",
                found=repr(text),
                fix=f"correct the variable, or unset it for {usual:g}",
            )
        return memory_gb


def variable(name: str) -> str | None:
    """Return an environment variable; None where it is empty."""
    return os.environ.get(name) or None


@dataclass(frozen=True, slots=True)
class Tool:
    """A program, and where it is looked for.

    Parameters
    ----------
    engine : whose it is.
    name : its file name.
    variable : environment variable that names the program itself; it wins.
    homes : environment variables that name an installation, with the folder below it.
    fix : how to get it.
    entry_point : the image's entry point is the program, whose name is then left away.
    """

    engine: str
    name: str
    fix: str
    variable: str = ""
    homes: tuple[tuple[str, str], ...] = ()
    entry_point: bool = False

    def find(self) -> Path:
        """Return where the program lies.

        Raises
        ------
        ToolMissingError
            if it is nowhere, or a variable names something that cannot be run.
        """
        places = [(self.variable, Path())] if self.variable else []
        places += [(home, Path(folder) / self.name) for home, folder in self.homes]
        for name, below in places:
            root = variable(name)
            if root is not None:
                return _runnable(Path(root) / below, name)
        found = find_on_path(self.name)
        if found is None:
            looked = ", ".join(name for name, _ in places)
            raise ToolMissingError(
                where=f"engine {self.engine}",
                expected=f"the program {self.name}",
                found=f"none in {looked} or on the PATH" if looked else "none on the PATH",
                fix=self.fix,
            )
        return found


def _runnable(path: Path, variable: str) -> Path:
    if path.is_file() and os.access(path, os.X_OK):
        return path.absolute()
    raise ToolMissingError(
        where=variable,
        expected=f"a program that can be run at {path}",
        found="a file without permission to run" if path.exists() else "no such file",
        fix=f"correct the environment variable {variable}, or unset it",
    )


@dataclass(frozen=True, slots=True)
class Fence:
    """What a program in a container sees and may use.

    Parameters
    ----------
    read, write : files and folders it may read or write; the same paths inside as outside. It
        runs in the first of the writable folders.
    memory_gb, cpus : limits of the container.
    network : whether it may reach the network.
    """

    read: Sequence[Path]
    write: Sequence[Path]
    memory_gb: float
    cpus: int
    network: bool = False

    def command(
        self, image: str, argv: Sequence[str], name: str, environment: Mapping[str, str]
    ) -> list[str]:
        """Return the ``docker run`` line for a program.

        Parameters
        ----------
        image : it must be there: nothing is pulled.
        argv : program and arguments, as inside the image.
        name : of the container.
        environment : variables inside.
        """
        writable = sorted({p.resolve() for p in self.write})
        readable = sorted({p.resolve() for p in self.read} - set(writable))
        variables = {"HOME": "/tmp", **environment}
        return [
            *("docker", "run", "--rm", "--init", "--pull=never", "--read-only", "--name", name),
            *("--network", "bridge" if self.network else "none"),
            *limits(os.getuid(), os.getgid(), self.cpus, self.memory_gb),
            *("--tmpfs", "/tmp:rw,nosuid,nodev,mode=1777"),
            *(part for n, v in sorted(variables.items()) for part in ("--env", f"{n}={v}")),
            *(part for p in writable for part in ("--mount", bind(p))),
            *(part for p in readable for part in ("--mount", bind(p, "readonly"))),
            *("--workdir", str(self.write[0].resolve())),
            image,
            *argv,
        ]


def make_sure(tool: Tool, image: str | None) -> None:
    """Make sure that a program, or the image to run it in, is there.

    Raises
    ------
    ToolMissingError
        if it is not, or Docker does not answer.
    """
    if image is None:
        tool.find()
    else:
        fix = "build it (docs/engines-sar.md)"
        check_ready(image, where=f"engine {tool.engine}", fix=fix)


def launch(
    tool: Tool,
    arguments: Sequence[str],
    image: str | None,
    fence: Fence,
    *,
    environment: Mapping[str, str] | None = None,
    on_text: Callable[[str], None] = lambda text: None,
) -> Finished:
    """Run a program to its end, here or in a container.

    Parameters
    ----------
    image : container image to run it in; None for the program of this machine.
    fence : what it sees and may use in a container; its first writable folder is the working
        folder here too.
    environment : variables set besides the usual ones.

    Raises
    ------
    ToolMissingError
        if the program is missing, or Docker cannot run the image.
    """
    if image is None:
        return run_program(
            [str(tool.find()), *arguments],
            environment=environment,
            folder=fence.write[0],
            on_text=on_text,
        )
    name = f"skymend-{tool.engine}-{uuid.uuid4().hex[:16]}"
    inside = arguments if tool.entry_point else [tool.name, *arguments]
    command = fence.command(image, inside, name, environment or {})
    finished = run_program(command, on_text=on_text, container=name)
    if finished.code == _DOCKER_FAILED:
        raise ToolMissingError(
            where=f"engine {tool.engine}",
            expected=f"Docker to run the image {image}",
            found=finished.lines[-1][:300] if finished.lines else "exit code 125",
            fix="see what `docker run` says of it",
        )
    return finished
