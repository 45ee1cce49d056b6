"""What the report knows of each date: record facts, statistics and pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.core.raster import describe
from skymend.core.step import Artifact
from skymend.report import quicklook
from skymend.report.quicklook import Stretch

STATISTICS_PX = 256
"""Statistics and the stretch come from rasters decimated to this size."""

_SAMPLES_PER_DATE = 4_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """Another date offered to the method, and whether it was used."""

    id: str
    date: str
    clear_share: float | None
    used: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Level:
    """Mean of the index over a picture; ``sigma`` is the mean one sigma of a pixel."""

    mean: float
    sigma: float = 0.0


@dataclass(frozen=True, slots=True)
class Day:
    """One date of the series: what was acquired and what was made of it.

    Shares are 0..1 of the pixels with data. ``before`` and ``after`` are mean index values;
    ``samples`` are (picture bands, n) clear reflectances for the common stretch.
    """

    time: datetime
    id: str
    tile: str
    files: dict[str, Path]
    optical: Path | None
    clear_share: float | None
    valid_share: float | None
    nearest_clear_days: float | None
    radar_id: str | None
    radar_gap_hours: float | None
    method: str
    notes: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    qa_shares: dict[int, float]
    before: Level | None = None
    after: Level | None = None
    samples: FloatArray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    sigma_high: float = 0.0

    @property
    def slug(self) -> str:
        """Name of the date's section in the page."""
        return "d" + self.time.strftime("%Y%m%dT%H%M%S")

    @property
    def observed(self) -> float:
        """Share of pixels kept as observed."""
        return self.qa_shares.get(1, 0.0)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A date that was not reconstructed, with the reason."""

    date: str
    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures of one date as data URIs; ``before`` is None without an acquisition."""

    before: str | None
    after: str
    qa: str
    sigma: str | None
    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class Series:
    """All dates of a region in order of time."""

    days: tuple[Day, ...]
    skipped: tuple[Skipped, ...]
    bands: tuple[str, ...]
    index: str
    stretch: Stretch
    sigma_high: float
    size_km: tuple[float, float]
    resolution_m: float
    radar_times: tuple[datetime, ...]

    @property
    def tiles(self) -> tuple[str, ...]:
        """Tiles of the series."""
        return tuple(sorted({day.tile for day in self.days if day.tile}))


def read_series(
    reconstructions: Sequence[Artifact],
    optical: Sequence[Artifact] = (),
    radar: Sequence[Artifact] = (),
) -> Series:
    """Read facts, statistics and the common stretch of a series (pictures come later).

    Parameters
    ----------
    reconstructions : outputs of ``reconstruct``; absent ones become :class:`Skipped`.
    optical : acquired reflectances, matched by ``id``, else by time, else by date.
    radar : radar scenes, shown as marks on the time line.
    """
    present = sorted((a for a in reconstructions if a.absent is None), key=_order)
    info = describe(present[0].file("reflectance"))
    index = index_name(info.bands)
    found = _Acquired(optical)
    days = tuple(_read_day(a, found.match(a), info.bands) for a in present)
    stretch = quicklook.common_stretch(
        quicklook.picture_bands(info.bands), (d.samples for d in days)
    )
    left, bottom, right, top = info.grid.bounds
    return Series(
        days=days,
        skipped=tuple(_skipped(a) for a in sorted(reconstructions, key=_order) if a.absent),
        bands=info.bands,
        index=index,
        stretch=stretch,
        sigma_high=_round_up(max((d.sigma_high for d in days), default=0.0)),
        size_km=((right - left) / 1000, (top - bottom) / 1000),
        resolution_m=info.grid.resolution,
        radar_times=tuple(sorted(a.time for a in radar if a.absent is None)),
    )


def pictures(series: Series, max_px: int) -> Iterator[tuple[Day, Pictures]]:
    """Yield the pictures date by date, so that memory holds one date at a time."""
    for day in series.days:
        yield day, _pictures(day, series, max_px)


def index_name(bands: Sequence[str]) -> str:
    """Return ``NDVI`` where red and near infrared are there, else ``mean reflectance``."""
    return "NDVI" if "B04" in bands and _nir(bands) else "mean reflectance"


