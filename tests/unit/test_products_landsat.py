"""The Landsat 8 and 9 readers: reflectance, temperature, quality bands, metadata in three forms."""

import json
import math
from datetime import UTC, datetime

import numpy as np
import pytest

from skymend.core.errors import ProductError
from skymend.core.grid import Grid
from skymend.products import Label, detect, open_optical
from skymend.products.landsat import open_product, open_surface, refusal
from skymend.products.landsat_labels import from_bqa, from_qa_pixel
from skymend.products.sun import sun_position
from skymend.products.toa import ToaOptical, open_toa
from tests.product_case import write_tif

GRID = Grid("EPSG:32631", (30.0, 0.0, 600_015.0, 0.0, -30.0, 4_899_985.0), (6, 8))
LEVEL_1 = "LC09_L1TP_198030_20220615_20220616_02_T1"
LEVEL_2 = "LC08_L2SP_198030_20220615_20220616_02_T1"
GROUPS = {
    "IMAGE_ATTRIBUTES": {
        "SPACECRAFT_ID": "LANDSAT_9",
        "DATE_ACQUIRED": "2022-06-15",
        "SCENE_CENTER_TIME": "10:29:10.1234560Z",
        "SUN_AZIMUTH": "140.5",
        "SUN_ELEVATION": "60.0",
    },
    "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS": {
        **{f"REFLECTANCE_MULT_BAND_{b}": "2.75e-05" for b in range(1, 8)},
        **{f"REFLECTANCE_ADD_BAND_{b}": "-0.2" for b in range(1, 8)},
    },
    "LEVEL1_RADIOMETRIC_RESCALING": {
        **{f"REFLECTANCE_MULT_BAND_{b}": "2.0E-05" for b in range(1, 10)},
        **{f"REFLECTANCE_ADD_BAND_{b}": "-0.1" for b in range(1, 10)},
        "RADIANCE_MULT_BAND_10": "3.8E-04",
        "RADIANCE_ADD_BAND_10": "0.1",
    },
    "LEVEL1_THERMAL_CONSTANTS": {
        "K1_CONSTANT_BAND_10": "799.0284",
        "K2_CONSTANT_BAND_10": "1329.2405",
    },
}


def metadata(folder, form, groups=GROUPS):
    path = folder / f"{folder.name}_MTL.{form}"
    if form == "json":
        path.write_text(json.dumps({"LANDSAT_METADATA_FILE": groups}))
    elif form == "xml":
        body = "".join(
            f"<{g}>" + "".join(f"<{k}>{v}</{k}>" for k, v in fields.items()) + f"</{g}>"
            for g, fields in groups.items()
        )
        path.write_text(f"<LANDSAT_METADATA_FILE>{body}</LANDSAT_METADATA_FILE>")
    else:
        lines = ["GROUP = LANDSAT_METADATA_FILE"]
        for group, fields in groups.items():
            lines.append(f"  GROUP = {group}")
            lines += [f'    {k} = "{v}"' for k, v in fields.items()]
            lines.append(f"  END_GROUP = {group}")
        path.write_text("\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END"]))


def folder_of(root, name=LEVEL_1, form="txt", groups=GROUPS, **bands):
    folder = root / name
    folder.mkdir()
    metadata(folder, form, groups)
    for band, values in bands.items():
        write_tif(folder / f"{name}_{band}.TIF", np.asarray(values, np.uint16), GRID)
    return folder


def flat(value):
    values = np.full(GRID.shape, value, np.uint16)
    values[0, 0] = 0
    return values


