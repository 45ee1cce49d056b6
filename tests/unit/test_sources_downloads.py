"""What is said of a download while it runs."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

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
