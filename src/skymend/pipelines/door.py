"""From a region file to its plans: what ``skymend plan`` and ``skymend run`` share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from skymend.core.plan import Plan
from skymend.core.store import Store, folder_uri, open_store
from skymend.pipelines import reconstruct
from skymend.pipelines.attempt import Attempt, restored
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
    attempt = Attempt(opened, region.name)
    with attempt.alone():
        with attempt.prepared():
            opened.pull(snapshots.relative_to(opened.root).as_posix())
            with attempt.checksums() as computed, restored(snapshots):
                plans = []
                for tile, grid in tiles.items():

                    def snapshot(question: str, folder: Path = snapshots / tile) -> Snapshot:
                        path = folder / f"{question}.json"
                        return Snapshot(path, refresh=refresh, computed=computed)

                    plans.append(reconstruct.plan(region, tile, grid, snapshot))
        for path in sorted(snapshots.rglob("*.json")):
            opened.push(path)
    return Opened(region, opened, tuple(plans))
