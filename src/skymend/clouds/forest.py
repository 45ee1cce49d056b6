"""Gradient-boosted trees: LightGBM's text format read, and evaluated on millions of pixels.

Evaluating pixel after pixel spends its time waiting for nodes. Here pixels are first gathered
into groups of like spectra (a k-d order), and each group walks a tree together: a node whose
threshold lies outside the group's range decides for all of it at once, and only the few that
cut through the range split the group. The sums are made in the same order and precision as
LightGBM's, so that the scores are equal to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.core.errors import ProductError

GROUP = 512
"""Pixels that walk the trees together."""

_PLAIN_SPLIT = "2"
"""LightGBM's ``decision_type`` of a numerical split without special treatment of NaN."""

_MAX_BYTES = 200_000_000


@dataclass(frozen=True)
class Forest:
    """The trees of a model, one after the other.

    Parameters
    ----------
    feature, threshold : of each inner node; a value not above the threshold goes left.
    child : (nodes, 2) int32, left and right; an inner node of the same tree, or ``~leaf``.
    leaf : value of each leaf, float64.
    first_node, first_leaf : where each tree begins, one entry more than there are trees.
    features : how many values a pixel has.
    """

    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float32]
    child: npt.NDArray[np.int32]
    leaf: npt.NDArray[np.float64]
    first_node: npt.NDArray[np.int64]
    first_leaf: npt.NDArray[np.int64]
    features: int

    def scores(self, pixels: FloatArray, *, cpus: int = 1) -> npt.NDArray[np.float64]:
        """Return the sum of leaf values (log-odds of a binary model) of each pixel.

        Parameters
        ----------
        pixels : (pixels, features) float32, finite.
        cpus : threads; the result does not depend on it.
        """
        from skymend.clouds import forest_kernels

        if pixels.shape[1] != self.features:
            raise ValueError(f"{self.features} features expected, not {pixels.shape[1]}")
        scores = np.empty(len(pixels))
        if len(pixels):
            values = np.ascontiguousarray(pixels, np.float32)
            forest_kernels.use_threads(cpus)
            order, groups = forest_kernels.gather(values, GROUP)
            trees = (self.feature, self.threshold, self.child, self.leaf)
            firsts = (self.first_node, self.first_leaf)
            forest_kernels.walk(values, order, groups, *trees, *firsts, scores)
        return scores


def read_forest(path: Path) -> Forest:
    """Read a LightGBM model in text form.

    Raises
    ------
    ProductError
        if the file is no such model, or uses categorical splits.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise _damaged(path, f"{path.stat().st_size} bytes")
    try:
        header, *trees = list(_sections(path))
        return _forest(int(header["max_feature_idx"]) + 1, trees)
    except (ValueError, KeyError, IndexError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}"[:120]) from error


def _sections(path: Path) -> Iterator[dict[str, str]]:
    """Yield the header and each tree as ``name=value`` mappings."""
    section: dict[str, str] = {}
    with path.open(encoding="ascii") as lines:
        for line in lines:
            name, _, value = line.rstrip("\n").partition("=")
            if name == "Tree":
                yield section
                section = {}
            elif name == "end of trees":
                break
            else:
                section[name] = value
    yield section


def _forest(features: int, trees: list[dict[str, str]]) -> Forest:
    if not trees:
        raise ValueError("no tree")
    if any(set(t["decision_type"].split()) != {_PLAIN_SPLIT} for t in trees):
        raise ValueError("splits other than numerical ones")
    thresholds = np.concatenate([_numbers(t["threshold"], np.float64) for t in trees])
    left = np.concatenate([_numbers(t["left_child"], np.int32) for t in trees])
    right = np.concatenate([_numbers(t["right_child"], np.int32) for t in trees])
    nodes = [len(t["split_feature"].split()) for t in trees]
    leaves = [len(t["leaf_value"].split()) for t in trees]
    return Forest(
        np.concatenate([_numbers(t["split_feature"], np.int32) for t in trees]),
        _rounded_down(thresholds),
        np.ascontiguousarray(np.stack([left, right], axis=1)),
        np.concatenate([_numbers(t["leaf_value"], np.float64) for t in trees]),
        np.concatenate([[0], np.cumsum(nodes)]),
        np.concatenate([[0], np.cumsum(leaves)]),
        features,
    )


def _numbers(text: str, dtype: npt.DTypeLike) -> npt.NDArray[np.generic]:
    return np.array(text.split(), dtype=dtype)


def _rounded_down(thresholds: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return the greatest float32 not above each threshold.

    A float32 value is at most the threshold exactly if it is at most this number.
    """
    near = thresholds.astype(np.float32)
    below = np.nextafter(near, np.float32(-np.inf))
    return np.where(near.astype(np.float64) > thresholds, below, near)


def _damaged(path: Path, found: str) -> ProductError:
    return ProductError(
        where=path,
        expected="a LightGBM text model with numerical splits",
        found=found,
        fix="install the package that holds it again",
    )
