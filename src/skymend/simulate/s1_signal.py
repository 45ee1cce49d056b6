"""From backscatter to digital numbers: speckle, noise, quantisation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.simulate.noise import generator
from skymend.simulate.s1_orbit import Doubles

LOOKS = 4.4
"""Equivalent number of looks of high-resolution IW GRD (Product Specification: five range
looks that overlap)."""
RESOLUTION_PX = (2.2, 2.05)
"""Resolution along azimuth and range, pixels of 10 m: 22 m and 20.5 m."""

_LOOKS_TAKEN = 5
_HAMMING = 0.70


def speckle(shape: tuple[int, int], seed: int, address: str, *, looks: float = LOOKS) -> FloatArray:
    """Draw multi-look speckle as the sensor correlates it.

    The sum of five squared magnitudes of complex Gaussian fields, each band-limited to the
    sensor's resolution with its Hamming window; unequal weights lower five looks to the
    equivalent number. The correlation of neighbours follows from the bandwidth alone.

    Parameters
    ----------
    shape : (lines, samples).
    looks : 1 to 5.

    Returns
    -------
    (lines, samples) float32, mean 1, variance 1 / looks.
    """
    band = _band(shape)
    total = np.zeros(shape, np.float32)
    for number, weight in enumerate(_weights(looks)):
        rng = generator(seed, "speckle", address, number)
        field = _complex(rng, shape)
        field = np.fft.ifft2(np.fft.fft2(field) * band).astype(np.complex64)
        total += np.float32(weight) * (field.real**2 + field.imag**2)
    return total


def _complex(rng: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.complex64]:
    parts = rng.standard_normal((2, *shape), dtype=np.float32) * np.float32(np.sqrt(0.5))
    return np.asarray(parts[0] + 1j * parts[1], np.complex64)


def _weights(looks: float) -> Doubles:
    """Return five weights of sum 1 whose squares sum to 1 / looks."""
    spread = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    excess = max(1.0 / looks - 1.0 / _LOOKS_TAKEN, 0.0)
    weights = 1.0 / _LOOKS_TAKEN + spread * np.sqrt(excess / (spread**2).sum())
    if weights.min() < 0:
        # One look alone has variance 1; between, mix it with the mean of five.
        share = np.sqrt((1 / looks - 0.2) / 0.8)
        weights = np.full(_LOOKS_TAKEN, (1 - share) / _LOOKS_TAKEN)
        weights[0] += share
    return np.asarray(weights, np.float64)


def _band(shape: tuple[int, int]) -> FloatArray:
    """Return the amplitude of the band in the order of the Fourier transform, power 1."""
    bands = [
        _window(np.asarray(np.fft.fftfreq(n), np.float64), resolution)
        for n, resolution in zip(shape, RESOLUTION_PX, strict=True)
    ]
    image = bands[0][:, None] * bands[1][None]
    return np.asarray(image / np.sqrt(np.mean(image**2)), np.float32)


def _window(frequency: Doubles, resolution_px: float) -> Doubles:
    """Return a Hamming window whose impulse response has a width at half power.

    A flat band B has a width of 0.886 / B; a Hamming coefficient of 0.7 widens it by 1.18.
    """
    half = 0.886 * 1.18 / resolution_px / 2
    inside = np.abs(frequency) <= half
    return np.asarray(
        np.where(inside, _HAMMING + (1 - _HAMMING) * np.cos(np.pi * frequency / half), 0)
    )


def digital_numbers(
    beta0: FloatArray, table: Doubles | float, noise: Doubles | float, grain: FloatArray | float
) -> npt.NDArray[np.uint16]:
    """Return ``DN = sqrt((beta0 A^2 + noise) speckle)``, rounded.

    Parameters
    ----------
    beta0 : (lines, samples) linear; NaN where there is no image (DN 0).
    table : A of beta nought.
    noise : DN squared.
    grain : speckle, or 1.

    Returns
    -------
    uint16; at least 1 where there is an image, since 0 means none.
    """
    power = (np.nan_to_num(beta0) * np.asarray(table) ** 2 + noise) * grain
    stored = np.clip(np.rint(np.sqrt(np.maximum(power, 0))), 1, 65_535)
    return np.where(np.isnan(beta0), 0, stored).astype(np.uint16)
