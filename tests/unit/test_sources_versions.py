"""Which product of an acquisition counts: on recorded catalogues, and on parts of datatakes."""

from __future__ import annotations

import json
from collections import defaultdict

import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import box, mapping

from skymend.core.errors import AnswerError
from skymend.sources import versions
from skymend.sources.cdse import odata
from skymend.sources.naming import harmonise

DATATAKE = "20200808T010311"


def sentinel2(baseline="0500", made="20230413T212505", time=DATATAKE, tile="54PXA", **more):
    footprint = more.pop("footprint", (142.0, 13.0, 143.0, 14.0))
    strip = more.pop("strip", None)
    name = f"S2A_MSIL1C_{time}_N{baseline}_R045_T{tile}_{made}"
    document = {
        "id": name,
        "geometry": mapping(box(*footprint)) if footprint else None,
        "properties": dict(more),
        "assets": {},
    }
    if strip:
        document["properties"]["eopf:datastrip_id"] = (
            f"S2A_OPER_MSI_L1C_DS_S2RP_{made}_S{strip}_N{baseline[:2]}.{baseline[2:]}"
        )
    return harmonise(document, "sentinel-2-l1c", "test", where="test")


def ids(items):
    return [i.id for i in items]


def recorded_l1c(shared_data):
    path = shared_data / "api-eodag/provider_responses/cop_dataspace_search.json"
    answer = json.loads(path.read_text())
    return [odata.to_item(p, "sentinel-2-l1c", "https://download") for p in answer["value"]]


def recorded_radar(shared_data, name):
    path = shared_data / f"openeo-gfmap-s1-s2/{name}_query_cdse_results.json"
    features = json.loads(path.read_text())["features"]
    return [
        harmonise({**f, "assets": {}}, "sentinel-1-grd", "cdse", where=name)
        for f in features
        if "GRDH" in f["properties"]["title"]
    ]


def test_the_baseline_of_the_recorded_reprocessed_item_comes_from_the_product(shared_data):
    """Sensed in August 2020, when no product had an offset; reprocessed with baseline 05.00."""
    item = recorded_l1c(shared_data)[0]
    assert item.datetime.year == 2020
    assert item.properties["processing:version"] == "05.00"
    assert versions.baseline(item) == (5, 0)
    assert versions.offset_dn(item) == -1000


def test_an_original_of_that_day_has_no_offset_and_is_replaced_by_the_recorded_one(shared_data):
    item = recorded_l1c(shared_data)[0]
    original = sentinel2("0209", "20200808T025133")
    original.geometry = item.geometry
    assert versions.offset_dn(original) == 0
    choice = versions.newest([original, item])
    assert ids(choice.kept) == [item.id]
    assert "older version (02.09, there is 05.00)" in choice.dropped[0].reason


def test_recorded_neighbour_tiles_are_not_versions_of_each_other(shared_data):
    choice = versions.newest(recorded_l1c(shared_data))
    assert len(choice.kept) == 2
    assert not choice.dropped


@pytest.mark.parametrize(
    ("name", "products", "kept", "near_real_time", "cloud_optimised"),
    [
        ("3c893698", 32, 16, 0, 16),
        ("af8e6cd2", 92, 46, 0, 46),
        ("e211bebd", 110, 44, 11, 55),
        ("f99c6557", 58, 29, 0, 29),
    ],
)
def test_the_table_of_the_documentation(
    shared_data, name, products, kept, near_real_time, cloud_optimised
):
    choice = versions.newest(recorded_radar(shared_data, name))
    reasons = [d.reason.split(" of ")[0] for d in choice.dropped]
    assert len(choice.kept) + len(choice.dropped) == products
    assert len(choice.kept) == kept
    assert reasons.count("the near-real-time twin") == near_real_time
    assert reasons.count("the cloud-optimised twin") == cloud_optimised
    assert len(reasons) == near_real_time + cloud_optimised


@pytest.mark.parametrize("name", ["3c893698", "af8e6cd2", "e211bebd", "f99c6557"])
def test_one_product_of_each_recorded_radar_acquisition_stays(shared_data, name):
    """Oracle: grouping by the times and the datatake in the names, nothing else."""
    items = recorded_radar(shared_data, name)
    groups = defaultdict(list)
    for item in items:
        groups[item.properties["title"][:62]].append(item)
    choice = versions.newest(items)
    assert len(choice.kept) == len(groups)
    assert len(choice.dropped) == len(items) - len(groups)
    for item in choice.kept:
        twins = groups[item.properties["title"][:62]]
        has_archive = any(t.properties["timeliness"] == "Fast-24h" for t in twins)
        assert item.properties["timeliness"] == ("Fast-24h" if has_archive else "NRT-3h")
        plain = [
            t
            for t in twins
            if t.properties["timeliness"] == item.properties["timeliness"]
            and "_COG" not in t.properties["title"]
        ]
        assert ("_COG" not in item.properties["title"]) == bool(plain)


def test_the_recorded_answer_does_not_depend_on_its_order(shared_data):
    items = recorded_radar(shared_data, "e211bebd")
    forward, backward = versions.newest(items), versions.newest(items[::-1])
    assert set(ids(forward.kept)) == set(ids(backward.kept))


