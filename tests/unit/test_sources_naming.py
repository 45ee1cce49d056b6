"""One vocabulary over all providers."""

from __future__ import annotations

import json
import re

import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core.errors import AnswerError
from skymend.sources import naming
from skymend.sources.naming import (
    collection_of_name,
    facts_of_name,
    harmonise,
    platform_name,
    refusal,
)
from skymend.sources.protocol import Filters
from skymend.sources.versions import newest

NAMES = {
    "S2B_MSIL2A_20190629T212529_N0212_R043_T06VVN_20201006T080531.SAFE": (
        "sentinel-2-l2a",
        {
            "platform": "sentinel-2b",
            "datetime": "2019-06-29T21:25:29.000Z",
            "sat:relative_orbit": 43,
            "grid:code": "MGRS-06VVN",
            "processing:version": "02.12",
        },
    ),
    "S2A_MSIL1C_20200815T005251_N0209_R002_T55PDR_20200815T023440.zip": (
        "sentinel-2-l1c",
        {"platform": "sentinel-2a", "processing:version": "02.09"},
    ),
    "S1A_IW_GRDH_1SSH_20250731T135702_20250731T135722_060328_077F7E_0000": (
        "sentinel-1-grd",
        {
            "platform": "sentinel-1a",
            "sar:polarizations": ["HH"],
            "sat:absolute_orbit": 60328,
            "end_datetime": "2025-07-31T13:57:22.000Z",
        },
    ),
    "S1B_IW_SLC__1SDV_20210102T032031_20210102T032058_024970_02F8C3_C081": (
        "sentinel-1-slc",
        # Stated by ASF for this scene: path 94.
        {"sat:relative_orbit": 94, "sar:polarizations": ["VV", "VH"]},
    ),
    "LC08_L2SP_028030_20200114_20200824_02_T1": (
        "landsat-c2-l2",
        {
            "platform": "landsat-8",
            "landsat:wrs_path": "028",
            "landsat:wrs_row": "030",
            "landsat:collection_category": "T1",
            "processing:datetime": "2020-08-24T00:00:00.000Z",
        },
    ),
    "LE07_L1TP_044033_20210329_20210424_02_T1.tar": ("landsat-c2-l1", {"platform": "landsat-7"}),
    "SENTINEL2A_20170514-105029-459_L2A_T31UFQ_D_V1-4": (
        "sentinel-2-l2a-maja",
        {"platform": "sentinel-2a", "grid:code": "MGRS-31UFQ", "processing:version": "1.4"},
    ),
    "holiday.zip": (None, {}),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_products(name):
    collection, expected = NAMES[name]
    assert collection_of_name(name) == collection
    facts = facts_of_name(name)
    assert {k: facts.get(k) for k in expected} == expected
    assert bool(facts) == (collection is not None)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("S2A", "sentinel-2a"),
        ("Sentinel-2B", "sentinel-2b"),
        ("SENTINEL2A", "sentinel-2a"),
        ("SENTINEL-1A", "sentinel-1a"),
        ("sentinel-1c", "sentinel-1c"),
        ("LANDSAT_8", "landsat-8"),
        ("landsat-9", "landsat-9"),
        ("Terra", "terra"),
    ],
)
def test_platforms(theirs, ours):
    assert platform_name(theirs) == ours


@given(st.sampled_from("ABC"), st.integers(1, 99_999))
def test_relative_orbits_repeat_after_175(letter, orbit):
    def relative(absolute: int) -> int:
        stamp = "20230401T054013_20230401T054038"
        name = f"S1{letter}_IW_GRDH_1SDV_{stamp}_{absolute:06d}_05C1B4_6B5A"
        return facts_of_name(name)["sat:relative_orbit"]

    assert 1 <= relative(orbit) <= 175
    assert relative(orbit + 175) == relative(orbit)
    assert relative(orbit + 1) == relative(orbit) % 175 + 1


def feature(**properties) -> dict:
    return {
        "id": "x",
        "geometry": {"type": "Point", "coordinates": [1, 2]},
        "properties": {"datetime": "2023-04-01T10:00:00Z", **properties},
        "assets": {},
    }


def test_what_the_provider_states_wins_over_the_name():
    name = "S2B_MSIL2A_20190629T212529_N0212_R043_T06VVN_20201006T080531.SAFE"
    item = harmonise(feature(**{"s2:product_uri": name, "platform": "S2C"}), "c", "p", where="w")
    assert item.properties["platform"] == "sentinel-2c"
    assert item.datetime.isoformat() == "2023-04-01T10:00:00+00:00"
    assert item.properties["sat:relative_orbit"] == 43
    assert item.properties["title"] == name.removesuffix(".SAFE")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("s2:processing_baseline", "5.9", "05.09"),
        ("s2:processing_baseline", "05.09", "05.09"),
        ("s2:processing_baseline", "4", "04.00"),
        ("sat:orbit_state", "ASCENDING", "ascending"),
        ("sat:relative_orbit", "51", 51),
        ("sar:polarizations", ["vv", "Vh"], ["VV", "VH"]),
        ("eo:cloud_cover", "8.5", 8.5),
    ],
)
def test_spellings(key, value, expected):
    item = harmonise(feature(**{key: value}), "c", "p", where="w")
    assert item.properties[key] == expected


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sat:relative_orbit": "north"}, r"field 'properties.sat:relative_orbit', found 'north'"),
        ({"sar:polarizations": 5}, r"field 'properties.sar:polarizations', found 5"),
        ({"end_datetime": "late"}, r"field 'properties.end_datetime', found 'late'"),
        ({"datetime": None}, r"a time in field 'properties.datetime'"),
    ],
)
def test_wrong_fields_are_named(change, sentence):
    with pytest.raises(AnswerError, match=sentence):
        harmonise(feature(**change), "c", "p", where="w")


