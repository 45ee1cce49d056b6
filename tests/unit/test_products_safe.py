"""SAFE folders: offsets come from the metadata, never from a guess."""

import shutil

import numpy as np
import pytest

from skymend.clouds.door import mask_product
from skymend.core.errors import ProductError
from skymend.products import Label, open_optical
from skymend.products.safe import Name, parse_baseline, read_radiometry, refusal
from tests.product_case import GRID, SAFE, safe_folder, safe_metadata

RNG = np.random.default_rng(6)
RED = RNG.integers(1, 9000, GRID.shape).astype(np.uint16)
RED[0, :3] = (0, 65535, 1)
SCL = np.full((12, 15), 4, np.uint8)
SCL[0], SCL[1], SCL[2] = 9, 3, 0


@pytest.mark.parametrize(
    ("baseline", "offsets", "offset"),
    [
        ("02.14", None, 0.0),
        ("03.01", None, 0.0),
        ("04.00", {3: -1000}, -0.1),
        ("05.09", {3: -900}, -0.09),
    ],
)
def test_reflectance_of_several_baselines(tmp_path, baseline, offsets, offset):
    folder = safe_folder(
        tmp_path,
        images={("B04", 10): RED, ("SCL", 20): SCL},
        metadata=safe_metadata(baseline, offsets),
    )
    values = open_optical(folder).read(("B04",), GRID)[0]
    expected = RED / 10000 + offset
    expected[0, :2] = np.nan
    np.testing.assert_allclose(values, expected, atol=1e-6)


def test_the_finest_image_of_a_band_is_read(tmp_path):
    folder = safe_folder(
        tmp_path,
        images={("B04", 10): RED, ("B04", 20): SCL.astype(np.uint16), ("SCL", 20): SCL},
        metadata=safe_metadata("04.00", {3: 0}),
    )
    product = open_optical(folder)
    assert product.images["B04"].parent.name == "R10m"
    assert product.grid == GRID
    assert [p.name for p in product.files(("B04",))][-1] == "MTD_MSIL2A.xml"


def test_scene_classes_become_labels(tmp_path):
    folder = safe_folder(
        tmp_path, images={("SCL", 20): SCL}, metadata=safe_metadata("04.00", {3: -1000})
    )
    labels = open_optical(folder).labels(GRID)
    assert [int(labels[r, 0]) for r in (0, 2, 4, 6)] == [
        Label.CLOUD,
        Label.SHADOW,
        Label.NODATA,
        Label.CLEAR,
    ]


@pytest.mark.parametrize("baseline", ["04.00", "05.11", "99.99"])
def test_a_missing_offset_is_an_error_not_a_bright_image(tmp_path, baseline):
    folder = safe_folder(
        tmp_path, images={("SCL", 20): SCL}, metadata=safe_metadata(baseline, None)
    )
    message = rf"MTD_MSIL2A\.xml: expected BOA_ADD_OFFSET.*found baseline {baseline} without it"
    with pytest.raises(ProductError, match=message):
        _ = open_optical(folder).radiometry
    with pytest.raises(ProductError, match="BOA_ADD_OFFSET"):
        open_optical(folder).files(())


