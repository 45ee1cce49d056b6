"""Search for sample tuples: which images of a series fit a layout, cell by cell.

The semantics are those of decloud (section 8): every optical image is tried as reference; for
each acquisition the images inside its window (seconds, both ends included) whose patch is
valid, whose cloud share lies in the range (both ends included) and whose nearest valid SAR
image is at most ``max_s1s2_gap_hours`` away (included) are candidates; a sample is one
candidate per acquisition. Here no image serves two acquisitions unless they are siblings.
Nothing is listed: tuples are counted, and drawn by their rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skymend.patches.counting import Conflicts, bits, count, unrank
from skymend.patches.index import CellIndex, Series
from skymend.patches.layout import Acquisition, Layout, RadarQuery, RandomPercent
from skymend.patches.stats import BoolArray

IntArray = npt.NDArray[np.int64]

_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Tuples:
    """Samples found, in order of (cell, reference, rank).

    Parameters
    ----------
    names : acquisitions, the order of the second axis below.
    cell : (samples,) number of the cell.
    reference : (samples,) number of the optical scene at the origin.
    optical, radar : (samples, acquisitions) scene numbers; radar -1 where none is wanted.
    donor : (samples,) optical scene that lends its clouds, -1 without clouding.
    """

    names: tuple[str, ...]
    cell: IntArray
    reference: IntArray
    optical: IntArray
    radar: IntArray
    donor: IntArray

    def __len__(self) -> int:
        return len(self.cell)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Images ``start .. start + len(fits) - 1`` and where they fit: fits (images, cells)."""

    start: int
    fits: BoolArray


def nearest_radar(optical: Series, radar: Series, query: RadarQuery, max_gap_s: float) -> IntArray:
    """Return the nearest valid radar scene per optical scene and cell.

    Parameters
    ----------
    optical, radar : the series.
    query : which passes count.
    max_gap_s : largest distance in seconds, included.

    Returns
    -------
    (optical scenes, cells) int64 scene number; -1 where none is near enough. Of two at the
    same distance the earlier wins.
    """
    nearest = np.full(optical.valid.shape, -1, np.int64)
    passes = np.flatnonzero([_wanted(radar, i, query) for i in range(len(radar))])
    for i, time in enumerate(optical.times):
        gap = np.abs(radar.times[passes] - time)
        order = np.lexsort((radar.times[passes], gap))
        for j in passes[order[: np.count_nonzero(gap <= max_gap_s)]][::-1]:
            nearest[i, radar.valid[j]] = j
    return nearest


def _wanted(radar: Series, number: int, query: RadarQuery) -> bool:
    if query.orbit is not None and radar.directions[number] != query.orbit:
        return False
    return not query.relative_orbits or radar.relative_orbits[number] in query.relative_orbits


