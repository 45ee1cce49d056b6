"""Quick-looks: decimated reading, one stretch for a whole series, pictures as data URIs.

The stretch is fixed over the series: 2-98 % of all clear (observed) pixels of all dates, so that
two dates can be compared by eye. The bands of true colour are pooled, which keeps hues natural;
other bands, whose levels differ, are stretched each by itself. Clouds and snow saturate.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray, FloatArray
from skymend.core.raster import describe, open_raster

TRUE_COLOUR = ("B04", "B03", "B02")
LOW_PERCENT, HIGH_PERCENT = 2.0, 98.0

QA_NAMES = {
    1: "observed",
    2: "rebuilt with radar",
    3: "rebuilt from time only",
    4: "rebuilt outside the method's window",
    5: "rebuilt from radar and the same date",
}
QA_COLOURS = {
    0: (0, 0, 0, 0),
    1: (203, 213, 205, 255),
    2: (0, 114, 178, 255),
    3: (230, 159, 0, 255),
    4: (190, 60, 20, 255),
    5: (204, 121, 167, 255),
}
"""Colours that stay apart for colour-blind readers (Okabe and Ito 2008)."""

_RAMP = np.array(
    [(247, 244, 236), (250, 209, 140), (240, 138, 93), (184, 66, 101), (92, 34, 101), (32, 16, 58)],
    np.float64,
)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Reflectances shown black and white, per picture band."""

    bands: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def read_decimated(path: Path, max_px: int, *, bands: Sequence[str] | None = None) -> FloatArray:
    """Read physical values with at most ``max_px`` rows and columns, through the overviews.

    Returns
    -------
    (bands, rows, columns) float32, NaN where nodata; pixels are averaged.
    """
    from rasterio.enums import Resampling

    info = describe(path)
    indexes = [info.index(b, path) for b in (bands or info.bands)]
    with open_raster(path) as dataset:
        shape = decimated_shape(info.grid.shape, max_px)
        stored = dataset.read(
            indexes, out_shape=(len(indexes), *shape), resampling=Resampling.average
        )
    return info.physical(stored)


def read_labels_decimated(path: Path, max_px: int) -> ByteArray:
    """Read a label raster as (rows, columns) uint8 of at most ``max_px`` a side (nearest)."""
    from rasterio.enums import Resampling

    with open_raster(path) as dataset:
        shape = decimated_shape(dataset.shape, max_px)
        labels = dataset.read(1, out_shape=shape, resampling=Resampling.nearest)
    return np.asarray(labels, np.uint8)


def decimated_shape(shape: tuple[int, int], max_px: int) -> tuple[int, int]:
    """Return the shape scaled down so that its longer side is at most ``max_px``."""
    factor = max(1.0, max(shape) / max_px)
    rows, columns = (max(1, round(n / factor)) for n in shape)
    return rows, columns


def picture_bands(bands: Sequence[str]) -> tuple[str, ...]:
    """Choose the bands of a picture by name: true colour, else the first three, else the first."""
    if all(b in bands for b in TRUE_COLOUR):
        return TRUE_COLOUR
    return tuple(bands[:3]) if len(bands) >= 3 else tuple(bands[:1])


def common_stretch(bands: tuple[str, ...], samples: Iterable[FloatArray]) -> Stretch:
    """Find the stretch of a series.

    Parameters
    ----------
    bands : picture bands.
    samples : per date (bands, pixels) clear reflectances; NaN is ignored.

    Returns
    -------
    The 2 and 98 percentiles per band (pooled for true colour); 0..0.3 where the series has no
    clear pixel at all.
    """
    parts = [s for s in samples if s.size]
    values = np.concatenate(parts, axis=1) if parts else np.empty((len(bands), 0), np.float32)
    groups = [values.ravel()] * len(bands) if bands == TRUE_COLOUR else list(values)
    limits = [_limits(group) for group in groups]
    return Stretch(bands, tuple(low for low, _ in limits), tuple(high for _, high in limits))


def _limits(values: FloatArray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, (LOW_PERCENT, HIGH_PERCENT)) if finite.size else (0.0, 0.3)
    return round(float(low), 4), round(max(float(high), float(low) + 0.01), 4)


def to_rgba(values: FloatArray, stretch: Stretch) -> ByteArray:
    """Turn (bands, rows, columns) reflectances into (rows, columns, 4), clear where NaN."""
    low = np.array(stretch.low, np.float32)[:, None, None]
    high = np.array(stretch.high, np.float32)[:, None, None]
    valid = np.isfinite(values).all(axis=0)
    scaled = np.clip((np.nan_to_num(values) - low) / (high - low), 0, 1)
    # a gentle gamma opens the shadows: land reflectances crowd at the dark end
    shown = np.rint(255 * scaled**0.85).astype(np.uint8)
    if len(shown) != 3:
        shown = np.repeat(shown[:1], 3, axis=0)
    alpha = np.where(valid, 255, 0).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(np.concatenate([shown, alpha[None]]), 0, -1))


def ramp_rgba(values: npt.NDArray[Any], high: float) -> ByteArray:
    """Colour (rows, columns) values 0..``high`` with the sequential ramp, clear where NaN."""
    position = np.clip(np.nan_to_num(values) / high, 0, 1) * (len(_RAMP) - 1)
    steps = np.arange(len(_RAMP))
    channels = [np.interp(position, steps, _RAMP[:, c]) for c in range(3)]
    alpha = np.where(np.isfinite(values), 255, 0)
    return np.stack([*channels, alpha], axis=-1).round().astype(np.uint8)


def ramp_css() -> str:
    """Return the ramp as a CSS gradient for its legend."""
    return "linear-gradient(90deg," + ",".join(f"rgb({r:g},{g:g},{b:g})" for r, g, b in _RAMP) + ")"


def photo_uri(rgba: ByteArray) -> str:
    """Return a photograph as a data URI (WebP)."""
    return _uri(rgba, "WEBP", quality=80, method=4)


def map_uri(rgba: ByteArray) -> str:
    """Return a colour map of few colours as a data URI (PNG, no loss)."""
    return _uri(rgba, "PNG", optimize=True)


def qa_uri(labels: ByteArray) -> str:
    """Return a QA raster as a data URI (palette PNG, nodata clear)."""
    from PIL import Image

    picture = Image.fromarray(np.minimum(labels, 5), mode=None).convert("P")
    picture.putpalette([c for code in range(6) for c in QA_COLOURS[code][:3]])
    return _save(picture, "PNG", optimize=True, transparency=0)


def _uri(rgba: ByteArray, kind: str, **options: Any) -> str:
    from PIL import Image

    return _save(Image.fromarray(rgba, mode=None), kind, **options)


def _save(picture: Any, kind: str, **options: Any) -> str:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    text = base64.b64encode(stream.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{text}"
