"""Downloads against curl: loopback speed, a paced server, memory.

    python benchmarks/transfer.py               # 512 MiB, three rounds
    python benchmarks/transfer.py --mib 2048

Peers of one run, in turn: N parallel ``curl --range``, joined and followed by md5sum; and plain
curl. Both sides write to the same folder. ``--work /dev/shm`` leaves the disk out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.servers.faults import Case, serving, write_pattern  # noqa: E402

MIB = 2**20
CONNECTIONS = 4
PACE = 20e6


def main() -> None:
    options = _arguments()
    if options.role:
        print(json.dumps({"skymend": skymend, "idle": idle}[options.role](options)))
        return
    if shutil.which("curl") is None:
        sys.exit("curl is not installed: scripts/need curl")
    with tempfile.TemporaryDirectory(dir=options.work) as name:
        folder = Path(name)
        pattern = write_pattern(folder / "pattern", options.mib * MIB)
        options.md5 = _md5(pattern)
        paced = min(options.mib, options.paced_mib) * MIB
        cases = [
            Case("fast", options.mib * MIB),
            *(Case(f"paced-{n}", paced, rate=PACE) for n in range(CONNECTIONS)),
        ]
        with serving(cases, pattern, folder) as url:
            rounds = [_round(options, url, folder) for _ in range(options.rounds)]
            paces = [_paced(options, url, folder, pattern, paced) for _ in range(options.rounds)]
            slow = sorted(paces, key=lambda p: p["curl"] / p["skymend"])[len(paces) // 2]
            small, large = (_memory(options, url, folder, n) for n in ("paced-0", "fast"))
    _table(options, rounds, slow, small, large)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=512, help="size of the file")
    parser.add_argument("--paced-mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, help="folder for the files")
    parser.add_argument("--role", choices=("skymend", "idle"), help=argparse.SUPPRESS)
    for name in ("url", "md5"):
        parser.add_argument(f"--{name}", default="", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _md5(path: Path, size: int | None = None) -> str:
    with path.open("rb") as stream:
        if size is None:
            return hashlib.file_digest(stream, "md5").hexdigest()
        return hashlib.md5(stream.read(size)).hexdigest()


def _child(role: str, url: str, out: Path, md5: str) -> dict[str, float]:
    command = [sys.executable, __file__, f"--role={role}", f"--url={url}", f"--out={out}"]
    done = subprocess.run([*command, f"--md5={md5}"], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def _imports():
    """Import all that a download needs, before the clock starts."""
    import urllib3.connectionpool
    import urllib3.response  # noqa: F401

    from skymend.sources import transfer

    return transfer


def skymend(options: argparse.Namespace) -> dict[str, float]:
    """Download once, verified; started like curl, by a process of its own."""
    transfer = _imports()
    idle_kib = _resident()
    digests = (transfer.Digest("md5", options.md5),) if options.md5 else ()
    remote = transfer.Remote(options.url, "loopback", "file.bin", digests=digests)
    begin, cpu = time.monotonic(), _cpu()
    receipt = transfer.download(remote, options.out)
    seconds = time.monotonic() - begin
    assert not options.md5 or receipt.verified == "md5"
    peak = _peak()
    receipt.path.unlink()
    above = (peak - idle_kib) / 1024
    return {"s": seconds, "cpu_s": _cpu() - cpu, "above_mib": above, "idle_mib": idle_kib / 1024}


def idle(options: argparse.Namespace) -> dict[str, float]:
    """Measure the process that has imported all and downloads nothing."""
    _imports()
    return {"mib": _resident() / 1024}


def _resident() -> float:
    """Return the resident KiB of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def _peak() -> float:
    """Return the largest resident KiB of this process so far.

    Not ``ru_maxrss``, which an exec inherits from the process before it.
    """
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0])


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _round(options: argparse.Namespace, url: str, folder: Path) -> dict[str, dict[str, float]]:
    return {
        "skymend": _child("skymend", f"{url}/fast", folder / "out", options.md5),
        "ranges": _curl_ranges(f"{url}/fast", options.mib * MIB, folder, options.md5),
        "curl": _curl(f"{url}/fast", folder),
    }


