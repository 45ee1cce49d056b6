"""The reader of Sentinel-1 GRD: what it takes, what it refuses, and how it says so."""

import contextlib
import shutil
import zipfile
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skymend.core.errors import ProductError, SkymendError
from skymend.core.grid import Grid, Window
from skymend.products.sentinel1 import (
    AzimuthBlock,
    RangeTable,
    azimuth_factor,
    open_grd,
    parse_annotation,
    parse_calibration,
    parse_noise,
    refusal,
)
from skymend.products.sentinel1.archive import open_archive
from skymend.products.sentinel1.manifest import parse_manifest
from skymend.sar.orbit import parse_eof
from skymend.simulate.facets import Terrain
from skymend.simulate.terrain_grd import Survey, write_terrain_grd
from tests.mutation import mutate

AREA = Grid("EPSG:32631", (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_800_000.0), (60, 60))
WIDE = AREA.crop(Window(-30, -30, 120, 120))
NAME = "S1A_IW_GRDH_1SDV_20200708T182643_20200708T182708_033367_03DDAA_9550"


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    survey = Survey(datetime(2020, 5, 6, 6, 0, 0, tzinfo=UTC), 38.0, "DES")
    ground = {"VV": 0.1, "VH": 0.02}
    terrain = Terrain(WIDE, np.zeros(WIDE.shape))
    return write_terrain_grd(tmp_path_factory.mktemp("grd"), AREA, terrain, ground, survey)[0]


def pack(product, path, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(product.rglob("*")):
            archive.write(file, file.relative_to(product.parent))
    return path


def copy(product, folder):
    return shutil.copytree(product, folder / product.name)


def texts(product):
    """Every kind of XML of a product with its parser."""
    kinds = {
        "manifest.safe": parse_manifest,
        "annotation/s1*-vv-*.xml": parse_annotation,
        "annotation/calibration/calibration-*-vv-*.xml": parse_calibration,
        "annotation/calibration/noise-*-vv-*.xml": parse_noise,
    }
    return {name: (next(product.glob(name)).read_bytes(), p) for name, p in kinds.items()}


def test_a_folder_says_what_it_is(product):
    grd = open_grd(product)
    assert grd.id == product.name.removesuffix(".SAFE")
    assert grd.platform == "sentinel-1a"
    assert grd.time.tzinfo is UTC
    assert grd.stop > grd.time
    assert (grd.relative_orbit, grd.direction, grd.ipf) == (110, "descending", "003.31")
    assert grd.polarisations == ("VV", "VH")
    annotation = grd.annotation("VH")
    assert annotation.polarisation == "VH"
    assert annotation.orbit.position.shape == (annotation.orbit.seconds.size, 3)
    assert grd.calibration("VV").tables["beta0"].lines[0] <= 0


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_read_in_place(product, tmp_path, method):
    packed = open_grd(pack(product, tmp_path / f"{product.name}.zip", method))
    whole = open_grd(product)
    shape = whole.annotation("VV").shape
    window = Window(3, 5, shape[0] - 10, shape[1] - 20)
    np.testing.assert_array_equal(packed.dn("VV", window), whole.dn("VV", window))
    assert packed.annotation("VV").first_line == whole.annotation("VV").first_line
    assert [p.name for p in tmp_path.iterdir()] == [f"{product.name}.zip"]


@pytest.mark.parametrize("letter", "ABCD")
def test_all_four_satellites(product, letter):
    content = next(product.glob("manifest.safe")).read_text()
    content = content.replace("<safe:number>A<", f"<safe:number>{letter}<")
    manifest = parse_manifest(content.encode(), "manifest.safe")
    assert manifest.platform == f"sentinel-1{letter.lower()}"
    assert refusal(product.with_name(product.name.replace("S1A", f"S1{letter}"))) == (
        None if letter == "A" else "no such folder or zip"
    )


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (NAME.replace("GRDH", "SLC_"), "it is a SLC product (single look complex"),
        (NAME.replace("IW_GRDH", "EW_GRDM"), "it was taken in mode EW (extra-wide swath)"),
        (NAME.replace("IW_GRDH", "S3_GRDF"), "it was taken in mode S3 (stripmap)"),
        (NAME.replace("IW_GRDH_1", "IW_OCN__2"), "it is a OCN product (ocean geophysics"),
        (NAME.replace("IW_GRDH_1", "IW_RAW__0"), "it is a RAW product (raw echoes"),
    ],
)
def test_other_kinds_are_refused_in_one_sentence(tmp_path, name, sentence):
    path = tmp_path / f"{name}.SAFE"
    assert sentence in (refusal(path) or "")
    with pytest.raises(ProductError) as caught:
        open_grd(path)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_renamed_slc_is_refused_by_its_manifest(product, tmp_path):
    folder = copy(product, tmp_path)
    path = folder / "manifest.safe"
    path.write_text(path.read_text().replace(">GRD<", ">SLC<"))
    with pytest.raises(ProductError, match="single look complex"):
        open_grd(folder)


