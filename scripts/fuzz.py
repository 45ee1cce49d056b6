#!/usr/bin/env python3
"""Feed damaged files to the parsers of products, for as long as asked.

    scripts/fuzz.py --minutes 10            # all parsers, in turn
    scripts/fuzz.py --only sentinel1        # those whose name holds the word

Each parser gets real files (of the shared imagery; made ones where there is none) cut, swapped,
repeated and overwritten at random. A parser may refuse with a skymend error of one sentence; any
other exception, or a sentence over several lines, is a defect: it is printed with its seed, which
repeats it, and the exit code is 1.

To add a parser, add a function to ``TARGETS`` that returns (name of the file, its bytes, a
function of those bytes).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from skymend.core.errors import SkymendError  # noqa: E402
from tests.mutation import mutate  # noqa: E402

Target = tuple[str, bytes, Callable[[bytes], object]]

SHARED = Path(os.environ.get("SKYMEND_SHARED", ROOT.parent / "shared")) / "data"
LONGEST_SENTENCE = 1000


def sentinel1() -> Iterator[Target]:
    """Manifest, annotation, calibration and noise of Sentinel-1 GRD and SLC."""
    from skymend.products.sentinel1 import parse_annotation, parse_calibration, parse_noise
    from skymend.products.sentinel1.manifest import parse_manifest

    def parser(name: str) -> Callable[[bytes], object] | None:
        last = name.rpartition("/")[2]
        if last == "manifest.safe":
            return lambda content: parse_manifest(content, last)
        if not last.endswith(".xml"):
            return None
        if last.startswith("calibration-"):
            return lambda content: parse_calibration(content, last)
        if last.startswith("noise-"):
            return lambda content: parse_noise(content, last)
        return (lambda content: parse_annotation(content, last)) if last[:2] == "s1" else None

    for name, content in _sentinel1_files():
        found = parser(name)
        if found is not None:
            yield name.rpartition("/")[2], content, found


def _sentinel1_files() -> Iterator[tuple[str, bytes]]:
    for folder in sorted((SHARED / "s1-safe-dem-rome-sarsen").glob("*.SAFE")):
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".xml", ".safe"} and "rfi" not in path.parts:
                yield str(path), path.read_bytes()
    for path in sorted((SHARED / "s1-grd-safe-metadata").glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if "-vv-" in name or name.endswith("manifest.safe"):
                    yield name, archive.read(name)


def orbits() -> Iterator[Target]:
    """Orbit files (EOF)."""
    from skymend.sar.orbit import parse_eof

    for path in sorted((SHARED / "s1-slc-subset-eof").glob("*.EOF")):
        # Half a minute of it: the whole takes a parser longer than it teaches.
        head, _, rest = path.read_bytes().partition(b"<OSV>")
        few = b"<OSV>" + b"<OSV>".join(rest.split(b"<OSV>")[:12])
        tail = b"</List_of_OSVs></Data_Block></Earth_Explorer_File>"
        yield path.name, head + few + tail, lambda content: parse_eof(content, "fuzz.EOF")


def sentinel1_zip() -> Iterator[Target]:
    """Table of contents and members of a SAFE zip."""
    import tempfile

    from skymend.products.sentinel1 import open_grd

    folder = Path(tempfile.mkdtemp(prefix="skymend-fuzz-"))

    for source in sorted((SHARED / "s1-grd-safe-metadata").glob("*.zip"))[:1]:
        small = folder / source.name
        with (
            zipfile.ZipFile(source) as old,
            zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as new,
        ):
            for name in old.namelist():
                if name.endswith("manifest.safe") or "/noise-" in name:
                    new.writestr(name, old.read(name))
        content = small.read_bytes()

        def read(damaged: bytes, path: Path = small) -> None:
            path.write_bytes(damaged)
            product = open_grd(path)
            product.noise("VV")

        yield source.name, content, read


TARGETS: dict[str, Callable[[], Iterator[Target]]] = {
    "sentinel1": sentinel1,
    "orbits": orbits,
    "sentinel1-zip": sentinel1_zip,
}


def main() -> int:
    """Fuzz until the time is up; say how much was tried and refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", default="", help="part of a target's name")
    parser.add_argument("--seed", type=int, default=0, help="first seed")
    options = parser.parse_args()
    targets = [t for name, make in TARGETS.items() if options.only in name for t in make()]
    if not targets:
        print("nothing to fuzz: the shared imagery is not there", file=sys.stderr)
        return 1
    end = time.monotonic() + 60 * options.minutes
    tried = refused = defects = 0
    seed = options.seed
    while time.monotonic() < end:
        for name, content, parse in targets:
            outcome = attempt(name, mutate(content, seed), parse, seed)
            tried += 1
            refused += outcome == "refused"
            defects += outcome == "defect"
            if time.monotonic() > end:
                break
        seed += 1
    print(f"{len(targets)} files, {tried} damaged texts, {refused} refused, {defects} defects")
    return 1 if defects else 0


def attempt(name: str, damaged: bytes, parse: Callable[[bytes], object], seed: int) -> str:
    """Parse one damaged text; return ``read``, ``refused`` or ``defect``."""
    try:
        parse(damaged)
    except SkymendError as error:
        if "\n" not in str(error) and len(str(error)) <= LONGEST_SENTENCE:
            return "refused"
        print(f"{name}, seed {seed}: not one sentence: {str(error)[:300]!r}")
        return "defect"
    except Exception:
        print(f"{name}, seed {seed}:")
        traceback.print_exc(limit=4, file=sys.stdout)
        return "defect"
    return "read"


if __name__ == "__main__":
    raise SystemExit(main())
