"""Numbered pages end, and bring each item once."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from skymend.core.errors import AnswerError
from skymend.sources.paging import numbered


@dataclass
class Named:
    id: str


def read(pages, total=None):
    """Return the names that come and the pages that are asked for."""
    asked = []

    def page(number):
        asked.append(number)
        return [Named(name) for name in pages[number - 1]], total

    return "".join(item.id for item in numbered(page, "a service")), asked


def test_pages_are_read_until_an_empty_one():
    assert read(["abc", "def", ""]) == ("abcdef", [1, 2, 3])
    assert read([""]) == ("", [1])


def test_no_page_is_asked_for_beyond_the_stated_number():
    assert read(["abc", "def"], total=6) == ("abcdef", [1, 2])


def test_an_item_that_moved_to_the_next_page_comes_once():
    assert read(["abc", "cde", ""]) == ("abcde", [1, 2, 3])


def test_a_page_that_comes_again_is_refused():
    with pytest.raises(AnswerError, match="new records in 'features' of page 2"):
        read(["abc", "abc"])
