"""Fetching what a search chose, with progress for people or for a log."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skymend.sources.protocol import Source

if TYPE_CHECKING:
    import pystac

    from skymend.sources.transfer import Moment, Progress, Receipt

_EVERY_S = 10.0


def download_items(
    source: Source, items: Iterable[pystac.Item], assets: Sequence[str], folder: Path
) -> tuple[Receipt, ...]:
    """Fetch items one after the other, each verified, with bars on a terminal.

    What is there and whole already is not fetched again.
    """
    from skymend.sources.transfer import terminal_bar

    with terminal_bar() as bar:
        return tuple(r for item in items for r in source.fetch(item, assets, folder, bar))


def logged(log: logging.Logger) -> Progress:
    """Return a progress that writes share, rate and time left to a log now and then."""
    spoken: dict[str, float] = {}

    def report(moment: Moment, /) -> None:
        now = time.monotonic()
        if now - spoken.get(moment.name, now - _EVERY_S) < _EVERY_S:
            return
        spoken[moment.name] = now
        log.info("%s", sentence(moment))

    return report


def sentence(moment: Moment) -> str:
    """Say where a download stands, such as ``a.zip: 35 % of 812 MB, 18.2 MB/s, 29 s left``."""
    rate = f"{moment.rate / 1e6:.1f} MB/s"
    if not moment.total:
        return f"{moment.name}: {moment.done / 1e6:.1f} MB, {rate}"
    share = f"{moment.done / moment.total:.0%}".replace("%", " %")
    left = "" if moment.eta_s is None else f", {moment.eta_s:.0f} s left"
    return f"{moment.name}: {share} of {moment.total / 1e6:.0f} MB, {rate}{left}"
