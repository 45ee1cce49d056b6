"""The comparison table as plain text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from skymend.evaluate.scores import GAP_CLASSES, STRATA
from skymend.evaluate.table import ALL, FEW_UNITS, Interval, Table, TableRow

NOTHING = "Nothing was scored: no date could lend or take a cloud shape."
GAP_LABELS = {ALL: "all gaps", **{name: f"{name} days" for name in GAP_CLASSES}}
STRATUM_LABELS = {ALL: "all pixels", "stable": "no land change", "changed": "with land change"}

_HEAD = ("gap", "method", "MAE", "RMSE", "PSNR dB", "SSIM", "SAM deg", "in 1 sigma", "pixels")


def as_text(table: Table, strata: Sequence[str] = (ALL, *STRATA)) -> str:
    """Return the table as aligned text, one block per stratum.

    Parameters
    ----------
    table : what :func:`skymend.evaluate.table.build_table` made.
    strata : which strata to show, in this order.

    Returns
    -------
    Lines of at most some 120 characters, ended by a line feed; notes and skipped trials below.
    """
    blocks = [NOTHING] if not table.rows else [_block(table, s) for s in strata]
    lines = [block for block in blocks if block]
    if table.rows:
        lines.append(
            f"Intervals: 95 % of {table.draws} draws over {table.units} units "
            f"(date, cloud shape); * fewer than {FEW_UNITS} units. "
            f"Bands {', '.join(table.bands)}; PSNR over a range of {table.psnr_range:g}, "
            f"SSIM of {table.ssim_range:g}."
        )
    lines += [f"Note: {note}" for note in table.notes]
    if table.missing:
        lines.append(f"Trials skipped: {len(table.missing)}")
    return "\n\n".join(lines) + "\n"


def number(interval: Interval, digits: int, *, percent: bool = False) -> str:
    """Return ``value [low, high]`` with fixed digits, or a dash."""
    if interval.value is None:
        return "-"
    factor = 100.0 if percent else 1.0
    text = f"{interval.value * factor:.{digits}f}"
    if interval.low is None or interval.high is None:
        return text
    return f"{text} [{interval.low * factor:.{digits}f}, {interval.high * factor:.{digits}f}]"


def _block(table: Table, stratum: str) -> str:
    rows = [_cells(row) for row in table.rows if row.stratum == stratum]
    if not rows:
        return ""
    widths = [max(len(r[i]) for r in [_HEAD, *rows]) for i in range(len(_HEAD))]
    body, last = [], ""
    for cells in rows:
        shown = ("" if cells[0] == last else cells[0], *cells[1:])
        body.append(_line(shown, widths))
        last = cells[0]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([STRATUM_LABELS[stratum], _line(_HEAD, widths), rule, *body])


def _cells(row: TableRow) -> tuple[str, ...]:
    few = "*" if row.units < FEW_UNITS else ""
    return (
        GAP_LABELS[row.gap_class],
        row.method + few,
        number(row.mae, 4),
        number(row.rmse, 4),
        number(Interval(value=row.psnr_db.value), 1),
        number(Interval(value=row.ssim.value), 3),
        number(Interval(value=row.sam_deg.value), 2),
        number(row.coverage, 0, percent=True) + " %",
        f"{row.pixels:,}",
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    left = [c.ljust(w) for c, w in zip(cells[:2], widths[:2], strict=True)]
    right = [c.rjust(w) for c, w in zip(cells[2:], widths[2:], strict=True)]
    return "  ".join([*left, *right]).rstrip()