def test_assets_need_addresses():
    broken = {**feature(), "assets": {"B04": {"title": "red"}}}
    with pytest.raises(AnswerError, match="asset B04: expected a text in field 'href'"):
        harmonise(broken, "c", "p", where="w")


def test_items_are_plain_stac(tmp_path):
    item = harmonise(feature(platform="S2A"), "c", "p", where="w")
    again = pystac.Item.from_dict(json.loads(json.dumps(item.to_dict())))
    assert again.properties == item.properties
    assert again.collection_id == "c"


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        (Filters(tile="31TFM"), "its tile is MGRS-31TFL, not MGRS-31TFM"),
        (Filters(relative_orbit=7), "its relative orbit is 8, not 7"),
        (Filters(orbit_direction="ascending"), "its orbit direction is descending, not ascending"),
        (Filters(platform="sentinel-2b"), "its platform is sentinel-2a, not sentinel-2b"),
        (Filters(baseline="05.00"), "its baseline is 05.09, not 05.00"),
        (Filters(product_id="y.SAFE"), "its name is x, not y"),
        (Filters(polarisations=("VV",)), "it has no polarisation VV"),
        (Filters(cloud_cover_max=3), "its cloud cover is 4 %, above 3 %"),
        (Filters(cloud_cover_max=4, tile="31TFL", product_id="x"), None),
    ],
)
def test_refusals_say_which_filter(filters, sentence):
    own = {
        "platform": "S2A",
        "s2:mgrs_tile": "31TFL",
        "sat:relative_orbit": 8,
        "sat:orbit_state": "descending",
        "s2:processing_baseline": "05.09",
        "eo:cloud_cover": 4,
    }
    assert refusal(harmonise(feature(**own), "c", "p", where="w"), filters) == sentence


def test_a_cloud_cover_nobody_states_does_not_pass():
    item = harmonise(feature(), "c", "p", where="w")
    assert refusal(item, Filters(cloud_cover_max=50)) == "its cloud cover is not stated"


@given(st.lists(st.integers(0, 20), max_size=30), st.integers(1, 10))
def test_collections_are_ordered_unique_and_limited(days, limit):
    items = [
        harmonise(
            {**feature(datetime=f"2023-04-{d + 1:02d}T10:00:00Z"), "id": f"i{d}"},
            "c",
            "p",
            where="w",
        )
        for d in days
    ]
    found = naming.collect(iter(items), Filters())
    assert [i.id for i in found] == [f"i{d}" for d in sorted(set(days))]
    assert len(naming.collect(iter(items), Filters(limit=limit))) == min(limit, len(set(days)))


def test_versions_are_compared_across_providers():
    """The same acquisition as three providers name it: the newest baseline stays."""
    base = "S2B_MSIL2A_20230405T103629_N0509_R008_T31TFL_20230405T174503"
    new = re.sub("N0509", "N0510", base).replace("T174503", "T214503")
    sara = harmonise({**feature(), "id": base}, "sentinel-2-l2a", "sara", where="w", title=base)
    earth = {**feature(**{"s2:product_uri": f"{new}.SAFE"}), "id": "S2B_31TFL_20230405_1_L2A"}
    planet = {**feature(**{"s2:product_uri": f"{base}.SAFE"}), "id": base.replace("_N0509", "")}
    items = [
        sara,
        harmonise(earth, "sentinel-2-l2a", "earth-search", where="w"),
        harmonise(planet, "sentinel-2-l2a", "planetary-computer", where="w"),
    ]
    assert [i.properties["skymend:provider"] for i in newest(items).kept] == ["earth-search"]


@pytest.mark.parametrize(
    "name",
    [
        "S2B_MSIL2A_20230405T103629_N0509_R008_T31TFL_20220015T170000",
        "S1A_IW_GRDH_1SDV_20209908T182643_20200708T182708_033367_03DDAA_9550",
        "LC08_L2SP_198030_20229915_20220616_02_T1",
    ],
)
def test_a_name_with_an_impossible_date_states_nothing(name):
    assert facts_of_name(name) == {}
    item = harmonise(feature(**{"s2:product_uri": name}), "c", "p", where="w")
    assert item.properties["title"] == name
