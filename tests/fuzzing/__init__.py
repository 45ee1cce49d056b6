"""Parsers of files from outside, each with whole files to damage.

A target is (name of the file, its bytes, a function of damaged bytes). Files come from the shared
imagery and, so that none is needed, from the simulator; a made one has the same bytes wherever and
whenever it is made, so that a seed repeats what it found. To add a parser, write a generator of
targets and put it into ``TARGETS``.
"""

import io
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

Parser = Callable[[bytes], object]
Target = tuple[str, bytes, Parser]

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SKYMEND_SHARED", ROOT.parent / "shared")) / "data"


def folder() -> Path:
    """Return a new folder for files that are read from the disk."""
    return Path(tempfile.mkdtemp(prefix="skymend-fuzz-"))


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip, whose members are of 1980."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return target.getvalue()


def on_disk(path: Path, read: Callable[[Path], object]) -> Parser:
    """Return a parser that writes the damaged bytes to a path and reads them from there."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def parse(damaged: bytes) -> object:
        path.write_bytes(damaged)
        return read(path)

    return parse
