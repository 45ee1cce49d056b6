"""Seeded randomness: every random number has an address, never an order.

A generator is derived from the scenario's seed and words such as ``("sky", date)``. What
happens on one date therefore never depends on how many other dates exist.
"""

from __future__ import annotations

import hashlib

import numpy as np

from skymend.core.encoding import FloatArray


def generator(seed: int, *address: str | int) -> np.random.Generator:
    """Return the generator of one address.

    Parameters
    ----------
    seed : the scenario's seed.
    address : words and numbers that name what is drawn.
    """
    digest = hashlib.sha256(repr((seed, *address)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def fractal(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    slope: float,
    longest_px: float | None = None,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> FloatArray:
    """Draw a periodic Gaussian field whose power falls as wavenumber**-slope.

    Clouds follow slopes near 2.7 and terrain near 3.5 in two dimensions
    (Lovejoy & Schertzer 2013, The Weather and Climate, chapters 1 and 6).

    Parameters
    ----------
    shape : (rows, columns).
    slope : exponent of the power spectrum.
    longest_px : wavelengths beyond this carry no additional power; None means no limit.
    stretch : elongation of features along (rows, columns).

    Returns
    -------
    (rows, columns) float32, mean 0, standard deviation 1; wraps around at the edges.
    """
    noise = np.fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    rows = np.fft.fftfreq(shape[0]).astype(np.float32)[:, None] * np.float32(stretch[0])
    columns = np.fft.rfftfreq(shape[1]).astype(np.float32)[None, :] * np.float32(stretch[1])
    wavenumber = np.hypot(rows, columns)
    floor = 1.0 / longest_px if longest_px else 1.0 / max(shape)
    noise *= np.maximum(wavenumber, np.float32(floor)) ** np.float32(-slope / 2)
    noise[0, 0] = 0.0
    field = np.fft.irfft2(noise, s=shape).astype(np.float32)
    return field / np.float32(field.std() + 1e-12)


def blur(field: FloatArray, sigma_px: float) -> FloatArray:
    """Convolve with a Gaussian along the last two axes, mirrored at the edges."""
    from scipy.ndimage import gaussian_filter1d

    rows = gaussian_filter1d(field, sigma_px, axis=-2, mode="nearest", truncate=3.0)
    return np.asarray(gaussian_filter1d(rows, sigma_px, axis=-1, mode="nearest", truncate=3.0))


def logistic(x: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -40.0, 40.0))), np.float32)
