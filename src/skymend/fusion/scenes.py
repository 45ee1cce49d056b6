"""The scenes of one target date: what a job was given, read back block by block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray, FloatArray
from skymend.core.errors import GridError
from skymend.core.grid import Grid, Window
from skymend.core.raster import open_raster
from skymend.core.step import Artifact
from skymend.fusion.stack import BoolArray, Stack
from skymend.products.labels import Label

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

RADAR_BANDS = ("VV", "VH")
MAX_CANDIDATES = 64
"""More candidates than this, the farther ones are left out: memory stays bounded."""


@dataclass(frozen=True, slots=True)
class Optical:
    """Reflectance and mask of one date; ``time`` in days UTC since 1970-01-01."""

    id: str
    date: str
    time: float
    reflectance: Path
    mask: Path


@dataclass(frozen=True, slots=True)
class Radar:
    """Backscatter of one pass; ``time`` in days UTC since 1970-01-01."""

    id: str
    time: float
    backscatter: Path
    orbit: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Why a candidate takes part or not, as it stands in the facts of the job."""

    id: str
    date: str
    clear_share: float | None
    used: bool
    reason: str

    def as_fact(self) -> dict[str, Any]:
        """Return plain JSON types."""
        share = None if self.clear_share is None else round(self.clear_share, 6)
        return {
            "id": self.id,
            "date": self.date,
            "clear_share": share,
            "used": self.used,
            "reason": self.reason,
        }


def days(time: datetime) -> float:
    """Return days UTC since 1970-01-01."""
    return time.timestamp() / 86400.0


def usable(labels: ByteArray, snow_is_clear: bool) -> BoolArray:
    """Tell which labels are observations of the ground: clear, water and, if asked, snow."""
    table = np.zeros(256, np.bool_)
    table[[int(Label.CLEAR), int(Label.WATER)]] = True
    table[int(Label.SNOW)] = snow_is_clear
    return table[labels]


def pair(
    optical: Iterable[Artifact], masks: Iterable[Artifact]
) -> tuple[list[Optical], list[Choice]]:
    """Match scenes and masks by their id; absent ones are rejected with their reason.

    Returns
    -------
    The pairs in order of time (then id), whatever the order they came in, and the rejected.
    """
    by_id = {m.tags["id"]: m for m in masks}
    pairs, rejected = [], []
    for scene in optical:
        name, mask = scene.tags["id"], by_id.get(scene.tags["id"])
        absent = scene.absent or ("no mask" if mask is None else mask.absent)
        if absent is not None or mask is None:
            rejected.append(Choice(name, scene.date, None, False, absent or "no mask"))
            continue
        files = scene.file("reflectance"), mask.file("mask")
        pairs.append(Optical(name, scene.date, days(scene.time), *files))
    rejected.sort(key=lambda c: (c.date, c.id))
    return sorted(pairs, key=lambda p: (p.time, p.id)), rejected


def passes(artifacts: Iterable[Artifact]) -> list[Radar]:
    """Return the radar passes that are there, in order of time (then id)."""
    found = [
        Radar(
            a.tags.get("id", a.key),
            days(a.time),
            a.file("backscatter"),
            int(a.tags.get("relative_orbit") or 0),
        )
        for a in artifacts
        if a.absent is None
    ]
    return sorted(found, key=lambda r: (r.time, r.id))