def index_values(values: FloatArray, bands: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the index of each pixel, (rows, columns); NaN where undefined."""
    if index_name(bands) != "NDVI":
        return np.asarray(values.mean(axis=0))
    red, nir = values[bands.index("B04")], values[bands.index(_nir(bands))]
    total = nir + red
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0.01, (nir - red) / total, np.nan).astype(np.float32)


def index_sigma(
    values: FloatArray, sigma: FloatArray, bands: Sequence[str]
) -> npt.NDArray[np.float32]:
    """Return one sigma of the index by linear propagation, bands taken as independent.

    For NDVI = (n - r) / (n + r) the derivatives are 2r / (n + r)^2 and -2n / (n + r)^2.
    """
    if index_name(bands) != "NDVI":
        return np.asarray(np.sqrt((sigma**2).sum(axis=0)) / len(bands))
    r, n = bands.index("B04"), bands.index(_nir(bands))
    red, nir = values[r], values[n]
    total = nir + red
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = 2 * np.sqrt((red * sigma[n]) ** 2 + (nir * sigma[r]) ** 2) / total**2
        return np.where(total > 0.01, spread, np.nan).astype(np.float32)


def dashed(text: str) -> str:
    """Return ``YYYYMMDD`` as ``YYYY-MM-DD``; any other text as it is."""
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if len(text) == 8 and text.isdigit() else text


class _Acquired:
    """Acquired reflectances, found by id, else by time, else by date."""

    def __init__(self, optical: Sequence[Artifact]) -> None:
        present = [a for a in optical if a.absent is None and a.has("reflectance")]
        self._by_id = {a.tags["id"]: a for a in present if "id" in a.tags}
        self._by_time = {a.tags["datetime"]: a for a in present if "datetime" in a.tags}
        self._by_date = {a.date: a for a in present if "datetime" in a.tags}

    def match(self, made: Artifact) -> Path | None:
        found = (
            self._by_id.get(made.tags.get("id", ""))
            or self._by_time.get(made.tags.get("datetime", ""))
            or self._by_date.get(made.date)
        )
        return None if found is None else found.file("reflectance")


def _read_day(made: Artifact, optical: Path | None, bands: tuple[str, ...]) -> Day:
    facts = made.facts
    radar = facts.get("radar") or {}
    statistics = _statistics(made, optical, bands)
    shares = facts.get("qa_shares") or {}
    return Day(
        time=made.time,
        id=made.tags.get("id", made.date),
        tile=made.tags.get("tile", ""),
        files=dict(made.files),
        optical=optical,
        clear_share=facts.get("clear_share"),
        valid_share=facts.get("valid_share"),
        nearest_clear_days=facts.get("nearest_clear_days"),
        radar_id=radar.get("id"),
        radar_gap_hours=radar.get("gap_hours"),
        method=str(facts.get("method", "")),
        notes=tuple(facts.get("notes") or ()),
        candidates=tuple(_candidate(c) for c in facts.get("candidates") or ()),
        qa_shares={int(k): float(v) for k, v in shares.items()} or statistics.pop("shares"),
        **{k: v for k, v in statistics.items() if k != "shares"},
    )


def _candidate(document: dict[str, Any]) -> Candidate:
    return Candidate(
        id=str(document.get("id", "")),
        date=dashed(str(document.get("date", ""))),
        clear_share=document.get("clear_share"),
        used=bool(document.get("used")),
        reason=str(document.get("reason") or ""),
    )


def _statistics(made: Artifact, optical: Path | None, bands: tuple[str, ...]) -> dict[str, Any]:
    after = quicklook.read_decimated(made.file("reflectance"), STATISTICS_PX)
    qa = quicklook.read_labels_decimated(made.file("qa"), STATISTICS_PX)
    found: dict[str, Any] = {"shares": _shares(qa), "after": _level(after, None, bands)}
    if made.has("uncertainty"):
        sigma = quicklook.read_decimated(made.file("uncertainty"), STATISTICS_PX)
        found["after"] = _level(after, sigma, bands)
        finite = sigma[np.isfinite(sigma)]
        found["sigma_high"] = float(np.percentile(finite, 98)) if finite.size else 0.0
    if optical is not None:
        acquired = quicklook.read_decimated(optical, STATISTICS_PX, bands=bands)
        found["before"] = _level(acquired, None, bands)
    wanted = [bands.index(b) for b in quicklook.picture_bands(bands)]
    clear = after[wanted][:, qa == 1]
    found["samples"] = clear[:, :: max(1, clear.shape[1] // _SAMPLES_PER_DATE)]
    return found


def _level(values: FloatArray, sigma: FloatArray | None, bands: tuple[str, ...]) -> Level | None:
    index = index_values(values, bands)
    valid = np.isfinite(index)
    if not valid.any():
        return None
    spread = 0.0
    if sigma is not None:
        each = index_sigma(values, sigma, bands)[valid]
        spread = float(np.nanmean(each)) if np.isfinite(each).any() else 0.0
    return Level(float(index[valid].mean()), spread)


def _shares(qa: npt.NDArray[np.uint8]) -> dict[int, float]:
    counts = np.bincount(qa.ravel(), minlength=6)[1:6]
    total = max(int(counts.sum()), 1)
    return {i + 1: int(n) / total for i, n in enumerate(counts) if n}


def _pictures(day: Day, series: Series, max_px: int) -> Pictures:
    bands = series.stretch.bands
    after = quicklook.read_decimated(day.files["reflectance"], max_px, bands=bands)
    before = None
    if day.optical is not None:
        acquired = quicklook.read_decimated(day.optical, max_px, bands=bands)
        before = quicklook.photo_uri(quicklook.to_rgba(acquired, series.stretch))
    sigma = None
    if "uncertainty" in day.files and series.sigma_high > 0:
        spread = quicklook.read_decimated(day.files["uncertainty"], max_px).mean(axis=0)
        sigma = quicklook.photo_uri(quicklook.ramp_rgba(spread, series.sigma_high))
    return Pictures(
        before=before,
        after=quicklook.photo_uri(quicklook.to_rgba(after, series.stretch)),
        qa=quicklook.qa_uri(quicklook.read_labels_decimated(day.files["qa"], max_px)),
        sigma=sigma,
        rows=after.shape[1],
        columns=after.shape[2],
    )


def _skipped(made: Artifact) -> Skipped:
    date = made.tags.get("datetime", made.tags.get("date", ""))[:10]
    return Skipped(date, made.tags.get("id", made.key[:8]), made.absent or "")


def _order(made: Artifact) -> tuple[str, str]:
    return made.tags.get("datetime", ""), made.key


def _nir(bands: Sequence[str]) -> str:
    return next((b for b in ("B08", "B8A") if b in bands), "")


def _round_up(value: float) -> float:
    """Round up to 1, 2 or 5 times a power of ten, so that the legend reads well."""
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(round(s * power, 10) for s in (1, 2, 5, 10) if s * power >= value * 0.999)
