"""From an index and a layout to a patch store: split, search, sample, cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.errors import SkipJob
from skymend.patches.card import SPLITS, StoreCard
from skymend.patches.cut import Cutter, Sources, store_keys
from skymend.patches.index import CellIndex
from skymend.patches.layout import Layout
from skymend.patches.search import IntArray, Tuples, TupleSearch
from skymend.patches.split import Part
from skymend.patches.store import StoreWriter, sample_dtype

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Sampled:
    """Samples of all splits.

    Parameters
    ----------
    tuples : the samples, split by split.
    split : (samples,) number of the split.
    found : samples there are, per split.
    fitting : per acquisition, how many (scene, cell) pairs could serve it at all.
    """

    tuples: Tuples
    split: IntArray
    found: dict[str, int]
    fitting: dict[str, int] = field(default_factory=dict)


def draw_samples(
    index: CellIndex,
    layout: Layout,
    parts: Mapping[str, Part],
    wanted: Mapping[str, int],
    *,
    seed: int,
    max_per_cell: int | None = None,
) -> Sampled:
    """Search and sample each split on its own.

    Parameters
    ----------
    parts : land and period of each split.
    wanted : samples wanted per split; fewer come where there are fewer.
    seed : of everything drawn.

    Raises
    ------
    SkipJob
        if the training split has no sample, saying which acquisition found no image.
    """
    drawn, numbers, found, fitting = [], [], {}, dict.fromkeys(layout.names, 0)
    for name, part in parts.items():
        number = SPLITS.index(name)
        search = TupleSearch(index.between(part.start, part.end), layout, seed=seed, area=part.area)
        rng = np.random.default_rng([seed, number])
        tuples = search.sample(wanted[name], rng, max_per_cell=max_per_cell)
        drawn.append(tuples)
        numbers.append(np.full(len(tuples), number, np.int64))
        found[name] = search.total
        for acquisition, count in search.fitting.items():
            fitting[acquisition] += count
    if found.get("train", 0) == 0:
        raise SkipJob(_why_empty(fitting))
    return Sampled(_joined(layout, drawn), np.concatenate(numbers), found, fitting)


def _why_empty(fitting: Mapping[str, int]) -> str:
    lacking = [name for name, count in fitting.items() if count == 0]
    if lacking:
        return (
            f"no sample fits the layout: no patch serves {', '.join(lacking)} "
            "(cloud range, valid pixels or SAR gap)"
        )
    return "no sample fits the layout: no dates lie in all of its windows at once"


def _joined(layout: Layout, drawn: list[Tuples]) -> Tuples:
    def joined(name: str) -> IntArray:
        return np.concatenate([getattr(t, name) for t in drawn])

    fields = ("cell", "reference", "optical", "radar", "donor")
    return Tuples(layout.names, *(joined(name) for name in fields))


def sample_table(index: CellIndex, sampled: Sampled) -> npt.NDArray[Any]:
    """Return the table of samples that goes into the store."""
    tuples = sampled.tuples
    table = np.zeros(len(tuples), sample_dtype(len(tuples.names)))
    table["split"] = sampled.split
    corners = _corners(index, tuples.cell)
    table["row"], table["column"] = corners[:, 0], corners[:, 1]
    table["time"] = index.optical.times[tuples.reference]
    table["optical"], table["radar"] = tuples.optical, tuples.radar
    table["donor"] = tuples.donor
    return table


def _corners(index: CellIndex, cells: IntArray) -> IntArray:
    rows, columns = np.divmod(cells, index.shape[1])
    return np.stack([rows, columns], axis=1) * index.patch_size


def write_dataset(
    folder: Path,
    index: CellIndex,
    layout: Layout,
    sampled: Sampled,
    sources: Sources,
    *,
    seed: int,
    convention: str | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> StoreCard:
    """Cut the samples and write the store.

    Parameters
    ----------
    folder : of the store.
    sources : rasters, in the order the index counts scenes.
    convention : backscatter convention of the radar scenes.
    settings : further facts for the card.

    Returns
    -------
    The card of the store.
    """
    sources.check()
    keys = store_keys(layout, sources, index.patch_size)
    corners = _corners(index, sampled.tuples.cell)
    counts = np.bincount(sampled.split, minlength=len(SPLITS)).tolist()
    card = StoreCard(
        keys=keys,
        samples=len(sampled.tuples),
        splits={n: c for n, c in zip(SPLITS, counts, strict=True) if n in sampled.found},
        patch_size=index.patch_size,
        resolution_m=sources.grid.resolution,
        layout=layout.as_json(),
        convention=convention,
        seed=seed,
        scenes={"optical": index.optical.scenes, "radar": index.radar.scenes},
        sampling={
            **(settings or {}),
            "acquisitions": list(layout.names),
            "found": sampled.found,
            "grid": sources.grid.as_json(),
        },
    )
    with StoreWriter(folder, keys, sample_table(index, sampled)) as writer:
        size = index.patch_size
        Cutter(writer, layout, sampled.tuples, sources, size, corners).run(progress)
        return writer.finish(card)


def summarize(
    card: StoreCard, index: CellIndex, layout: Layout, sampled: Sampled
) -> dict[str, Any]:
    """Return what a reader wants to know of a dataset, as JSON types."""
    tuples = sampled.tuples
    dates = np.unique(tuples.reference)
    return {
        "layout": layout.summarize().splitlines(),
        "samples": card.samples,
        "splits": card.splits,
        "found": sampled.found,
        "fitting_patches": sampled.fitting,
        "reference_scenes": [index.optical.scenes[i] for i in dates],
        "donor_scenes": [index.optical.scenes[i] for i in np.unique(tuples.donor) if i >= 0],
        "cells": {
            name: len(np.unique(tuples.cell[sampled.split == SPLITS.index(name)]))
            for name in sampled.found
        },
        "patch_size": card.patch_size,
        "data_hash": card.data_hash,
    }
