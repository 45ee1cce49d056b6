"""Time-lines and interval plots as SVG text; colours come from the page's style sheet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from html import escape

from skymend.evaluate.scores import GAP_CLASSES
from skymend.evaluate.table import ALL, Table, TableRow
from skymend.report.series import Series

WIDTH = 960
LEFT, RIGHT = 46, 14
_MARGIN_DAYS = 3.0
_QA_ORDER = (1, 2, 5, 3, 4)


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """Maps times to x between the margins of a chart."""

    start: float
    stop: float

    @classmethod
    def of(cls, series: Series) -> TimeAxis:
        """Cover all dates of a series with a small margin."""
        times = [day.time.timestamp() for day in series.days]
        margin = _MARGIN_DAYS * 86400
        return cls(min(times) - margin, max(times) + margin)

    def x(self, time: datetime) -> float:
        """Return the x of a time."""
        share = (time.timestamp() - self.start) / (self.stop - self.start)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def has(self, time: datetime) -> bool:
        """Tell whether a time lies on the axis."""
        return self.start <= time.timestamp() <= self.stop

    def bar(self, days: float = 5.0) -> float:
        """Return the width of a bar that leaves room for an acquisition every ``days``."""
        per_day = (WIDTH - LEFT - RIGHT) / ((self.stop - self.start) / 86400)
        return min(max(per_day * days * 0.62, 2.0), 26.0)

    def ticks(self) -> list[tuple[float, str]]:
        """Return (x, label) of some 5 to 10 round dates on the axis."""
        first = datetime.fromtimestamp(self.start, UTC).date()
        last = datetime.fromtimestamp(self.stop, UTC).date()
        round_dates = [(_midnight(day), text) for day, text in _round_dates(first, last)]
        return [(self.x(time), text) for time, text in round_dates if self.has(time)]


def shares_chart(series: Series) -> str:
    """Draw per date what was observed and what was rebuilt, with radar passes below."""
    axis, height, base = TimeAxis.of(series), 190, 140
    parts = [_grid(axis, base, 20, [(0, "0 %"), (0.5, "50 %"), (1, "100 %")])]
    width = axis.bar()
    for day in series.days:
        bars, low, x = [], 0.0, axis.x(day.time) - width / 2
        for code in _QA_ORDER:
            share = day.qa_shares.get(code, 0.0)
            y = base - 120 * (low + share)
            if share > 0:
                bars.append(_rect(x, y, width, 120 * share, f"q{code}"))
            low += share
        title = f"{day.time:%d %b %Y}: {day.observed:.0%} observed, rest rebuilt"
        link = f'<a href="#{day.slug}" aria-label="{title}">'
        parts.append(f"{link}<title>{title}</title>{''.join(bars)}</a>")
    shown = [t for t in series.radar_times if axis.has(t)]
    parts += [
        f'<path class="radar" d="M{axis.x(t):.1f} 149v9"><title>radar {t:%d %b %Y %H:%M} UTC'
        "</title></path>"
        for t in shown
    ]
    if shown:
        parts.append(f'<text x="{LEFT - 8}" y="158" class="end">radar</text>')
    parts.append(_axis_labels(axis, 176))
    return _svg(parts, height, "Share of each date that was observed and rebuilt")


def index_chart(series: Series) -> str:
    """Draw the mean index as acquired (dots) and as rebuilt (line with one sigma)."""
    days = [d for d in series.days if d.after is not None]
    if not days:
        return ""
    axis, height, base = TimeAxis.of(series), 230, 190
    ends = [(d.after.mean - d.after.sigma, d.after.mean + d.after.sigma) for d in days if d.after]
    dots = [d.before.mean for d in days if d.before]
    low = min([e[0] for e in ends] + dots)
    high = max([e[1] for e in ends] + dots)
    low, high, step = _round_range(low, high)
    scale = (base - 20) / (high - low)

    def y(value: float) -> float:
        return base - (value - low) * scale

    marks = []
    value = low
    while value <= high + step / 2:
        marks.append(((value - low) / (high - low), f"{value:.2f}"))
        value += step
    parts = [_grid(axis, base, 20, marks)]
    upper = [(axis.x(d.time), y(d.after.mean + d.after.sigma)) for d in days if d.after]
    lower = [(axis.x(d.time), y(d.after.mean - d.after.sigma)) for d in days if d.after]
    middle = [(axis.x(d.time), y(d.after.mean)) for d in days if d.after]
    parts.append(f'<polygon class="band" points="{_points(upper + lower[::-1])}"/>')
    parts.append(f'<polyline class="line" points="{_points(middle)}"/>')
    for day in days:
        if day.after:
            text = f"{day.time:%d %b %Y}: rebuilt {day.after.mean:.3f} ± {day.after.sigma:.3f}"
            parts.append(_dot(axis.x(day.time), y(day.after.mean), 3, "after", text))
        if day.before:
            text = f"{day.time:%d %b %Y}: as acquired {day.before.mean:.3f}"
            parts.append(_dot(axis.x(day.time), y(day.before.mean), 4, "before", text))
    parts.append(_axis_labels(axis, 214))
    return _svg(parts, height, f"Mean {series.index} of each date before and after")


def candidates_chart(series: Series) -> str:
    """Draw which dates helped which: one row per date, one mark per candidate."""
    rows = [d for d in series.days if d.candidates]
    if not rows:
        return ""
    axis = TimeAxis.of(series)
    pitch = 14.0 if len(rows) <= 30 else max(5.0, 420 / len(rows))
    base = 16 + pitch * len(rows)
    parts = []
    for i, day in enumerate(rows):
        y = 16 + pitch * (i + 0.5)
        parts.append(f'<path class="rule" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        if pitch >= 11:
            parts.append(f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" class="end small">')
            parts.append(f"{day.time:%d %b}</text>")
        for c in day.candidates:
            time = _parse(c.date)
            if time is None or not axis.has(time):
                continue
            state = "used" if c.used else f"not used ({c.reason or 'no reason given'})"
            text = f"{day.time:%d %b %Y} from {c.date}: {state}"
            kind = "used" if c.used else "unused"
            parts.append(_dot(axis.x(time), y, min(4.0, pitch * 0.32), kind, text))
        x, half = axis.x(_midnight(day.time.date())), pitch * 0.36
        parts.append(f'<path class="self" d="M{x:.1f} {y - half:.1f}v{2 * half:.1f}"/>')
    parts.append(_axis_labels(axis, base + 20))
    return _svg(parts, base + 30, "Dates used to rebuild each date")


def intervals_chart(table: Table, stratum: str, title: str) -> str:
    """Draw the MAE of every method by gap class with its 95 % interval.

    All strata share one scale, so that their plots can stand side by side.
    """
    rows = [r for r in table.rows if r.stratum == stratum and r.mae.value is not None]
    if not rows:
        return ""
    top = max(r.mae.high or r.mae.value or 0.0 for r in table.rows)
    _, high, step = _round_range(0.0, top)
    left, width, y = 86, 340, 14.0

    def x(value: float) -> float:
        return left + value / high * (width - left - 16)

    parts = []
    for gap in (ALL, *GAP_CLASSES):
        group = [r for r in rows if r.gap_class == gap]
        if group:
            label = "all gaps" if gap == ALL else f"{gap} days"
            parts.append(f'<text x="0" y="{y + 4:.1f}" class="strong">{escape(label)}</text>')
            for row in group:
                parts.append(_interval_mark(table, row, label, x, y))
                y += 14
            y += 9
    ticks = []
    for n in range(round(high / step) + 1):
        place = x(n * step)
        ticks.append(f'<path class="rule" d="M{place:.1f} 4V{y - 8:.1f}"/>')
        ticks.append(f'<text x="{place:.1f}" y="{y + 6:.1f}" class="mid">{n * step:.3g}</text>')
    return _svg(ticks + parts, y + 12, f"Mean absolute error, {title}", width)


def _interval_mark(
    table: Table, row: TableRow, label: str, x: Callable[[float], float], y: float
) -> str:
    value = row.mae.value or 0.0
    low, high = row.mae.low or value, row.mae.high or value
    text = f"{row.method}, {label}: MAE {value:.4f} [{low:.4f}, {high:.4f}]"
    return (
        f'<g class="m{table.methods.index(row.method) % 5}"><title>{escape(text)}</title>'
        f'<path d="M{x(low):.1f} {y:.1f}H{x(high):.1f}"/>'
        f'<circle cx="{x(value):.1f}" cy="{y:.1f}" r="4"/></g>'
    )


def _grid(axis: TimeAxis, base: float, top: float, marks: Iterable[tuple[float, str]]) -> str:
    lines = []
    for share, label in marks:
        y = base - share * (base - top)
        lines.append(f'<path class="rule" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" class="end">{label}</text>')
    lines += [f'<path class="tick" d="M{x:.1f} {base}v5"/>' for x, _ in axis.ticks()]
    return "".join(lines)


def _axis_labels(axis: TimeAxis, y: float) -> str:
    return "".join(
        f'<text x="{x:.1f}" y="{y:.1f}" class="mid">{label}</text>' for x, label in axis.ticks()
    )


def _svg(parts: Sequence[str], height: float, title: str, width: int = WIDTH) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
    )


def _dot(x: float, y: float, radius: float, kind: str, title: str) -> str:
    return (
        f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}">'
        f"<title>{escape(title)}</title></circle>"
    )


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _round_range(low: float, high: float) -> tuple[float, float, float]:
    """Return limits and step so that 3 to 6 round marks cover the range."""
    span = max(high - low, 1e-6)
    step = next(s * 10.0**p for p in range(-6, 6) for s in (1, 2, 5) if span / (s * 10.0**p) <= 5)
    start = round(low / step - 0.499) * step
    stop = round(high / step + 0.499) * step
    return round(start, 10), round(max(stop, start + step), 10), round(step, 10)


def _round_dates(first: date, last: date) -> list[tuple[date, str]]:
    span = (last - first).days
    if span <= 70:
        step = 5 if span <= 40 else 10
        days = (first + timedelta(n) for n in range(span + 1))
        return [(d, f"{d.day} {d:%b}") for d in days if d.day % step == 1 and d.day < 30]
    step = 1 if span <= 330 else 3 if span <= 1100 else 6
    months = (date(y, m, 1) for y in range(first.year, last.year + 1) for m in range(1, 13, step))
    return [(d, f"{d:%b %Y}") for d in months if first <= d <= last]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _parse(text: str) -> datetime | None:
    """Return midnight of a date, so that candidates of one day line up; None if unreadable."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _midnight(found.date())
