"""The Sentinel-2 L1C reader: radiometry, angles by detector, refusals."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from skymend.core.errors import ConfigError, ProductError
from skymend.core.grid import Grid
from skymend.products import open_optical
from skymend.products.band_folder import open_product as open_folder
from skymend.products.safe_angles import read_footprint
from skymend.products.safe_l1c import METADATA, open_product, refusal
from skymend.products.toa import ToaOptical, open_toa
from skymend.simulate.cloud_scene import cloud_scene
from skymend.simulate.msi import BANDS, angles, centres
from skymend.simulate.safe_s2 import write_l1c
from skymend.simulate.toa_series import scene_granule
from tests.product_case import write_tif


@pytest.fixture(scope="module")
def scene():
    # 300 m east of this swath's centre lies the seam between two detectors.
    return cloud_scene(4, size_px=120, sun_zenith=50.0)


@pytest.fixture(scope="module")
def folders(scene, tmp_path_factory):
    root = tmp_path_factory.mktemp("l1c")
    return {b: write_l1c(root, scene_granule(scene, baseline=b)) for b in ("02.06", "05.00")}


def edited(folders, tmp_path, pattern, text):
    """Return a copy of the new product with a piece of its metadata replaced."""
    folder = tmp_path / folders["05.00"].name
    shutil.copytree(folders["05.00"], folder)
    path = folder / METADATA
    before = path.read_text("utf-8")
    after = re.sub(pattern, text, before, flags=re.DOTALL)
    assert after != before
    path.write_text(after, "utf-8")
    return folder


@pytest.mark.parametrize("baseline", ["02.06", "05.00"])
def test_reflectance_comes_back_in_every_band_and_resolution(scene, folders, baseline):
    product = open_product(folders[baseline])
    assert product.bands == tuple(sorted(BANDS))
    for band, info in BANDS.items():
        grid = product.grid(info.resolution_m)
        step = info.resolution_m // 10
        truth = scene.reflectance[list(BANDS).index(band), ::step, ::step]
        kept = truth if baseline == "05.00" else np.maximum(truth, 1e-4)
        # Half a stored step of 1e-4, and float32.
        np.testing.assert_allclose(product.read((band,), grid)[0], kept, atol=5.2e-5)


def test_values_below_zero_are_kept_and_dn_zero_is_nodata(scene, tmp_path):
    images = dict(scene_granule(scene).reflectance)
    images["B12"] = np.where(images["B12"] > 0.1, np.float32(-0.02), np.float32(np.nan))
    product = open_product(write_l1c(tmp_path, replace(scene_granule(scene), reflectance=images)))
    values = product.read(("B12",), product.grid(20.0))[0]
    np.testing.assert_allclose(values[~np.isnan(values)], -0.02, atol=1e-6)
    assert np.isnan(values).any()


def test_offsets_hold_by_band(folders, tmp_path):
    shifted = edited(
        folders,
        tmp_path,
        r'(<RADIO_ADD_OFFSET band_id="12">)-1000',
        r"\g<1>-900",
    )
    old, new = open_product(folders["05.00"]), open_product(shifted)
    grid = old.grid(20.0)
    step = new.read(("B12", "B11"), grid) - old.read(("B12", "B11"), grid)
    np.testing.assert_allclose(step[0], 0.01, atol=1e-6)
    np.testing.assert_array_equal(step[1], 0)


@pytest.mark.parametrize("baseline", ["02.06", "05.00"])
def test_view_angles_follow_the_detectors(scene, folders, baseline):
    """GML polygons before 04.00, JPEG 2000 since; the truth is the simulator's own geometry."""
    product = open_product(folders[baseline])
    assert bool(list(product.granule.glob("QI_DATA/MSK_DETFOO_B8A.gml"))) == (baseline == "02.06")
    grid = product.grid(20.0)
    zenith, azimuth = angles(*scene.swath.tangents("B8A", *centres(grid)))
    view = product.view(grid)
    # Neighbouring detectors look 4 degrees apart; what is left is the interpolation of 5 km
    # nodes, and pixels that the seam cuts.
    seam = np.abs(np.diff(scene.swath.detectors(grid).astype(int), axis=1, prepend=0)) > 0
    seam |= np.roll(seam, -1, axis=1)
    assert np.unique(scene.swath.detectors(grid)).size == 2
    assert np.abs(view.zenith - zenith)[~seam].max() < 0.1
    turn = (view.azimuth - azimuth + 180) % 360 - 180
    assert np.abs(turn)[~seam].max() < 1.0


