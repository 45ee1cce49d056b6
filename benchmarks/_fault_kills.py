"""Downloading processes killed at random moments, and what they leave behind."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from skymend.sources import transfer as engine
from skymend.sources.transfer import Digest, Remote, TransferOptions
from skymend.sources.transfer import digests as digest_makers
from tests.servers.faults import Case, serving, write_pattern

MIB = 2**20
OPTIONS = TransferOptions(stall_s=2.0, wall_s=90.0, connect_s=5.0, attempts=6, backoff_s=0.1)


def window_digest(path: Path, window: tuple[int, int], algorithm: str) -> str:
    """Return the digest of a window of a file."""
    hasher = digest_makers.start(algorithm)
    with path.open("rb") as stream:
        stream.seek(window[0])
        rest = window[1]
        while rest > 0:
            data = stream.read(min(MIB, rest))
            hasher.update(memoryview(data))
            rest -= len(data)
    return hasher.hexdigest()


def same(path: Path, original: Path, window: tuple[int, int]) -> bool:
    """Say whether a file is a window of another, byte by byte."""
    if path.stat().st_size != window[1]:
        return False
    with path.open("rb") as left, original.open("rb") as right:
        right.seek(window[0])
        while block := left.read(MIB):
            if block != right.read(len(block)):
                return False
    return True


@dataclass
class Kills:
    """What killing processes left behind."""

    kills: int = 0
    with_part: int = 0
    in_place: int = 0
    passing_incomplete: int = 0
    finished: int = 0
    wrong_after_resume: int = 0
    refetched: list[int] = field(default_factory=list)


def run_kills(count: int, seed: int, folder: Path, *, size: int = 24 * MIB) -> Kills:
    """Kill downloading processes at random moments until ``count`` have died.

    Each download is started again until it is complete; after each death the destination must
    hold no file, or the whole file. Lives last up to 1.5 times as long as an undisturbed download.
    """
    rng = random.Random(seed)
    pattern = write_pattern(folder / "kill-pattern", 2 * size)
    cases = [
        Case("digest", size, offset=5, rate=40e6),
        Case("size", size, offset=77, rate=40e6),
        Case("whole", size // 4, offset=99, rate=40e6, ranged=False),
    ]
    result = Kills()
    patience: dict[str, float] = {}
    with serving(cases, pattern, folder) as url:
        for case in itertools.cycle(cases):
            if result.kills >= count:
                return result
            job = _job(case, url, pattern, folder)
            if case.name not in patience:
                patience[case.name] = 1.5 * job.undisturbed()
            _kill_until_done(rng, job, patience[case.name], result, count)
    return result


@dataclass
class Job:
    """A download in a child process."""

    remote: Remote
    final: Path
    receipt: Path
    original: Path
    window: tuple[int, int]

    def start(self) -> int:
        """Return the process that downloads; it leaves without the parent's clean-up."""
        child = os.fork()
        if child:
            return child
        code = 1
        try:
            done = engine.download(self.remote, self.final.parent, options=OPTIONS)
            self.receipt.write_text(str(done.refetched_bytes))
            code = 0
        finally:
            os._exit(code)

    def undisturbed(self) -> float:
        """Return the seconds of a download that is left alone."""
        begin = time.monotonic()
        _, status = os.waitpid(self.start(), 0)
        assert status == 0
        assert self.exact()
        self.final.unlink()
        return time.monotonic() - begin

    def exact(self) -> bool:
        """Say whether the whole original is in place."""
        return same(self.final, self.original, self.window)


def _job(case: Case, url: str, pattern: Path, folder: Path) -> Job:
    window = (case.offset, case.size)
    digests = ()
    if case.name != "size":
        digests = (Digest("blake3", window_digest(pattern, window, "blake3")),)
    remote = Remote(f"{url}/{case.name}", "loopback", "killed.bin", case.size, digests)
    return Job(remote, folder / "killed" / remote.name, folder / "receipt", pattern, window)


def _kill_until_done(
    rng: random.Random, job: Job, patience: float, result: Kills, count: int
) -> None:
    """Start a download again and again until it survives."""
    while True:
        life = rng.uniform(0.0, patience) if result.kills < count else float("inf")
        if _survives(job.start(), life):
            result.finished += 1
            result.refetched.append(int(job.receipt.read_text()))
            result.wrong_after_resume += not job.exact()
            job.final.unlink()
            return
        result.kills += 1
        result.with_part += (job.final.parent / f".{job.final.name}.part").exists()
        result.in_place += job.final.exists()
        result.passing_incomplete += job.final.exists() and not job.exact()


def _survives(child: int, life: float) -> bool:
    """Kill a child when its life is over; say whether it had ended by itself."""
    end = time.monotonic() + life
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            if status:
                raise AssertionError(f"the download ended with status {status}")
            return True
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return not os.WIFSIGNALED(status) and status == 0
