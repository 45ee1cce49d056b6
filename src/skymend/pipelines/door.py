"""From a region file to its plans: what ``skymend plan`` and ``skymend run`` share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from skymend.core.plan import Plan
from skymend.core.store import Store, folder_uri, open_store
from skymend.pipelines import reconstruct
from skymend.pipelines.region import Region, grids, load_region
from skymend.pipelines.snapshot import Snapshot
from skymend.steps import load_all


@dataclass(frozen=True, slots=True)
class Opened:
    """A region with its store and one plan per tile."""

    region: Region
    store: Store
    plans: tuple[Plan, ...]


def open_region(path: Path, store: str | None = None, *, refresh: bool = False) -> Opened:
    """Read a region file, search its sources once and plan every tile.

    Parameters
    ----------
    path : the region file.
    store : folder or ``s3://`` prefix that replaces the region's own.
    refresh : take products that changed since they were first planned.

    Raises
    ------
    ConfigError, NoImageError, ProductError, StoreError
        in one sentence each; nothing half-written is left.
    """
    return plan_region(load_region(path), store, refresh=refresh)


def plan_region(region: Region, store: str | None = None, *, refresh: bool = False) -> Opened:
    """Plan every tile of a region; see :func:`open_region`."""
    load_all()
    tiles = grids(region)
    opened = open_store(folder_uri(store if store is not None else region.store))
    snapshots = opened.root / "snapshots" / region.name
    with _all_or_nothing(opened):
        opened.prepare()
        opened.pull(snapshots.relative_to(opened.root).as_posix())
        with _restored(snapshots):
            plans = []
            for tile, grid in tiles.items():

                def snapshot(question: str, folder: Path = snapshots / tile) -> Snapshot:
                    return Snapshot(folder / f"{question}.json", refresh=refresh)

                plans.append(reconstruct.plan(region, tile, grid, snapshot))
    for path in sorted(snapshots.rglob("*.json")):
        opened.push(path)
    return Opened(region, opened, tuple(plans))


@contextmanager
def _all_or_nothing(store: Store) -> Iterator[None]:
    """Withdraw a store that was made for a plan which fails."""
    try:
        yield
    except BaseException:
        store.withdraw()
        raise


@contextmanager
def _restored(folder: Path) -> Iterator[None]:
    """Give a folder of snapshots back its files as they were if a plan fails."""
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*.json"))}
    try:
        yield
    except BaseException:
        for path in folder.rglob("*.json"):
            if path not in before:
                path.unlink()
            elif path.read_bytes() != before[path]:
                path.write_bytes(before[path])
        _remove_empty(folder)
        raise


def _remove_empty(folder: Path) -> None:
    """Remove the empty folders below a folder, then it and the one above if nothing is left."""
    below = sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True)
    for path in (*below, folder, folder.parent):
        with suppress(OSError):  # absent, or not empty
            path.rmdir()
