"""The index: the statistics of a whole series, brought to cells of the training patch size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.core.errors import ConfigError, GridError, NoImageError, ProductError
from skymend.patches.stats import BLOCK_PX, BoolArray, SceneStats, read_stats


@dataclass(frozen=True, slots=True)
class Series:
    """All scenes of one sensor, in order of time, seen through cells.

    Parameters
    ----------
    scenes : identifiers.
    times : (scenes,) float64 UTC seconds since 1970, ascending.
    valid : (scenes, cells) bool, every block of the cell is valid.
    cloud : (scenes, cells) float32 percent of cloud and shadow, hidden pixels included.
    hidden : (scenes, cells) float32 percent of hidden pixels.
    relative_orbits, directions : per scene, or None where unknown.
    """

    scenes: tuple[str, ...]
    times: npt.NDArray[np.float64]
    valid: BoolArray
    cloud: FloatArray
    hidden: FloatArray
    relative_orbits: tuple[int | None, ...]
    directions: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.scenes)

    def only(self, keep: BoolArray) -> Series:
        """Return the series with all scenes outside ``keep`` (scenes,) made invalid.

        Scene numbers stay what they are.
        """
        return replace(self, valid=self.valid & keep[:, None])


@dataclass(frozen=True, slots=True)
class CellIndex:
    """Optical and radar series over one lattice of cells.

    Parameters
    ----------
    shape : (cell rows, cell columns); cells are counted row by row.
    patch_size : side of a cell in pixels, a multiple of 64.
    optical, radar : the series; radar may hold no scene.
    """

    shape: tuple[int, int]
    patch_size: int
    optical: Series
    radar: Series

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.shape[0] * self.shape[1]

    def between(self, start: float, end: float) -> CellIndex:
        """Return the index with only scenes of ``start <= time <= end`` (UTC seconds) valid."""
        optical, radar = (
            series.only((series.times >= start) & (series.times <= end))
            for series in (self.optical, self.radar)
        )
        return replace(self, optical=optical, radar=radar)


def build_index(
    tables: Iterable[SceneStats], patch_size: int, *, invalid_tolerance: float = 0.0
) -> CellIndex:
    """Bring statistics of scenes to cells.

    A cell is valid in a scene where every one of its blocks has at most ``invalid_tolerance``
    invalid pixels; its cloud percentage is the mean over its blocks (decloud, section 5).

    Parameters
    ----------
    tables : statistics of all scenes, in any order.
    patch_size : side of a cell in pixels, a multiple of 64; complete cells only.
    invalid_tolerance : share of a block, 0..1.

    Raises
    ------
    ConfigError
        if the patch size is no multiple of 64 or larger than the area.
    NoImageError
        if there is no optical scene.
    """
    ordered = sorted(tables, key=lambda s: (s.seconds, s.scene))
    optical = [s for s in ordered if s.sensor == "optical"]
    if not optical:
        raise NoImageError(
            where="patch index",
            expected="statistics of at least one optical scene",
            found=f"{len(ordered)} radar scenes" if ordered else "none",
            fix="widen the period or the area",
        )
    blocks = _one_shape(ordered)
    scale = _scale(patch_size, blocks)
    shape = (blocks[0] // scale, blocks[1] // scale)
    radar = [s for s in ordered if s.sensor == "radar"]
    series = [_series(s, scale, shape, invalid_tolerance) for s in (optical, radar)]
    return CellIndex(shape, patch_size, series[0], series[1])


def read_index(
    paths: Sequence[Path], patch_size: int, *, invalid_tolerance: float = 0.0
) -> CellIndex:
    """Read the tables of many scenes as one dataset; see :func:`build_index`."""
    return build_index(
        (read_stats(path) for path in paths), patch_size, invalid_tolerance=invalid_tolerance
    )


def _series(
    stats: list[SceneStats], scale: int, shape: tuple[int, int], tolerance: float
) -> Series:
    count = shape[0] * shape[1]
    valid = np.zeros((len(stats), count), bool)
    cloud = np.zeros((len(stats), count), np.float32)
    hidden = np.zeros((len(stats), count), np.float32)
    for i, scene in enumerate(stats):
        invalid = 1.0 - _cells(scene.valid_share, scale, shape)
        valid[i] = (invalid.max(axis=(1, 3)) <= tolerance).ravel()
        cloud[i] = 100.0 * _cells(scene.cloud_share, scale, shape).mean(axis=(1, 3)).ravel()
        hidden[i] = 100.0 * _cells(scene.hidden_share, scale, shape).mean(axis=(1, 3)).ravel()
    return Series(
        scenes=tuple(s.scene for s in stats),
        times=np.array([s.seconds for s in stats], np.float64),
        valid=valid,
        cloud=cloud,
        hidden=hidden,
        relative_orbits=tuple(s.relative_orbit for s in stats),
        directions=tuple(s.direction for s in stats),
    )


def _cells(blocks: FloatArray, scale: int, shape: tuple[int, int]) -> FloatArray:
    """View blocks as (cell rows, scale, cell columns, scale); incomplete cells fall away."""
    whole = blocks[: shape[0] * scale, : shape[1] * scale]
    return whole.reshape(shape[0], scale, shape[1], scale)


def _scale(patch_size: int, blocks: tuple[int, int]) -> int:
    scale, rest = divmod(patch_size, BLOCK_PX)
    if rest or scale < 1:
        raise ConfigError(
            where="patch_size",
            expected=f"a multiple of {BLOCK_PX} pixels",
            found=str(patch_size),
            fix="take 64, 128 or 256",
        )
    if scale > min(blocks):
        raise ConfigError(
            where="patch_size",
            expected=f"at most {min(blocks) * BLOCK_PX} pixels in this area",
            found=str(patch_size),
            fix="choose smaller patches or a larger area",
        )
    return scale


def _one_shape(stats: list[SceneStats]) -> tuple[int, int]:
    rows, columns = stats[0].valid_share.shape
    for scene in stats:
        if scene.valid_share.shape != (rows, columns):
            raise GridError(
                where=scene.scene,
                expected=f"statistics of {rows} x {columns} blocks",
                found=" x ".join(str(n) for n in scene.valid_share.shape),
                fix="make the statistics of all scenes on one grid",
            )
    twice = [key for key, n in Counter((s.sensor, s.scene) for s in stats).items() if n > 1]
    if twice:
        raise ProductError(
            where=twice[0][1],
            expected="one table per scene",
            found="two",
            fix="hand over each scene once",
        )
    return rows, columns
