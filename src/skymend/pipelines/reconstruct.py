"""The reconstruct pipeline: scenes, masks, gap filling, evaluation, report, catalogue.

Every job lists as inputs only what lies inside the bounded window of its method, so that a
new date touches only its neighbours. Region name, period, store and engine enter no job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from skymend.core.errors import ConfigError
from skymend.core.grid import Grid
from skymend.core.plan import FrozenProduct, Plan, PlanBuilder
from skymend.core.step import GridParams
from skymend.pipelines.calendar import regular_dates
from skymend.pipelines.region import Evaluate, Region, Training
from skymend.pipelines.scenes import (
    Dated,
    Pass,
    SceneJobs,
    file_product,
    notices,
    product_time,
)
from skymend.pipelines.search import Catalogue, search_region
from skymend.pipelines.snapshot import SnapshotOpener

NAME = "reconstruct"


def plan(region: Region, tile: str, grid: Grid, snapshot: SnapshotOpener) -> Plan:
    """Plan one tile of a region.

    Parameters
    ----------
    region : the region file.
    tile, grid : the MGRS tile and the 10 m grid of its area.
    snapshot : opens the frozen answer to a search, by name.

    Raises
    ------
    NoImageError
        if the area has no optical image in the period.
    """
    catalogue = search_region(region, grid, snapshot)
    return _Planner(region, tile, grid, catalogue).plan()


class _Planner:
    """Adds the jobs of one tile, kind by kind."""

    def __init__(self, region: Region, tile: str, grid: Grid, catalogue: Catalogue) -> None:
        self.region = region
        self.tile = tile
        self.grid = GridParams.of(grid)
        self.catalogue = catalogue
        self.builder = PlanBuilder()
        self.jobs = SceneJobs(region, tile, grid, catalogue, self.builder)
        self.wanted = region.reconstruct
        self.trials: list[str] = []

    def plan(self) -> Plan:
        self.scenes = [self.jobs.optical(p) for p in self.catalogue.optical]
        self.passes = self.jobs.radar()
        self.dem = self.jobs.dem()
        self.hidden = self._hides()
        self.bundle = self._bundle()
        rebuilt = self._reconstructions()
        table = self._evaluate()
        report = self._report(rebuilt, table)
        targets = [report, self._publish(rebuilt, report, table)]
        return self.builder.build(
            NAME,
            f"{self.region.name}-{self.tile}",
            [*targets, *([table] if table else [])],
            notes=(*self.catalogue.notes, *self.jobs.notes),
            summary={"tile": self.tile, "grid": self.grid.model_dump(mode="json")},
        )

    # -- evaluation: hide first, before anything else sees the pixels

    def _hides(self) -> dict[str, str]:
        """Return optical job -> hide job for every date of region and training."""
        evaluate = self.region.evaluate
        if evaluate is None:
            return {}
        external = [self._shape(p, evaluate) for p in self.catalogue.shapes]
        return {s.optical: self._hide(s, evaluate, external) for s in self.scenes}

    def _shape(self, product: FrozenProduct, evaluate: Evaluate) -> str:
        params = {**self.jobs.mask_params(), "grid": None}
        tags = {**product.tags, "date": product_time(product).strftime("%Y%m%d")}
        return self.builder.add("mask", params, {"product": self.jobs.product(product)}, tags)

    def _hide(self, scene: Dated, evaluate: Evaluate, external: Sequence[str]) -> str:
        donors = [
            s.mask
            for s in _within(self.scenes, scene.time, evaluate.donor_days)
            if s is not scene and self._may_lend(s, scene)
        ]
        return self.builder.add(
            "hide",
            {
                "share": evaluate.share,
                "min_clear_share": evaluate.min_clear_share,
                "snow_is_clear": self.region.mask.snow_is_clear,
                "seed": evaluate.seed,
            },
            {"mask": scene.mask, "donors": donors, "shapes": external},
            self.builder.tags(scene.mask),
        )

    def _may_lend(self, donor: Dated, scene: Dated) -> bool:
        """Tell whether one date may lend its cloud shape to another.

        Dates of the training period borrow inside it only: a later extension of the region
        must not change what the network was trained on.
        """
        training = self.region.training
        if training is None or not _inside(scene.time, training):
            return True
        return _inside(donor.time, training)

    # -- training

    def _bundle(self) -> str | None:
        if self.wanted.model is not None:
            return self.builder.product(_bundle_product(Path(self.wanted.model[7:])))
        training = self.region.training
        return None if training is None else self._train(training)

    def _train(self, training: Training) -> str:
        scenes = [s for s in self.scenes if _inside(s.time, training)]
        passes = [p for p in self.passes if _inside(p.time, training)]
        stats = [self._optical_stats(s) for s in scenes]
        stats += [self._radar_stats(p) for p in passes]
        tags = {"tile": self.tile}
        dataset = self.builder.add(
            "dataset",
            {
                "grid": self.grid,
                "layout": training.layout,
                "patch_size": training.patch_px,
                "count": training.patches,
                "seed": training.seed,
                "bands": self.wanted.bands,
                "split_by": training.split_by,
                "block_m": training.block_m,
                "buffer_m": training.buffer_m,
                "train_share": round(1 - training.valid_share - training.test_share, 6),
                "valid_share": training.valid_share,
                "test_share": training.test_share,
                "snow_is_usable": self.region.mask.snow_is_clear,
            },
            {
                "stats": stats,
                "optical": [s.optical for s in scenes],
                "masks": [s.mask for s in scenes],
                "hidden": [self.hidden[s.optical] for s in scenes if s.optical in self.hidden],
                "radar": [p.radar for p in passes],
                "dem": self.dem,
            },
            tags,
        )
        return self.builder.add(
            "train",
            {
                "architecture": training.architecture,
                "layout": training.layout,
                "steps": training.steps,
                "batch": training.batch,
                "learning_rate": training.learning_rate,
                "ema": training.ema,
                "seed": training.seed,
            },
            {"dataset": dataset},
            tags,
        )

    def _optical_stats(self, scene: Dated) -> str:
        inputs = {
            "optical": scene.optical,
            "mask": scene.mask,
            "hidden": self.hidden.get(scene.optical),
        }
        return self.builder.add("patch-stats", {}, inputs, self.builder.tags(scene.optical))

    def _radar_stats(self, one: Pass) -> str:
        return self.builder.add(
            "patch-stats", {}, {"radar": one.radar}, self.builder.tags(one.radar)
        )

    # -- reconstruction and its score

    def _reconstructions(self) -> list[str]:
        period = self.region.period
        start, end = period.times
        keys = [self._rebuild(s.time, s) for s in self.scenes if start <= s.time <= end]
        keys += [self._rebuild(t, None) for t in regular_dates(self.wanted.every, period)]
        return sorted(keys, key=lambda key: self.builder.tags(key)["datetime"])

    def _rebuild(self, time: datetime, scene: Dated | None) -> str:
        wanted = self.wanted
        params = {
            "grid": self.grid,
            "bands": wanted.bands,
            "method": wanted.method,
            "window_days": wanted.window_days,
            "max_gap_hours": wanted.max_gap_hours,
            "mode": wanted.mode,
            "feather_m": wanted.feather_m,
            "snow_is_clear": self.region.mask.snow_is_clear,
            "synthesize_missing": wanted.synthesize_missing,
            "target_datetime": None if scene else time.isoformat(),
        }
        tags = self.builder.tags(scene.optical) if scene else self._virtual_tags(time)
        return self.builder.add("reconstruct", params, self._window(time, scene), tags)

    def _virtual_tags(self, time: datetime) -> dict[str, str]:
        return {
            "id": f"synthetic-{time:%Y%m%d}",
            "tile": self.tile,
            "date": time.strftime("%Y%m%d"),
            "datetime": time.isoformat(),
        }

    def _window(self, time: datetime, scene: Dated | None) -> dict[str, Any]:
        """Return the inputs of a target date: everything inside the reach of the method."""
        reach = self.wanted.reach_days
        near = [s for s in _within(self.scenes, time, reach) if s is not scene]
        margin = self.wanted.max_gap_hours / 24
        inputs: dict[str, Any] = {
            "candidates_optical": [s.optical for s in near],
            "candidates_mask": [s.mask for s in near],
            "radar": [p.radar for p in _within(self.passes, time, reach + margin)],
            "dem": self.dem,
            "bundle": self.bundle,
        }
        if scene is not None:
            inputs |= {"target_optical": scene.optical, "target_mask": scene.mask}
        return inputs

    def _evaluate(self) -> str | None:
        evaluate = self.region.evaluate
        if evaluate is None:
            return None
        start, end = self.region.period.times
        inside = [s for s in self.scenes if start <= s.time <= end]
        self.trials = [self._trial(s, evaluate) for s in inside]
        return self.builder.add(
            "evaluate",
            {"note": self.region.note, "seed": evaluate.seed},
            {"trials": self.trials},
            {"tile": self.tile},
        )

    def _trial(self, scene: Dated, evaluate: Evaluate) -> str:
        wanted = self.wanted
        params = {
            "grid": self.grid,
            "bands": wanted.bands,
            "methods": self._methods(evaluate),
            "widen_days": evaluate.widen_days,
            "withhold_date": evaluate.withhold_date,
            "window_days": wanted.window_days,
            "max_gap_hours": wanted.max_gap_hours,
            "snow_is_clear": self.region.mask.snow_is_clear,
        }
        inputs = {**self._window(scene.time, scene), "hidden": self.hidden[scene.optical]}
        return self.builder.add("trial", params, inputs, self.builder.tags(scene.optical))

    def _methods(self, evaluate: Evaluate) -> tuple[str, ...]:
        """Leave out methods that need radar or a network where there is none."""
        absent = set()
        if not self.passes:
            absent.add("regression")
        if self.bundle is None:
            absent.add("network")
        return tuple(m for m in evaluate.methods if m not in absent)

    # -- results

    def _report(self, rebuilt: Sequence[str], table: str | None) -> str:
        start, end = self.region.period.times
        inside = [s for s in self.scenes if start <= s.time <= end]
        inputs: Mapping[str, Any] = {
            "optical": [s.optical for s in inside],
            "radar": [p.radar for p in self.passes],
            "reconstructions": rebuilt,
            "trials": self.trials,
            "table": table,
        }
        params = {"note": self.region.note}
        return self.builder.add("report", params, inputs, {"tile": self.tile})

    def _publish(self, rebuilt: Sequence[str], report: str, table: str | None) -> str:
        return self.builder.add(
            "publish",
            {"id": f"skymend-{self.tile}", "notices": notices(self.catalogue)},
            {"reconstructions": rebuilt, "report": report, "table": table},
            {"tile": self.tile},
        )


def _within(items: Iterable[Any], time: datetime, days: float) -> list[Any]:
    span = timedelta(days=days)
    return [item for item in items if abs(item.time - time) <= span]


def _inside(time: datetime, training: Training) -> bool:
    first, last = training.period.times
    return first <= time <= last


def _bundle_product(folder: Path) -> FrozenProduct:
    if not (folder / "card.json").exists():
        raise ConfigError(
            where=f"reconstruct.model {folder}",
            expected="a bundle (a folder with card.json)",
            found="no card.json",
            fix="train one with `skymend train`, or name its folder",
        )
    return file_product(folder, "bundle", sorted(p for p in folder.glob("*") if p.is_file()))
