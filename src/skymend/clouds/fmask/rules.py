"""The spectral rules of Fmask, one pixel at a time.

Every function takes top-of-atmosphere reflectance (1 = white) and is compiled; called from
Python with plain numbers it gives the same answer, which is how its truth table is tested.
Equation numbers are those of Zhu & Woodcock 2012 unless another paper is named.
"""

from __future__ import annotations

from numba import njit

TINY = 1e-6
"""Keeps ratios finite where the offset of Sentinel-2 makes a denominator vanish."""

SUNLIT_SNOW = 0.3
"""Reflectance in green that snow in the sun exceeds, even old and dirty (Warren 1982, Rev.
Geophys. 20, 67-89)."""

BLUISH = 0.9
"""Blue over red of what the sky lights; sand and silt stay below."""


@njit(cache=True, inline="always")
def normalised_difference(first: float, second: float) -> float:
    """Return (first - second) / (first + second) within -1..1, 0 over black."""
    total = first + second
    if total < TINY:
        return 0.0
    ratio = (first - second) / total
    return min(1.0, max(-1.0, ratio))


@njit(cache=True, inline="always")
def whiteness(blue: float, green: float, red: float) -> float:
    """Return the sum of the visible bands' relative distances from their mean (eq. 2)."""
    mean = (blue + green + red) / 3.0
    if mean < TINY:
        return 1.0
    return (abs(blue - mean) + abs(green - mean) + abs(red - mean)) / mean


@njit(cache=True, inline="always")
def haze(blue: float, red: float) -> float:
    """Return blue - red / 2, the haze-optimised transform without its offset (eq. 3)."""
    return blue - 0.5 * red


@njit(cache=True, inline="always")
def is_basic(ndvi: float, ndsi: float, swir2: float, celsius: float) -> bool:
    """Tell whether a pixel is bright at 2.2 um, cold, and neither plant nor clean snow (eq. 1).

    ``celsius`` is the brightness temperature; a sensor without a thermal band passes -273.
    """
    return swir2 > 0.03 and celsius < 27.0 and ndsi < 0.8 and ndvi < 0.8


@njit(cache=True, inline="always")
def is_cloud_like(
    blue: float, green: float, red: float, nir: float, swir1: float, swir2: float, celsius: float
) -> bool:
    """Tell whether a pixel may be cloud: basic, whiteness, haze and NIR/SWIR tests (eq. 1-4)."""
    ndvi = normalised_difference(nir, red)
    ndsi = normalised_difference(green, swir1)
    return bool(
        is_basic(ndvi, ndsi, swir2, celsius)
        and whiteness(blue, green, red) < 0.7
        and haze(blue, red) > 0.08
        and nir > 0.75 * swir1
    )


@njit(cache=True, inline="always")
def is_water(red: float, nir: float) -> bool:
    """Tell whether a pixel is water, clear or not (eq. 5)."""
    ndvi = normalised_difference(nir, red)
    return (ndvi < 0.01 and nir < 0.11) or (ndvi < 0.1 and nir < 0.05)


@njit(cache=True, inline="always")
def is_snow(
    blue: float, green: float, red: float, nir: float, swir1: float, celsius: float
) -> bool:
    """Tell whether a pixel may be snow (eq. 20): NDSI, not warm, bright in green and NIR.

    Without a thermal band (-273) haze over plants would pass; NDSI must then exceed 0.4, the
    bound of Hall et al. 1995 (RSE 54, 127-140). Wet sand and shoals would pass too: dim snow
    lies in shade, where the light is the sky's, hence blue; they are dim and red (ours).
    """
    ndsi = normalised_difference(green, swir1)
    bright = nir > 0.11 and green > 0.1
    if celsius > -200.0:
        return bool(ndsi > 0.15 and celsius < 3.8 and bright)
    return bool(ndsi > 0.4 and bright and (green > SUNLIT_SNOW or blue > BLUISH * red))


@njit(cache=True, inline="always")
def is_built(nir: float, red: float, swir1: float) -> bool:
    """Tell whether a pixel may be town or bare rock that passes for cloud (Qiu et al. 2019).

    NDBI = (SWIR1 - NIR) / (SWIR1 + NIR) is positive and exceeds NDVI.
    """
    ndbi = normalised_difference(swir1, nir)
    return bool(ndbi > 0.0 and ndbi > normalised_difference(nir, red))


@njit(cache=True, inline="always")
def variability(blue: float, green: float, red: float, nir: float, swir1: float) -> float:
    """Return the probability that a pixel is as grey as a cloud (eq. 15).

    In saturated or offset-shifted pixels a vegetation index below zero counts as zero.
    """
    ndvi = abs(normalised_difference(nir, red))
    ndsi = abs(normalised_difference(green, swir1))
    most: float = max(ndvi, ndsi, whiteness(blue, green, red))
    return 1.0 - min(1.0, most)


@njit(cache=True, inline="always")
def brightness(swir1: float) -> float:
    """Return the probability that bright water is cloud (eq. 10): SWIR1 over 0.11, at most 1."""
    return min(max(swir1, 0.0), 0.11) / 0.11


@njit(cache=True, inline="always")
def between(value: float, low: float, high: float) -> float:
    """Return where a value stands between two others, cut to 0..1 (eq. 8, 14; Qiu eq. 5)."""
    return min(1.0, max(0.0, (value - low) / max(high - low, TINY)))