@pytest.mark.parametrize("form", ["txt", "json", "xml"])
def test_reflectance_temperature_and_angles(tmp_path, form):
    folder = folder_of(tmp_path, form=form, B4=flat(15_000), B5=flat(4_000), B10=flat(25_000))
    product = open_toa(folder)
    assert (product.sensor, product.platform) == ("landsat-9", "landsat-9")
    assert product.bands == ("B4", "B5")
    assert product.time == datetime(2022, 6, 15, 10, 29, 10, 123456, UTC)
    red, near = product.read(("B4", "B5"), GRID)
    assert math.isnan(red[0, 0])
    assert red[1, 1] == pytest.approx((2e-5 * 15_000 - 0.1) / math.sin(math.radians(60)), abs=1e-6)
    # Values below zero are kept.
    assert near[1, 1] == pytest.approx(-0.02 / math.sin(math.radians(60)), abs=1e-6)
    kelvin = product.brightness_temperature(GRID)
    radiance = 3.8e-4 * 25_000 + 0.1
    assert kelvin[1, 1] == pytest.approx(1329.2405 / math.log(799.0284 / radiance + 1), abs=1e-3)
    assert math.isnan(kelvin[0, 0])
    assert product.sun(GRID) == (30.0, 140.5)
    assert product.view(GRID) == (0.0, 0.0)


def test_angles_by_pixel_where_there_are_images_of_them(tmp_path):
    folder = folder_of(tmp_path, B4=flat(15_000))
    for name, value in (("SZA", 3012), ("SAA", -2050), ("VZA", 512), ("VAA", 9800)):
        write_tif(folder / f"{LEVEL_1}_{name}.TIF", np.full(GRID.shape, value, np.int16), GRID)
    product = open_product(folder)
    assert product.sun(GRID).zenith[2, 2] == pytest.approx(30.12, abs=1e-4)
    assert product.sun(GRID).azimuth[2, 2] == pytest.approx(339.5, abs=1e-4)
    assert product.view(GRID).zenith[2, 2] == pytest.approx(5.12, abs=1e-4)


def test_level_2_reads_its_own_scale_and_labels(tmp_path):
    quality = np.full(GRID.shape, 21_824, np.uint16)
    quality[0] = [1, 22_280, 23_888, 21_952, 21_826, 21_856, 21_828, 21_824]
    folder = folder_of(tmp_path, LEVEL_2, SR_B4=flat(20_000), QA_PIXEL=quality)
    product = open_optical(folder)
    assert product.read(("B4",), GRID)[0, 1, 1] == pytest.approx(0.35, abs=1e-6)
    assert product.labels(GRID)[0].tolist() == [
        Label.NODATA, Label.CLOUD, Label.SHADOW, Label.WATER,
        Label.CLOUD, Label.SNOW, Label.CLOUD, Label.CLEAR,
    ]  # fmt: skip
    assert len(product.files(("B4",))) == 3


@pytest.mark.parametrize(
    ("bit", "label"),
    [
        (0, Label.NODATA), (1, Label.CLOUD), (2, Label.CLOUD), (3, Label.CLOUD),
        (4, Label.SHADOW), (5, Label.SNOW), (6, Label.CLEAR), (7, Label.WATER),
    ],
)  # fmt: skip
def test_each_bit_of_qa_pixel(bit, label):
    assert from_qa_pixel(np.array([[1 << bit]], np.uint16)) == label


def test_the_rim_of_qa_pixel_may_stay_clear():
    assert from_qa_pixel(np.array([[2]]), dilated_is_cloud=False) == Label.CLEAR


def test_bqa():
    # LSDS-1656, table of pixel values: 1 fill; 2720 clear; 2800 cloud, high confidence;
    # 2976 cloud shadow, high; 3744 snow, high; 6816 cirrus, high; 2752 cloud, medium only.
    values = np.array([[1, 2720, 2800, 2976, 3744, 6816, 2752]], np.uint16)
    assert from_bqa(values)[0].tolist() == [
        Label.NODATA, Label.CLEAR, Label.CLOUD, Label.SHADOW,
        Label.SNOW, Label.CLOUD, Label.CLEAR,
    ]  # fmt: skip


def test_level_1_serves_as_an_optical_source(tmp_path):
    folder = folder_of(tmp_path, B4=flat(15_000))
    assert detect(folder).kind == "landsat-l1"
    assert isinstance(open_optical(folder), ToaOptical)
    with pytest.raises(ProductError, match="a quality band"):
        open_optical(folder).labels(GRID)


