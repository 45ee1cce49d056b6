"""What a store on S3 costs: uploads against boto3's own, and a region against a local store.

    python -m benchmarks s3_store

The server is moto's, on this machine: its figures say what the client costs, not what a network
gives. CPU seconds are those of the client and its children, the server's are not counted.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from skymend.core.keys import file_sha256  # noqa: E402
from skymend.core.s3objects import Address, Objects  # noqa: E402
from tests.e2e.conftest import REGION, skymend, tally  # noqa: E402
from tests.servers.s3 import serve_s3  # noqa: E402

BUCKET = "skymend-benchmark"
MIB = 1 << 20
SIZE_MIB = 128
RUNS = 3


def main() -> None:
    """Print the tables."""
    with serve_s3(BUCKET) as server, tempfile.TemporaryDirectory() as folder:
        os.environ.update(server.environment)
        os.environ["SKYMEND_CACHE"] = str(Path(folder) / "cache")
        _uploads(Path(folder), server)
        _regions(Path(folder))


def _uploads(folder: Path, server: Any) -> None:
    from boto3.s3.transfer import TransferConfig

    source = folder / "data"
    source.write_bytes(np.random.default_rng(7).bytes(SIZE_MIB * MIB))
    objects = Objects(Address(BUCKET, "uploads"))
    sha256 = file_sha256(source)
    client = server.client()
    config = TransferConfig(multipart_chunksize=16 * MIB, max_concurrency=4)

    def theirs() -> None:
        client.upload_file(
            str(source), BUCKET, "theirs", Config=config, ExtraArgs={"ChecksumAlgorithm": "SHA256"}
        )

    sys.stdout.write(f"upload of {SIZE_MIB} MiB, best of {RUNS}          wall s    CPU s\n")
    ours = _best(lambda: objects.upload(source, "ours", sha256))
    peer = _best(theirs)
    for name, (wall, cpu) in (("skymend", ours), ("boto3 upload_file, SHA256", peer)):
        sys.stdout.write(f"  {name:32s} {wall:8.2f} {cpu:8.2f}\n")
    sys.stdout.write(f"  ratio of CPU {ours[1] / peer[1]:.2f}\n\n")


def _regions(folder: Path) -> None:
    skymend("simulate", folder / "products", "--preset", "tiny", "--days", "41")
    region = folder / "region.yaml"
    region.write_text(REGION.format(products=folder / "products", end="2018-07-06"))
    sys.stdout.write("45 jobs of the tiny region, Snakemake, 2 cores   wall s    CPU s\n")
    for name, store in (("folder", str(folder / "store")), ("S3", f"s3://{BUCKET}/store")):
        arguments = ("run", region, "--store", store, "--engine", "snakemake", "--json", "-q")
        for label in ("first run", "everything cached"):
            done: list[Any] = []
            wall, cpu = _timed(lambda call=arguments, out=done: out.append(skymend(*call)))
            counts = tally(done[0])
            ran = f"{name:8s} {label:20s} executed {counts['executed']:3d}"
            sys.stdout.write(f"  {ran}   {wall:8.1f} {cpu:8.1f}\n")


def _best(action: Callable[[], object]) -> tuple[float, float]:
    return min(_timed(action) for _ in range(RUNS))


def _timed(action: Callable[[], object]) -> tuple[float, float]:
    before, begun = _cpu(), time.perf_counter()
    action()
    return time.perf_counter() - begun, _cpu() - before


def _cpu() -> float:
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


if __name__ == "__main__":
    main()
