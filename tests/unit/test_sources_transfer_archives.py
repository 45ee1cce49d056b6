"""Archives from outside: hostile ones are refused in one sentence, good ones unpacked whole."""

import hashlib
import io
import random
import stat
import struct
import tarfile
import zipfile

import pytest

from skymend.core.errors import ProductError
from skymend.sources import archives
from skymend.sources.archive_rules import UnpackLimits
from skymend.sources.tarballs import untar

DATA = bytes(range(256)) * 40


def write(path, entries, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def manifest(files, algorithm="MD5"):
    make = {"MD5": hashlib.md5, "SHA3-256": hashlib.sha3_256}[algorithm]
    objects = "".join(
        f'<dataObject><byteStream size="{len(data)}"><fileLocation locatorType="URL" '
        f'href="./{name}"/><checksum checksumName="{algorithm}">{make(data).hexdigest()}'
        "</checksum></byteStream></dataObject>"
        for name, data in files.items()
    )
    return f"<?xml version='1.0'?><x:XFDU xmlns:x='urn:x'>{objects}</x:XFDU>"


def safe(path, files, algorithm="MD5", stated=None):
    entries = [(f"P.SAFE/{name}", data) for name, data in files.items()]
    text = manifest(stated if stated is not None else files, algorithm)
    return write(path, [("P.SAFE/manifest.safe", text), *entries])


def refused(path, words, **options):
    with pytest.raises(ProductError, match=words) as caught:
        archives.extract(path, path.parent / "out", **options)
    assert str(caught.value).count("; ") <= 1, "one sentence"
    assert not [p for p in (path.parent / "out").rglob("*") if p.is_file()]
    assert not (path.parent / "evil").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../evil", "leads out"),
        ("a/../../evil", "leads out"),
        ("/etc/evil", "absolute"),
        ("C:/evil", "absolute"),
        ("a\\..\\evil", "backslashes"),
        ("a//b", "empty parts"),
        ("./a", "empty parts"),
        ("a\x01b", "cannot be printed"),
        ("x" * 300, "255"),
    ],
)
def test_paths_that_leave_the_folder(tmp_path, name, words):
    refused(write(tmp_path / "a.zip", [("good", b"1"), (name, b"2")]), words)


def test_a_hostile_member_is_refused_also_when_not_asked_for(tmp_path):
    path = write(tmp_path / "a.zip", [("good", b"1"), ("../evil", b"2")])
    refused(path, "leads out", members=["good"])


def test_symlinks_and_special_files(tmp_path):
    for kind, words in ((stat.S_IFLNK, "symbolic link"), (stat.S_IFIFO, "special file")):
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, (kind | 0o777) << 16
        refused(write(tmp_path / "a.zip", [(info, b"/etc/passwd")]), words)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicates(tmp_path):
    refused(write(tmp_path / "a.zip", [("a", b"1"), ("a", b"2")]), "twice")
    refused(write(tmp_path / "b.zip", [("a", b"1"), ("a/b", b"2")]), "also a folder")


def test_encrypted(tmp_path):
    path = write(tmp_path / "a.zip", [("a", b"1")])
    raw = bytearray(path.read_bytes())
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    refused(path, "encrypted")


def test_bomb_by_ratio_size_and_number(tmp_path):
    path = write(tmp_path / "a.zip", [("zeros", bytes(8 * 2**20))])
    refused(path, "grows at most 50 times", limits=UnpackLimits(ratio=50, always_allowed=2**20))
    refused(path, "GB", limits=UnpackLimits(total_bytes=2**20))
    refused(
        write(tmp_path / "b.zip", [("a", b""), ("b", b"")]),
        "members",
        limits=UnpackLimits(members=1),
    )
    archives.extract(path, tmp_path / "fine")


def test_members_that_share_bytes(tmp_path):
    path = write(tmp_path / "a.zip", [("a", DATA), ("b", DATA)])
    raw = bytearray(path.read_bytes())
    second = raw.rindex(b"PK\x01\x02")
    raw[second + 42 : second + 46] = struct.pack("<I", 0)
    path.write_bytes(raw)
    refused(path, "share bytes")


def test_a_size_that_lies(tmp_path):
    path = write(tmp_path / "a.zip", [("a", DATA)])
    raw = bytearray(path.read_bytes())
    for position in (22, raw.index(b"PK\x01\x02") + 24):
        raw[position : position + 4] = struct.pack("<I", 100)
    path.write_bytes(raw)
    refused(path, "damaged")


