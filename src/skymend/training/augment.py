"""Augmentation: flips and quarter turns, the same for all arrays of a sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Batch = dict[str, npt.NDArray[Any]]


def turn(batch: Mapping[str, npt.NDArray[Any]], rng: np.random.Generator) -> Batch:
    """Turn and mirror square patches at random.

    Parameters
    ----------
    batch : key -> (samples, rows, columns, bands); each key may have its own size.

    Returns
    -------
    The same keys; sample i of every key went through the same one of eight symmetries.
    """
    samples = len(next(iter(batch.values())))
    symmetries = rng.integers(0, 8, samples)
    return {key: _turned(values, symmetries) for key, values in batch.items()}


def _turned(values: npt.NDArray[Any], symmetries: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    turned = np.empty_like(values)
    for symmetry in range(8):
        chosen = symmetries == symmetry
        part = np.rot90(values[chosen], symmetry % 4, axes=(1, 2))
        turned[chosen] = part[:, :, ::-1] if symmetry >= 4 else part
    return turned
