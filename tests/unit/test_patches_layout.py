"""Layouts: presets, round trip, decloud's files, and errors that teach."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from skymend.core.errors import ConfigError
from skymend.patches.layout import Layout, RandomPercent, load_layout
from skymend.patches.presets import preset, preset_names

ORIGIN = {"acquisition": {"S2": {}}, "timeframe_origin": True}
WINDOW = {"timeframe_start_hours": 24, "timeframe_end_hours": 48}


def _other(**changes) -> dict:
    return {"acquisition": {"S2": {}}, **WINDOW} | changes


@pytest.mark.parametrize("name", preset_names())
def test_presets_survive_their_json_form(name: str) -> None:
    layout = preset(name)
    # sorted keys are what a plan stores; the order of the acquisitions must not depend on it
    text = json.dumps(layout.as_json(), sort_keys=True)
    again = Layout.from_json(json.loads(text))
    assert again == layout
    assert again.names == layout.names
    assert len(layout.summarize().splitlines()) == 1 + len(layout.names)


# decloud.md section 7, the rows of the table: (cloud range, window in days, SAR gap in hours)
TABLE = {
    "crga-os1-occitanie": {"tm1": ((0, 0), (-23, -3), 72), "t": ((0, 0), (0, 0), 72)},
    "crga-os1-burkina": {"tp1": ((0, 0), (6, 34), 144)},
    "crga-os2-occitanie": {
        "tm1": ((0, 100), (-30, -10), 72),
        "t": ((1, 100), (0, 0), 72),
        "target": ((0, 0), (-10, 10), None),
        "tp1": ((0, 100), (10, 30), 72),
    },
    "crga-os2-burkina": {"tm1": ((0, 100), (-42, -14), 144), "target": ((0, 0), (-14, 14), None)},
    "crga-os2-gfa-occitanie": {"tp1": ((0, 0), (10, 18), 72), "target": ((0, 0), (-5, 5), 72)},
    "crga-os2-gfb-occitanie": {"t": ((100, 100), (0, 0), 72), "target": ((0, 0), (-3, 3), 72)},
    "crga-os2-gf-burkina": {"tm1": ((0, 0), (-28, -16), 144)},
    "meraner-occitanie": {"target": ((0, 0), (-10, 10), None)},
    "meraner-burkina": {"t": ((1, 100), (0, 0), 144)},
}


@pytest.mark.parametrize("name", TABLE)
def test_presets_are_those_of_the_table(name: str) -> None:
    for acquisition, (cloud, days, gap) in TABLE[name].items():
        spec = preset(name).acquisitions[acquisition]
        query = spec.acquisition.s2
        assert (query.min_cloud_percent, query.max_cloud_percent) == cloud
        assert tuple(h / 24 for h in spec.window_hours) == days
        assert spec.max_s1s2_gap_hours == gap
        assert spec.has_radar == (gap is not None)


def test_a_file_of_decloud_is_read_without_evaluating_it(tmp_path: Path) -> None:
    text = """{"t0": {"acquisition": {"S2": {"type": "S2", "min_cloud_percent":
      "random.randint(0, 2)", "max_cloud_percent": 100}, "S1": {"type": "S1"}},
      "max_s1s2_gap_hours": 72, "timeframe_origin": "True"},
      "t1": {"acquisition": {"S2": {"type": "S2"}},
      "timeframe_start_hours": 140, "timeframe_end_hours": 100},
      "options": {"sibling": [["t0", "t1"]]}}"""
    (tmp_path / "layout.json").write_text(text)
    layout = load_layout(tmp_path / "layout.json")
    low = layout.acquisitions["t0"].acquisition.s2.min_cloud_percent
    assert low == RandomPercent(min=0, max=2)
    assert layout.acquisitions["t1"].window_hours == (100, 140)
    assert layout.may_share("t0", "t1")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "exactly one acquisition has timeframe_origin"),
        ({"t": ORIGIN, "u": ORIGIN}, "exactly one acquisition has timeframe_origin"),
        ({"t": ORIGIN | WINDOW}, "the origin has no timeframe_start_hours"),
        ({"t": ORIGIN, "u": {"acquisition": {"S2": {}}}}, "timeframe_start_hours and"),
        ({"t": ORIGIN, "u": _other(acquisition={"S1": {}})}, "layout.u.acquisition.S2"),
        (
            {"t": ORIGIN, "u": _other(acquisition={"S2": {}, "S1": {}})},
            "layout.u: expected max_s1s2_gap_hours is wanted",
        ),
        (
            {"t": ORIGIN, "u": _other(acquisition={"S2": {"min_cloud_percent": "os.getcwd()"}})},
            "layout.u.acquisition.S2.min_cloud_percent: expected a number or",
        ),
        (
            {"t": ORIGIN, "u": _other(acquisition={"S2": {"min_cloud_percent": 30}})},
            "min_cloud_percent must not exceed",
        ),
        ({"t": ORIGIN, "u": _other(cloud=3)}, "layout.u.cloud"),
        ({"T": ORIGIN}, "small letters"),
        ({"t": ORIGIN, "options": {"siblings": [["t", "x"]]}}, "siblings name x"),
        ({"t": ORIGIN, "options": {"sibling_": []}}, "sibling_"),
        ({"t": ORIGIN, "target": _other(), "options": {"clouding": {}}}, "leave target out"),
        ({"t": ORIGIN, "options": {"clouding": {"min_cloud_percent": 0}}}, "above 0"),
    ],
)
def test_errors_name_the_field_and_what_was_expected(document: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Layout.from_json(document)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_presets_list_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="crga-os2-short"):
        load_layout("crga-os3")


def test_files_that_are_no_layout(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a layout in JSON"):
        load_layout(tmp_path / "none.json")


def test_truth_is_the_target_or_else_the_origin() -> None:
    assert preset("crga-os2").truth == "target"
    assert preset("crga-os1").truth == "t"
    assert not preset("crga-os1").shows_origin
    assert preset("crga-os2-short").truth == "t"
    assert preset("crga-os2-short").shows_origin
