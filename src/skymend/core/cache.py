"""Looking after a store: list, verify, collect garbage."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from skymend.core.plan import Plan
from skymend.core.record import Record
from skymend.core.store import Store, open_store


def list_store(store: str | Path, *, as_json: bool = False) -> str:
    """Count records, outputs and bytes by step."""
    rows: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for record in _open(store).records():
        row = rows[record.step]
        row[0] += record.status == "done"
        row[1] += record.status == "skipped"
        row[2] += sum(f.size for out in record.outputs.values() for f in out.files)
    if as_json:
        names = ("done", "skipped", "bytes")
        return json.dumps({s: dict(zip(names, r, strict=True)) for s, r in sorted(rows.items())})
    lines = [f"{'step':14s} {'done':>7s} {'skipped':>7s} {'MB':>10s}"]
    lines += [f"{s:14s} {r[0]:7d} {r[1]:7d} {r[2] / 1e6:10.2f}" for s, r in sorted(rows.items())]
    return "\n".join(lines)


def verify_store(store: str | Path) -> tuple[str, bool]:
    """Recompute the checksum of every output; return a report and whether all is well."""
    opened = _open(store)
    problems, files = [], 0
    for record in opened.records():
        files += sum(len(out.files) for out in record.outputs.values())
        problem = opened.damaged(record, verify=True)
        if problem:
            problems.append(f"{record.step} {record.key[:8]}: {problem}")
    verdict = f"{files} files verified, {len(problems)} damaged jobs"
    advice = ["run the region again: damaged jobs are made anew"] if problems else []
    return "\n".join([verdict, *problems, *advice]), not problems


def collect_garbage(store: str | Path, keep: Iterable[Path], *, remove: bool) -> str:
    """Find what killed jobs left and, if plans to keep are named, what they do not need.

    Parameters
    ----------
    store : its folder or ``s3://`` prefix.
    keep : plan files whose jobs stay; with none, every job with a record stays.
    remove : delete it; otherwise only tell.
    """
    opened = _open(store)
    kept = {job.key for path in keep for job in Plan.read(path).jobs}
    records = list(opened.records())
    unneeded = [r for r in records if kept and r.key not in kept]
    litter = opened.litter(records)
    size = sum(f.size for r in unneeded for out in r.outputs.values() for f in out.files)
    if remove:
        for record in unneeded:
            _forget(opened, record)
        opened.discard(litter)
    verb = "removed" if remove else "could be removed (say --remove)"
    return (
        f"{len(unneeded)} unneeded jobs of {size / 1e6:.1f} MB and "
        f"{len(litter)} leftovers of killed jobs {verb}"
    )


def _open(uri: str | Path) -> Store:
    store = open_store(uri)
    store.check()
    return store


def _forget(store: Store, record: Record) -> None:
    """Remove a record first, so that a kill in between leaves only litter."""
    store.forget(record.step, record.key)
    store.discard({Path(out.path).parent.as_posix() for out in record.outputs.values()})