class TupleSearch:
    """The samples of a layout in an index: exact counts at once, tuples on demand.

    Parameters
    ----------
    index : the series over cells.
    layout : what makes a sample.
    seed : of the random cloud ranges; each query (cell, reference, acquisition) draws its own.
    area : (cells,) bool, cells to search; all when None.
    """

    def __init__(
        self,
        index: CellIndex,
        layout: Layout,
        *,
        seed: int = 0,
        area: BoolArray | None = None,
    ) -> None:
        self.index = index
        self.layout = layout
        self._specs = tuple(layout.acquisitions.values())
        self._origin = layout.names.index(layout.origin)
        self._conflicts = _conflicts(layout)
        self._radar = [self._nearest(spec) for spec in self._specs]
        self._donors = self._find_donors()
        self._fits = [self._static_fits(i) for i in range(len(self._specs))]
        if area is not None:
            self._fits[self._origin] &= area
        self._low = [self._draw_low(i, seed) for i in range(len(self._specs))]
        self.counts = self._count_all()
        self._ends = np.cumsum(self.counts.ravel())

    @property
    def total(self) -> int:
        """Number of samples there are."""
        return int(self._ends[-1]) if self._ends.size else 0

    @property
    def fitting(self) -> dict[str, int]:
        """Number of (scene, cell) pairs that could serve each acquisition, windows aside."""
        return {
            name: int(np.count_nonzero(fits))
            for name, fits in zip(self.layout.names, self._fits, strict=True)
        }

    def sample(
        self, number: int, rng: np.random.Generator, *, max_per_cell: int | None = None
    ) -> Tuples:
        """Draw samples uniformly, without repetition and without listing all of them.

        Parameters
        ----------
        number : how many; all there are when fewer.
        rng : the source of chance.
        max_per_cell : at most this many of one cell (decloud's constant iterator).
        """
        if max_per_cell is None:
            return self._tuples(draw_ranks(self.total, number, rng), rng)
        per_cell = self.counts.sum(axis=1)
        starts = np.cumsum(per_cell) - per_cell
        drawn = [
            start + draw_ranks(int(count), max_per_cell, rng)
            for start, count in zip(starts, per_cell, strict=True)
            if count
        ]
        ranks = np.concatenate(drawn) if drawn else np.zeros(0, np.int64)
        return self._tuples(ranks[draw_ranks(len(ranks), number, rng)], rng)

    def everything(self, rng: np.random.Generator) -> Tuples:
        """Return all samples (``rng`` chooses the donors only)."""
        return self._tuples(np.arange(self.total), rng)

    def _tuples(self, ranks: IntArray, rng: np.random.Generator) -> Tuples:
        slots = np.searchsorted(self._ends, ranks, side="right")
        cells, references = np.divmod(slots, len(self.index.optical))
        first = self._ends[slots] - self.counts.ravel()[slots]
        optical = np.zeros((len(ranks), len(self._specs)), np.int64)
        for i, (cell, reference, rank) in enumerate(
            zip(cells.tolist(), references.tolist(), (ranks - first).tolist(), strict=True)
        ):
            optical[i] = unrank(rank, self._choices(reference, cell), self._conflicts)
        radar = np.full_like(optical, -1)
        for i, nearest in enumerate(self._radar):
            if nearest is not None and self._specs[i].has_radar:
                radar[:, i] = nearest[optical[:, i], cells]
        donor = self._draw_donors(cells, references, rng)
        return Tuples(self.layout.names, cells, references, optical, radar, donor)

    def _nearest(self, spec: Acquisition) -> IntArray | None:
        if spec.max_s1s2_gap_hours is None:
            return None
        query = spec.acquisition.s1 or RadarQuery()
        limit = spec.max_s1s2_gap_hours * _HOUR
        return nearest_radar(self.index.optical, self.index.radar, query, limit)

    def _static_fits(self, number: int) -> BoolArray:
        """Return (scenes, cells) bool: what can be said of an image without the reference."""
        spec, series, nearest = self._specs[number], self.index.optical, self._radar[number]
        query = spec.acquisition.s2
        fits = series.valid & (series.cloud <= np.float32(query.max_cloud_percent))
        if not isinstance(query.min_cloud_percent, RandomPercent):
            fits &= series.cloud >= np.float32(query.min_cloud_percent)
        if nearest is not None:
            fits &= nearest >= 0
        if number == self._origin and self._donors is not None:
            # an image never lends clouds to itself
            fits &= self._donors.sum(axis=0) - self._donors > 0
        return fits

    def _find_donors(self) -> BoolArray | None:
        """Return (scenes, cells) bool: images cloudy enough; hidden pixels are not cloud here."""
        clouding, series = self.layout.clouding, self.index.optical
        if clouding is None:
            return None
        cloud = series.cloud - series.hidden
        return (
            series.valid
            & (cloud >= np.float32(clouding.min_cloud_percent))
            & (cloud <= np.float32(clouding.max_cloud_percent))
        )

    def _draw_donors(
        self, cells: IntArray, references: IntArray, rng: np.random.Generator
    ) -> IntArray:
        if self._donors is None:
            return np.full(len(cells), -1, np.int64)
        fits = self._donors[:, cells]
        fits[references, np.arange(len(cells))] = False
        order = fits.cumsum(axis=0)
        wanted = rng.integers(0, np.maximum(order[-1], 1)) + 1
        return np.asarray((order >= wanted).argmax(axis=0), np.int64)

    def _draw_low(self, number: int, seed: int) -> npt.NDArray[np.float32] | None:
        """Return (scenes, cells) lower cloud limits, capped by the upper one, or None."""
        query = self._specs[number].acquisition.s2
        low = query.min_cloud_percent
        if not isinstance(low, RandomPercent):
            return None
        shape = self.index.optical.valid.shape
        rng = np.random.default_rng([seed, number])
        drawn = rng.integers(low.min, low.max, shape, np.int8, endpoint=True)
        return np.minimum(drawn.astype(np.float32), np.float32(query.max_cloud_percent))

    def _window(self, number: int, reference: int) -> slice:
        """Return the images inside a window; the origin has the reference alone."""
        if number == self._origin:
            return slice(reference, reference + 1)
        times = self.index.optical.times
        start, end = (times[reference] + h * _HOUR for h in self._specs[number].window_hours)
        low = int(np.searchsorted(times, start, side="left"))
        return slice(low, max(low, int(np.searchsorted(times, end, side="right"))))

    def _candidates(self, number: int, reference: int, cells: slice) -> _Candidates:
        images = self._window(number, reference)
        fits = self._fits[number][images, cells]
        low = self._low[number]
        if low is not None:
            fits = fits & (self.index.optical.cloud[images, cells] >= low[reference, cells])
        return _Candidates(images.start, fits)

    def _choices(self, reference: int, cell: int) -> list[frozenset[int]]:
        one = slice(cell, cell + 1)
        found = [self._candidates(i, reference, one) for i in range(len(self._specs))]
        return [frozenset((np.flatnonzero(c.fits) + c.start).tolist()) for c in found]

    def _count_all(self) -> IntArray:
        """Return (cells, references) int64: the number of samples of each."""
        counts = np.zeros((self.index.cells, len(self.index.optical)), np.int64)
        for reference in range(len(self.index.optical)):
            cells = np.flatnonzero(self._fits[self._origin][reference])
            if cells.size:
                counts[:, reference] = self._count(reference)
        return counts

    def _count(self, reference: int) -> IntArray | int:
        every = slice(None)
        found = [self._candidates(i, reference, every) for i in range(len(self._specs))]
        if any(len(c.fits) == 0 for c in found):
            return 0

        def shared(group: int) -> IntArray | None:
            return _shared([found[i] for i in bits(group)])

        one = np.ones(self.index.cells, np.int64)
        total = count((1 << len(found)) - 1, self._conflicts, shared, one)
        return 0 if total is None else total


