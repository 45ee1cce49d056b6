"""Cutting samples out of scenes into a patch store, scene by scene and strip by strip.

Pixels hidden for evaluation never reach the store: they are nodata in every acquisition of
the date they are hidden on, unusable in the truth, and never painted as clouds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import REFLECTANCE, ByteArray
from skymend.core.errors import GridError, ProductError
from skymend.core.grid import Grid, Window
from skymend.core.raster import describe, read, read_labels, read_stored
from skymend.patches.card import DEM_NODATA, OPTICAL_NODATA, KeySpec
from skymend.patches.layout import Layout
from skymend.patches.search import IntArray, Tuples
from skymend.patches.stats import CLOUDY_LABELS, BoolArray
from skymend.patches.store import StoreWriter, encode_decibel

CLEAR, SNOW, WATER = 1, 4, 5

_STRIP_PX = 512
_STRIP_COLUMNS_PX = 11_264


class OpticalFiles(NamedTuple):
    """Rasters of one optical scene."""

    reflectance: Path
    mask: Path
    hidden: Path | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """The scenes samples are cut from, all on one grid.

    Parameters
    ----------
    grid : the grid of all rasters; the DEM may have pixels twice as large.
    optical, radar : rasters by scene number, as the index counts them.
    dem : the elevation raster, if the store should hold one.
    bands, polarisations : band names, in the order the store keeps them.
    snow_is_usable : whether snow counts as truth.
    """

    grid: Grid
    optical: Sequence[OpticalFiles]
    radar: Sequence[Path]
    dem: Path | None
    bands: tuple[str, ...]
    polarisations: tuple[str, ...]
    snow_is_usable: bool = True

    def check(self) -> None:
        """Refuse rasters on another grid.

        Raises
        ------
        GridError
            naming the raster.
        """
        for path in [*(p for files in self.optical for p in files if p), *self.radar]:
            if describe(path).grid != self.grid:
                raise _other_grid(path, self.grid)
        if self.dem is not None:
            self.dem_ratio()

    def dem_ratio(self) -> int:
        """Return the pixel size of the DEM over that of the grid: 1 or 2."""
        if self.dem is None:
            return 1
        grid = describe(self.dem).grid
        ratio = round(grid.resolution / self.grid.resolution)
        if ratio not in {1, 2} or grid != self.grid.at_resolution(ratio * self.grid.resolution):
            raise _other_grid(self.dem, self.grid)
        return ratio


def store_keys(layout: Layout, sources: Sources, size: int) -> tuple[KeySpec, ...]:
    """Return the arrays a store of this layout has.

    Per acquisition ``s2_<name>`` and, where it has SAR, ``s1_<name>``; the truth is always
    ``s2_target`` with ``usable_target`` (1 where it may be learnt from), whatever acquisition it
    comes from, and then is no input under its own name. Where the origin is an input,
    ``cloud_<origin>`` is 1 where it shows no clear ground. ``dem`` where there is one.
    """
    keys = []
    for name, spec in layout.acquisitions.items():
        if _shown(layout, name):
            keys.append(_key(f"s2_{name}", "optical", name, sources.bands, size))
        if spec.has_radar:
            keys.append(_key(f"s1_{name}", "radar", name, sources.polarisations, size))
    truth = layout.truth
    keys.append(_key("s2_target", "optical", truth, sources.bands, size))
    keys.append(_key("usable_target", "mask", truth, ("usable",), size))
    if layout.shows_origin:
        keys.append(_key(f"cloud_{layout.origin}", "mask", layout.origin, ("cloud",), size))
    if sources.dem is not None:
        ratio = sources.dem_ratio()
        keys.append(_key("dem", "dem", None, ("elevation",), size // ratio, ratio))
    return tuple(keys)


def _key(
    name: str,
    kind: Any,
    acquisition: str | None,
    bands: tuple[str, ...],
    size: int,
    ratio: int = 1,
) -> KeySpec:
    return KeySpec(
        name=name,
        kind=kind,
        acquisition=acquisition,
        bands=bands,
        size=size,
        resolution_ratio=ratio,
    )


def _shown(layout: Layout, name: str) -> bool:
    """Tell whether the optical image of an acquisition is an input under its own name."""
    return name != layout.truth or (name == layout.origin and layout.shows_origin)


class Cutter:
    """Fills a store with the samples of a search.

    Parameters
    ----------
    writer : the store.
    layout, tuples, sources : what to cut.
    size : patch side in pixels.
    corners : (samples, 2) row and column of the upper-left pixels.
    """

    def __init__(
        self,
        writer: StoreWriter,
        layout: Layout,
        tuples: Tuples,
        sources: Sources,
        size: int,
        corners: IntArray,
    ) -> None:
        self.writer = writer
        self.layout = layout
        self.tuples = tuples
        self.sources = sources
        self.size = size
        self.corners = corners

    def run(self, progress: Any = None) -> None:
        """Cut everything; ``progress`` takes the share done and a short text."""
        jobs = [
            *((self._optical_scene, i, "optical") for i in np.unique(self.tuples.optical)),
            *((self._radar_scene, i, "radar") for i in np.unique(self.tuples.radar) if i >= 0),
            *((self._donor_scene, i, "clouds") for i in np.unique(self.tuples.donor) if i >= 0),
        ]
        for done, (cut, scene, what) in enumerate(jobs):
            if progress is not None:
                progress(done / len(jobs), f"{what} scene {scene}")
            cut(int(scene))
        if self.sources.dem is not None:
            self._dem()

    def _optical_scene(self, scene: int) -> None:
        files = self.sources.optical[scene]
        uses = self.tuples.optical == scene
        for window, samples in self._strips(uses.any(axis=1)):
            stored, labels, hidden = self._read_optical(files, window)
            for sample in samples:
                part = self._inside(sample, window)
                values = _last_axis(stored[:, *part])
                for number in np.flatnonzero(uses[sample]):
                    name = self.tuples.names[number]
                    self._write_optical(sample, name, values, labels[part], hidden[part])

    def _write_optical(
        self,
        sample: int,
        name: str,
        values: npt.NDArray[np.int16],
        labels: ByteArray,
        hidden: BoolArray,
    ) -> None:
        good = [CLEAR, WATER, *([SNOW] if self.sources.snow_is_usable else [])]
        complete = (values != OPTICAL_NODATA).all(axis=-1)
        usable = np.isin(labels, good) & ~hidden & complete
        if _shown(self.layout, name):
            self._write(f"s2_{name}", sample, self._as_input(name, values, usable))
        if name == self.layout.truth:
            self._write("s2_target", sample, values)
            self._write("usable_target", sample, usable[..., None].astype(np.uint8))
        if name == self.layout.origin and self.layout.shows_origin:
            self._write(f"cloud_{name}", sample, (~usable)[..., None].astype(np.uint8))

    def _as_input(
        self, name: str, values: npt.NDArray[np.int16], usable: BoolArray
    ) -> npt.NDArray[np.int16]:
        """With painted clouds the other dates show clear ground only, as in inference."""
        if self.layout.clouding is None or name == self.layout.origin:
            return values
        return np.where(usable[..., None], values, np.int16(OPTICAL_NODATA))

    def _radar_scene(self, scene: int) -> None:
        uses = self.tuples.radar == scene
        bands = self.sources.polarisations
        for window, samples in self._strips(uses.any(axis=1)):
            power = read(self.sources.radar[scene], bands=bands, window=window)
            power[power == 0] = np.nan
            for sample in samples:
                part = self._inside(sample, window)
                stored = _last_axis(encode_decibel(power[:, *part]))
                for number in np.flatnonzero(uses[sample]):
                    self._write(f"s1_{self.tuples.names[number]}", sample, stored)

    def _donor_scene(self, scene: int) -> None:
        """Paint the clouds of one date over the references that drew it."""
        clouding, origin = self.layout.clouding, self.layout.origin
        files = self.sources.optical[scene]
        for window, samples in self._strips(self.tuples.donor == scene):
            stored, labels, hidden = self._read_optical(files, window)
            for sample in samples:
                part = self._inside(sample, window)
                cloudy = np.isin(labels[part], CLOUDY_LABELS) & ~hidden[part]
                values = self.writer.read(f"s2_{origin}", [sample])[0]
                cloud = self.writer.read(f"cloud_{origin}", [sample])[0]
                donor = _last_axis(stored[:, *part])
                paint = clouding is not None and clouding.paint == "pixels"
                # a hole in the reference stays one: what is hidden there must not come back
                lit = cloudy & (values != OPTICAL_NODATA).any(axis=-1)
                values[lit] = donor[lit] if paint else OPTICAL_NODATA
                cloud[cloudy] = 1
                self._write(f"s2_{origin}", sample, values)
                self._write(f"cloud_{origin}", sample, cloud)

    def _dem(self) -> None:
        path, ratio = self.sources.dem, self.sources.dem_ratio()
        if path is None:
            return
        for window, samples in self._strips(np.ones(len(self.tuples), bool)):
            coarse = Window(
                *(n // ratio for n in (window.row, window.column)),
                *(n // ratio for n in (window.rows, window.columns)),
            )
            height = read(path, window=coarse)[:1]
            stored = np.where(np.isnan(height), DEM_NODATA, np.rint(height)).astype(np.int16)
            for sample in samples:
                rows, columns = self._inside(sample, window)
                part = tuple(slice(s.start // ratio, s.stop // ratio) for s in (rows, columns))
                self._write("dem", sample, _last_axis(stored[:, *part]))

    def _read_optical(
        self, files: OpticalFiles, window: Window
    ) -> tuple[npt.NDArray[np.int16], ByteArray, BoolArray]:
        """Return stored reflectance with hidden pixels as nodata, labels and hidden flags."""
        stored = _reflectance(files.reflectance, self.sources.bands, window)
        labels = read_labels(files.mask, window=window)
        hidden = np.zeros(labels.shape, bool)
        if files.hidden is not None:
            hidden = read_labels(files.hidden, window=window) != 0
            stored[:, hidden] = OPTICAL_NODATA
        return stored, labels, hidden

    def _strips(self, chosen: BoolArray) -> Iterator[tuple[Window, list[int]]]:
        """Yield windows of a bounded size with the samples that lie in them."""
        height = max(_STRIP_PX // self.size, 1) * self.size
        width = max(_STRIP_COLUMNS_PX // self.size, 1) * self.size
        numbers = np.flatnonzero(chosen)
        strip = self.corners[numbers] // np.array([height, width])
        for group in np.unique(strip, axis=0):
            samples = numbers[(strip == group).all(axis=1)]
            low = self.corners[samples].min(axis=0)
            high = self.corners[samples].max(axis=0) + self.size
            yield Window(*low.tolist(), *(high - low).tolist()), samples.tolist()

    def _inside(self, sample: int, window: Window) -> tuple[slice, slice]:
        row, column = (self.corners[sample] - [window.row, window.column]).tolist()
        return slice(row, row + self.size), slice(column, column + self.size)

    def _write(self, key: str, sample: int, stored: npt.NDArray[Any]) -> None:
        self.writer.write(key, [sample], stored[None])


def _reflectance(path: Path, bands: tuple[str, ...], window: Window) -> npt.NDArray[np.int16]:
    info = describe(path)
    same = (info.dtype, info.nodata) == (REFLECTANCE.dtype, REFLECTANCE.nodata)
    if same and info.offset == 0 and abs(info.scale - REFLECTANCE.scale) < 1e-9:
        return np.asarray(read_stored(path, bands=bands, window=window), np.int16)
    return np.asarray(REFLECTANCE.encode(read(path, bands=bands, window=window)), np.int16)


def _last_axis(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(np.moveaxis(values, 0, -1))


def _other_grid(path: Path, grid: Grid) -> GridError:
    found = describe(path).grid
    return GridError(
        where=path,
        expected=f"{grid.crs}, {grid.bounds}, {grid.shape[0]} x {grid.shape[1]} pixels",
        found=f"{found.crs}, {found.bounds}, {found.shape[0]} x {found.shape[1]} pixels",
        fix="make all scenes on the grid of the region (a DEM at the same or twice the pixel size)",
    )


def one_convention(found: Mapping[str, str | None]) -> str | None:
    """Return the backscatter convention all radar scenes share (None when none says).

    Parameters
    ----------
    found : scene -> convention.

    Raises
    ------
    ProductError
        if two scenes differ.
    """
    known = {c: scene for scene, c in sorted(found.items()) if c}
    if len(known) > 1:
        raise ProductError(
            where="radar scenes",
            expected="one backscatter convention",
            found=", ".join(f"{c} ({scene})" for c, scene in sorted(known.items())),
            fix="leave out the scenes of one convention",
        )
    return next(iter(known), None)
