"""The metadata of simulated Sentinel-2 products against those of real ones, element by element."""

from datetime import date
from xml.etree import ElementTree

import pytest

from skymend.simulate import tiny
from skymend.simulate.cloud_scene import cloud_scene
from skymend.simulate.safe_s2 import write_l1c, write_l2a
from skymend.simulate.safe_series import surface_granule
from skymend.simulate.toa_series import scene_granule

pytestmark = pytest.mark.real

REAL = "s2-safe-metadata-stactools"
L1C = f"{REAL}/S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE"
L2A = f"{REAL}/S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126.SAFE"
OLD = "s2-l1c-safe-eodag/S2A_MSIL1C_20180101T105441_N0206_R051_T31TDH_20180101T124911"

# What a simulated product has nothing to say of: the processor's own files, response curves.
LEFT_OUT = {
    *("GIPP_FILENAME", "PRODUCTION_DEM_TYPE", "IERS_BULLETIN_FILENAME", "GRI_List"),
    *("ECMWF_DATA_REF", "LUT_List", "SNOW_CLIMATOLOGY_MAP", "ESACCI_WaterBodies_Map"),
    *("ESACCI_LandCover_Map", "ESACCI_SnowCondition_Map_Dir", "PRODUCT_DOI", "Spectral_Response"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("safe")
    scene = cloud_scene(4, size_px=60)
    return {
        "L1C": write_l1c(root, scene_granule(scene, baseline="03.01")),
        "L2A": write_l2a(root, surface_granule(tiny(), date(2018, 6, 4))),
    }


def elements(path):
    """Return the attributes of each element by its path, and the order of siblings."""
    found, order = {}, {}

    def walk(element, above):
        place = f"{above}/{local(element.tag)}"
        found.setdefault(place, set()).update(local(k) for k in element.attrib)
        names = list(dict.fromkeys(local(child.tag) for child in element))
        order.setdefault(place, names)
        for child in element:
            walk(child, place)

    walk(ElementTree.parse(path).getroot(), "")
    return found, order


def local(tag):
    return tag.rpartition("}")[2]


@pytest.mark.parametrize(
    ("real", "level", "pattern"),
    [
        (L1C, "L1C", "MTD_MSIL1C.xml"),
        (OLD, "L1C", "MTD_MSIL1C.xml"),
        (L2A, "L2A", "MTD_MSIL2A.xml"),
        (L1C, "L1C", "GRANULE/*/MTD_TL.xml"),
        (OLD, "L1C", "GRANULE/*/MTD_TL.xml"),
        (L2A, "L2A", "GRANULE/*/MTD_TL.xml"),
    ],
)
def test_metadata_have_the_elements_of_real_ones_in_their_order(
    shared_data, made, real, level, pattern
):
    (theirs,) = (shared_data / real).glob(pattern)
    (ours,) = made[level].glob(pattern)
    (real_found, real_order), (found, order) = elements(theirs), elements(ours)
    new = {p for p in found if "BOA_ADD_OFFSET" not in p} - set(real_found)
    assert not new
    lacking = {p for p in set(real_found) - set(found) if p.rpartition("/")[0] in found}
    assert {p.rpartition("/")[2] for p in lacking} <= LEFT_OUT
    for place in found.keys() & real_found.keys():
        assert found[place] == real_found[place], place
        shared = [n for n in real_order[place] if n in order[place]]
        assert [n for n in order[place] if n in real_order[place]] == shared, place


@pytest.mark.parametrize(("real", "level"), [(L1C, "L1C"), (L2A, "L2A")])
def test_manifests_describe_as_real_ones_do(shared_data, made, real, level):
    real_found, _ = elements((shared_data / real) / "manifest.safe")
    found, _ = elements(made[level] / "manifest.safe")
    assert set(found) <= set(real_found)
    # Real ones nest their units by kind of file; ours stand in one list.
    assert all("contentUnit/contentUnit/contentUnit" in p for p in set(real_found) - set(found))
