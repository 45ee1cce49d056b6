"""Counting and ranking assignments of images to acquisitions, none used twice.

Each acquisition has a set of images; two acquisitions in conflict may not take the same
image. The number of assignments follows from inclusion and exclusion over connected groups of
acquisitions that share an image (the bond lattice; Rota 1964, "On the foundations of
combinatorial theory I", section 9), without listing one assignment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, TypeVar

Conflicts = tuple[int, ...]
"""Per acquisition, a bit mask of those that may not take the same image."""


T = TypeVar("T")


def _free(group: int, conflicts: Conflicts) -> bool:
    """Tell whether no two members of a group are in conflict."""
    return all(not group & conflicts[i] for i in bits(group))


def bits(group: int) -> Iterator[int]:
    """Yield the members of a bit mask, ascending."""
    while group:
        lowest = group & -group
        yield lowest.bit_length() - 1
        group ^= lowest


def _parts_with_first(group: int) -> Iterator[int]:
    """Yield the sub-groups that hold the first member of a group."""
    first = group & -group
    rest = group ^ first
    part = rest
    while True:
        yield part | first
        if part == 0:
            return
        part = (part - 1) & rest


@cache
def weight(group: int, conflicts: Conflicts) -> int:
    """Return the weight with which assignments that give a whole group one image enter.

    It is the sum over connected spanning sets E of conflict edges of (-1)**len(E): 1 for a
    single acquisition, -1 for two in conflict, 0 for a group that does not hang together.
    """
    total = int(_free(group, conflicts))
    for part in _parts_with_first(group):
        if part != group and _free(group ^ part, conflicts):
            total -= weight(part, conflicts)
    return total


def count(
    everyone: int, conflicts: Conflicts, shared: Callable[[int], T | None], one: T
) -> T | None:
    """Count the assignments of all acquisitions in the mask ``everyone``.

    Parameters
    ----------
    conflicts : see :data:`Conflicts`.
    shared : gives the number of images all members of a group could take, None for zero;
        a number or an array of numbers.
    one : the neutral element of multiplication, of the same kind.

    Returns
    -------
    The number of assignments, None for zero.
    """
    known: dict[int, T | None] = {0: one}

    def assignments(group: int) -> T | None:
        if group not in known:
            known[group] = _sum(group)
        return known[group]

    def _sum(group: int) -> T | None:
        total: T | None = None
        for part in _parts_with_first(group):
            factor = weight(part, conflicts)
            images = shared(part) if factor else None
            others = None if images is None else assignments(group ^ part)
            if images is None or others is None:
                continue
            term: Any = factor * images * others  # type: ignore[operator]
            total = term if total is None else total + term
        return total

    return assignments(everyone)


def unrank(rank: int, choices: Sequence[frozenset[int]], conflicts: Conflicts) -> tuple[int, ...]:
    """Return the assignment of one rank, in lexicographic order, without listing the others.

    Parameters
    ----------
    rank : 0 .. count - 1.
    choices : the images each acquisition could take.

    Returns
    -------
    One image per acquisition.
    """
    left = list(choices)
    taken: list[int] = []
    for i in range(len(left)):
        for image in sorted(left[i]):
            rest = [
                left[j] - {image} if conflicts[i] >> j & 1 else left[j]
                for j in range(i + 1, len(left))
            ]
            number = count_sets(rest, tuple(c >> (i + 1) for c in conflicts[i + 1 :]))
            if rank < number:
                taken.append(image)
                left[i + 1 :] = rest
                break
            rank -= number
    return tuple(taken)


def count_sets(choices: Sequence[frozenset[int]], conflicts: Conflicts) -> int:
    """Count the assignments for sets of images given one by one."""

    def shared(group: int) -> int | None:
        members = [choices[i] for i in bits(group)]
        return len(frozenset.intersection(*members)) or None

    return count((1 << len(choices)) - 1, conflicts, shared, 1) or 0
