#!/usr/bin/env python3
"""Feed damaged files to the parsers of files from outside, for as long as asked.

    scripts/fuzz.py --minutes 10            # all parsers, in turn
    scripts/fuzz.py --only sentinel1        # those whose name holds the word

Each parser gets whole files (of the shared imagery, and made ones) that are damaged at random:
every other one cut, swapped, repeated and overwritten byte by byte, the rest so that its form
survives (values of XML, JSON and key = value, members of zips). A parser may refuse with a skymend
error of one sentence; any other exception, or a sentence over several lines, is a defect: it is
printed with its seed, which repeats it, and the exit code is 1. Each file gets the same share of
the time, so that large ones do not crowd out small ones.

To add a parser, see ``tests/fuzzing``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from skymend.core.errors import SkymendError  # noqa: E402
from tests.fuzzing import Parser, Target  # noqa: E402
from tests.fuzzing.every import TARGETS  # noqa: E402
from tests.mutation import distort, mutate  # noqa: E402

LONGEST_SENTENCE = 1000
SHOWN: set[tuple[str, str]] = set()


@dataclass
class Subject:
    """One whole file, and what became of its damaged copies."""

    kind: str
    name: str
    content: bytes
    parse: Parser
    seed: int
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)

    def attempt(self) -> None:
        """Parse the copy of the next seed."""
        start = time.monotonic()
        damage = mutate if self.seed % 2 else distort
        damaged = damage(self.content, self.seed)
        self.outcomes[self._outcome(damaged)] += 1
        self.seed += 1
        self.seconds += time.monotonic() - start

    def _outcome(self, damaged: bytes) -> str:
        """Return ``read``, ``refused`` or ``defect``."""
        try:
            self.parse(damaged)
        except SkymendError as error:
            if str(error).isprintable() and len(str(error)) <= LONGEST_SENTENCE:
                return "refused"
            self._show(f"not one sentence: {str(error)[:300]!r}", error.where)
            return "defect"
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            place = next((f for f in reversed(frames) if "/src/skymend/" in f.filename), frames[-1])
            self._show(traceback.format_exc(limit=-5), f"{type(error)} {place}")
            return "defect"
        return "read"

    def _show(self, found: str, place: object) -> None:
        """Print a defect; those of one place are one defect."""
        if (self.kind, str(place)) not in SHOWN:
            SHOWN.add((self.kind, str(place)))
            print(f"{self.kind}: {self.name}, --seed {self.seed}: {found}", flush=True)


def main() -> int:
    """Fuzz until the time is up; say how much was tried and refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", default="", help="part of a target's name")
    parser.add_argument("--seed", type=int, default=0, help="first seed")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    home = tempfile.mkdtemp(prefix="skymend-fuzz-")
    tempfile.tempdir = home
    try:
        subjects = list(_subjects(options.only, options.seed))
        end = time.monotonic() + 60 * options.minutes
        while subjects and time.monotonic() < end:
            min(subjects, key=lambda s: s.seconds).attempt()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return _report(subjects)


def _subjects(only: str, seed: int) -> Iterator[Subject]:
    for kind, targets in TARGETS.items():
        found: Iterator[Target] = targets() if only in kind else iter(())
        for name, content, parse in found:
            yield Subject(kind, name, content, parse, seed)


def _report(subjects: list[Subject]) -> int:
    if not subjects:
        print("no target of this name", file=sys.stderr)
        return 1
    total: Counter[str] = Counter()
    for kind in TARGETS:
        own = [s for s in subjects if s.kind == kind]
        counts = sum((s.outcomes for s in own), Counter())
        total += counts
        if own:
            print(_line(f"{kind:15} {len(own):3} files", counts))
    print(_line(f"{len(subjects)} files", total))
    return 1 if total["defect"] else 0


def _line(name: str, counts: Counter[str]) -> str:
    refused, defects = counts["refused"], counts["defect"]
    return f"{name}, {counts.total()} damaged texts, {refused} refused, {defects} defects"


if __name__ == "__main__":
    raise SystemExit(main())
