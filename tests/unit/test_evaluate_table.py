"""The comparison table and its file: hand sums, known intervals, order and damage."""

from __future__ import annotations

import csv
import io
import json
import time

import numpy as np
import pytest

from skymend.core.errors import InternalError, ProductError
from skymend.evaluate.scores import ScoreRow, gap_index, read_scores, write_scores
from skymend.evaluate.table import Interval, Missing, Table, build_table
from skymend.evaluate.text import as_text, number


def row(
    date="20230405",
    method="linear",
    gap_class="10-20",
    stratum="stable",
    error=0.02,
    pixels=100,
    shape="20230410",
    bands=("B03", "B04"),
) -> ScoreRow:
    n = len(bands)
    return ScoreRow(
        date=date,
        shape=shape,
        method=method,
        gap_class=gap_class,
        stratum=stratum,
        bands=bands,
        pixels=pixels,
        abs_sum=(error * pixels,) * n,
        sq_sum=(error**2 * pixels,) * n,
        err_sum=(error * pixels,) * n,
        within=(0.7 * pixels,) * n,
        sam_sum=np.radians(2.0) * pixels,
        ssim_sum=0.9 * pixels,
        ssim_pixels=pixels,
    )


def many(units: int, seed: int = 0) -> list[ScoreRow]:
    generator = np.random.default_rng(seed)
    rows = []
    for i in range(units):
        level = generator.uniform(0.01, 0.03)
        for method, factor in (("linear", 1.0), ("harmonic", 1.3), ("regression", 0.8)):
            noise = generator.normal(0, 0.001)
            rows.extend(
                row(
                    date=f"2023{i // 28 + 1:02d}{i % 28 + 1:02d}",
                    method=method,
                    gap_class=gap_class,
                    stratum=stratum,
                    error=level * factor + noise,
                )
                for gap_class in ("0-10", "10-20", "20-40", ">40")
                for stratum in ("stable", "changed")
            )
    return rows


def test_metrics_of_hand_made_sums():
    table = build_table([row(error=0.01), row(date="20230501", error=0.03, pixels=300)])
    line = table.row("linear")
    assert line is not None
    assert (line.pixels, line.units) == (400, 2)
    assert line.mae.value == pytest.approx(0.025)
    assert line.rmse.value == pytest.approx(np.sqrt((0.01**2 + 3 * 0.03**2) / 4), rel=1e-5)
    assert line.psnr_db.value == pytest.approx(10 * np.log10(4 / (0.01**2 + 3 * 0.03**2)), rel=1e-5)
    assert line.ssim.value == pytest.approx(0.9)
    assert line.sam_deg.value == pytest.approx(2.0)
    assert line.coverage.value == pytest.approx(0.7)
    assert line.mae_by_band == {"B03": pytest.approx(0.025), "B04": pytest.approx(0.025)}


def test_interval_agrees_with_a_bootstrap_written_as_a_loop():
    errors = np.random.default_rng(5).uniform(0.01, 0.05, 40)
    rows = [row(date=f"d{i:03d}", error=e) for i, e in enumerate(errors)]
    line = build_table(rows, draws=4000, seed=1).row("linear")
    generator = np.random.default_rng(99)
    means = [generator.choice(errors, errors.size).mean() for _ in range(4000)]
    low, high = np.percentile(means, (2.5, 97.5))
    # Monte-Carlo error of a percentile from 4,000 draws is about 2 % of the width
    width = high - low
    assert line is not None
    assert line.mae.low is not None
    assert line.mae.high is not None
    assert line.mae.low == pytest.approx(low, abs=0.06 * width)
    assert line.mae.high == pytest.approx(high, abs=0.06 * width)


def test_the_unit_is_date_and_shape_not_the_pixel():
    few = build_table([row(error=e, date=d, pixels=10**6) for e, d in ((0.01, "a"), (0.03, "b"))])
    line = few.row("linear")
    assert line is not None
    # two units only: the interval spans both, however many pixels they hold
    assert (line.mae.low, line.mae.high) == (pytest.approx(0.01), pytest.approx(0.03))


def test_one_unit_has_no_interval():
    line = build_table([row()]).row("linear")
    assert line is not None
    assert line.mae == Interval(value=0.02)