class SceneReader:
    """Reads the scenes of one job by windows; files stay open in between.

    Not to be shared between threads.

    Parameters
    ----------
    grid, bands, target_time : what is read, and around which time (days).
    snow_is_clear : whether snow counts as an observation.
    target : the target date; None for a virtual or withheld one.
    dem : heights on the grid.
    hidden : flags of pixels hidden for evaluation, and ``blind``: the ids of the scenes that
        must not see them.
    """

    def __init__(
        self,
        grid: Grid,
        bands: Sequence[str],
        target_time: float,
        *,
        snow_is_clear: bool = True,
        target: Optical | None = None,
        dem: Path | None = None,
        hidden: Path | None = None,
        blind: frozenset[str] = frozenset(),
    ) -> None:
        self.grid = grid
        self.bands = tuple(bands)
        self.target_time = target_time
        self.target = target
        self.candidates: list[Optical] = []
        self.radar: list[Radar] = []
        self._snow = snow_is_clear
        self._dem = dem
        self._hidden = hidden
        self._blind = blind
        self._files = ExitStack()
        self._open: dict[Path, DatasetReader] = {}

    def __enter__(self) -> SceneReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.clear()
        self._files.close()

    def choose(self, candidates: Sequence[Optical]) -> list[Choice]:
        """Take the candidates that have any usable pixel, the closest 64; say why not."""
        shares = {c.id: self.usable_share(c) for c in candidates}
        seen = [c for c in candidates if shares[c.id] > 0]
        seen.sort(key=lambda c: (abs(c.time - self.target_time), c.time, c.id))
        taken = seen[:MAX_CANDIDATES]
        self.candidates = sorted(taken, key=lambda c: (c.time, c.id))
        kept = {c.id for c in taken}
        choices = []
        for c in candidates:
            reason = "" if c.id in kept else "no usable pixel: cloud, shadow or nodata everywhere"
            if c.id not in kept and shares[c.id] > 0:
                reason = f"{MAX_CANDIDATES} candidates are closer in time"
            choices.append(Choice(c.id, c.date, shares[c.id], c.id in kept, reason))
        return choices

    def usable_share(self, scene: Optical) -> float:
        """Return the share of the grid that is usable in a scene's mask."""
        count = 0
        for window in self.grid.blocks(4096):
            count += int(self._good(scene, self.labels(scene, window), window).sum())
        return count / (self.grid.shape[0] * self.grid.shape[1])

    def labels(self, scene: Optical, window: Window) -> ByteArray:
        """Return the labels of a window, (rows, columns) uint8."""
        return np.asarray(self.stored(scene.mask, window)[0], np.uint8)

    def stored(
        self, path: Path, window: Window, bands: Sequence[str] | None = None
    ) -> npt.NDArray[Any]:
        """Return stored numbers of a window of the grid, (bands, rows, columns)."""
        dataset = self._dataset(path)
        indexes = None
        if bands is not None:
            indexes = [_index(dataset, band, path) for band in bands]
        where = (
            (window.row, window.row + window.rows),
            (window.column, window.column + window.columns),
        )
        return np.asarray(dataset.read(indexes, window=where))

    def physical(
        self, path: Path, window: Window, bands: Sequence[str] | None = None
    ) -> FloatArray:
        """Return physical values of a window, NaN where nodata."""
        dataset, stored = self._dataset(path), self.stored(path, window, bands)
        values = stored.astype(np.float32)
        if dataset.scales[0] != 1.0 or dataset.offsets[0] != 0.0:
            values *= np.float32(dataset.scales[0])
            values += np.float32(dataset.offsets[0])
        if dataset.nodata is not None and not np.isnan(dataset.nodata):
            values[stored == dataset.nodata] = np.nan
        return values

    def hidden_pixels(self, window: Window) -> BoolArray:
        """Return (rows, columns) bool, the pixels hidden for evaluation."""
        if self._hidden is None:
            return np.zeros((window.rows, window.columns), bool)
        flags: BoolArray = self.stored(self._hidden, window)[0] == 1
        return flags

    def truth(self, scene: Optical, window: Window) -> FloatArray:
        """Return what a scene saw, hidden pixels included; NaN where not usable."""
        values = self.physical(scene.reflectance, window, self.bands)
        values[:, ~usable(self.labels(scene, window), self._snow)] = np.nan
        return values

    def _good(self, scene: Optical, labels: ByteArray, window: Window) -> BoolArray:
        good = usable(labels, self._snow)
        if scene.id in self._blind:
            good &= ~self.hidden_pixels(window)
        return good

    def seen(self, scene: Optical, window: Window) -> tuple[FloatArray | None, BoolArray]:
        """Return what a scene saw of the ground and where it has any value.

        Returns
        -------
        reflectance (bands, rows, columns) float32, NaN where not usable (None: nowhere
        usable), and (rows, columns) bool, inside the swath.
        """
        labels = self.labels(scene, window)
        good, inside = self._good(scene, labels, window), labels != 0
        if not good.any():
            return None, inside
        values = self.physical(scene.reflectance, window, self.bands)
        good &= np.isfinite(values).all(axis=0)
        values[:, ~good] = np.nan
        return values, inside

    def stack(self, window: Window, *, radar: bool) -> tuple[Stack, BoolArray]:
        """Read a window of all scenes.

        Returns
        -------
        The stack (candidates without a usable pixel in the window left out, ``wanted`` not
        set) and (rows, columns) bool: inside the swath of any date.
        """
        shape = (window.rows, window.columns)
        times, values, inside = [], [], np.zeros(shape, bool)
        for scene in self.candidates:
            seen, swath = self.seen(scene, window)
            inside |= swath
            if seen is not None:
                times.append(scene.time)
                values.append(seen)
        optical = np.empty((0, len(self.bands), *shape), np.float32)
        stack = Stack(
            np.array(times, np.float64),
            np.stack(values) if values else optical,
            self.target_time,
            self.bands,
            target=self._target(window, inside),
            dem=self._heights(window),
        )
        return (self._with_radar(stack, window) if radar else stack), inside

    def _target(self, window: Window, inside: BoolArray) -> FloatArray | None:
        if self.target is None:
            return None
        seen, swath = self.seen(self.target, window)
        inside |= swath
        if seen is None:
            seen = np.full((len(self.bands), *inside.shape), np.nan, np.float32)
        return seen

    def _heights(self, window: Window) -> FloatArray | None:
        if self._dem is None or self._shape(self._dem) != self.grid.shape:
            return None
        return np.asarray(self.physical(self._dem, window)[0], np.float32)

    def _shape(self, path: Path) -> tuple[int, int]:
        rows, columns = self._dataset(path, check=False).shape
        return (int(rows), int(columns))

    def _with_radar(self, stack: Stack, window: Window) -> Stack:
        if not self.radar:
            return stack
        power = [self.physical(r.backscatter, window, RADAR_BANDS) for r in self.radar]
        return replace(
            stack,
            radar_times=np.array([r.time for r in self.radar], np.float64),
            radar=np.stack(power),
            radar_orbits=np.array([r.orbit for r in self.radar], np.int64),
        )

    def _dataset(self, path: Path, *, check: bool = True) -> DatasetReader:
        if path not in self._open:
            self._open[path] = self._files.enter_context(open_raster(path))
        dataset = self._open[path]
        if check and tuple(dataset.shape) != self.grid.shape:
            raise GridError(
                where=path,
                expected=f"{self.grid.shape[0]} x {self.grid.shape[1]} pixels",
                found=f"{dataset.shape[0]} x {dataset.shape[1]}",
                fix="make all scenes of the job on one grid",
            )
        return dataset


def _index(dataset: DatasetReader, band: str, path: Path) -> int:
    from skymend.core.errors import ProductError

    names = list(dataset.descriptions)
    if band not in names:
        raise ProductError(
            where=path,
            expected=f"a band named {band}",
            found=", ".join(str(n) for n in names),
            fix="ask only for bands that the scene was made with",
        )
    return names.index(band) + 1