def test_names_of_other_things_are_refused():
    from pathlib import Path

    assert "the name is not like" in (refusal(Path("S2A_MSIL2A_20200219.SAFE")) or "")


def test_noise_of_both_layouts():
    old = b"""<noise><noiseVectorList count="1"><noiseVector><line>0</line>
    <pixel count="2">0 10</pixel><noiseLut count="2">5 7</noiseLut></noiseVector>
    </noiseVectorList></noise>"""
    noise = parse_noise(old, "noise.xml")
    assert noise.layout == "range" and noise.usable  # noqa: PT018 - one thing said twice
    assert noise.range_table.at_pixels(np.array([5.0]))[0, 0] == 6.0
    empty = parse_noise(b'<noise><noiseVectorList count="0"/></noise>', "noise.xml")
    assert empty.layout == "none"
    assert not empty.usable
    zeros = parse_noise(old.replace(b">5 7<", b">0 0<"), "noise.xml")
    assert zeros.zero
    assert not zeros.usable


def test_azimuth_factors_hold_in_their_block_only():
    block = AzimuthBlock(2, 5, 1, 3, np.array([2.0, 4.0]), np.array([1.0, 3.0]))
    factor = azimuth_factor((block,), np.arange(7), np.arange(5))
    expected = np.ones((7, 5))
    expected[2:6, 1:4] = np.array([1.0, 2.0, 3.0, 3.0])[:, None]
    np.testing.assert_allclose(factor, expected)


def test_tables_are_interpolated_between_pixels():
    table = RangeTable(np.array([0.0]), (np.array([0.0, 10.0]),), (np.array([1.0, 2.0]),))
    np.testing.assert_allclose(table.at_pixels(np.array([-5.0, 5.0, 20.0])), [[1.0, 1.5, 2.0]])


class TestZipsThatLie:
    """Each is refused in one sentence before anything is read from it."""

    def lie(self, tmp_path, names, content=b"x", **info):
        path = tmp_path / f"{NAME}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                entry = zipfile.ZipInfo(name)
                entry.compress_type = zipfile.ZIP_DEFLATED
                for key, value in info.items():
                    setattr(entry, key, value)
                archive.writestr(entry, content)
        with pytest.raises(ProductError) as caught:
            open_grd(path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    @pytest.mark.parametrize("name", ["../manifest.safe", "/etc/manifest.safe", "a/../../x.xml"])
    def test_names_that_climb(self, tmp_path, name):
        assert "plain relative names" in self.lie(tmp_path, ["manifest.safe", name])

    def test_links(self, tmp_path):
        message = self.lie(tmp_path, ["manifest.safe"], external_attr=0o120777 << 16)
        assert "plain files in the zip" in message

    def test_bombs(self, tmp_path):
        message = self.lie(tmp_path, ["manifest.safe"], content=b"\0" * 60_000_000)
        assert "plausible sizes" in message or "64000000" in message or "XML" in message

    def test_two_manifests(self, tmp_path):
        assert "one manifest.safe" in self.lie(tmp_path, ["a/manifest.safe", "b/manifest.safe"])

    def test_no_manifest(self, tmp_path):
        assert "one manifest.safe in the zip, found 0" in self.lie(tmp_path, ["a/x.xml"])

    def test_not_a_zip(self, tmp_path):
        path = tmp_path / f"{NAME}.zip"
        path.write_bytes(b"PK\x03\x04 but no more")
        with pytest.raises(ProductError, match="not a zip, or a truncated one"):
            open_grd(path)

    def test_a_damaged_member(self, product, tmp_path):
        path = pack(product, tmp_path / f"{product.name}.zip")
        content = bytearray(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            info = next(i for i in archive.infolist() if i.filename.endswith("manifest.safe"))
        start = info.header_offset + 200
        content[start : start + 300] = bytes(300)
        path.write_bytes(bytes(content))
        with pytest.raises(ProductError, match=r"manifest\.safe"):
            open_grd(path)

    def test_a_damaged_image(self, product, tmp_path):
        path = pack(product, tmp_path / f"{product.name}.zip")
        with zipfile.ZipFile(path) as archive:
            info = next(
                i for i in archive.infolist() if "-vv-" in i.filename and "tiff" in i.filename
            )
        content = bytearray(path.read_bytes())
        start = info.header_offset + 300
        content[start : start + info.compress_size - 400] = bytes(info.compress_size - 400)
        path.write_bytes(bytes(content))
        grd = open_grd(path)
        with pytest.raises(ProductError, match=r"damaged or truncated|as annotated"):
            grd.dn("VV", Window(0, 0, *grd.annotation("VV").shape))


def test_a_member_without_a_name_is_refused(product, tmp_path):
    path = pack(product, tmp_path / f"{product.name}.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo("x"), b"")
        archive.infolist()[-1].filename = ""
    with pytest.raises(ProductError, match="plain relative names"):
        open_grd(path)


def test_manifests_cannot_point_outside(product, tmp_path):
    folder = copy(product, tmp_path)
    path = folder / "manifest.safe"
    path.write_text(path.read_text().replace("./measurement/", "../../measurement/"))
    with pytest.raises(ProductError, match="plain relative names"):
        open_grd(folder)


def test_entities_are_refused(product):
    bomb = b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    for _, parser in texts(product).values():
        with pytest.raises(ProductError, match="plain XML"):
            parser(bomb, "x")
        with pytest.raises(ProductError, match="UTF-8"):
            parser(bomb.decode().encode("utf-16"), "x")


def test_missing_parts_are_named(product):
    content, parser = texts(product)["annotation/s1*-vv-*.xml"]
    for tag in (b"orbitList", b"slantRangeTime", b"numberOfLines", b"azimuthTimeInterval"):
        with pytest.raises(ProductError) as caught:
            parser(content.replace(tag, b"absent"), "annotation.xml")
        assert tag.decode() in str(caught.value)


def test_impossible_numbers_are_refused(product):
    content, parser = texts(product)["annotation/s1*-vv-*.xml"]
    lines = open_grd(product).annotation("VV").shape[0]
    for found, put in (
        (f"<numberOfLines>{lines}<", "<numberOfLines>99999999<"),
        (f"<numberOfLines>{lines}<", "<numberOfLines>nan<"),
        ("<productFirstLineUtcTime>2020", "<productFirstLineUtcTime>1920"),
        ("<frame>Earth Fixed</frame>", "<frame>Earth Fixed</frame><position><x>1</x></position>"),
    ):
        assert found.encode() in content
        with pytest.raises(ProductError):
            parser(content.replace(found.encode(), put.encode()), "annotation.xml")


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32))
def test_damaged_texts_end_in_a_sentence(product, seed):
    for content, parser in texts(product).values():
        with contextlib.suppress(SkymendError):
            parser(mutate(content, seed), "fuzz")


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32))
def test_damaged_orbits_end_in_a_sentence(seed):
    with contextlib.suppress(SkymendError):
        parse_eof(mutate(EOF, seed), "fuzz")


