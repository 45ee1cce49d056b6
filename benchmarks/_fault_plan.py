"""What goes wrong in the downloads of the fault table: planned from a seed, nothing else."""

from __future__ import annotations

import itertools
import random
import zipfile
from dataclasses import dataclass
from pathlib import Path

from skymend.sources.transfer import digests as digest_makers
from tests.servers.faults import Case

ALGORITHMS = ("md5", "sha256", "sha3-256", "blake3", "sha1")
FAULTS = {
    "none": "no fault",
    "cut": "connection cut at random bytes",
    "truncated": "truncated body",
    "wrong": "wrong bytes mid-stream",
    "always": "the same wrong bytes each time",
    "page": "error page with status 200",
    "token": "401 mid-way",
    "busy": "429 and 503 storms",
    "stall": "stall",
    "change": "changed ETag mid-way",
    "whole": "server without Range, cut",
    "full": "disk full",
}
CHECKS = ("digest", "digest", "digest", "digest", "zip", "safe-zip", "size", "none")


@dataclass
class Trial:
    """One download: what is fetched, how it can be checked, and what goes wrong."""

    number: int
    fault: str
    check: str
    size: int
    algorithm: str
    case: Case
    final: tuple[int, int]
    full_at: int = -1


def plan(seed: int, count: int, largest: int) -> list[Trial]:
    """Return trials with every fault in turn; all that is random comes from the seed."""
    rng = random.Random(seed)
    return [_trial(rng, number, fault, largest) for number, fault in _in_turn(count)]


def _in_turn(count: int):
    return zip(range(count), itertools.cycle(FAULTS), strict=False)


def _trial(rng: random.Random, number: int, fault: str, largest: int) -> Trial:
    size = int(2 ** rng.uniform(10, largest.bit_length() - 1))
    offset = rng.randrange(0, largest + 1)
    check = rng.choice(CHECKS)
    case = Case(name=f"f{number}", size=size, offset=offset, reset=rng.random() < 0.3)
    if check in ("zip", "safe-zip"):
        case.path, case.size, case.offset = f"{number}.zip", -1, 0
    trial = Trial(number, fault, check, size, rng.choice(ALGORITHMS), case, (offset, size))
    _add(rng, trial, fault)
    if rng.random() < 0.3 and fault not in ("none", "whole", "truncated"):
        case.cuts.append(rng.randrange(size))
    return trial


def _add(rng: random.Random, trial: Trial, fault: str) -> None:
    """Plan a fault into a trial."""
    case, size = trial.case, trial.size
    somewhere = rng.randrange(size)
    early = rng.choice((-1, somewhere))
    if fault == "cut":
        case.cuts = [rng.randrange(size) for _ in range(rng.randint(1, 4))]
    elif fault == "truncated":
        case.length = rng.random() < 0.6
        case.ranged = case.ranged and rng.random() < 0.6
        times = 1 if case.length else rng.randint(1, 2)
        case.truncate = {"at": somewhere, "times": times, "claims": case.length}
    elif fault in ("wrong", "always"):
        length = min(size - somewhere, rng.randint(16, 4096))
        times = 10**6 if fault == "always" else 1
        case.wrong = [{"at": somewhere, "length": length, "times": times}]
    elif fault == "page":
        kind = rng.choice(("text/html", "application/octet-stream"))
        case.page = {"at": early, "times": rng.randint(1, 3), "type": kind}
    elif fault == "token":
        case.token, case.unauthorized = True, {"at": somewhere}
    elif fault == "busy":
        case.busy = {"at": early, "times": rng.randint(1, 6), "status": rng.choice((429, 429, 503))}
        case.busy |= rng.choice(({}, {"after": 0}, {"after": 1}, {"after": 2, "date": True}))
    elif fault == "stall":
        case.stalls = [somewhere]
    elif fault == "change":
        _change(rng, trial, somewhere)
    elif fault == "whole":
        case.ranged, case.length = False, rng.random() < 0.8
        case.cuts = [rng.randrange(size) for _ in range(rng.randint(1, 2))]
        case.length = case.length or trial.check != "none"
    elif fault == "full":
        trial.full_at = somewhere


def _change(rng: random.Random, trial: Trial, at: int) -> None:
    """Let another version appear: the same bytes, or (not for zips) other ones."""
    trial.case.change = {"at": at, "etag": '"v2"'}
    if trial.case.size >= 0 and rng.random() < 0.6:
        offset, size = trial.case.offset // 2, max(at + 1, int(trial.size * rng.uniform(0.7, 1.0)))
        if trial.check == "size":
            size = trial.size
        trial.case.change |= {"offset": offset, "size": size}
        trial.final = (offset, size)


def write_zip(path: Path, pattern: Path, trial: Trial) -> None:
    """Write an archive of stored members of about the trial's size; a SAFE's with manifest."""
    rng = random.Random(trial.number)
    rest, members = trial.size, []
    while rest > 0:
        length = min(rest, rng.randint(500, max(501, trial.size // 2)))
        members.append((f"P.SAFE/measurement/{len(members)}.tiff", length))
        rest -= length
    entries = []
    with pattern.open("rb") as source, zipfile.ZipFile(path, "w") as archive:
        source.seek(trial.final[0])
        for name, length in members:
            data = source.read(length)
            archive.writestr(zipfile.ZipInfo(name, (2024, 5, 17, 10, 20, 30)), data)
            entries.append((name, trial.algorithm, data))
        manifest = manifest_text(entries)
        archive.writestr(zipfile.ZipInfo("P.SAFE/manifest.safe"), manifest)


def manifest_text(entries: list[tuple[str, str, bytes]]) -> str:
    """Return the part of a SAFE manifest that speaks of files, as Sentinel products have it."""
    lines = ["<XFDU><dataObjectSection>"]
    for name, algorithm, data in entries:
        kind = "SHA3-256" if algorithm.startswith("sha") else "MD5"
        hasher = digest_makers.start("sha3-256" if kind == "SHA3-256" else "md5")
        hasher.update(memoryview(data))
        href = name.removeprefix("P.SAFE/")
        lines.append(
            f'<dataObject><byteStream size="{len(data)}"><fileLocation href="./{href}"/>'
            f'<checksum checksumName="{kind}">{hasher.hexdigest()}</checksum>'
            "</byteStream></dataObject>"
        )
    return "".join([*lines, "</dataObjectSection></XFDU>"])