@pytest.mark.parametrize("content", [b"", b"<html>no</html>", b"PK\x03\x04" + bytes(50)])
def test_no_zip(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    refused(tmp_path / "a.zip", "zip archive")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_no_flipped_byte_reaches_the_content(tmp_path, method):
    path = write(tmp_path / "a.zip", [("d/a", DATA[:300]), ("d/b", b"text" * 20)], method)
    good = path.read_bytes()
    assert archives.check(path) == "crc"
    unseen = []
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 0x10
        path.write_bytes(bad)
        try:
            archives.check(path)
        except ProductError:
            continue
        unseen.append(position)
        with zipfile.ZipFile(path) as archive:
            assert [archive.read(n) for n in ("d/a", "d/b")] == [DATA[:300], b"text" * 20]
    # What passes says nothing of the content (versions, flags, attributes, disks), or packs the
    # same bytes otherwise.
    assert len(unseen) < 60


def test_only_the_members_asked_for(tmp_path):
    files = {"GRANULE/R10m/T_B04_10m.jp2": b"4", "GRANULE/R10m/T_B08_10m.jp2": b"8", "x/y": b"z"}
    path = safe(tmp_path / "p.zip", files)
    out = archives.extract(path, tmp_path / "out", ["*_B04_10m.jp2", "P.SAFE/manifest.safe"])
    names = [p.relative_to(tmp_path / "out").as_posix() for p in out]
    assert names == ["P.SAFE/manifest.safe", "P.SAFE/GRANULE/R10m/T_B04_10m.jp2"]
    assert archives.verify_safe(tmp_path / "out/P.SAFE", partial=True) == 1
    more = archives.extract(path, tmp_path / "out", ["P.SAFE/x"])
    assert [p.read_bytes() for p in more] == [b"z"]
    assert (tmp_path / "out/P.SAFE/GRANULE/R10m/T_B04_10m.jp2").exists()
    assert not list((tmp_path / "out").glob(".*")), "no work folder stays"
    with pytest.raises(ProductError, match=r"a member \*_B12"):
        archives.extract(path, tmp_path / "out", ["*_B12_20m.jp2"])


@pytest.mark.parametrize("algorithm", ["MD5", "SHA3-256"])
def test_the_manifest_of_a_safe(tmp_path, algorithm):
    files = {"measurement/a.tiff": DATA, "annotation/a.xml": b"<a/>"}
    path = safe(tmp_path / "p.zip", files, algorithm)
    assert archives.check(path, manifest=True) == "manifest"
    archives.extract(path, tmp_path)
    assert archives.verify_safe(tmp_path / "P.SAFE") == 2
    (tmp_path / "P.SAFE/measurement/a.tiff").write_bytes(DATA[:-1] + b"x")
    with pytest.raises(ProductError, match=r"measurement/a.tiff as its manifest states"):
        archives.verify_safe(tmp_path / "P.SAFE")
    (tmp_path / "P.SAFE/measurement/a.tiff").unlink()
    with pytest.raises(ProductError, match=r"no measurement/a.tiff"):
        archives.verify_safe(tmp_path / "P.SAFE")


def test_a_manifest_that_disagrees_or_lies(tmp_path):
    files = {"a": DATA, "b": b"1"}
    with pytest.raises(ProductError, match="another content"):
        archives.check(safe(tmp_path / "1.zip", files, stated={**files, "b": b"2"}), manifest=True)
    with pytest.raises(ProductError, match=r"no P\.SAFE/c"):
        archives.check(safe(tmp_path / "2.zip", files, stated={**files, "c": b"2"}), manifest=True)
    with pytest.raises(ProductError, match="leads out"):
        archives.check(safe(tmp_path / "3.zip", files, stated={"../c": b"2"}), manifest=True)
    with pytest.raises(ProductError, match=r"one manifest\.safe"):
        archives.check(write(tmp_path / "4.zip", [("a", b"1")]), manifest=True)


def test_entities_are_refused(tmp_path):
    path = tmp_path / "manifest.safe"
    path.write_text('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')
    with pytest.raises(ProductError, match="document type"):
        archives.manifest_digests(path)


def test_manifests_of_real_products(shared_data):
    """Real SAFE folders whose pixels are cut out: what is there must agree, but for blank tiffs."""
    folder = next((shared_data / "s2-safe-metadata-stactools").glob("S2A_MSIL1C_20210908*.SAFE"))
    stated = archives.manifest_digests(folder / "manifest.safe")
    assert len(stated) == 97
    assert {digest.algorithm for digest in stated.values()} == {"sha3-256"}
    with pytest.raises(ProductError, match="no "):
        archives.verify_safe(folder)


def test_a_real_sentinel_1_archive(shared_data, tmp_path):
    path = next((shared_data / "s1-grd-safe-metadata").glob("S1A*03DDAA*.zip"))
    assert archives.check(path) == "crc"
    archives.extract(path, tmp_path, ["*/annotation/*.xml", "*/manifest.safe"])
    folder = next(tmp_path.glob("*.SAFE"))
    assert archives.verify_safe(folder, partial=True) >= 6


def test_a_zip_of_an_unknown_version_is_refused(tmp_path):
    path = write(tmp_path / "a.zip", [("a", DATA)])
    content = bytearray(path.read_bytes())
    content[content.rfind(b"PK\x01\x02") + 6] = 99
    path.write_bytes(content)
    refused(path, "a zip archive, found zip file version")


@pytest.mark.parametrize("form", ["gz", "bz2", "xz"])
def test_a_compressed_tar_with_a_flipped_bit_is_refused(tmp_path, form):
    """A tar has no checksum of its members; that of the compression stands at its very end."""
    dice = random.Random(7)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=f"w:{form}") as archive:
        info = tarfile.TarInfo("a_B4.TIF")
        info.size = 200_000
        archive.addfile(info, io.BytesIO(dice.randbytes(info.size)))
    path = tmp_path / "a.tar"
    path.write_bytes(packed.getvalue())
    assert [p.stat().st_size for p in untar(path, tmp_path / "whole")] == [info.size]
    for place in (300, 50_000, 150_000):
        content = bytearray(packed.getvalue())
        content[place] ^= 4
        path.write_bytes(content)
        with pytest.raises(ProductError, match="a whole tar archive"):
            untar(path, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "whole"]