def eof(count=8):
    """A made orbit file: a circle in the plane of the equator, close enough for a parser."""
    vectors = []
    for n in range(count):
        angle = n * 10 * 7500 / 7.07e6
        x, y = 7.07e6 * np.cos(angle), 7.07e6 * np.sin(angle)
        u, v = -7500 * np.sin(angle), 7500 * np.cos(angle)
        vectors.append(
            f"<OSV><TAI>TAI=2020-05-06T06:00:{n * 7 + 2:02d}</TAI>"
            f"<UTC>UTC=2020-05-06T05:59:{n * 7:02d}.5</UTC>"
            f"<X>{x}</X><Y>{y}</Y><Z>0</Z><VX>{u}</VX><VY>{v}</VY><VZ>0</VZ></OSV>"
        )
    return (
        "<Earth_Explorer_File><Earth_Explorer_Header><Fixed_Header><File_Type>AUX_POEORB"
        "</File_Type></Fixed_Header><Variable_Header><Ref_Frame>EARTH_FIXED</Ref_Frame>"
        "<Time_Reference>UTC</Time_Reference></Variable_Header></Earth_Explorer_Header>"
        f"<Data_Block><List_of_OSVs>{''.join(vectors)}</List_of_OSVs></Data_Block>"
        "</Earth_Explorer_File>"
    ).encode()


EOF = eof()


def test_orbit_files_are_read_in_utc():
    states = parse_eof(EOF, "x.EOF")
    assert states.source == "POEORB"
    assert states.epoch == datetime(2020, 5, 6, 5, 59, 0, 500_000, tzinfo=UTC)
    np.testing.assert_allclose(np.diff(states.seconds), 7.0)


@pytest.mark.parametrize(
    ("found", "put"),
    [("EARTH_FIXED", "GCRF"), ("<Time_Reference>UTC", "<Time_Reference>TAI"), ("POEORB", "PREORB")],
)
def test_other_orbit_files_are_refused(found, put):
    with pytest.raises(ProductError, match="POEORB or RESORB file, EARTH_FIXED, UTC"):
        parse_eof(EOF.replace(found.encode(), put.encode()), "x.EOF")


def test_an_archive_refuses_what_is_not_there(tmp_path):
    with pytest.raises(ProductError, match="no such file"):
        open_archive(tmp_path / "absent.SAFE")
    (tmp_path / "empty.SAFE").mkdir()
    with pytest.raises(ProductError, match=r"manifest\.safe in the folder"):
        open_archive(tmp_path / "empty.SAFE")