def test_without_footprints_detectors_are_averaged(scene, folders, tmp_path):
    folder = tmp_path / folders["05.00"].name
    shutil.copytree(folders["05.00"], folder)
    for path in folder.glob("GRANULE/*/QI_DATA/MSK_DETFOO*"):
        path.unlink()
    product = open_product(folder)
    view = product.view(product.grid(20.0))
    assert np.ptp(view.zenith) < 1.0
    assert 2 < view.zenith.mean() < 6


@pytest.mark.parametrize(("baseline", "suffix"), [("02.06", "gml"), ("05.00", "jp2")])
def test_the_footprint_that_angles_need_is_among_the_files(folders, baseline, suffix):
    files = open_product(folders[baseline]).files(("B02",))
    assert [f.name for f in files[1:]] == [METADATA, "MTD_TL.xml", f"MSK_DETFOO_B8A.{suffix}"]


def test_a_hole_in_a_footprint_belongs_to_no_detector(tmp_path):
    rings = ("0 0 0 0 60 0 60 60 0 60 0 0 0 0 0", "20 20 0 20 40 0 40 40 0 40 20 0 20 20 0")
    places = "".join(
        f"<gml:{kind}><gml:LinearRing><gml:posList>{ring}</gml:posList></gml:LinearRing></gml:{kind}>"
        for kind, ring in zip(("exterior", "interior"), rings, strict=True)
    )
    (tmp_path / "MSK_DETFOO_B8A.gml").write_text(
        '<eop:Mask xmlns:eop="http://www.opengis.net/eop/2.0" '
        'xmlns:gml="http://www.opengis.net/gml/3.2"><eop:maskMembers>'
        '<eop:MaskFeature gml:id="detector_footprint-B8A-07-0"><eop:extentOf>'
        f"<gml:Polygon>{places}</gml:Polygon>"
        "</eop:extentOf></eop:MaskFeature></eop:maskMembers></eop:Mask>"
    )
    grid = Grid("EPSG:32631", (20.0, 0.0, 0.0, 0.0, -20.0, 60.0), (3, 3))
    found = read_footprint(tmp_path, "B8A", grid)
    assert found.tolist() == [[7, 7, 7], [7, 0, 7], [7, 7, 7]]


def test_sun_angles_come_from_the_grid(scene, folders):
    sun = open_product(folders["05.00"]).sun(scene.grid)
    np.testing.assert_allclose(sun.zenith, scene.sun[0], atol=0.01)
    np.testing.assert_allclose(sun.azimuth, scene.sun[1], atol=0.01)


def test_a_region_can_take_it_as_an_optical_source(scene, folders):
    product = open_optical(folders["05.00"])
    assert isinstance(product, ToaOptical)
    assert (product.tile, product.platform) == ("31TCJ", "sentinel-2a")
    assert product.grid == scene.grid
    assert product.time == scene.time
    read = product.read(("B04",), scene.grid)
    np.testing.assert_allclose(read[0], scene.reflectance[3], atol=5.2e-5)
    assert len(product.files(("B02", "B04"))) == 5
    with pytest.raises(ProductError, match="choose a mask engine such as fmask"):
        product.labels(scene.grid)


@pytest.mark.parametrize(
    ("pattern", "text", "message"),
    [
        (r"<Radiometric_Offset_List>.*</Radiometric_Offset_List>", "", "RADIO_ADD_OFFSET"),
        (r"<QUANTIFICATION_VALUE[^>]*>[^<]*<", "<QUANTIFICATION_VALUE>many<", "a number in QUANT"),
        (r"<QUANTIFICATION_VALUE[^>]*>[^<]*<", "<QUANTIFICATION_VALUE>0<", "positive QUANT"),
        (r'band_id="12">', 'band_id="13">', "band_id 0 to 12"),
        (r"<PROCESSING_BASELINE>[^<]*<", "<PROCESSING_BASELINE>new<", "such as 05.09"),
        (r"</[^>]*>\s*$", "", "well-formed XML"),
        (r"^<\?xml[^>]*>", '<!DOCTYPE x [<!ENTITY a "b">]>', "plain XML"),
    ],
)
def test_metadata_that_do_not_say_what_they_must(folders, tmp_path, pattern, text, message):
    product = open_product(edited(folders, tmp_path, pattern, text))
    with pytest.raises(ProductError, match=message):
        product.read(("B12",), product.grid(20.0))