def test_paired_difference_is_tighter_than_the_two_intervals():
    table = build_table(many(60))
    linear, regression = table.row("linear"), table.row("regression")
    difference = table.difference("regression", "linear")
    assert linear is not None
    assert regression is not None
    assert difference is not None
    assert difference.mae.value == pytest.approx(regression.mae.value - linear.mae.value, abs=2e-7)
    assert difference.apart
    assert difference.mae.high is not None
    assert difference.mae.high < 0
    width = difference.mae.high - difference.mae.low
    assert width < linear.mae.high - linear.mae.low
    mirrored = table.difference("linear", "regression")
    assert mirrored is not None
    assert mirrored.mae.low == -difference.mae.high


def test_difference_uses_only_units_both_were_scored_on():
    rows = [row(error=0.02), row(method="harmonic", error=0.03), row(date="x", error=0.5)]
    difference = build_table(rows).difference("linear", "harmonic")
    assert difference is not None
    assert difference.units == 1
    assert difference.mae.value == pytest.approx(-0.01)


def test_order_of_rows_does_not_matter():
    rows = many(20)
    shuffled = [rows[i] for i in np.random.default_rng(2).permutation(len(rows))]
    assert build_table(rows).model_dump_json() == build_table(shuffled).model_dump_json()


def test_some_hundred_units_take_seconds_at_most():
    rows = many(300)
    start = time.perf_counter()
    build_table(rows, draws=1000)
    # measured 0.6 s on one core; a loop over draws would need minutes
    assert time.perf_counter() - start < 6


def test_table_survives_its_file_and_csv_says_the_same():
    table = build_table(many(5), notes=("simulated",), missing=(Missing(id="d", reason="cloudy"),))
    assert Table.model_validate_json(table.model_dump_json()) == table
    lines = list(csv.DictReader(io.StringIO(table.as_csv())))
    assert len(lines) == len(table.rows)
    first = table.rows[0]
    assert float(lines[0]["mae"]) == first.mae.value
    assert float(lines[0]["mae_low"]) == first.mae.low


def test_empty_table_says_so():
    table = build_table([], missing=(Missing(id="20230405", reason="no clear pixel"),))
    assert table.rows == ()
    text = as_text(table)
    assert "Nothing was scored" in text
    assert "Trials skipped: 1" in text


def test_text_shows_methods_side_by_side_with_intervals_and_notes():
    text = as_text(build_table(many(8), notes=("network trained on simulated data only",)))
    assert "with land change" in text
    assert "20-40 days" in text
    assert text.index("linear") < text.index("harmonic") < text.index("regression")
    assert "Note: network trained on simulated data only" in text
    assert max(map(len, text.splitlines())) <= 140


def test_numbers_are_written_with_their_interval():
    assert number(Interval(value=0.0123, low=0.01, high=0.02), 3) == "0.012 [0.010, 0.020]"
    assert number(Interval(value=0.68), 0, percent=True) == "68"
    assert number(Interval(value=None), 2) == "-"


def test_rows_of_different_bands_are_refused():
    with pytest.raises(InternalError, match="B03, B04"):
        build_table([row(), row(bands=("B02",))])


def test_gap_classes_own_their_upper_limit():
    gaps = [0, 10, 10.1, 20, 40, 40.5, np.inf, np.nan]
    assert gap_index(gaps).tolist() == [0, 0, 1, 1, 2, 3, 3, 3]


def test_scores_file_does_not_depend_on_order(tmp_path):
    rows = many(3)
    write_scores(tmp_path / "a.json", rows)
    write_scores(tmp_path / "b.json", rows[::-1])
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert set(read_scores(tmp_path / "a.json")) == set(rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "JSONDecodeError"),
        ("{}", "KeyError"),
        ('{"format": "other", "rows": []}', "other"),
        ('{"format": "skymend-scores-1", "rows": [{"date": "x"}]}', "Field required"),
    ],
)
def test_damaged_scores_file_gives_one_clear_sentence(tmp_path, content, message):
    path = tmp_path / "scores.json"
    path.write_text(content)
    with pytest.raises(ProductError, match=message) as caught:
        read_scores(path)
    assert "run the trial again" in str(caught.value)


def test_row_with_the_wrong_number_of_bands_is_refused():
    document = json.loads(row().model_dump_json())
    document["within"] = [1.0]
    with pytest.raises(ValueError, match="one per band"):
        ScoreRow.model_validate(document)
