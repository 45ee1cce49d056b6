"""Ridge regression from normal equations kept per held-out date and half of the sample."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray

Weights: TypeAlias = npt.NDArray[np.float64]
Part: TypeAlias = tuple[int, int]
"""(held-out date, half of the sample)."""

FAVOUR = 0.8
"""Share of the fit that goes to a favoured date with many pixels."""

FAVOUR_PIXELS = 50.0
"""With this many pixels of it, half of that."""


class Grams:
    """Sums from which any date, or half of one, can be left out of the fit at once."""

    def __init__(self, bands: int, features: int, ridge: float) -> None:
        self._shape = (bands, features)
        self._ridge = ridge
        self._sums: dict[Part, npt.NDArray[np.float64]] = {}
        self._trials: dict[Part, int] = {}
        self._pixels: dict[Part, int] = {}
        self._solved: dict[tuple[frozenset[Part], int | None], Weights] = {}

    def add(self, part: Part, features: FloatArray, error: FloatArray) -> None:
        """Add one trial; each weighs the same however many pixels it has.

        Parameters
        ----------
        features : (features, bands, pixels).
        error : (bands, pixels) what is to be explained; clipped at its 99 % quantile.
        """
        pixels = error.shape[1]
        if not pixels:
            return
        x = features.transpose(1, 0, 2).astype(np.float64)
        y = error.astype(np.float64)
        limit = np.quantile(np.abs(y), 0.99, axis=1, keepdims=True)
        gram = x @ x.transpose(0, 2, 1) / pixels
        right = (x @ np.clip(y, -limit, limit)[:, :, None]) / pixels
        self._sums[part] = self._sums.get(part, 0.0) + np.concatenate([gram, right], axis=2)
        self._trials[part] = self._trials.get(part, 0) + 1
        self._pixels[part] = max(self._pixels.get(part, 0), pixels)

    def solve(
        self, without: Collection[Part] = frozenset(), favoured: int | None = None
    ) -> Weights:
        """Return (bands, features) fitted to all parts but some; zeros without any.

        ``favoured`` is a date that gets up to 80 % of the weight, by its pixels.
        """
        key = (frozenset(without), favoured)
        if key not in self._solved:
            self._solved[key] = self._solve(key[0], favoured)
        return self._solved[key]

    def _solve(self, without: frozenset[Part], favoured: int | None) -> Weights:
        rest = [p for p in self._sums if p not in without and p[0] != favoured]
        own = [p for p in self._sums if p not in without and p[0] == favoured]
        if not rest and not own:
            return np.zeros(self._shape)
        share = self._share(rest, own)
        total = (1 - share) * self._mean(rest) + share * self._mean(own)
        gram, right = total[:, :, :-1], total[:, :, -1:]
        dates = len({date for date, _ in [*rest, *own]})
        size = np.einsum("bkk->bk", gram) + 1e-9
        penalty = self._ridge * (1 + 4 / dates) * size[:, :, None] * np.eye(self._shape[1])
        weights: Weights = np.linalg.solve(gram + penalty, right)[:, :, 0]
        return weights

    def _share(self, rest: list[Part], own: list[Part]) -> float:
        if not rest or not own:
            return float(bool(own))
        pixels = sum(self._pixels[p] for p in own)
        return FAVOUR * pixels / (pixels + FAVOUR_PIXELS)

    def _mean(self, parts: list[Part]) -> npt.NDArray[np.float64]:
        bands, features = self._shape
        total = np.zeros((bands, features, features + 1))
        for part in parts:
            total += self._sums[part]
        return total / max(sum(self._trials[p] for p in parts), 1)
