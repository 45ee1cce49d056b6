"""The report: one static HTML page that needs no network and no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from skymend.evaluate.scores import GAP_CLASSES, STRATA, ScoreRow
from skymend.evaluate.table import ALL, FEW_UNITS, Table, TableRow, method_order
from skymend.evaluate.text import GAP_LABELS, STRATUM_LABELS, number
from skymend.report import charts, quicklook
from skymend.report.series import Candidate, Day, Pictures, Series, dashed, pictures

FULL_SIZE_DATES = 60
"""With more dates the pictures shrink, so that the page stays below some 30 MB."""

COVERAGE_GOAL = (0.58, 0.78)
"""Share of truths within one sigma that counts as calibrated."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """One trial: clear pixels of ``date`` hidden under the clouds of ``shape``."""

    date: str
    shape: str
    pixels: int
    mae: dict[str, float]


def render_page(
    series: Series,
    table: Table | None = None,
    *,
    trials: Sequence[ScoreRow] = (),
    title: str = "",
    notes: Sequence[str] = (),
    max_px: int = 512,
) -> str:
    """Return the page.

    Parameters
    ----------
    series : dates of the region.
    table : comparison of the methods, if one was made.
    trials : score rows behind the table, listed per date and cloud shape.
    title : name of the region; its tiles when empty.
    notes : remarks shown below the headline.
    max_px : longest side of a picture, pixels.

    Returns
    -------
    HTML with all pictures embedded; the same bytes for the same inputs.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("skymend.report", "web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=_percent, iso=_iso_date, number=number)
    web = files("skymend.report") / "web"
    figures = {
        "shares": charts.shares_chart(series),
        "index": charts.index_chart(series),
        "candidates": charts.candidates_chart(series),
    }
    return environment.get_template("page.html.j2").render(
        title=title or ", ".join(series.tiles) or "Region",
        series=series,
        period=_period(series),
        notes=[*notes, *_common_notes(series)],
        style=Markup((web / "page.css").read_text(encoding="utf-8")),
        script=Markup((web / "page.js").read_text(encoding="utf-8")),
        figures={k: Markup(v) for k, v in figures.items()},
        summary=_summary(series),
        scores=_scores(table),
        hidden=_hidden(trials),
        scored=sorted({row.method for row in trials}, key=method_order),
        days=[_day(d, p) for d, p in pictures(series, _size(len(series.days), max_px))],
        qa_names=quicklook.QA_NAMES,
        ramp=quicklook.ramp_css(),
        common=_common_notes(series),
    )


def _size(dates: int, max_px: int) -> int:
    """Return the picture size that keeps the page's weight bounded."""
    if dates <= FULL_SIZE_DATES:
        return max_px
    return max(160, int(max_px * (FULL_SIZE_DATES / dates) ** 0.5))


def _period(series: Series) -> str:
    first, last = series.days[0].time, series.days[-1].time
    if first.date() == last.date():
        return f"{first.day} {first:%B %Y}"
    same_year = first.year == last.year
    start = f"{first.day} {first:%B}" if same_year else f"{first.day} {first:%B %Y}"
    return f"{start} – {last.day} {last:%B %Y}"


def _summary(series: Series) -> list[tuple[str, str]]:
    days = series.days
    clear = [d.clear_share for d in days if d.clear_share is not None]
    radar = sum(1 for d in days if d.radar_id)
    methods = sorted({d.method for d in days if d.method})
    found = [
        (str(len(days)), "dates rebuilt" if len(days) != 1 else "date rebuilt"),
        (_percent(sum(clear) / len(clear)) if clear else "–", "clear on average, as acquired"),
        (f"{radar} of {len(days)}", "dates with radar in reach"),
        (", ".join(methods) or "–", "method"),
    ]
    if series.skipped:
        found.insert(1, (str(len(series.skipped)), "dates skipped"))
    return found


def _common_notes(series: Series) -> list[str]:
    """Return notes that every date carries; they are said once, at the top."""
    shared = set(series.days[0].notes)
    for day in series.days:
        shared &= set(day.notes)
    return [note for note in series.days[0].notes if note in shared]


def _scores(table: Table | None) -> dict[str, Any] | None:
    from markupsafe import Markup

    if table is None:
        return None
    strata = []
    for name in (ALL, *STRATA):
        rows = [r for r in table.rows if r.stratum == name]
        label = STRATUM_LABELS[name]
        chart = Markup(charts.intervals_chart(table, name, label))
        if rows:
            groups = [_group(g, [r for r in rows if r.gap_class == g]) for g in (ALL, *GAP_CLASSES)]
            shown = [g for g in groups if g["rows"]]
            strata.append({"label": label, "groups": shown, "chart": chart})
    return {
        "table": table,
        "strata": strata,
        "methods": table.methods,
        "few_units": FEW_UNITS,
        "findings": _findings(table),
        "missing": table.missing,
    }


def _group(gap_class: str, rows: list[TableRow]) -> dict[str, Any]:
    values = [r.mae.value for r in rows if r.mae.value is not None]
    best = min(values, default=None)
    low, high = COVERAGE_GOAL
    lines = [
        {
            "row": r,
            "best": r.mae.value == best and len(rows) > 1,
            "off": r.coverage.value is not None and not low <= r.coverage.value <= high,
            "few": r.units < FEW_UNITS,
        }
        for r in rows
    ]
    return {"label": GAP_LABELS[gap_class], "rows": lines}


def _findings(table: Table) -> list[str]:
    """Say in words where the best method of a group is apart from the next one."""
    found = []
    for stratum in (ALL, "changed"):
        for gap_class in (ALL, *GAP_CLASSES):
            rows = [
                r
                for r in table.rows
                if (r.gap_class, r.stratum) == (gap_class, stratum) and r.mae.value is not None
            ]
            rows.sort(key=lambda r: r.mae.value or 0.0)
            if len(rows) < 2:
                continue
            gain = table.difference(rows[1].method, rows[0].method, gap_class, stratum)
            if gain is None or gain.mae.value is None:
                continue
            where = f"{GAP_LABELS[gap_class]}, {STRATUM_LABELS[stratum]}"
            if gain.apart and gain.mae.value > 0:
                text = f"{rows[0].method} is ahead of {rows[1].method} by {number(gain.mae, 4)}"
            else:
                text = f"{rows[0].method} and {rows[1].method} cannot be told apart"
            found.append(f"{where}: {text}.")
    return found


def _hidden(rows: Sequence[ScoreRow]) -> list[Hidden]:
    """Return one line per date and cloud shape with the MAE of each method."""
    found = []
    for date, shape in sorted({(r.date, r.shape) for r in rows}):
        mae, pixels = {}, 0
        mine = [r for r in rows if (r.date, r.shape) == (date, shape)]
        for method in sorted({r.method for r in mine}):
            scored = [r for r in mine if r.method == method]
            count = sum(r.pixels for r in scored)
            samples = count * len(scored[0].bands)
            mae[method] = sum(sum(r.abs_sum) for r in scored) / max(samples, 1)
            pixels = max(pixels, count)
        found.append(Hidden(dashed(date), dashed(shape), pixels, mae))
    return found


def _day(day: Day, shown: Pictures) -> dict[str, Any]:
    return {
        "day": day,
        "pictures": shown,
        "facts": _facts(day),
        "used": [c for c in day.candidates if c.used],
        "rejected": [c for c in day.candidates if not c.used],
        "reasons": _reasons(day.candidates),
        "small": max(shown.rows, shown.columns) < 300,
    }


def _facts(day: Day) -> list[tuple[str, str]]:
    rebuilt = [
        f"{_percent(share)} {quicklook.QA_NAMES[code].removeprefix('rebuilt ')}"
        for code, share in sorted(day.qa_shares.items())
        if code != 1 and share > 0
    ]
    nearest = day.nearest_clear_days
    radar = "none in reach"
    if day.radar_id:
        gap = "" if day.radar_gap_hours is None else f", {abs(day.radar_gap_hours):.0f} h apart"
        radar = f"{day.radar_id}{gap}"
    return [
        ("Clear as acquired", "–" if day.clear_share is None else _percent(day.clear_share)),
        ("Rebuilt", "; ".join(rebuilt) or "nothing, all observed"),
        ("Nearest clear date", "none" if nearest is None else f"{abs(nearest):.0f} days away"),
        ("Radar", radar),
    ]


def _reasons(candidates: Sequence[Candidate]) -> list[tuple[str, int]]:
    reasons = [c.reason or "no reason given" for c in candidates if not c.used]
    return sorted(((r, reasons.count(r)) for r in set(reasons)), key=lambda x: (-x[1], x[0]))


def _percent(share: float) -> str:
    """Write a share so that neither a trace nor a near-whole rounds away."""
    if 0 < share < 0.005:
        return "< 1 %"
    if 0.995 < share < 1:
        return "> 99 %"
    return f"{share * 100:.0f} %"


def _iso_date(text: str) -> str:
    return text[:10]
