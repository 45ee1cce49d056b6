"""Other people's programs: run, watched, and never left behind."""

from __future__ import annotations

import codecs
import os
import select
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skymend.core.errors import RetryableError, StoreError, ToolMissingError

KEPT_LINES = 200
"""Last lines of a program's output that are kept for its error."""

LONGEST_LINE = 4096
"""Characters of a line that are kept: a program gone wild ends none."""

_CHUNK = 1 << 16
_IDLE_S = 0.2

_GUARD = """\
exec 3<&0
"$@" </dev/null 3<&- &
job=$!
{ cat; [ -z "$0" ] || timeout 60 docker rm --force "$0"; kill -KILL 0; } <&3 >/dev/null 2>&1 &
wait "$job"
"""
"""Runs a program in a process group of its own. Standard input is a pipe that the caller holds
open and never writes to: the kernel closes it when the caller ends, however it ends, and then the
container named by ``$0`` is removed, if Docker answers within a minute, and the whole group is
killed."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended.

    Parameters
    ----------
    code : exit code; 128 and more for the signal that killed it.
    lines : the last lines of standard output and standard error, in the order they came.
    """

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The kept lines as one text."""
        return "\n".join(self.lines)


def find_on_path(name: str) -> Path | None:
    """Return where a program lies on the PATH; None if it does not."""
    found = shutil.which(name)
    return Path(found).absolute() if found else None


def run_program(
    argv: Sequence[str],
    *,
    on_text: Callable[[str], None] = lambda text: None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    container: str = "",
) -> Finished:
    """Run a program to its end; its output is watched as it comes.

    Nothing of it outlives this process: what it started is killed with it, or when this process
    is killed, and so is what it left behind when it ended.

    Parameters
    ----------
    argv : program and arguments; no shell reads them.
    on_text : takes each piece of output at once, also of unfinished lines.
    environment : variables set besides those of this process.
    folder : working folder.
    container : name of the container that the program is a client of.

    Raises
    ------
    ToolMissingError
        if the program cannot be started.
    """
    if shutil.which(argv[0]) is None:
        raise _not_started(argv[0], "no such program")
    process = subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, container, *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
        cwd=folder,
        process_group=0,
    )
    lines = _Lines()
    # Leaving the block closes the pipe, which ends the guard and all that it guards.
    with process:
        for text in _pieces(process):
            on_text(text)
            lines.add(text)
        code = process.wait()
    # A shell says 128 + n where a signal ended its program; so do we where one ended the shell.
    code = 128 - code if code < 0 else code
    finished = Finished(code, lines.all())
    if code in {126, 127}:
        raise _not_started(argv[0], last_words(finished))
    return finished


def _not_started(program: str, found: str) -> ToolMissingError:
    return ToolMissingError(
        where=program,
        expected="a program that can be started",
        found=found,
        fix="install it, or give its path",
    )


def _pieces(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Yield the output until it ends, or the program does: a helper may hold it open."""
    stream = process.stdout
    if stream is None:
        return
    # Unlike select, poll takes any number of a file.
    poller = select.poll()
    poller.register(stream, select.POLLIN | select.POLLHUP)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while True:
        ended = process.poll() is not None
        ready = poller.poll(0 if ended else 1000 * _IDLE_S)
        if not ready and ended:
            return
        if ready:
            chunk = os.read(stream.fileno(), _CHUNK)
            if not chunk:
                return
            yield decoder.decode(chunk)


class _Lines:
    """The last lines of a text that comes in pieces."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._rest = ""

    def add(self, text: str) -> None:
        """Take the next piece."""
        *whole, rest = (self._rest + text.replace("\r", "\n")).split("\n")
        self._lines.extend(line.rstrip()[:LONGEST_LINE] for line in whole if line.strip())
        self._rest = rest[-LONGEST_LINE:]

    def all(self) -> tuple[str, ...]:
        """Return the lines, the unfinished one too."""
        rest = (self._rest.rstrip(),) if self._rest.strip() else ()
        return (*self._lines, *rest)[-KEPT_LINES:]


def check_killed(finished: Finished, program: str) -> None:
    """Raise if the program did not end by itself, or the disk is full.

    Raises
    ------
    RetryableError
        if a signal ended it: the machine ran out of memory, or somebody stopped it.
    StoreError
        if it says that no space is left.
    """
    if finished.code in range(129, 129 + 64):
        raise RetryableError(
            where=program,
            expected="to run to its end",
            found=f"ended by signal {finished.code - 128}, most often for lack of memory",
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
