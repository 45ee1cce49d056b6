"""One picture for a first glance: a date as acquired, and as rebuilt beside it."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np

from skymend.core.encoding import ByteArray
from skymend.report import quicklook
from skymend.report.series import Day, Series

GAP_PX = 8
_WANTED_OBSERVED = 0.5


def write_before_after(series: Series, path: Path, *, max_px: int = 480) -> str | None:
    """Write the date that shows most: half hidden, half observed.

    Parameters
    ----------
    series : the dates of a region.
    path : a JPEG file.
    max_px : longest side of one half, pixels.

    Returns
    -------
    The date shown, ``YYYY-MM-DD``; None (and no file) when no date had an acquisition.
    """
    from PIL import Image

    shown = [day for day in series.days if day.optical is not None]
    if not shown:
        return None
    day = min(shown, key=lambda d: (abs(d.observed - _WANTED_OBSERVED), d.time))
    halves = [_half(p, series, max_px) for p in (day.optical, day.files["reflectance"]) if p]
    white = np.full((halves[0].shape[0], GAP_PX, 3), 255, np.uint8)
    Image.fromarray(np.hstack([halves[0], white, halves[1]])).save(path, "JPEG", quality=88)
    return _date(day)


def data_uri(path: Path) -> str:
    """Return a JPEG as a data URI."""
    return f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _half(path: Path, series: Series, max_px: int) -> ByteArray:
    bands = series.stretch.bands
    rgba = quicklook.to_rgba(quicklook.read_decimated(path, max_px, bands=bands), series.stretch)
    alpha = rgba[..., 3:].astype(np.float32) / 255
    blended: ByteArray = (rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return blended


def _date(day: Day) -> str:
    return day.time.strftime("%Y-%m-%d")