def _shared(members: Sequence[_Candidates]) -> IntArray | None:
    """Count per cell the images that fit all members; None if no image is in all windows."""
    start = max(m.start for m in members)
    end = min(m.start + len(m.fits) for m in members)
    if end <= start:
        return None
    common = members[0].fits[start - members[0].start : end - members[0].start]
    for m in members[1:]:
        common = common & m.fits[start - m.start : end - m.start]
    return np.asarray(common.sum(axis=0), np.int64)


def _conflicts(layout: Layout) -> Conflicts:
    """Return who may not share an image: all that are no siblings and whose windows touch."""
    names, windows = layout.names, [a.window_hours for a in layout.acquisitions.values()]
    masks = [0] * len(names)
    for i, j in _pairs(len(names)):
        touch = windows[i][0] <= windows[j][1] and windows[j][0] <= windows[i][1]
        if touch and not layout.may_share(names[i], names[j]):
            masks[i] |= 1 << j
            masks[j] |= 1 << i
    return tuple(masks)


def _pairs(count: int) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(count) for j in range(count) if i < j)


def draw_ranks(total: int, number: int, rng: np.random.Generator) -> IntArray:
    """Draw distinct whole numbers below ``total``, uniformly, ascending.

    Memory grows with ``number``, never with ``total`` alone.
    """
    number = min(number, total)
    if 2 * number >= total:
        return np.sort(rng.permutation(total)[:number]).astype(np.int64)
    drawn = np.zeros(0, np.int64)
    while len(drawn) < number:
        more = rng.integers(0, total, math.ceil(1.1 * (number - len(drawn))) + 8)
        drawn = np.concatenate([drawn, more])
        drawn = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
    return np.sort(drawn[:number])