def test_two_parts_of_one_datatake_both_stay():
    """One tile, one datatake, two data strips that meet: neither is a version of the other."""
    north = sentinel2(
        made="20230413T212505", strip="20200808T010314", footprint=(142, 13.4, 143, 14)
    )
    south = sentinel2(
        made="20230413T231010", strip="20200808T010512", footprint=(142, 13, 143, 13.5)
    )
    assert ids(versions.newest([north, south]).kept) == [north.id, south.id]


def test_a_part_inside_the_other_stays_if_its_data_strip_is_another():
    whole = sentinel2(made="20230413T212505", strip="20200808T010314")
    edge = sentinel2(
        made="20230413T231010", strip="20200808T010512", footprint=(142, 13, 143, 13.1)
    )
    assert len(versions.newest([whole, edge]).kept) == 2


def test_without_data_strips_the_ground_decides():
    north = sentinel2(made="20230413T212505", footprint=(142, 13.4, 143, 14))
    south = sentinel2(made="20230413T231010", footprint=(142, 13, 143, 13.5))
    again = sentinel2(made="20230414T231010", footprint=(142, 13, 143, 13.5))
    choice = versions.newest([north, south, again])
    assert ids(choice.kept) == [north.id, again.id]
    assert choice.dropped[0].reason.startswith("an earlier processing")


def test_two_old_parts_yield_to_one_new_whole():
    north = sentinel2("0209", "20200808T025133", footprint=(142, 13.4, 143, 14))
    south = sentinel2("0209", "20200808T035133", footprint=(142, 13, 143, 13.5))
    whole = sentinel2("0500")
    assert ids(versions.newest([north, south, whole]).kept) == [whole.id]


def test_an_old_part_that_no_new_one_covers_stays():
    north = sentinel2("0500", footprint=(142, 13.4, 143, 14))
    south = sentinel2("0209", "20200808T035133", footprint=(142, 13, 143, 13.5))
    assert len(versions.newest([north, south]).kept) == 2


def test_two_datatakes_of_one_day_are_two_acquisitions():
    first, second = sentinel2(), sentinel2(time="20200808T010411")
    assert len(versions.newest([first, second]).kept) == 2


def sentinel1(start, end, unique, timeliness="Fast-24h"):
    name = f"S1A_IW_GRDH_1SDV_20200808T{start}_20200808T{end}_033800_03EAD1_{unique}"
    document = {
        "id": name,
        "geometry": None,
        "assets": {},
        "properties": {"product:timeliness_category": timeliness},
    }
    return harmonise(document, "sentinel-1-grd", "test", where="test")


def test_a_near_real_time_slice_yields_to_archive_slices_that_cover_it_together():
    archive = [sentinel1("060000", "060025", "AAAA"), sentinel1("060025", "060050", "BBBB")]
    across = sentinel1("060012", "060037", "CCCC", "NRT-3h")
    beyond = sentinel1("060040", "060105", "DDDD", "NRT-3h")
    choice = versions.newest([across, beyond, *archive])
    assert ids(choice.kept) == [beyond.id, *ids(archive)]
    assert choice.dropped[0].reason.startswith("the near-real-time twin of S1A")


def test_landsat_real_time_yields_to_a_tier():
    def scene(tier, made):
        name = f"LC09_L2SP_198025_20230405_{made}_02_{tier}"
        document = {"id": name, "geometry": None, "properties": {}, "assets": {}}
        return harmonise(document, "landsat-c2-l2", "test", where="test")

    late, early = scene("T1", "20230411"), scene("RT", "20230406")
    assert ids(versions.newest([early, late]).kept) == [late.id]


def test_what_has_no_known_name_stays():
    items = [pystac.Item(n, None, None, sentinel2().datetime, {}) for n in ("a", "b")]
    assert len(versions.newest(items).kept) == 2


@given(st.permutations(range(5)))
def test_the_choice_is_the_same_in_every_order(order):
    items = [
        sentinel2("0209", "20200808T025133"),
        sentinel2("0500", "20230413T212505"),
        sentinel2("0510", "20240413T212505"),
        sentinel2("0510", "20240513T212505"),
        sentinel2("0500", tile="55PBR"),
    ]
    kept = versions.newest([items[i] for i in order]).kept
    assert set(ids(kept)) == {items[3].id, items[4].id}


def test_a_withdrawn_product_names_its_successor():
    frozen, other = sentinel2("0209", "20200808T025133"), sentinel2("0500")
    error = versions.withdrawn(frozen, [frozen, other, sentinel2("0500", tile="55PBR")])
    assert f"withdrawn; its successor is {other.id}" in str(error)
    assert "--refresh" in error.fix
    alone = versions.withdrawn(frozen, [frozen])
    assert "without a successor" in str(alone)


def test_a_product_without_baseline_is_refused_with_the_field():
    item = pystac.Item("odd", None, None, sentinel2().datetime, {"processing:version": "new"})
    with pytest.raises(AnswerError, match=r"'processing:version'"):
        versions.baseline(item)
