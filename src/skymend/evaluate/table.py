"""The comparison table: metrics per method, gap class and stratum with bootstrap intervals.

The unit of the bootstrap is (date, cloud shape): pixels of one cloud are not independent.
All methods and groups share the same draws, which makes differences between methods paired.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from skymend.evaluate.metrics import PSNR_RANGE, SSIM_RANGE, psnr_of
from skymend.evaluate.scores import GAP_CLASSES, STRATA, ScoreRow, require_same_bands

ALL = "all"
METRICS = ("mae", "rmse", "psnr_db", "ssim", "sam_deg", "bias", "coverage")
COMPARED = ("mae", "rmse", "sam_deg")
FEW_UNITS = 5
"""Below this many units an interval is shown, but marked as resting on few units."""

_METHODS = ("nearest", "linear", "harmonic", "regression", "network")
_Doubles = npt.NDArray[np.float64]
_SUMS = ("pixels", "abs", "sq", "err", "within", "sam", "ssim", "ssim_pixels")
_DIGITS = 6


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Frozen):
    """A value with its 95 % percentile interval; None where it cannot be told."""

    value: float | None
    low: float | None = None
    high: float | None = None


class TableRow(_Frozen):
    """Metrics of one method on one gap class and stratum (``all`` merges them)."""

    method: str
    gap_class: str
    stratum: str
    pixels: int
    units: int
    mae: Interval
    rmse: Interval
    psnr_db: Interval
    ssim: Interval
    sam_deg: Interval
    bias: Interval
    coverage: Interval
    mae_by_band: dict[str, float]


class Difference(_Frozen):
    """Metric of ``method`` minus that of ``other`` on the units both were scored on."""

    method: str
    other: str
    gap_class: str
    stratum: str
    units: int
    mae: Interval
    rmse: Interval
    sam_deg: Interval

    @property
    def apart(self) -> bool:
        """True where the interval of the MAE difference leaves out zero."""
        low, high = self.mae.low, self.mae.high
        return low is not None and high is not None and (low > 0 or high < 0)


class Missing(_Frozen):
    """A trial that was skipped, with its reason."""

    id: str
    reason: str


class Table(_Frozen):
    """The whole comparison; ``rows`` is empty when nothing was scored."""

    format: str = "skymend-table-1"
    bands: tuple[str, ...] = ()
    units: int = 0
    draws: int = 0
    seed: int = 0
    confidence: float = 0.95
    psnr_range: float = PSNR_RANGE
    ssim_range: float = SSIM_RANGE
    notes: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()
    rows: tuple[TableRow, ...] = ()
    differences: tuple[Difference, ...] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods in the order they are shown."""
        return tuple(sorted({row.method for row in self.rows}, key=method_order))

    def row(self, method: str, gap_class: str = ALL, stratum: str = ALL) -> TableRow | None:
        """Return one row, or None where nothing was scored."""
        wanted = (method, gap_class, stratum)
        return next((r for r in self.rows if (r.method, r.gap_class, r.stratum) == wanted), None)

    def difference(
        self, method: str, other: str, gap_class: str = ALL, stratum: str = ALL
    ) -> Difference | None:
        """Return the paired difference ``method`` minus ``other``, or None."""
        for d in self.differences:
            if (d.gap_class, d.stratum) == (gap_class, stratum):
                if (d.method, d.other) == (method, other):
                    return d
                if (d.method, d.other) == (other, method):
                    return _mirrored(d)
        return None

    def as_csv(self) -> str:
        """Return one line per row: names, counts, then value, low and high per metric."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        ends = ("", "_low", "_high")
        names = [m + end for m in METRICS for end in ends]
        writer.writerow(["method", "gap_class", "stratum", "pixels", "units", *names])
        for row in self.rows:
            values = [v for m in METRICS for v in _ends(getattr(row, m))]
            writer.writerow(
                [row.method, row.gap_class, row.stratum, row.pixels, row.units]
                + ["" if v is None else repr(v) for v in values]
            )
        return stream.getvalue()


def build_table(
    rows: Iterable[ScoreRow],
    *,
    draws: int = 1000,
    seed: int = 0,
    notes: Sequence[str] = (),
    missing: Sequence[Missing] = (),
) -> Table:
    """Summarise score rows.

    Parameters
    ----------
    rows : score rows of all trials, in any order.
    draws : number of bootstrap draws.
    seed : seed of the draws.
    notes : remarks that must be read with the table.
    missing : trials that were skipped.

    Returns
    -------
    The same table, digit for digit, whatever the order of ``rows``.

    Raises
    ------
    InternalError
        if rows were scored on different bands.
    """
    ordered = sorted(rows, key=lambda row: row.model_dump_json())
    bands = require_same_bands(ordered)
    head: dict[str, Any] = {
        "notes": tuple(notes),
        "missing": tuple(sorted(missing, key=lambda m: (m.id, m.reason))),
        "draws": draws,
        "seed": seed,
    }
    if not ordered:
        return Table(**head)
    sums = _Sums(ordered, len(bands))
    weights = _draw(len(sums.units), draws, seed)
    return Table(
        bands=bands,
        units=len(sums.units),
        rows=tuple(_rows(sums, weights, bands)),
        differences=tuple(_differences(sums, weights)),
        **head,
    )


class _Sums:
    """Sums per group and unit: ``groups[method, gap, stratum]`` is (units, sums)."""

    def __init__(self, rows: Sequence[ScoreRow], bands: int) -> None:
        self.units = sorted({(row.date, row.shape) for row in rows})
        self.bands = bands
        self.groups: dict[tuple[str, str, str], _Doubles] = {}
        self.by_band: dict[tuple[str, str, str], _Doubles] = {}
        position = {unit: i for i, unit in enumerate(self.units)}
        for row in rows:
            self._add(row, position[row.date, row.shape])

    def _add(self, row: ScoreRow, unit: int) -> None:
        values = (
            row.pixels,
            sum(row.abs_sum),
            sum(row.sq_sum),
            sum(row.err_sum),
            sum(row.within),
            row.sam_sum,
            row.ssim_sum,
            row.ssim_pixels,
        )
        for gap_class in (ALL, row.gap_class):
            for stratum in (ALL, row.stratum):
                key = (row.method, gap_class, stratum)
                if key not in self.groups:
                    self.groups[key] = np.zeros((len(self.units), len(_SUMS)))
                    self.by_band[key] = np.zeros(self.bands)
                self.groups[key][unit] += values
                self.by_band[key] += row.abs_sum

    def keys(self) -> list[tuple[str, str, str]]:
        """Return the groups in the order they are shown."""
        gaps, strata = (ALL, *GAP_CLASSES), (ALL, *STRATA)
        return sorted(
            (key for key, sums in self.groups.items() if sums[:, 0].any()),
            key=lambda k: (strata.index(k[2]), gaps.index(k[1]), method_order(k[0])),
        )


def _draw(units: int, draws: int, seed: int) -> _Doubles:
    """Return (draws, units) how often each unit is drawn in each bootstrap sample."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(units, np.full(units, 1 / units), size=draws).astype(np.float64)


