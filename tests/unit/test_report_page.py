"""The page says what the artifacts say, needs nothing else, and is the same each time."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pytest

from skymend.core.errors import SkipJob
from skymend.core.step import Artifact, Context
from skymend.evaluate.scores import write_scores
from skymend.evaluate.table import build_table
from skymend.report import charts
from skymend.report.page import render_page
from skymend.report.series import index_sigma, index_values, read_series
from skymend.steps.report import Inputs, Params, run
from tests.report_case import BANDS, make_region, radar_passes, score_rows


class Elements(HTMLParser):
    """Collects start tags with their attributes, and checks that tags are closed in order."""

    VOID = frozenset({"meta", "link", "img", "input", "br", "circle", "path", "polyline"})

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.found if name == tag]


def parse(page: str) -> Elements:
    elements = Elements()
    elements.feed(page)
    return elements


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    return make_region(tmp_path_factory.mktemp("region"))


@pytest.fixture(scope="module")
def page(region):
    made, acquired = region
    series = read_series(made, acquired, radar_passes())
    table = build_table(score_rows(), notes=("network trained on simulated data only",))
    return render_page(series, table, trials=score_rows(), title="Hesbaye & co")


def test_headline_names_region_period_and_tile(page):
    assert "<h1>Hesbaye &amp; co</h1>" in page
    assert "3 April – 16 May 2023 · tile 31UFQ" in page


def test_every_date_has_a_section_and_every_acquisition_a_slider(page):
    elements = parse(page)
    assert elements.open == []
    assert len(elements.all("article")) == 10
    ranges = [i for i in elements.all("input") if i.get("type") == "range"]
    assert len(ranges) == 9
    assert all(i["aria-label"].startswith("Before and after") for i in ranges)
    assert "nothing was acquired at this time" in page


def test_every_picture_has_a_text_and_is_embedded(page):
    images = parse(page).all("img")
    # nine dates with before, after, quality and uncertainty; one without before
    assert len(images) == 9 * 4 + 3
    assert all(len(i["alt"]) > 20 for i in images)
    assert all(i["src"].startswith("data:image/") for i in images)


def test_nothing_is_loaded_from_anywhere(page):
    without_pictures = re.sub(r"data:image/\w+;base64,[A-Za-z0-9+/=]+", "", page)
    assert "http://" not in without_pictures
    assert "https://" not in without_pictures
    for tag, attributes in parse(page).found:
        for name in ("src", "href"):
            target = attributes.get(name)
            assert target is None or target.startswith(("#", "data:")), (tag, target)


def test_links_inside_the_page_lead_somewhere(page):
    elements = parse(page)
    ids = {a["id"] for _, a in elements.found if "id" in a}
    links = {a["href"][1:] for a in elements.all("a")}
    assert links <= ids


def test_facts_of_each_date_are_told(page):
    assert "S1A_20230404T174103, 30 h apart" in page
    assert "none in reach" in page
    assert "fully cloudy over the hidden pixels" in page
    assert '<th scope="row" title="S2A_20230413">2023-04-13</th><td>0 %</td><td>no</td>' in page
    assert "5 days away" in page
    assert "Few usable dates after this one." in page
    assert page.count("No DEM was given.") == 1, "a note of all dates is said once"


def test_skipped_dates_are_listed_with_their_reason(page):
    assert "outside swath" in page


def test_scores_stand_with_intervals_note_and_calibration_mark(page):
    row = build_table(score_rows()).row("regression", "20-40", "changed")
    assert row is not None
    assert f"{row.mae.value:.4f}<small>{row.mae.low:.4f} – {row.mae.high:.4f}</small>" in page
    assert "network trained on simulated data only" in page
    assert 'class="off"' in page, "harmonic covers 50 % only"
    assert "regression is ahead of" in page


def test_page_without_scores_says_so(region):
    series = read_series(region[0])
    assert "No evaluation was asked for." in render_page(series)
    assert "Nothing was scored" in render_page(series, build_table([]))


def test_text_from_outside_is_escaped(region):
    made = region[0][0]
    facts = {**made.facts, "notes": ["<script>alert(1)</script>"]}
    tags = {**made.tags, "id": '"><img src=x>'}
    page = render_page(read_series([made.model_copy(update={"facts": facts, "tags": tags})]))
    assert "<script>alert" not in page
    assert "<img src=x>" not in page


def test_order_of_artifacts_does_not_change_a_byte(region):
    made, acquired = region
    a = render_page(read_series(made, acquired), max_px=64)
    b = render_page(read_series(made[::-1], acquired[::-1]), max_px=64)
    assert a == b


def test_single_date_single_band_page(region):
    made = region[0][7]
    page = render_page(read_series([made.model_copy(update={"facts": {}})]))
    assert "8 May 2023" in page
    assert parse(page).open == []


def test_observed_dates_have_equal_index_before_and_after(region):
    series = read_series(*region)
    clear = series.days[7]
    assert clear.observed == 1.0
    assert clear.before is not None
    assert clear.after is not None
    # the corner outside the swath differs: 24 of 11,520 pixels
    assert clear.after.mean == pytest.approx(clear.before.mean, abs=2e-3)


def test_index_is_ndvi_and_its_sigma_that_of_a_monte_carlo_run():
    generator = np.random.default_rng(0)
    values = np.array([0.05, 0.08, 0.10, 0.30], np.float32)[:, None, None]
    sigma = np.array([0.005, 0.005, 0.010, 0.015], np.float32)[:, None, None]
    drawn = values + sigma * generator.normal(size=(4, 400, 500)).astype(np.float32)
    expected = index_values(drawn, BANDS).std()
    assert index_values(values, BANDS)[0, 0] == pytest.approx(0.5, abs=1e-6)
    # linear propagation is first order: 2 % at relative errors of 5-10 %
    assert index_sigma(values, sigma, BANDS)[0, 0] == pytest.approx(expected, rel=0.02)


def test_index_falls_back_to_mean_reflectance():
    values = np.array([0.1, 0.3], np.float32)[:, None, None]
    assert index_values(values, ("B02", "B03"))[0, 0] == pytest.approx(0.2)


@pytest.mark.parametrize(("low", "high"), [(0, 0.13), (-0.02, 0.81), (0.2, 0.2), (3, 4000)])
def test_axis_marks_cover_the_data_with_few_round_steps(low, high):
    start, stop, step = charts._round_range(low, high)
    assert start <= low
    assert stop >= high
    assert 1 <= round((stop - start) / step) <= 7


def test_step_writes_the_page_and_a_picture(tmp_path, region):
    made, acquired = region
    write_scores(tmp_path / "scores.json", score_rows())
    (tmp_path / "table.json").write_text(build_table(score_rows()).model_dump_json())
    trial = Artifact(key="t", step="trial", files={"scores": tmp_path / "scores.json"})
    table = Artifact(key="e", step="evaluate", files={"table": tmp_path / "table.json"})
    out = tmp_path / "out"
    out.mkdir()
    inputs = Inputs(
        reconstructions=made,
        optical=acquired,
        radar=radar_passes(),
        trials=(trial, Artifact(key="u", step="trial", absent="cloudy")),
        table=table,
    )
    context = Context(cpus=1, work=tmp_path, final=out, log=logging.getLogger("test"))
    facts = run(inputs, Params(title="R", max_px=64), out, context)
    assert sorted(p.name for p in out.iterdir()) == ["before-after.jpg", "index.html"]
    assert (facts["dates"], facts["skipped"]) == (10, 1)
    assert "Hidden trials (12)" in (out / "index.html").read_text()


def test_step_is_skipped_when_nothing_was_reconstructed(tmp_path):
    gone = Artifact(key="a", step="reconstruct", absent="outside swath")
    context = Context(cpus=1, work=tmp_path, final=tmp_path)
    with pytest.raises(SkipJob, match="nothing to report"):
        run(Inputs(reconstructions=(gone,)), Params(), tmp_path, context)


@pytest.mark.parametrize("days", [10, 45, 200, 900])
def test_dates_below_a_chart_lie_on_its_axis(days):
    start = datetime(2018, 6, 1, 10, 50, tzinfo=UTC).timestamp()
    ticks = charts.TimeAxis(start, start + days * 86400).ticks()
    assert len(ticks) >= 2
    assert all(charts.LEFT <= x <= charts.WIDTH - charts.RIGHT for x, _ in ticks)
