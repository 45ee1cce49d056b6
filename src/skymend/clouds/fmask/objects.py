"""Clouds as objects: connected, cut where they are larger than one height can describe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int32]

COVER = 0.4
"""Share of a coarse pixel that must be cloud."""


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of a mask, at a coarse pixel size.

    Parameters
    ----------
    labels : (coarse rows, coarse columns) int32, 1 to the number of objects, 0 elsewhere.
    ratio : pixels of the mask to a side of a coarse pixel.
    rows, columns : coarse pixels of the objects, one object after the other.
    starts : where in those each object begins, one more than there are objects.
    """

    labels: IntArray
    ratio: int
    rows: IntArray
    columns: IntArray
    starts: IntArray

    @property
    def count(self) -> int:
        """Number of objects."""
        return self.starts.size - 1

    @property
    def sizes(self) -> IntArray:
        """Coarse pixels of each object."""
        return np.diff(self.starts)

    def centres(self) -> npt.NDArray[np.float64]:
        """Return (objects, 2) mean row and column of each object, coarse pixels."""
        sums = [
            np.add.reduceat(axis.astype(np.float64), self.starts[:-1])
            for axis in (self.rows, self.columns)
        ]
        return np.asarray(np.stack(sums, axis=1) / self.sizes[:, None])


def coarse_share(mask: BoolArray, ratio: int) -> npt.NDArray[np.float32]:
    """Return the share of each block of ``ratio`` x ``ratio`` pixels that is True."""
    import cv2

    rows, columns = mask.shape
    padded = np.pad(mask.view(np.uint8), ((0, -rows % ratio), (0, -columns % ratio)))
    size = (padded.shape[1] // ratio, padded.shape[0] // ratio)
    share = cv2.resize(padded * np.uint8(100), size, interpolation=cv2.INTER_AREA)
    return np.asarray(share, np.float32) / np.float32(100)


def find_objects(
    cloud: BoolArray, resolution_m: float, match_m: float, largest_m: float
) -> Objects:
    """Find the objects of a mask at about ``match_m`` metres a pixel.

    Larger ones are cut into squares of ``largest_m`` metres, each an object of its own.
    """
    import cv2

    ratio = max(1, round(match_m / resolution_m))
    cover = coarse_share(cloud, ratio) >= COVER
    _, labels, stats, _ = cv2.connectedComponentsWithStats(cover.view(np.uint8), connectivity=8)
    limit = max(2.0, largest_m / (resolution_m * ratio))
    large = stats[:, cv2.CC_STAT_WIDTH : cv2.CC_STAT_HEIGHT + 1].max(axis=1) > limit
    large[0] = False
    labels = _cut(labels, large, round(limit)) if large.any() else labels
    return _listed(labels.astype(np.int32, copy=False), ratio)


def _cut(labels: IntArray, large: BoolArray, side: int) -> IntArray:
    """Give each square of a large object a number of its own."""
    rows, columns = np.nonzero(large[labels])
    wide = -(-labels.shape[1] // side)
    squares = (rows // side) * wide + columns // side
    keys = labels[rows, columns].astype(np.int64) * (squares.max() + 1) + squares
    _, numbers = np.unique(keys, return_inverse=True)
    cut = labels.copy()
    cut[rows, columns] = numbers + labels.max() + 1
    return cut


def _listed(labels: IntArray, ratio: int) -> Objects:
    """Return the objects, numbered without gaps, with their pixels."""
    places = np.flatnonzero(labels)
    found = labels.ravel()[places]
    names, numbers = np.unique(found, return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    rows, columns = np.divmod(places[order], labels.shape[1])
    starts = np.searchsorted(numbers[order], np.arange(names.size + 1))
    numbered = np.zeros(labels.shape, np.int32)
    numbered.ravel()[places] = numbers + 1
    return Objects(
        numbered,
        ratio,
        rows.astype(np.int32),
        columns.astype(np.int32),
        starts.astype(np.int32),
    )