def _curl_ranges(url: str, size: int, folder: Path, md5: str) -> dict[str, float]:
    """N parallel curls, each its share into its own file; joined, then md5sum."""
    share = -(-size // CONNECTIONS)
    parts = [folder / f"curl-{n}" for n in range(CONNECTIONS)]
    before, begin = _children_cpu(), time.monotonic()
    running = []
    for n, path in enumerate(parts):
        window = f"{n * share}-{min(size, (n + 1) * share) - 1}"
        command = ["curl", "-sS", "--range", window, "-o", str(path), url]
        running.append(subprocess.Popen(command))
    assert not any(process.wait() for process in running)
    fetched = time.monotonic() - begin
    found = subprocess.run(
        f"cat {' '.join(map(str, parts))} | md5sum", shell=True, stdout=subprocess.PIPE, check=True
    )
    seconds = time.monotonic() - begin
    assert found.stdout.split()[0].decode() == md5
    for path in parts:
        path.unlink()
    return {"s": seconds, "fetch_s": fetched, "cpu_s": _children_cpu() - before}


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _curl(url: str, folder: Path) -> dict[str, float]:
    before, begin = _children_cpu(), time.monotonic()
    subprocess.run(["curl", "-sS", "-o", folder / "curl", url], check=True)
    seconds = time.monotonic() - begin
    (folder / "curl").unlink()
    return {"s": seconds, "cpu_s": _children_cpu() - before}


def _paced(options, url: str, folder: Path, pattern: Path, size: int) -> dict[str, float]:
    """Fetch one file over four connections of 20 MB/s each; curl fetches its four quarters."""
    md5 = _md5(pattern, size)
    ours = _child("skymend", f"{url}/paced-0", folder / "out", md5)
    peer = _curl_ranges(f"{url}/paced-1", size, folder, md5)
    return {"size": size, "skymend": ours["s"], "curl": peer["fetch_s"], "curl_md5": peer["s"]}


def _memory(options, url: str, folder: Path, name: str) -> dict[str, float]:
    return _child("skymend", f"{url}/{name}", folder / "out", "")


def _table(options, rounds, slow, small, large) -> None:
    def median(name: str, key: str) -> float:
        return statistics.median(r[name][key] for r in rounds)

    size = options.mib * MIB
    load = os.getloadavg()[0]
    print(f"{options.mib} MiB over loopback, {CONNECTIONS} connections, median of {len(rounds)},")
    print(f"{os.cpu_count()} cores shared with the server, load {load:.1f}\n")
    print("| run | wall s | MB/s | CPU s |")
    print("|---|---|---|---|")
    for name, words in (
        ("skymend", "skymend, md5 on the way, fsync"),
        ("ranges", f"{CONNECTIONS} x `curl --range`, then md5sum"),
        ("curl", "plain curl, no digest"),
    ):
        wall = median(name, "s")
        print(f"| {words} | {wall:.2f} | {size / wall / 1e6:.0f} | {median(name, 'cpu_s'):.2f} |")
    ratios = [r["ranges"]["s"] / r["skymend"]["s"] for r in rounds]
    print(
        f"\nspeed against curl and md5sum: {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}; wanted: at least 0.90), with "
        f"{median('skymend', 'cpu_s') / median('ranges', 'cpu_s'):.2f} of its CPU time"
    )
    rate = slow["size"] / slow["skymend"] / 1e6
    print(
        f"paced to {CONNECTIONS} x {PACE / 1e6:.0f} MB/s, {slow['size'] / MIB:.0f} MiB: skymend "
        f"{slow['skymend']:.2f} s ({rate:.1f} MB/s, verified), curl {slow['curl']:.2f} s (not "
        f"verified): {slow['curl'] / slow['skymend']:.3f} of its speed (wanted: 0.95)"
    )
    peaks = [r["skymend"]["above_mib"] for r in rounds] + [large["above_mib"]]
    print(
        f"memory above the idle process ({large['idle_mib']:.0f} MiB): {max(peaks):.1f} MiB for "
        f"{options.mib} MiB, {small['above_mib']:.1f} MiB for {slow['size'] / MIB:.0f} MiB "
        "(wanted: under 64 MB)"
    )


if __name__ == "__main__":
    main()