def _metrics(sums: _Doubles, bands: int) -> dict[str, _Doubles]:
    """Turn sums (..., 8) into metrics (...); NaN where no pixel was drawn."""
    pixels, absolute, square, error, within, angle, similarity, windows = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        samples = np.where(pixels > 0, pixels * bands, np.nan)
        mse = square / samples
        return {
            "mae": absolute / samples,
            "rmse": np.sqrt(mse),
            "psnr_db": psnr_of(mse),
            "ssim": similarity / np.where(windows > 0, windows, np.nan),
            "sam_deg": np.degrees(angle / np.where(pixels > 0, pixels, np.nan)),
            "bias": error / samples,
            "coverage": within / samples,
        }


def _rows(sums: _Sums, weights: _Doubles, bands: Sequence[str]) -> Iterable[TableRow]:
    for key in sums.keys():  # noqa: SIM118 - not a mapping
        group = sums.groups[key]
        units = int((group[:, 0] > 0).sum())
        pixels = int(group[:, 0].sum())
        intervals = _intervals(
            _metrics(group.sum(axis=0), sums.bands), _metrics(weights @ group, sums.bands), units
        )
        by_band = {b: _round(v / pixels) for b, v in zip(bands, sums.by_band[key], strict=True)}
        yield TableRow(
            method=key[0],
            gap_class=key[1],
            stratum=key[2],
            pixels=pixels,
            units=units,
            mae_by_band=by_band,
            **intervals,
        )


def _differences(sums: _Sums, weights: _Doubles) -> Iterable[Difference]:
    keys = sums.keys()
    for first, second in combinations(keys, 2):
        if first[1:] != second[1:]:
            continue
        a, b = sums.groups[first], sums.groups[second]
        common = (a[:, 0] > 0) & (b[:, 0] > 0)
        units = int(common.sum())
        if not units:
            continue
        a, b, drawn = a[common], b[common], weights[:, common]
        value = _minus(_metrics(a.sum(axis=0), sums.bands), _metrics(b.sum(axis=0), sums.bands))
        spread = _minus(_metrics(drawn @ a, sums.bands), _metrics(drawn @ b, sums.bands))
        yield Difference(
            method=first[0],
            other=second[0],
            gap_class=first[1],
            stratum=first[2],
            units=units,
            **_intervals(value, spread, units),
        )


def _minus(a: dict[str, _Doubles], b: dict[str, _Doubles]) -> dict[str, _Doubles]:
    return {name: a[name] - b[name] for name in COMPARED}


def _intervals(
    value: dict[str, _Doubles], spread: dict[str, _Doubles], units: int
) -> dict[str, Interval]:
    return {name: _interval(float(value[name]), spread[name], units) for name in value}


def _interval(value: float, spread: _Doubles, units: int) -> Interval:
    """Return the percentile interval; a single unit has none."""
    finite = spread[np.isfinite(spread)]
    if not math.isfinite(value):
        return Interval(value=None)
    if units < 2 or finite.size < 2:
        return Interval(value=_round(value))
    low, high = np.percentile(finite, (2.5, 97.5))
    return Interval(value=_round(value), low=_round(float(low)), high=_round(float(high)))


def _round(value: float) -> float:
    """Keep six significant digits: the last bits of a sum depend on the linear algebra library."""
    return float(f"{value:.{_DIGITS}g}")


def _ends(interval: Interval) -> tuple[float | None, float | None, float | None]:
    return interval.value, interval.low, interval.high


def _mirrored(d: Difference) -> Difference:
    turned = {name: _negated(getattr(d, name)) for name in COMPARED}
    return d.model_copy(update={"method": d.other, "other": d.method, **turned})


def _negated(i: Interval) -> Interval:
    value, low, high = (None if v is None else -v for v in _ends(i))
    return Interval(value=value, low=high, high=low)


def method_order(name: str) -> tuple[int, str]:
    """Return the sort key that shows simple methods before elaborate ones."""
    return (_METHODS.index(name) if name in _METHODS else len(_METHODS), name)
