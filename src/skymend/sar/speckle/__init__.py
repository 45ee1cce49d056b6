"""Speckle filters for multi-look intensity: one door, five filters.

Power is modelled as z = x v: reflectivity times speckle of mean 1 and variance 1 / looks.
"""

from __future__ import annotations

from skymend.core.encoding import FloatArray

FILTERS = ("none", "boxcar", "lee", "refined-lee", "lee-sigma", "gamma-map")


def margin(name: str, window: int = 7) -> int:
    """Return how many pixels around a block a filter must see, so that the block's result does
    not depend on how the image was cut.
    """
    raise NotImplementedError


def bright_threshold(power: FloatArray) -> float:
    """Return the 98th percentile of an image (or of an even sample of it): what ``lee-sigma``
    takes as the power of point targets. NaN pixels are left out; infinity where all are.
    """
    raise NotImplementedError


def filter_speckle(
    name: str,
    power: FloatArray,
    *,
    looks: float,
    window: int = 7,
    bright: float | None = None,
) -> FloatArray:
    """Filter speckle.

    Parameters
    ----------
    name : one of :data:`FILTERS`.
    power : (rows, columns) float32 linear power, NaN where invalid.
    looks : equivalent number of looks of the input (IW GRDH: 4.4).
    window : odd side of the window in pixels; ``refined-lee`` has 7 only.
    bright : power above which ``lee-sigma`` looks for point targets, one number for all blocks
        of an image, see :func:`bright_threshold`; None takes it from ``power``.

    Returns
    -------
    (rows, columns) float32, NaN where ``power`` is NaN.
    """
    raise NotImplementedError
