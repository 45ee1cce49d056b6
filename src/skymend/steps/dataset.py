"""Cut training samples out of a series into a patch store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from skymend.core.errors import NoImageError
from skymend.core.files import write_json
from skymend.core.step import (
    Artifact,
    Context,
    Facts,
    GridParams,
    StepInputs,
    StepOutputs,
    StepParams,
    step,
)
from skymend.steps.patch_stats import scene_id

if TYPE_CHECKING:
    from skymend.patches.cut import Sources
    from skymend.patches.index import CellIndex
    from skymend.patches.layout import Layout
    from skymend.patches.split import Part


class Inputs(StepInputs):
    """Statistics and rasters of all scenes; artifacts of one scene share the tag ``id``."""

    stats: tuple[Artifact, ...]
    optical: tuple[Artifact, ...]
    masks: tuple[Artifact, ...]
    hidden: tuple[Artifact, ...] = ()
    radar: tuple[Artifact, ...] = ()
    dem: Artifact | None = None


class Params(StepParams):
    """What a sample is, how many are drawn and how they are split."""

    grid: GridParams
    bands: tuple[str, ...] = Field(min_length=1, description="Optical bands, in order.")
    polarisations: tuple[str, ...] = ("VV", "VH")
    layout: str | dict[str, Any] = Field(
        "crga-os2-short", description="Name of a preset, or a layout in its JSON form."
    )
    patch_size: int = Field(64, ge=64, multiple_of=64, description="Pixels of the grid.")
    count: int = Field(4000, ge=1, description="Samples wanted, all splits together.")
    max_per_cell: int | None = Field(None, ge=1, description="Most samples of one place.")
    seed: int = Field(7, ge=0)
    split_by: Literal["space", "time", "none"] = "space"
    train_share: float = Field(0.7, gt=0, le=1)
    valid_share: float = Field(0.15, ge=0, le=1)
    test_share: float = Field(0.15, ge=0, le=1)
    block_m: float = Field(2560.0, gt=0, description="Side of a block given to one split.")
    buffer_m: float = Field(640.0, ge=0, description="Least distance of splits in space.")
    buffer_days: float = Field(10.0, ge=0, description="Least distance of splits in time.")
    invalid_tolerance: float = Field(
        0.0, ge=0, lt=1, description="Invalid share a 64-pixel block may have; decloud has 0."
    )
    snow_is_usable: bool = True

    @property
    def shares(self) -> dict[str, float]:
        """Share of each split."""
        if self.split_by == "none":
            return {"train": 1.0}
        return {"train": self.train_share, "valid": self.valid_share, "test": self.test_share}


class Outputs(StepOutputs):
    """The patch store and a summary to read."""

    patches: str = "patches/"
    summary: str = "summary.json"


@step("dataset", version=1, inputs=Inputs, params=Params, outputs=Outputs)
def run(inputs: Inputs, params: Params, out: Path, context: Context) -> Facts:
    """Cut training samples out of a series into a patch store."""
    from skymend.patches.dataset import draw_samples, summarize, write_dataset
    from skymend.patches.index import read_index
    from skymend.patches.layout import load_layout
    from skymend.patches.split import check_shares

    layout = load_layout(params.layout)
    tables = _usable_tables(inputs)
    index = read_index(tables, params.patch_size, invalid_tolerance=params.invalid_tolerance)
    shares = check_shares(params.shares)
    sampled = draw_samples(
        index,
        layout,
        _parts(index, layout, params),
        {name: round(share * params.count) for name, share in shares.items()},
        seed=params.seed,
        max_per_cell=params.max_per_cell,
    )
    card = write_dataset(
        out / "patches",
        index,
        layout,
        sampled,
        _sources(inputs, params, index),
        seed=params.seed,
        convention=_convention(inputs),
        settings=params.model_dump(mode="json", include=_CARD_SETTINGS),
        progress=context.progress,
    )
    summary = summarize(card, index, layout, sampled)
    write_json(out / "summary.json", summary)
    return {key: summary[key] for key in ("samples", "splits", "found", "data_hash")}


_CARD_SETTINGS = {
    "split_by",
    "block_m",
    "buffer_m",
    "buffer_days",
    "invalid_tolerance",
    "max_per_cell",
    "snow_is_usable",
}


def _usable_tables(inputs: Inputs) -> list[Path]:
    """Return the tables of scenes whose rasters are there too."""
    optical = _by_scene(inputs.optical, "reflectance").keys() & _by_scene(inputs.masks, "mask")
    radar = _by_scene(inputs.radar, "backscatter").keys()
    tables = _by_scene(inputs.stats, "stats")
    paths = [path for scene, path in sorted(tables.items()) if scene in optical | radar]
    if not paths:
        raise NoImageError(
            where="dataset",
            expected="statistics of at least one scene",
            found=next((a.absent for a in inputs.stats if a.absent), "none"),
            fix="widen the training period or the area",
        )
    return paths


def _parts(index: CellIndex, layout: Layout, params: Params) -> dict[str, Part]:
    import numpy as np

    from skymend.patches.search import TupleSearch
    from skymend.patches.split import no_split, split_by_space, split_by_time

    if params.split_by == "none":
        return no_split(index.cells)
    if params.split_by == "time":
        times = index.optical.times
        return split_by_time(times, index.cells, params.shares, buffer_days=params.buffer_days)
    return split_by_space(
        index.shape,
        index.patch_size * params.grid.grid.resolution,
        params.shares,
        block_m=params.block_m,
        buffer_m=params.buffer_m,
        rng=np.random.default_rng(params.seed),
        weights=TupleSearch(index, layout, seed=params.seed).counts.sum(axis=1),
    )


def _sources(inputs: Inputs, params: Params, index: CellIndex) -> Sources:
    from skymend.patches.cut import OpticalFiles, Sources

    optical = _by_scene(inputs.optical, "reflectance")
    masks = _by_scene(inputs.masks, "mask")
    hidden = _by_scene(inputs.hidden, "hidden")
    radar = _by_scene(inputs.radar, "backscatter")
    dem = inputs.dem
    return Sources(
        grid=params.grid.grid,
        optical=[OpticalFiles(optical[s], masks[s], hidden.get(s)) for s in index.optical.scenes],
        radar=[radar[s] for s in index.radar.scenes],
        dem=dem.file("dem") if dem is not None and dem.has("dem") else None,
        bands=params.bands,
        polarisations=params.polarisations,
        snow_is_usable=params.snow_is_usable,
    )


def _convention(inputs: Inputs) -> str | None:
    from skymend.patches.cut import one_convention

    return one_convention(
        {
            scene_id(a): a.facts.get("convention") or a.tags.get("convention")
            for a in inputs.radar
            if a.absent is None
        }
    )


def _by_scene(artifacts: tuple[Artifact, ...], output: str) -> dict[str, Path]:
    """Return scene -> file of the artifacts that have it."""
    return {scene_id(a): a.file(output) for a in artifacts if a.has(output)}
