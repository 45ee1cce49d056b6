"""Fetching what a search chose, with progress for people or for a log."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from skymend.core.errors import ProductError, SkymendError
from skymend.sources.protocol import Filters, Source

if TYPE_CHECKING:
    import pystac

    from skymend.sources.transfer import Moment, Progress, Receipt

_EVERY_S = 10.0
_GONE = ("status 404", "status 410")
_AROUND = timedelta(seconds=60)


def fetch_item(
    source: Source,
    item: pystac.Item,
    assets: Sequence[str],
    folder: Path,
    progress: Progress | None = None,
) -> tuple[Receipt, ...]:
    """Fetch an item as :meth:`skymend.sources.protocol.Source.fetch` does.

    Raises
    ------
    ProductError
        if the provider has withdrawn it since it was found; the sentence names its successor.
    """
    try:
        return source.fetch(item, assets, folder, progress)
    except ProductError as error:
        if not error.found.startswith(_GONE):
            raise
        raise _gone(source, item, error) from error


def _gone(source: Source, item: pystac.Item, error: ProductError) -> ProductError:
    """Ask the provider who took the place of a product; the error as it was if it cannot say."""
    from skymend.sources.area import Area, footprint_of
    from skymend.sources.candidates import time_of
    from skymend.sources.versions import withdrawn

    start = time_of(item)
    end = max(start, item.common_metadata.end_datetime or start)
    try:
        area = Area(footprint_of(item.geometry, f"footprint of {item.id}"))
        period = (start - _AROUND, end + _AROUND)
        found = source.search(str(item.collection_id), area, period, Filters())
    except SkymendError:
        return error
    if any(other.id == item.id for other in found):
        return error  # the product is there; one file of it is missing
    return withdrawn(item, found)


def download_items(
    source: Source, items: Iterable[pystac.Item], assets: Sequence[str], folder: Path
) -> tuple[Receipt, ...]:
    """Fetch items one after the other, each verified, with bars on a terminal.

    What is there and whole already is not fetched again.
    """
    from skymend.sources.transfer import terminal_bar

    with terminal_bar() as bar:
        return tuple(r for item in items for r in fetch_item(source, item, assets, folder, bar))


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
