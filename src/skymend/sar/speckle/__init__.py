"""Speckle filters for multi-look intensity: one door, five filters.

Power is modelled as z = x v: reflectivity times speckle of mean 1 and variance 1 / looks.

- ``boxcar``: the mean of the window.
- ``lee``: J.-S. Lee, "Digital image enhancement and noise filtering by use of local statistics",
  IEEE PAMI 2(2), 1980.
- ``refined-lee``: J.-S. Lee, "Refined filtering of image noise using local statistics", Computer
  Graphics and Image Processing 15(4), 1981.
- ``lee-sigma``: J.-S. Lee et al., "Improved sigma filter for speckle filtering of SAR imagery",
  IEEE TGRS 47(1), 2009.
- ``gamma-map``: A. Lopes et al., "Maximum a posteriori speckle filtering and first order texture
  models in SAR images", IGARSS 1990.
"""

from __future__ import annotations

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.core.errors import ConfigError

FILTERS = ("none", "boxcar", "lee", "refined-lee", "lee-sigma", "gamma-map")

BRIGHT_PERCENTILE = 98.0

_REFINED_WINDOW = 7
_TARGET_REACH = 2


def margin(name: str, window: int = 7) -> int:
    """Return the margin in pixels that a filter needs around a block.

    With it the result inside the block is, bit for bit, that of the whole image.

    Raises
    ------
    ConfigError
        see :func:`filter_speckle`.
    """
    _check(name, window)
    if name == "none":
        return 0
    return max(window // 2, _TARGET_REACH if name == "lee-sigma" else 0)


def bright_threshold(power: FloatArray) -> float:
    """Return the power of point targets: the 98th percentile (Lee et al. 2009).

    Parameters
    ----------
    power : an image, or an even sample of it, of any shape; NaN is left out.

    Returns
    -------
    Linear power; infinity where no pixel is valid.
    """
    valid = power[np.isfinite(power)]
    return float(np.percentile(valid, BRIGHT_PERCENTILE)) if valid.size else float("inf")


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
    power : (rows, columns) float32 linear power, NaN where invalid. Windows leave NaN and what
        lies outside the image out.
    looks : equivalent number of looks of the input (IW GRDH: 4.4).
    window : odd side of the window in pixels, 3 or more; ``refined-lee`` has 7 only.
    bright : power above which ``lee-sigma`` looks for point targets: one number for all blocks
        of an image, see :func:`bright_threshold`; None takes it from ``power``.

    Returns
    -------
    (rows, columns) float32, a new array, NaN where ``power`` is NaN.

    Raises
    ------
    ConfigError
        if the name is unknown, the window does not suit it or ``looks`` is not above 0.
    """
    _check(name, window)
    if not looks > 0:
        raise ConfigError(
            where="looks",
            expected="a number above 0",
            found=f"{looks:g}",
            fix="give the equivalent number of looks of the image",
        )
    power = np.ascontiguousarray(power, dtype=np.float32)
    if name == "none":
        return power.copy()
    if name == "refined-lee":
        return _refined(power, looks)
    if name == "lee-sigma":
        return _sigma(power, looks, window, bright)
    from skymend.sar.speckle import local

    kind = {"boxcar": local.BOXCAR, "lee": local.LEE, "gamma-map": local.GAMMA_MAP}[name]
    return local.filter_local(power, window // 2, kind, 1.0 / looks, float(looks))


def _refined(power: FloatArray, looks: float) -> FloatArray:
    from skymend.sar.speckle.refined import filter_refined, half_windows

    return filter_refined(power, 1.0 / looks, half_windows())


def _sigma(power: FloatArray, looks: float, window: int, bright: float | None) -> FloatArray:
    from skymend.sar.speckle.sigma import SIGMA, filter_sigma
    from skymend.sar.speckle.statistics import sigma_range

    threshold = bright_threshold(power) if bright is None else float(bright)
    reach = sigma_range(float(looks), SIGMA)
    limits = (reach.low, reach.high, reach.speckle_variance)
    return filter_sigma(power, window // 2, 1.0 / looks, threshold, *limits)


def _check(name: str, window: int) -> None:
    if name not in FILTERS:
        raise ConfigError(
            where="speckle",
            expected=f"one of {', '.join(FILTERS)}",
            found=repr(name),
            fix="choose one of them",
        )
    if name == "none":
        return
    if name == "refined-lee" and window != _REFINED_WINDOW:
        raise ConfigError(
            where="speckle_window",
            expected="7: the edge-aligned windows of refined-lee are 7 x 7",
            found=str(window),
            fix="leave the window at 7, or choose another filter",
        )
    if window < 3 or window % 2 == 0:
        raise ConfigError(
            where="speckle_window",
            expected="an odd number of pixels, 3 or more",
            found=str(window),
            fix="choose 5, 7 or 9",
        )
