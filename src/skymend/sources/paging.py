"""Answers that come in numbered pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING

from skymend.sources.answers import malformed

if TYPE_CHECKING:
    import pystac

Page = Callable[[int], tuple[list["pystac.Item"], int | None]]
"""Number of a page, from 1 -> its items, and how many there are in all where that is stated."""


def numbered(page: Page, where: str) -> Iterator[pystac.Item]:
    """Yield the items of all pages, each once, until a page is empty or all have come.

    Raises
    ------
    AnswerError
        if a page holds nothing but items of earlier ones, which would never end.
    """
    seen: set[str] = set()
    for number in count(1):
        items, total = page(number)
        fresh = [item for item in items if item.id not in seen]
        if items and not fresh:
            raise malformed(where, f"new records in 'features' of page {number}", "the same again")
        seen |= {item.id for item in fresh}
        yield from fresh
        if not items or (total is not None and len(seen) >= total):
            return
