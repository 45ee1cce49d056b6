"""What downloads do when everything goes wrong: the fault table of docs/downloads.md.

    python -m benchmarks.fault_table          # 1,000 downloads, 200 kills; writes the page
    python -m benchmarks.fault_table --downloads 60 --kills 10 --print

A server in a process of its own (tests/servers/faults.py) sends files of 1 KiB to 64 MiB
(log-uniform) and goes wrong as planned from a fixed seed. Every accepted file is compared with
the original, byte by byte.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks._fault_kills import (  # noqa: E402
    MIB,
    OPTIONS,
    Kills,
    run_kills,
    same,
    window_digest,
)
from benchmarks._fault_plan import FAULTS, Trial, plan, write_zip  # noqa: E402
from skymend.core.errors import SkymendError, StoreError  # noqa: E402
from skymend.sources import transfer as engine  # noqa: E402
from skymend.sources.transfer import Digest, Remote, anonymous  # noqa: E402
from skymend.sources.transfer import part as parts  # noqa: E402
from tests.servers.faults import Case, serving, write_pattern  # noqa: E402

PAGE = ROOT / "docs" / "downloads.md"
MARKS = ("<!-- fault table -->", "<!-- end of fault table -->")


@dataclass
class Outcome:
    """What came of a trial."""

    fault: str
    check: str
    ranged: bool
    accepted: bool = False
    exact: bool = False
    verified: str = ""
    error: str = ""
    cuts: int = 0
    restarts: int = 0
    refetched: int = 0
    sent: int = 0
    size: int = 0
    name: str = ""
    seconds: float = 0.0
    left_behind: bool = False


class Tokens:
    """Signs with a token that is renewed on demand."""

    def __init__(self) -> None:
        self.generation = 0

    def headers(self, remote: Remote, *, refresh: bool) -> dict[str, str]:
        self.generation += refresh
        return {"Authorization": f"Bearer token-{self.generation}"}

    def url(self, remote: Remote, *, refresh: bool) -> str:
        return remote.url


@dataclass
class Bench:
    """Where things lie while trials run."""

    url: str
    pattern: Path
    folder: Path
    full: dict[str, int] = field(default_factory=dict)

    def run(self, trial: Trial) -> Outcome:
        original, window = self._original(trial)
        remote = self._remote(trial, original, window)
        ranged = trial.case.ranged and not trial.case.truncate
        outcome = Outcome(trial.fault, trial.check, ranged, name=trial.case.name, size=window[1])
        final = self.folder / "out" / remote.name
        start = time.monotonic()
        try:
            receipt = self._fetch(trial, remote, final)
            outcome.accepted, outcome.verified = True, receipt.verified
            outcome.exact = same(final, original, window)
            outcome.cuts, outcome.restarts = receipt.cuts, receipt.restarts
            outcome.refetched = receipt.refetched_bytes
        except SkymendError as error:
            outcome.error = f"{type(error).__name__}: {error.found}"
            outcome.left_behind = final.exists()
        outcome.seconds = time.monotonic() - start
        self._clean(trial, final)
        return outcome

    def _original(self, trial: Trial) -> tuple[Path, tuple[int, int]]:
        if not trial.case.path:
            return self.pattern, trial.final
        path = self.folder / trial.case.path
        write_zip(path, self.pattern, trial)
        return path, (0, path.stat().st_size)

    def _remote(self, trial: Trial, original: Path, window: tuple[int, int]) -> Remote:
        digests = ()
        if trial.check == "digest":
            digests = (Digest(trial.algorithm, window_digest(original, window, trial.algorithm)),)
        kind = trial.check if trial.check in ("zip", "safe-zip") else "file"
        size = window[1] if trial.check == "size" else None
        url = f"{self.url}/{trial.case.name}"
        return Remote(url, "loopback", f"{trial.number}.bin", size, digests, kind)

    def _fetch(self, trial: Trial, remote: Remote, final: Path):
        signer = Tokens() if trial.case.token else anonymous()

        def fetch():
            return engine.download(remote, final.parent, signer=signer, options=OPTIONS)

        if trial.full_at < 0:
            return fetch()
        self.full[f".{remote.name}.part"] = trial.full_at
        try:
            fetch()
        except StoreError:
            if final.exists():
                raise AssertionError("a full disk left a file in place") from None
        else:
            raise AssertionError("the full disk went unnoticed")
        finally:
            del self.full[f".{remote.name}.part"]
        return fetch()

    def _clean(self, trial: Trial, final: Path) -> None:
        final.unlink(missing_ok=True)
        for path in final.parent.glob(f".{final.name}.part*"):
            path.unlink()
        if trial.case.path:
            (self.folder / trial.case.path).unlink(missing_ok=True)


class FullDisk:
    """Stands in for ``os`` in the part: some files meet a full disk at some byte."""

    def __init__(self, full: dict[str, int]) -> None:
        self._full = full

    def __getattr__(self, name: str):
        return getattr(os, name)

    def pwrite(self, descriptor: int, data: memoryview, offset: int) -> int:
        if self._full:
            name = Path(f"/proc/self/fd/{descriptor}").readlink().name
            if offset + len(data) > self._full.get(name, 2**62):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.pwrite(descriptor, data, offset)


def run_trials(
    trials: list[Trial], folder: Path, *, largest: int, processes: int, threads: int
) -> list[Outcome]:
    """Run trials against one server; each process takes every n-th."""
    pattern = write_pattern(folder / "pattern", 2 * largest + 2)
    for trial in trials:
        if trial.case.path:
            trial.case.path = str(folder / trial.case.path)
    with serving([trial.case for trial in trials], pattern, folder) as url:
        if processes == 1:
            outcomes = run_share(Bench(url, pattern, folder), trials, threads)
        else:
            outcomes = _in_processes(url, pattern, folder, trials, processes, threads)
        with urlopen(f"{url}/sent") as answer:
            sent = json.load(answer)
    return [replace(outcome, sent=sent[outcome.name]) for outcome in outcomes]


def run_share(bench: Bench, trials: list[Trial], threads: int) -> list[Outcome]:
    """Run trials in threads of this process."""
    parts.os, before = FullDisk(bench.full), parts.os
    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(bench.run, trials))
    finally:
        parts.os = before


def _in_processes(url, pattern, folder, trials, processes, threads) -> list[Outcome]:
    running = []
    for number in range(processes):
        share = folder / f"share-{number}.json"
        share.write_text(json.dumps([asdict(trial) for trial in trials[number::processes]]))
        command = [sys.executable, __file__, "--share", share, "--url", url]
        command += ["--pattern", pattern, "--threads", threads]
        running.append(
            subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, text=True)
        )
    outcomes = []
    for process in running:
        output, _ = process.communicate()
        if process.returncode:
            sys.exit("a worker of the fault table failed")
        outcomes += [Outcome(**document) for document in json.loads(output)]
    return outcomes


def _share(options: argparse.Namespace) -> None:
    documents = json.loads(options.share.read_text())
    trials = [
        Trial(**{**d, "case": Case(**d["case"]), "final": tuple(d["final"])}) for d in documents
    ]
    bench = Bench(options.url, options.pattern, options.share.parent)
    print(json.dumps([asdict(o) for o in run_share(bench, trials, options.threads)]))


def table(outcomes: list[Outcome]) -> str:
    """Return the fault table in Markdown."""
    lines = [
        "| fault | downloads | accepted | digest, manifest or CRC: exact / all | "
        "size only: exact / all | refused | cuts | "
        "sent again per cut, MiB: mean, most | restarts | slowest s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for fault, words in FAULTS.items():
        rows = [outcome for outcome in outcomes if outcome.fault == fault]
        if rows:
            lines.append(_row(words, rows))
    return "\n".join([*lines, _row("**all**", outcomes)])


def _row(words: str, rows: list[Outcome]) -> str:
    accepted = [row for row in rows if row.accepted]
    strong = [row for row in accepted if row.verified != "size"]
    weak = [row for row in accepted if row.verified == "size"]
    mean, most = sent_again_per_cut(rows)
    return (
        f"| {words} | {len(rows)} | {len(accepted)} | {sum(r.exact for r in strong)} / "
        f"{len(strong)} | {sum(r.exact for r in weak)} / {len(weak)} | "
        f"{len(rows) - len(accepted)} | {sum(r.cuts for r in rows)} | {mean:.2f}, {most:.2f} | "
        f"{sum(r.restarts for r in rows)} | {max(r.seconds for r in rows):.1f} |"
    )


def sent_again_per_cut(rows: list[Outcome]) -> tuple[float, float]:
    """Return mean and largest MiB a cut, of downloads with Range and ETag and no restart.

    Counted by the server: also bytes that a reset connection threw away before they were read.
    """
    each = [
        max(0, row.sent - row.size) / row.cuts / MIB
        for row in rows
        if row.ranged and row.cuts and not row.restarts and row.accepted and row.fault != "full"
    ]
    return (statistics.mean(each), max(each)) if each else (0.0, 0.0)


def notes(outcomes: list[Outcome], kills: Kills, options: argparse.Namespace) -> str:
    """Return the sentences under the table."""
    accepted = [o for o in outcomes if o.accepted]
    strong = [o for o in accepted if o.verified != "size"]
    escapes = [o for o in accepted if not o.exact]
    refused = sorted({o.error.split(":")[0] for o in outcomes if not o.accepted})
    again = max(kills.refetched, default=0) / MIB
    return "\n".join(
        [
            f"{len(outcomes)} downloads, seed {options.seed}, sizes 1 KiB to "
            f"{options.largest // MIB} MiB log-uniform, stall timeout {OPTIONS.stall_s:.0f} s, "
            f"wall timeout {OPTIONS.wall_s:.0f} s. Accepted with a digest, manifest or CRC and not "
            f"bit-exact: {sum(not o.exact for o in strong)} of {len(strong)}. Escapes among the "
            f"files with neither: {sum(o.verified == 'size' for o in escapes)} of "
            f"{len(accepted) - len(strong)}. Refused: {len(outcomes) - len(accepted)} "
            f"({', '.join(refused) or 'none'}); files left in place by those: "
            f"{sum(o.left_behind for o in outcomes)}.",
            "",
            f"{kills.kills} processes killed at random moments: {kills.with_part} left a part, "
            f"{kills.in_place} had just put the whole file in place, {kills.passing_incomplete} "
            f"left a file that passes for complete and is not. {kills.finished} downloads were "
            f"resumed to the end, {kills.wrong_after_resume} of them wrong; the last run of "
            f"one fetched at most {again:.1f} MiB again.",
        ]
    )


def write_page(text: str) -> None:
    """Put the table between its marks in the page."""
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    PAGE.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}")


def main() -> None:
    options = _arguments()
    if options.share:
        _share(options)
        return
    trials = plan(options.seed, options.downloads, options.largest)
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        start = time.monotonic()
        outcomes = run_trials(
            trials,
            Path(folder),
            largest=options.largest,
            processes=options.processes,
            threads=options.threads,
        )
        print(f"{len(outcomes)} downloads in {time.monotonic() - start:.0f} s", file=sys.stderr)
        kills = run_kills(options.kills, options.seed, Path(folder))
        print(f"{kills.kills} kills, all in {time.monotonic() - start:.0f} s", file=sys.stderr)
    text = f"{table(outcomes)}\n\n{notes(outcomes, kills, options)}"
    print(text)
    for outcome in outcomes:
        if not outcome.accepted and outcome.fault != "always":
            print(f"{outcome.fault} {outcome.check}: {outcome.error}", file=sys.stderr)
    if not options.print:
        write_page(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--downloads", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--largest", type=lambda text: int(text) * MIB, default=64 * MIB)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--print", action="store_true", help="leave the page as it is")
    parser.add_argument("--work", type=Path, help="folder for the temporary files")
    for name in ("share", "pattern"):
        parser.add_argument(f"--{name}", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
