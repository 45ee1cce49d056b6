"""Patch store, warm page cache: batches from disk against the same batches from memory.

The peer is a plain array in memory, read with ``array[indices]``: what a training script does
that loads everything first. Both sides get the same random batches, in turns, so that a busy
machine slows both. Prints one table; the last columns are shares of the peer's throughput, by
wall time and by the processor time of this process, which other loads disturb less.

    python benchmarks/patch_store.py [--samples 3000] [--batch 32] [--rounds 7]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from skymend.patches.card import KeySpec, StoreCard
from skymend.patches.store import PatchStore, StoreWriter, sample_dtype

BANDS = ("B02", "B03", "B04", "B08")
READ_CHUNK = 64


def keys(size: int) -> tuple[KeySpec, ...]:
    """Return the arrays of an OS2 store."""
    radar = ("VV", "VH")
    specs = []
    for name in ("tm1", "t", "tp1"):
        specs.append(KeySpec(name=f"s2_{name}", kind="optical", bands=BANDS, size=size))
        specs.append(KeySpec(name=f"s1_{name}", kind="radar", bands=radar, size=size))
    specs.append(KeySpec(name="s2_target", kind="optical", bands=BANDS, size=size))
    specs.append(KeySpec(name="usable_target", kind="mask", bands=("usable",), size=size))
    specs.append(KeySpec(name="cloud_t", kind="mask", bands=("cloud",), size=size))
    dem = {"bands": ("elevation",), "size": size // 2, "resolution_ratio": 2}
    specs.append(KeySpec(name="dem", kind="dem", **dem))
    return tuple(specs)


def make(folder: Path, count: int, size: int) -> None:
    """Write a store of random samples."""
    rng = np.random.default_rng(0)
    specs = keys(size)
    card = StoreCard(
        keys=specs, samples=count, splits={"train": count}, patch_size=size, resolution_m=10.0
    )
    with StoreWriter(folder, specs, np.zeros(count, sample_dtype(4))) as writer:
        for start in range(0, count, READ_CHUNK):
            indices = range(start, min(start + READ_CHUNK, count))
            for spec in specs:
                high = 2 if spec.kind == "mask" else 9000
                values = rng.integers(0, high, (len(indices), *spec.shape)).astype(spec.dtype)
                writer.write(spec.name, indices, values)
        writer.finish(card)


Taken = tuple[float, float]


def taken(read: Callable[[np.ndarray], object], batches: list[np.ndarray]) -> Taken:
    """Return wall and processor time to read all batches."""
    begin = time.perf_counter(), time.process_time()
    for indices in batches:
        read(indices)
    return time.perf_counter() - begin[0], time.process_time() - begin[1]


def median(times: list[Taken]) -> Taken:
    """Return the median of wall and of processor times."""
    wall, processor = zip(*times, strict=True)
    return statistics.median(wall), statistics.median(processor)


def compare(folder: Path, batch: int, rounds: int) -> None:
    """Time the store against memory and print a table."""
    store = PatchStore(folder)
    memory = {name: np.array(store.array(name)) for name in store.keys}
    size = sum(a.nbytes for a in memory.values())
    order = np.random.default_rng(1).permutation(len(store))
    batches = [order[i : i + batch] for i in range(0, len(order) - batch + 1, batch)]
    fresh = PatchStore(folder)
    first = taken(fresh.batch, batches)
    disk, peer = [], []
    for _ in range(rounds):
        peer.append(taken(lambda i: {n: a[i] for n, a in memory.items()}, batches))
        disk.append(taken(fresh.batch, batches))
    fair = median(peer)
    print(f"{len(store)} samples, {size / 1e6:.0f} MB, batches of {batch}, {rounds} rounds")
    print(f"{'reader':<26} {'samples/s':>10} {'MB/s':>7} {'of memory: wall':>16} {'cpu':>7}")
    rows = {"memory array": fair, "patch store": median(disk), "patch store, first epoch": first}
    for name, (wall, processor) in rows.items():
        rate = len(batches) * batch / wall
        megabytes = rate * size / len(store) / 1e6
        share = (fair[0] / wall, fair[1] / processor)
        print(f"{name:<26} {rate:>10.0f} {megabytes:>7.0f} {share[0]:>15.1%} {share[1]:>8.1%}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=3000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "patches", options.samples, options.size)
        compare(Path(folder) / "patches", options.batch, options.rounds)


if __name__ == "__main__":
    main()