@pytest.mark.parametrize(
    ("pattern", "text", "message"),
    [
        ("<NROWS>[0-9]+<", "<NROWS>99999999<", "numbers in Size"),
        ("<NROWS>[0-9]+<", "<NROWS>12.5<", "numbers in Size"),
        ("<NROWS>[0-9]+<", "<NROWS>-1<", "numbers in Size"),
        ("<VALUES>[^<]*<", "<VALUES>NaN NaN<", "angles in Sun_Angles_Grid, found no number"),
        ("<VALUES>[^<]*<", "<VALUES>95 95<", "zenith angles of 0 to below 90 degrees, found 95"),
    ],
)
def test_sizes_and_angles_that_no_tile_has_are_refused(folders, tmp_path, pattern, text, message):
    folder = tmp_path / folders["05.00"].name
    shutil.copytree(folders["05.00"], folder)
    (path,) = folder.glob("GRANULE/*/MTD_TL.xml")
    path.write_text(re.sub(pattern, text, path.read_text("utf-8")), "utf-8")
    with pytest.raises(ProductError, match=message):
        open_product(folder).grid()


def test_a_truncated_image_is_one_sentence(folders, tmp_path):
    folder = tmp_path / folders["05.00"].name
    shutil.copytree(folders["05.00"], folder)
    path = next(folder.glob("GRANULE/*/IMG_DATA/*_B12.jp2"))
    path.write_bytes(path.read_bytes()[:600])
    product = open_product(folder)
    with pytest.raises(ProductError, match=r"expected a readable .*B12|B12\.jp2: expected"):
        product.read(("B12",), product.grid(20.0))


def test_a_missing_band_is_named(folders, tmp_path):
    folder = tmp_path / folders["05.00"].name
    shutil.copytree(folders["05.00"], folder)
    next(folder.glob("GRANULE/*/IMG_DATA/*_B11.jp2")).unlink()
    product = open_product(folder)
    with pytest.raises(ProductError, match="expected an image B11"):
        product.read(("B11",), product.grid(20.0))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("S2A_MSIL2A_20220615T105031_N0400_R051_T31TFJ_20220615T170000.SAFE", "level L2A"),
        ("S2A_MSIL1C_20220615T105031_N0400_R051_T31TFJ_20220615T170000.zip", "unpack it first"),
        ("S2A_MSIL1C_20220615T105031_N0400_R051_T31TFJ_20220615T170000.SAFE", "no such folder"),
        ("LC08_L1TP_016037", "not like S2A_MSIL1C"),
    ],
)
def test_refusals(tmp_path, name, reason):
    path = tmp_path / name
    if path.suffix == ".zip":
        path.write_bytes(b"PK")
    assert reason in refusal(path)
    with pytest.raises(ProductError, match=reason):
        open_toa(path)


def test_a_folder_of_bands(scene, tmp_path):
    folder = tmp_path / "bands"
    for band in ("B02", "B8A"):
        step = BANDS[band].resolution_m // 10
        plane = scene.reflectance[list(BANDS).index(band), ::step, ::step]
        at = scene.grid.at_resolution(BANDS[band].resolution_m)
        write_tif(folder / f"scene_{band}.tif", np.rint(plane * 1e4).astype(np.uint16), at)
    product = open_toa(folder, sun=(50.0, 150.0))
    assert product.bands == ("B02", "B8A")
    assert product.grid() == scene.grid
    read = product.read(("B8A",), product.grid(20.0))[0]
    np.testing.assert_allclose(read, scene.reflectance[8, ::2, ::2], atol=5.1e-5)
    assert product.sun(scene.grid) == (50.0, 150.0)
    with pytest.raises(ConfigError, match="give --sun ZENITH,AZIMUTH"):
        open_folder(folder).sun(scene.grid)
    with pytest.raises(ConfigError, match="below 90"):
        open_folder(folder, sun=(95.0, 0.0))
    with pytest.raises(ProductError, match=r"a file B12\.tif"):
        product.read(("B12",), scene.grid)