def test_a_missing_band_is_named(tmp_path):
    folder = safe_folder(
        tmp_path, images={("SCL", 20): SCL}, metadata=safe_metadata("04.00", {3: -1000})
    )
    with pytest.raises(ProductError, match=r"expected an image B08 .* found SCL"):
        open_optical(folder).read(("B08",), GRID)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<a><b></a>", "mismatched tag"),
        ("<a/>", "none of it"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "document type"),
    ],
)
def test_damaged_metadata(tmp_path, text, found):
    path = tmp_path / "MTD_MSIL2A.xml"
    path.write_text(text)
    with pytest.raises(ProductError, match=found):
        read_radiometry(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (">-1000<", ">many<", "a number in BOA_ADD_OFFSET, found 'many'"),
        (">-1000<", ">nan<", "a number in BOA_ADD_OFFSET, found 'nan'"),
        ('band_id="3"', 'band_id="13"', "BOA_ADD_OFFSET with band_id 0 to 12, found '13'"),
        ('band_id="3"', f'band_id="{"9" * 5000}"', "BOA_ADD_OFFSET with band_id 0 to 12"),
        ('band_id="3"', 'band_id="\u00b2"', "BOA_ADD_OFFSET with band_id 0 to 12"),
        (">10000<", "><", "a number in BOA_QUANTIFICATION_VALUE, found ''"),
        (">10000<", ">0<", "a positive BOA_QUANTIFICATION_VALUE, found 0"),
        (">04.00<", ">new<", "a PROCESSING_BASELINE such as 05.09, found 'new'"),
    ],
)
def test_metadata_with_a_wrong_value_name_its_field(tmp_path, old, new, words):
    path = tmp_path / "MTD_MSIL2A.xml"
    path.write_text(safe_metadata("04.00", {3: -1000}).replace(old, new), "utf-8")
    with pytest.raises(ProductError, match=words):
        read_radiometry(path)


def test_names_and_refusals(tmp_path):
    name = Name.parse(SAFE)
    assert (name.platform, name.tile, name.baseline) == ("sentinel-2a", "31TFJ", (4, 0))
    assert name.relative_orbit == 51
    other = tmp_path / SAFE.replace("L2A", "L1C")
    assert "level L1C" in refusal(other)
    assert "no such folder" in refusal(tmp_path / SAFE)
    (tmp_path / SAFE).mkdir()
    assert "no MTD_MSIL2A.xml" in refusal(tmp_path / SAFE)
    assert "is not like" in refusal(tmp_path / "S2.SAFE")


def test_baselines_compare_as_numbers():
    assert parse_baseline("05.09") < parse_baseline("05.10") < parse_baseline("99.99")
    assert parse_baseline("4") == (4, 0)


def test_two_granules_are_refused_instead_of_mixed(tmp_path):
    folder = safe_folder(
        tmp_path,
        images={("B04", 10): RED, ("SCL", 20): SCL},
        metadata=safe_metadata("04.00", {3: -1000}),
    )
    (own,) = (folder / "GRANULE").iterdir()
    shutil.copytree(own, own.with_name(own.name.replace("31TFJ", "31TGJ")))
    product = open_optical(folder)
    with pytest.raises(ProductError, match="one granule below GRANULE, found 2"):
        product.read(("B04",), GRID)
    with pytest.raises(ProductError, match="one granule"):
        product.labels(GRID)


def test_a_band_without_the_offset_that_others_have_is_refused(tmp_path):
    folder = safe_folder(
        tmp_path,
        images={("B04", 10): RED, ("B08", 10): RED, ("SCL", 20): SCL},
        metadata=safe_metadata("05.09", {3: -1000}),
    )
    product = open_optical(folder)
    assert np.isfinite(product.read(("B04",), GRID)).any()
    with pytest.raises(ProductError, match="an offset of the band B08, found B04"):
        product.read(("B08",), GRID)


def test_side_cars_of_an_unpacking_tool_are_no_images(tmp_path):
    folder = safe_folder(
        tmp_path,
        images={("B04", 10): RED, ("SCL", 20): SCL},
        metadata=safe_metadata("04.00", {3: 0}),
    )
    for path in list(folder.rglob("*.jp2")):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
    assert np.isfinite(open_optical(folder).read(("B04",), GRID)).any()


@pytest.mark.parametrize("suffix", [".zip", ".SAFE.zip"])
def test_an_archive_is_told_to_be_unpacked(tmp_path, suffix):
    path = tmp_path / (SAFE.removesuffix(".SAFE") + suffix)
    path.write_bytes(b"PK")
    assert refusal(path) == "it is a file (unpack it first)"
    with pytest.raises(ProductError, match=r"SAFE folder, found it is a file \(unpack"):
        mask_product(path)
