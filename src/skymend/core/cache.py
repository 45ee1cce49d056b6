"""Looking after a store: list, verify, collect garbage."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from skymend.core.errors import StoreError
from skymend.core.plan import Plan
from skymend.core.record import Record
from skymend.core.store import LocalStore


def list_store(root: Path, *, as_json: bool = False) -> str:
    """Count records, outputs and bytes by step."""
    rows: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for record in _open(root).records():
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


def verify_store(root: Path) -> tuple[str, bool]:
    """Recompute the checksum of every output; return a report and whether all is well."""
    store = _open(root)
    problems, files = [], 0
    for record in store.records():
        files += sum(len(out.files) for out in record.outputs.values())
        problem = store.damaged(record, verify=True)
        if problem:
            problems.append(f"{record.step} {record.key[:8]}: {problem}")
    verdict = f"{files} files verified, {len(problems)} damaged jobs"
    advice = ["run the region again: damaged jobs are made anew"] if problems else []
    return "\n".join([verdict, *problems, *advice]), not problems


def collect_garbage(root: Path, keep: Iterable[Path], *, remove: bool) -> str:
    """Find what killed jobs left and, if plans to keep are named, what they do not need.

    Parameters
    ----------
    root : the store.
    keep : plan files whose jobs stay; with none, every job with a record stays.
    remove : delete it; otherwise only tell.
    """
    store = _open(root)
    kept = {job.key for path in keep for job in Plan.read(path).jobs}
    records = list(store.records())
    unneeded = [r for r in records if kept and r.key not in kept]
    litter = _litter(root, records)
    size = sum(f.size for r in unneeded for out in r.outputs.values() for f in out.files)
    if remove:
        for record in unneeded:
            _forget(store, record)
        for path in litter:
            shutil.rmtree(path, ignore_errors=True)
    verb = "removed" if remove else "could be removed (say --remove)"
    return (
        f"{len(unneeded)} unneeded jobs of {size / 1e6:.1f} MB and "
        f"{len(litter)} leftovers of killed jobs {verb}"
    )


def _open(root: Path) -> LocalStore:
    if not (root / "store.json").exists():
        raise StoreError(
            where=root,
            expected="a skymend store",
            found="no store.json",
            fix="name the folder given as --store",
        )
    return LocalStore(root)


def _litter(root: Path, records: Iterable[Record]) -> list[Path]:
    known = {Path(out.path).parent for r in records for out in r.outputs.values()}
    folders = [p for room in ("scenes", "regional") for p in (root / room).glob("**/*-????????")]
    orphans = [p for p in folders if p.is_dir() and p.relative_to(root) not in known]
    parts = [p for room in ("scenes", "regional") for p in (root / room).glob("**/.*.part")]
    return sorted({*orphans, *parts})


def _forget(store: LocalStore, record: Record) -> None:
    """Remove a record first, so that a kill in between leaves only litter."""
    store.record_path(record.step, record.key).unlink(missing_ok=True)
    for output in record.outputs.values():
        shutil.rmtree((store.root / output.path).parent, ignore_errors=True)
