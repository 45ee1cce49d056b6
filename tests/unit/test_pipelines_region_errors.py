"""What a wrong region file is told: the field, what is expected there, what was found."""

from __future__ import annotations

from datetime import date

import pytest
import yaml

from skymend.core.errors import ConfigError
from skymend.pipelines.region import load_region

GOOD = """\
name: field
area: {tiles: [31TCJ]}
period: {start: 2018-06-01, end: 2018-06-16}
sources: {s2: {provider: theia, path: products}}
outputs: [{reconstruct: {method: linear, bands: [B04]}}]
"""


def refusal(folder, **changed):
    """Load a region of which some keys were changed; return the sentence."""
    document = yaml.load(GOOD, Loader=yaml.BaseLoader) | changed
    path = folder / "region.yaml"
    path.write_text(yaml.dump(document))
    with pytest.raises(ConfigError) as told:
        load_region(path)
    return str(told.value)


def test_a_good_region_is_loaded_with_its_dates(tmp_path):
    path = tmp_path / "region.yaml"
    path.write_text(GOOD)
    assert load_region(path).period.start == date(2018, 6, 1)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"nmae": "x"}, "nmae: expected a known key, found the unknown key 'nmae'"),
        (
            {"period": {"start": "2018-07-01", "end": "2018-06-16"}},
            "period: expected an end that is not before the start, found {'end': '2018-06-16'",
        ),
        ({"outputs": []}, "outputs: expected at least 1 of them, found []"),
        ({"sources": {}}, "sources.s2: expected a value, found none"),
        ({"store": 5}, "store: expected a valid string, found 5"),
        (
            {"sources": {"s2": {"provider": "cdse", "level": "L3"}}},
            "sources.s2.level: expected 'L2A' or 'L1C', found 'L3'",
        ),
        (
            {"area": {"bbox": [1.3, 43.7, 1.1, 43.8]}},
            "area: expected a bbox with west < east within 180",
        ),
    ],
)
def test_the_field_is_named_in_plain_words(tmp_path, changed, told):
    assert told in refusal(tmp_path, **changed)


def test_a_day_that_no_calendar_has_is_told_by_its_field(tmp_path):
    path = tmp_path / "region.yaml"
    path.write_text(GOOD.replace("2018-06-01", "2018-13-01"))
    with pytest.raises(ConfigError, match=r"period\.start: expected .*found '2018-13-01'"):
        load_region(path)


def test_an_empty_file_is_no_region(tmp_path):
    path = tmp_path / "region.yaml"
    path.write_text("")
    with pytest.raises(ConfigError, match="region: expected keys with values, found none"):
        load_region(path)
