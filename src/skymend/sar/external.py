"""Other people's programs: found, run, watched, and fenced into a container where asked."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skymend.core.errors import RetryableError, StoreError, ToolMissingError

KEPT_LINES = 200
"""Last lines of a program's output that are kept for its error."""

_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended.

    Parameters
    ----------
    code : exit code; negative for the signal that killed it.
    lines : the last lines of standard output and standard error, in the order they came.
    """

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The kept lines as one text."""
        return "\n".join(self.lines)


@dataclass(frozen=True, slots=True)
class Container:
    """An image to run a program in.

    Parameters
    ----------
    image : it must be there: nothing is pulled.
    network : whether the program may reach the network.
    environment : variables inside.
    """

    image: str
    network: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(
        self,
        argv: Sequence[str],
        *,
        read: Sequence[Path],
        write: Sequence[Path],
        memory_gb: float,
        cpus: int,
    ) -> list[str]:
        """Return the ``docker run`` line for a program.

        Parameters
        ----------
        argv : program and arguments, as inside the image.
        read, write : files and folders it may read or write; the same paths inside as outside.
            It runs in the first of the writable folders.
        memory_gb, cpus : limits of the container.
        """
        limit = f"{round(memory_gb * 1024)}m"
        writable = sorted({p.resolve() for p in write})
        readable = sorted({p.resolve() for p in read} - set(writable))
        variables = {"HOME": "/tmp", **self.environment}
        return [
            *("docker", "run", "--rm", "--init", "--pull=never", "--read-only"),
            *("--network", "bridge" if self.network else "none"),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--user", f"{os.getuid()}:{os.getgid()}"),
            *("--memory", limit, "--memory-swap", limit),
            *("--cpus", str(min(cpus, os.cpu_count() or cpus))),
            *("--tmpfs", "/tmp:rw,nosuid,nodev,mode=1777"),
            *(part for n, v in sorted(variables.items()) for part in ("--env", f"{n}={v}")),
            *(part for p in writable for part in ("--mount", _mount(p))),
            *(part for p in readable for part in ("--mount", _mount(p, "readonly"))),
            *(("--workdir", str(writable[0])) if writable else ()),
            self.image,
            *argv,
        ]


def _mount(path: Path, *options: str) -> str:
    fields = ("type=bind", f"src={path}", f"dst={path}", *options)
    # Docker reads a mount as one line of CSV, so a comma in a path needs quotes.
    return ",".join(
        f'"{field.replace(chr(34), chr(34) * 2)}"' if "," in field else field for field in fields
    )


def find_program(name: str, *, variable: str, homes: Sequence[tuple[str, str]] = ()) -> Path | None:
    """Return where a program lies.

    Parameters
    ----------
    name : its file name, looked for on the PATH.
    variable : environment variable that names the program itself; it wins.
    homes : environment variables that name an installation, with the folder below it.

    Raises
    ------
    ToolMissingError
        if a variable names something that cannot be run.
    """
    given = os.environ.get(variable)
    if given:
        return _runnable(Path(given), variable)
    for home, folder in homes:
        root = os.environ.get(home)
        if root:
            return _runnable(Path(root) / folder / name, home)
    found = shutil.which(name)
    return Path(found) if found else None


def _runnable(path: Path, variable: str) -> Path:
    if path.is_file() and os.access(path, os.X_OK):
        return path
    raise ToolMissingError(
        where=variable,
        expected=f"a program that can be run at {path}",
        found="a file without permission to run" if path.exists() else "no such file",
        fix=f"correct the environment variable {variable}, or unset it",
    )


def run_program(
    argv: Sequence[str],
    *,
    on_text: Callable[[str], None] = lambda text: None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Finished:
    """Run a program to its end; its output is watched as it comes.

    Parameters
    ----------
    argv : program and arguments; no shell reads them.
    on_text : takes each piece of output at once, also of unfinished lines.
    environment : variables set besides those of this process.
    folder : working folder.

    Raises
    ------
    ToolMissingError
        if the program cannot be started.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=folder,
        )
    except OSError as error:
        raise ToolMissingError(
            where=argv[0],
            expected="a program that can be started",
            found=str(error.strerror or error),
            fix="install it, or give its path",
        ) from None
    lines: deque[str] = deque(maxlen=KEPT_LINES)
    try:
        _watch(process, lines, on_text)
        code = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    return Finished(code, tuple(lines))


def _watch(
    process: subprocess.Popen[bytes], lines: deque[str], on_text: Callable[[str], None]
) -> None:
    """Read the output to its end, passing pieces on and keeping whole lines."""
    stream = process.stdout
    if stream is None:
        return
    rest = ""
    with stream:
        while chunk := os.read(stream.fileno(), _CHUNK):
            text = chunk.decode("utf-8", "replace")
            on_text(text)
            *whole, rest = (rest + text).split("\n")
            lines.extend(line.rstrip() for line in whole if line.strip())
    if rest.strip():
        lines.append(rest.rstrip())


def check_killed(finished: Finished, program: str) -> None:
    """Raise if the program did not end by itself, or the disk is full.

    Raises
    ------
    RetryableError
        if a signal ended it: the machine ran out of memory, or somebody stopped it.
    StoreError
        if it says that no space is left.
    """
    if finished.code < 0 or finished.code in {137, 143}:
        signal = -finished.code if finished.code < 0 else finished.code - 128
        raise RetryableError(
            where=program,
            expected="to run to its end",
            found=f"ended by signal {signal}, most often for lack of memory",
            fix="give the task more memory, or run fewer jobs at a time",
        )
    if finished.code != 0 and "no space left on device" in finished.text.lower():
        raise StoreError(
            where=program,
            expected="free space for its work files",
            found="a full disk",
            fix="free space, or put the work folder on a larger disk",
        )


def last_words(finished: Finished, *markers: str) -> str:
    """Return the last line with one of the markers, else the last line; for an error."""
    marked = [line for line in finished.lines if any(m in line for m in markers)]
    chosen = (marked or list(finished.lines) or ["no output at all"])[-1]
    return f"exit code {finished.code}: {chosen.strip()[:300]}"
