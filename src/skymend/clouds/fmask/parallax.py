"""The parallax test: what moves between the bands of Sentinel-2 is high (Frantz et al. 2018).

The detectors of B07, B08 and B8A see a place up to 2.6 seconds apart, from angles that differ,
so that clouds shift between the bands and the ground does not. B07 and B8A are seen 0.3 seconds
apart, B08 and B8A 1.8; on the ground B08 resembles B8A more than B07 does, over clouds less. The
cloud displacement index compares how much the two ratios vary in 7 x 7 pixels of 20 m.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from skymend.clouds.fmask.scene import NODATA, Scene, ShortArray
from skymend.clouds.fmask.strips import over_strips
from skymend.clouds.fmask.tidy import erode, grow
from skymend.core.encoding import FloatArray

SEED, GROWN = -50, -25
"""Index x 100 below which a pixel moves, and below which one beside it does (section 2.3)."""

STILL, DECK = 0, 20
"""Index x 100 of ground: a pixel at or above the first stands still, and the second is as far as
the noise of a smooth deck reaches."""

DECK_M = 60.0
CIRRUS_SEEN = 100
"""Reflectance x 10000 at 1.38 um of a cloud that needs no parallax to be believed."""

WINDOW = 7
FINEST_M, COARSEST_M = 10.0, 20.0
"""Beyond these pixel sizes the shift is not a matter of single pixels."""

BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.int8]


def applies(scene: Scene) -> bool:
    """Tell whether a scene has the bands and the pixel size of the test."""
    return (
        scene.red_edge is not None
        and scene.nir_wide is not None
        and FINEST_M <= scene.grid.resolution <= COARSEST_M
    )


def displacement_index(wide: ShortArray, red_edge: ShortArray, nir: ShortArray) -> FloatArray:
    """Return the cloud displacement index.

    Parameters
    ----------
    wide, red_edge, nir : (rows, columns) int16, B08, B07 and B8A, reflectance x 10000.

    Returns
    -------
    (rows, columns) float32, -1..1: ``(V7 - V8) / (V7 + V8)`` with V7 the variance of B07 / B8A
    and V8 that of B08 / B8A (eq. 1 and 2); below -0.5 over clouds, 0 where nothing varies.
    """
    edge, broad = _variance(red_edge, nir), _variance(wide, nir)
    total = edge + broad
    index = np.zeros_like(total)
    np.divide(edge - broad, total, out=index, where=total > 1e-8)
    return index


def index_around(scene: Scene, cloud: BoolArray, cpus: int) -> IndexArray:
    """Return the displacement index of the strips of rows in which there are clouds.

    Finer pixels than 20 m are averaged first (section 2.2): at 10 m B08 shows detail that the
    other two bands have not, so that all ground would seem to move.

    Returns
    -------
    (rows, columns) int8, index x 100; 100 in the other strips.
    """
    assert scene.red_edge is not None  # `applies` said so
    assert scene.nir_wide is not None
    ratio = max(1, round(COARSEST_M / scene.grid.resolution))
    bands = (scene.nir_wide, scene.red_edge, scene.bands.nir)
    wide, red_edge, near = (coarsened(band, ratio) for band in bands)
    if ratio > 1:
        wide = as_interpolated(wide)
    whole = np.full(wide.shape, 100, np.int8)
    reach = WINDOW // 2

    def rate(first: int, last: int) -> None:
        top = max(0, first - reach)
        if not cloud[top * ratio : (last + reach) * ratio].any():
            return
        part = slice(top, last + reach)
        index = displacement_index(wide[part], red_edge[part], near[part])
        np.rint(index[first - top : last - top] * 100, out=whole[first:last], casting="unsafe")

    over_strips(rate, wide.shape[0], cpus)
    if ratio == 1:
        return whole
    rows, columns = cloud.shape
    return whole.repeat(ratio, 0).repeat(ratio, 1)[:rows, :columns]


def coarsened(band: ShortArray, ratio: int) -> ShortArray:
    """Return the means over squares of ``ratio`` pixels; nodata where any pixel is."""
    if ratio == 1:
        return band
    rows, columns = band.shape
    padded = np.pad(band, ((0, -rows % ratio), (0, -columns % ratio)), mode="edge")
    high, wide = (size // ratio for size in padded.shape)
    squares = padded.reshape(high, ratio, wide, ratio)
    means: ShortArray = np.rint(squares.mean(axis=(1, 3), dtype=np.float32)).astype(np.int16)
    means[(squares == NODATA).any(axis=(1, 3))] = NODATA
    return means


def as_interpolated(band: ShortArray) -> ShortArray:
    """Blur B08 as B07 and B8A are blurred, which came to finer pixels by interpolation.

    The mean over a pixel of what was interpolated linearly from pixels of its size holds an
    eighth of either neighbour, in both directions. Neighbours without data have no share.
    """
    import cv2

    weights = np.array([0.125, 0.75, 0.125], np.float32)

    def blurred(values: FloatArray) -> FloatArray:
        mixed: FloatArray = cv2.sepFilter2D(
            values, -1, weights, weights, borderType=cv2.BORDER_REFLECT
        )
        return mixed

    known = band != NODATA
    values = np.where(known, band, 0).astype(np.float32)
    share = np.maximum(blurred(known.astype(np.float32)), np.float32(1e-6))
    same: ShortArray = np.rint(blurred(values) / share).astype(np.int16)
    same[~known] = NODATA
    return same


def keep_moving(scene: Scene, cloud: BoolArray, index: IndexArray) -> BoolArray:
    """Drop what stands still: bright roofs, beaches, rock, patches of snow.

    A cloud pixel stays if it or one beside it moves, unless it plainly stands still itself; if
    it lies 60 m inside a cloud that moves somewhere, for large decks hold little texture to
    shift; or if the cirrus band shows it.

    Parameters
    ----------
    index : (rows, columns) int8 of :func:`index_around`.

    Returns
    -------
    (rows, columns) boolean, part of ``cloud``.
    """
    seeds = (index < SEED) & cloud
    kept = grow(seeds, 1) & (index < STILL)
    deck = erode(cloud, DECK_M / scene.grid.resolution) & (index < DECK)
    kept |= deck & touching(seeds, cloud)
    if scene.has_cirrus:
        kept |= scene.bands.cirrus > CIRRUS_SEEN
    return np.asarray(cloud & kept)


def touching(seeds: BoolArray, within: BoolArray) -> BoolArray:
    """Return the connected parts of ``within`` that hold a seed."""
    import cv2

    _, labels = cv2.connectedComponents(within.view(np.uint8), connectivity=8)
    keep = np.zeros(int(labels.max()) + 1, np.bool_)
    keep[labels[seeds]] = True
    keep[0] = False
    found: BoolArray = keep[labels]
    return found


def _variance(first: ShortArray, second: ShortArray) -> FloatArray:
    import cv2

    valid = (first != NODATA) & (second > 0)
    ratio = np.zeros(first.shape, np.float32)
    # One is taken off first: what varies is small against the ratio itself.
    np.divide(first, second, out=ratio, where=valid, casting="unsafe")
    ratio[valid] -= 1
    size = (WINDOW, WINDOW)
    mean = cv2.boxFilter(ratio, cv2.CV_32F, size, borderType=cv2.BORDER_REFLECT)
    square = cv2.sqrBoxFilter(ratio, cv2.CV_32F, size, borderType=cv2.BORDER_REFLECT)
    square -= mean * mean
    return np.asarray(np.maximum(square, 0), np.float32)
