"""Score rows: what a trial knows of one method on one group of hidden pixels.

A row holds sums, never means, so that rows can be added over dates and cloud shapes and the
bootstrap can draw them with weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from skymend.core.errors import InternalError, ProductError

GAP_CLASSES = ("0-10", "10-20", "20-40", ">40")
"""Days between the nearest usable observations before and after; upper limits belong in."""

STRATA = ("stable", "changed")
"""``changed`` where those two observations differ by more than :data:`CHANGE_LIMIT`."""

CHANGE_LIMIT = 0.05
"""Reflectance difference, in any band, from which a pixel counts as changed."""

_LIMITS_DAYS = (10.0, 20.0, 40.0)
_FORMAT = "skymend-scores-1"


class ScoreRow(BaseModel):
    """Sums over the hidden pixels of one date, cloud shape, method, gap class and stratum.

    Tuples have one number per band, in the order of ``bands``. Errors are estimate minus
    truth, in reflectance.

    Parameters
    ----------
    date : date with hidden pixels, ``YYYYMMDD``.
    shape : date that lent its cloud shape, ``YYYYMMDD``.
    method : name of the method, such as ``linear``.
    gap_class : one of :data:`GAP_CLASSES`.
    stratum : one of :data:`STRATA`.
    bands : band names.
    pixels : number of pixels scored (finite in every band).
    abs_sum, sq_sum, err_sum : sums of absolute, squared and signed errors.
    within : number of pixels whose absolute error is at most one sigma.
    sam_sum : sum of spectral angles, radians.
    ssim_sum, ssim_pixels : sum of local SSIM (mean over bands) and the pixels it covers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    date: str
    shape: str
    method: str
    gap_class: str
    stratum: str
    bands: tuple[str, ...]
    pixels: int = Field(ge=0)
    abs_sum: tuple[float, ...]
    sq_sum: tuple[float, ...]
    err_sum: tuple[float, ...]
    within: tuple[float, ...]
    sam_sum: float = Field(ge=0)
    ssim_sum: float
    ssim_pixels: int = Field(ge=0)

    @model_validator(mode="after")
    def _check(self) -> ScoreRow:
        for name in ("abs_sum", "sq_sum", "err_sum", "within"):
            if len(getattr(self, name)) != len(self.bands):
                raise ValueError(f"{name} must hold {len(self.bands)} numbers, one per band")
        if self.gap_class not in GAP_CLASSES:
            raise ValueError(f"gap_class must be one of {GAP_CLASSES}, got {self.gap_class!r}")
        if self.stratum not in STRATA:
            raise ValueError(f"stratum must be one of {STRATA}, got {self.stratum!r}")
        return self


def gap_index(gap_days: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Return the position in :data:`GAP_CLASSES` of gaps in days.

    A gap of exactly 10 days belongs to ``0-10``; an infinite or unknown (NaN) gap, where one
    side has no usable observation, to ``>40``.
    """
    return np.searchsorted(_LIMITS_DAYS, np.asarray(gap_days, np.float64), side="left")


def write_scores(path: Path, rows: Iterable[ScoreRow]) -> None:
    """Write rows as JSON, in a fixed order whatever the order they come in."""
    ordered = sorted(rows, key=_order)
    lines = ",\n".join(json.dumps(row.model_dump(), sort_keys=True) for row in ordered)
    path.write_text(f'{{"format": "{_FORMAT}", "rows": [\n{lines}\n]}}\n', encoding="utf-8")


def read_scores(path: Path) -> tuple[ScoreRow, ...]:
    """Read what :func:`write_scores` wrote.

    Raises
    ------
    ProductError
        if the file is missing, damaged or of another format.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != _FORMAT:
            raise _damaged(path, f"format {document['format']!r}")
        return tuple(ScoreRow.model_validate(row) for row in document["rows"])
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "row"
        raise _damaged(path, f"{field}: {first['msg']}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


def require_same_bands(rows: Iterable[ScoreRow]) -> tuple[str, ...]:
    """Return the band names all rows share (none when there is no row).

    Raises
    ------
    InternalError
        if rows were scored on different bands.
    """
    found = sorted({row.bands for row in rows})
    if len(found) > 1:
        raise InternalError(
            where="scores",
            expected=f"rows of the bands {', '.join(found[0])}",
            found=f"also {', '.join(found[1])}",
            fix="compare trials of one reconstruct output only",
        )
    return found[0] if found else ()


def _order(row: ScoreRow) -> tuple[Any, ...]:
    return (row.date, row.shape, row.method, GAP_CLASSES.index(row.gap_class), row.stratum)


def _damaged(path: Path, found: str) -> ProductError:
    return ProductError(
        where=path,
        expected=f"a score file ({_FORMAT})",
        found=found[:200],
        fix="run the trial again",
    )
