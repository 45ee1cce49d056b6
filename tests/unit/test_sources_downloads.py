"""What is said of a download while it runs."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from types import SimpleNamespace

import pystac
import pytest
from shapely.geometry import box, mapping

from skymend.core.errors import ProductError, RetryableError
from skymend.sources import downloads
from skymend.sources.transfer import Moment


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (Moment("a.zip", 200_000_000, 800_000_000, 20e6, 30.2), "25 % of 800 MB, 20.0 MB/s, 30 s"),
        (Moment("a.zip", 200_000_000, 800_000_000, 0.0, None), "25 % of 800 MB, 0.0 MB/s"),
        (Moment("a.zip", 5_000_000, None, 1e6, None), "5.0 MB, 1.0 MB/s"),
    ],
)
def test_a_sentence_for_each_state(moment, words):
    assert words in downloads.sentence(moment)
    assert downloads.sentence(moment).startswith("a.zip: ")


def test_a_log_hears_of_it_now_and_then(caplog, monkeypatch):
    now = iter([0.0, 1.0, 9.9, 10.1, 15.0])
    monkeypatch.setattr(downloads, "time", SimpleNamespace(monotonic=lambda: next(now)))
    report = downloads.logged(logging.getLogger("test"))
    with caplog.at_level(logging.INFO, "test"):
        for done in range(5):
            report(Moment("a.zip", done, 10, 1.0, None))
    # The first moment, and the one ten seconds later.
    assert len(caplog.records) == 2


def product(made, baseline="0214"):
    name = f"S2A_MSIL2A_20200404T105621_N{baseline}_R094_T31TCJ_{made}"
    geometry = mapping(box(1, 43, 2, 44))
    time = datetime(2020, 4, 4, 10, 56, 21, tzinfo=UTC)
    return pystac.Item(name, geometry, None, time, {}, collection="sentinel-2-l2a")


class Withdrawn:
    """A provider that no longer has what it showed before."""

    name = "somebody"

    def __init__(self, found, left):
        self.found, self.left = found, left

    def fetch(self, item, assets, destination, progress=None):
        raise ProductError(where=item.id, expected="a file", found=self.found, fix="search again")

    def search(self, collection, area, period, filters):
        if isinstance(self.left, Exception):
            raise self.left
        assert period[0] < self.left[0].datetime < period[1]
        assert area.bounds == (1, 43, 2, 44)
        return self.left


def test_a_withdrawn_product_of_any_provider_names_its_successor(tmp_path):
    old, new = product("20200404T135500"), product("20230510T010203", "0500")
    with pytest.raises(ProductError, match=f"withdrawn; its successor is {new.id}"):
        downloads.fetch_item(Withdrawn("status 404 (Not Found)", [new]), old, (), tmp_path)


SILENT = RetryableError(where="a", expected="b", found="c", fix="d")


@pytest.mark.parametrize(
    ("found", "left"),
    [
        ("status 404", [product("20200404T135500")]),  # one file of it is missing
        ("status 410", SILENT),  # nobody can say
        ("status 500", [product("20230510T010203", "0500")]),  # another trouble
    ],
)
def test_other_troubles_are_told_as_they_are(tmp_path, found, left):
    old = product("20200404T135500")
    with pytest.raises(ProductError, match=f"found {found}; search again"):
        downloads.fetch_item(Withdrawn(found, left), old, (), tmp_path)