def test_level_1_as_an_optical_source_has_its_own_mask(tmp_path):
    folder = folder_of(tmp_path, B4=flat(15_000), QA_PIXEL=flat(22_280))
    labels = open_optical(folder).labels(GRID)
    assert labels[1].tolist() == [Label.CLOUD] * GRID.shape[1]


def test_everything_that_is_read_is_among_the_files(tmp_path):
    names = ("SZA", "SAA", "VZA", "VAA", "QA_PIXEL")
    sides = {name: np.full(GRID.shape, 3012) for name in names}
    files = open_product(folder_of(tmp_path, B4=flat(1), B10=flat(1), **sides)).files(("B4",))
    found = {f.name.removeprefix(f"{LEVEL_1}_") for f in files}
    assert found == {"B4.TIF", "B10.TIF", "MTL.txt", *(f"{name}.TIF" for name in names)}


def test_level_2_without_its_quality_band_is_refused_before_it_is_read(tmp_path):
    folder = folder_of(tmp_path, LEVEL_2, SR_B4=flat(20_000))
    with pytest.raises(ProductError, match="a quality band"):
        open_surface(folder).files(("B4",))


def test_a_time_without_fractions_is_a_time(tmp_path):
    fields = {**GROUPS["IMAGE_ATTRIBUTES"], "SCENE_CENTER_TIME": "10:29:10Z"}
    folder = folder_of(tmp_path, groups={**GROUPS, "IMAGE_ATTRIBUTES": fields})
    assert open_product(folder).time == datetime(2022, 6, 15, 10, 29, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"SUN_ELEVATION": "-3"}, "a SUN_ELEVATION of 0 to 90"),
        ({"SUN_ELEVATION": "high"}, "a number in SUN_ELEVATION, found 'high'"),
        ({"SUN_ELEVATION": None}, "a number in SUN_ELEVATION, found no such field"),
    ],
)
def test_bad_metadata_are_one_sentence(tmp_path, change, message):
    fields = {**GROUPS["IMAGE_ATTRIBUTES"], **change}
    fields = {k: v for k, v in fields.items() if v is not None}
    folder = folder_of(tmp_path, groups={**GROUPS, "IMAGE_ATTRIBUTES": fields}, B4=flat(1))
    with pytest.raises(ProductError, match=message):
        open_product(folder).read(("B4",), GRID)


def test_missing_parts_are_named(tmp_path):
    folder = folder_of(tmp_path, B4=flat(15_000))
    product = open_product(folder)
    assert product.brightness_temperature(GRID) is None
    with pytest.raises(ProductError, match="an image of the band B6"):
        product.read(("B6",), GRID)
    with pytest.raises(ProductError, match="a quality band"):
        product.labels(GRID)
    next(folder.glob("*_MTL.txt")).unlink()
    assert "no *_MTL.txt" in refusal(folder)
    with pytest.raises(ProductError, match="level-1 folder"):
        open_product(folder)
    with pytest.raises(ProductError, match="not of level L2"):
        open_surface(folder)


@pytest.mark.parametrize(
    ("time", "place", "zenith", "azimuth"),
    [
        # Mean sun angles of a Sentinel-2 tile at its own sensing time, its centre
        # (S2A L1C T46RER of 8 September 2021; grid north is 0.26 degree off true north).
        (datetime(2021, 9, 8, 4, 40, 48, tzinfo=UTC), (93.5558, 27.5287), 26.493, 142.988 - 0.26),
        # Scene centre of LC08 016037 of 13 August 2017.
        (datetime(2017, 8, 13, 15, 54, 16, tzinfo=UTC), (-80.04, 33.166), 27.827, 126.815),
    ],
)
def test_the_sun_stands_where_providers_say(time, place, zenith, azimuth):
    found = sun_position(time, *place)
    # Providers take the centre of the image or of its valid part: some kilometres.
    assert found[0] == pytest.approx(zenith, abs=0.15)
    assert found[1] == pytest.approx(azimuth, abs=0.4)
