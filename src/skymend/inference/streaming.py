"""Reading, computing and writing that overlap in time, with bounded queues."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Data = TypeVar("Data")
Result = TypeVar("Result")


def overlap(
    items: Iterable[Item],
    read: Callable[[Item], Data],
    compute: Callable[[Item, Data], Result],
    write: Callable[[Item, Result], None],
    *,
    depth: int = 2,
) -> None:
    """Run ``write(compute(read(item)))`` for each item, the three at the same time.

    One thread reads, the calling thread computes, one thread writes; each keeps the order
    of the items. At most ``depth`` items wait before and ``depth`` after the computation,
    so memory does not grow with the number of items. The first error of any of the three
    ends the run and is raised here.

    Parameters
    ----------
    items : what to work on, in order.
    read, compute, write : the stages; the outer two leave the GIL while GDAL works.
    depth : length of each queue, at least 1.
    """
    remaining = iter(items)
    reader, writer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    writes: deque[Future[None]] = deque()
    try:
        reads = deque((item, reader.submit(read, item)) for item in islice(remaining, depth))
        while reads:
            item, data = reads.popleft()
            values = data.result()
            reads.extend((nxt, reader.submit(read, nxt)) for nxt in islice(remaining, 1))
            result = compute(item, values)
            del data, values
            while len(writes) >= depth:
                writes.popleft().result()
            writes.append(writer.submit(write, item, result))
            del result
        while writes:
            writes.popleft().result()
    finally:
        for pool in (reader, writer):
            pool.shutdown(wait=True, cancel_futures=True)
