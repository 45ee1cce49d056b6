"""Compiled loops of :mod:`skymend.clouds.forest`."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

Array = Any
"""numba knows the types; annotations here would only repeat the docstrings."""

_MAX_DEPTH = 1024


def use_threads(cpus: int) -> None:
    """Let the loops use so many threads, as far as the machine has them."""
    numba.set_num_threads(max(1, min(cpus, numba.config.NUMBA_NUM_THREADS)))


@numba.njit(cache=True, nogil=True)
def gather(values: Array, size: int) -> tuple[Array, Array]:
    """Order pixels so that neighbours in the order have like values.

    Parameters
    ----------
    values : (pixels, features) float32.
    size : groups hold at most so many pixels.

    Returns
    -------
    The order, (pixels,) int64, and the groups as (groups, 2) int64 of first and one past last.
    """
    pixels = values.shape[0]
    order = np.arange(pixels)
    groups = np.empty((2 * (pixels // size) + 2, 2), np.int64)
    found = 0
    firsts = np.empty(_MAX_DEPTH, np.int64)
    lasts = np.empty(_MAX_DEPTH, np.int64)
    firsts[0], lasts[0], waiting = 0, pixels, 1
    while waiting:
        waiting -= 1
        first, last = firsts[waiting], lasts[waiting]
        if last - first <= size:
            if found == groups.shape[0]:
                groups = np.concatenate((groups, np.empty_like(groups)))
            groups[found, 0], groups[found, 1] = first, last
            found += 1
            continue
        middle = _split(values, order, first, last)
        firsts[waiting], lasts[waiting] = first, middle
        firsts[waiting + 1], lasts[waiting + 1] = middle, last
        waiting += 2
    return order, groups[:found]


@numba.njit(cache=True, nogil=True)
def _split(values: Array, order: Array, first: int, last: int) -> int:
    """Reorder a run of pixels around the median of its widest feature; return where it parts."""
    feature = _widest(values, order, first, last)
    column = np.empty(last - first, np.float32)
    for i in range(first, last):
        column[i - first] = values[order[i], feature]
    half = (last - first) // 2
    median = np.partition(column, half)[half]
    low, high = first, last - 1
    while low <= high:
        if values[order[low], feature] < median:
            low += 1
        else:
            order[low], order[high] = order[high], order[low]
            high -= 1
    # Many equal values can leave one side empty or tiny; any cut will do then.
    uneven = min(low - first, last - low) < (last - first) // 16
    return first + half if uneven or low in (first, last) else low


@numba.njit(cache=True, nogil=True)
def _widest(values: Array, order: Array, first: int, last: int) -> int:
    """Return the feature with the greatest range among a run of pixels."""
    widest, best = 0, np.float32(-1.0)
    for feature in range(values.shape[1]):
        low = high = values[order[first], feature]
        for i in range(first + 1, last):
            value = values[order[i], feature]
            low = min(low, value)
            high = max(high, value)
        if high - low > best:
            widest, best = feature, high - low
    return widest


@numba.njit(cache=True, nogil=True, parallel=True)
def walk(
    values: Array,
    order: Array,
    groups: Array,
    feature: Array,
    threshold: Array,
    child: Array,
    leaf: Array,
    first_node: Array,
    first_leaf: Array,
    scores: Array,
) -> None:
    """Fill in the score of every pixel, group by group."""
    for group in numba.prange(groups.shape[0]):
        members = order[groups[group, 0] : groups[group, 1]]
        columns = np.empty((values.shape[1], members.size), np.float32)
        for f in range(values.shape[1]):
            for i in range(members.size):
                columns[f, i] = values[members[i], f]
        sums = np.zeros(members.size)
        rows = np.arange(members.size, dtype=np.int32)
        spare = np.empty(members.size, np.int32)
        low = np.empty(values.shape[1], np.float32)
        high = np.empty(values.shape[1], np.float32)
        for f in range(values.shape[1]):
            low[f], high[f] = columns[f].min(), columns[f].max()
        for tree in range(first_node.size - 1):
            nodes = slice(first_node[tree], first_node[tree + 1])
            _walk_tree(
                columns,
                low,
                high,
                feature[nodes],
                threshold[nodes],
                child[nodes],
                leaf[first_leaf[tree] : first_leaf[tree + 1]],
                rows,
                spare,
                sums,
            )
        for i in range(members.size):
            scores[members[i]] = sums[i]


@numba.njit(cache=True, nogil=True)
def _walk_tree(
    columns: Array,
    low: Array,
    high: Array,
    feature: Array,
    threshold: Array,
    child: Array,
    leaf: Array,
    rows: Array,
    spare: Array,
    sums: Array,
) -> None:
    """Add the leaf value of one tree to every member of a group.

    ``rows`` is a permutation of the members that the walk keeps reordering.
    """
    nodes = np.empty(_MAX_DEPTH, np.int32)
    firsts = np.empty(_MAX_DEPTH, np.int32)
    lasts = np.empty(_MAX_DEPTH, np.int32)
    nodes[0], firsts[0], lasts[0], waiting = 0, 0, rows.size, 1
    while waiting:
        waiting -= 1
        node, first, last = nodes[waiting], firsts[waiting], lasts[waiting]
        while node >= 0:
            limit = threshold[node]
            column = columns[feature[node]]
            if high[feature[node]] <= limit:
                node = child[node, 0]
                continue
            if low[feature[node]] > limit:
                node = child[node, 1]
                continue
            middle = _part(column, limit, rows, spare, first, last)
            if middle == last:
                node = child[node, 0]
            elif middle == first:
                node = child[node, 1]
            else:
                nodes[waiting], firsts[waiting], lasts[waiting] = child[node, 1], middle, last
                waiting += 1
                node, last = child[node, 0], middle
        value = leaf[~node]
        for i in range(first, last):
            sums[rows[i]] += value


@numba.njit(cache=True, nogil=True)
def _part(column: Array, limit: float, rows: Array, spare: Array, first: int, last: int) -> int:
    """Bring the rows not above a limit to the front; return where the others begin."""
    left, right = first, 0
    for i in range(first, last):
        row = rows[i]
        stays = column[row] <= limit
        rows[left] = row
        spare[right] = row
        left += 1 if stays else 0
        right += 0 if stays else 1
    for i in range(right):
        rows[left + i] = spare[i]
    return left
