"""Products in any bucket, against moto's S3 server."""

from __future__ import annotations

import hashlib

import pytest

from skymend.core.errors import AccessError, AnswerError, ConfigError
from skymend.sources.protocol import Filters
from skymend.sources.s3_bucket import S3Bucket
from tests.provider_case import AREA, SPRING, safe_zip, settings
from tests.servers.routes import Response, serve
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY, serve_s3

LOGIN = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
L2A = "S2A_MSIL2A_20230415T105251_N0509_R051_T31TFL_20230415T143440.SAFE"
OLD = "S2A_MSIL2A_20220415T105251_N0400_R051_T31TFL_20220415T143440.SAFE"
FAR = "S2A_MSIL2A_20230415T105251_N0509_R051_T55HGB_20230415T143440.SAFE"
MAJA = "SENTINEL2A_20230414-105029-459_L2A_T31TFL_D_V3-1"
GRD = "S1A_IW_GRDH_1SDV_20230401T054013_20230401T054038_047905_05C1B4_6B5A"
LANDSAT = "LC08_L1TP_196029_20230403_20230412_02_T1"
BANDS = "GRANULE/L2A_T31TFL_A040811_20230415T105251/IMG_DATA/R10m"
JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"
OBJECTS = {
    f"opt/{L2A}/manifest.safe": b"<a/>",
    f"opt/{L2A}/MTD_MSIL2A.xml": b"<b/>",
    f"opt/{L2A}/{BANDS}/T31TFL_20230415T105251_B04_10m.jp2": b"\0\0\0\x0cjP  \r\n\x87\n"
    + b"4" * 99,
    f"opt/{L2A}/{BANDS}/T31TFL_20230415T105251_B08_10m.jp2": b"\0\0\0\x0cjP  \r\n\x87\n"
    + b"8" * 99,
    f"opt/{OLD}/MTD_MSIL2A.xml": b"<b/>",
    f"opt/{FAR}/MTD_MSIL2A.xml": b"<b/>",
    f"opt/{MAJA}/{MAJA}_MTD_ALL.xml": b"<c/>",
    f"sar/{GRD}.zip": safe_zip(GRD, {"annotation/a.xml": b"<a/>"}),
    f"landsat/{LANDSAT}/{LANDSAT}_MTL.xml": b"<d/>",
    f"landsat/{LANDSAT}/{LANDSAT}_B4.TIF": b"II*\0" + b"0" * 99,
    "readme.txt": b"no product",
}


@pytest.fixture(scope="module")
def s3():
    with serve_s3("eo-data") as server:
        for key, content in OBJECTS.items():
            server.client().put_object(Bucket="eo-data", Key=f"data/{key}", Body=content)
        yield server


def source(tmp_path, s3, login=LOGIN, root="s3://eo-data/data") -> S3Bucket:
    return S3Bucket(settings(tmp_path, {"s3": root, "s3.s3": s3.url}, s3=login))


def test_the_etag_of_a_sealed_object_is_no_md5(tmp_path, s3):
    """S3 states an ETag of 32 digits that is not the MD5 where KMS encrypts (moto: it is)."""
    name = L2A.replace("T31TFL", "T31TGL")
    for file, how in (("MTD_MSIL2A.xml", "aws:kms"), ("manifest.safe", "AES256")):
        key = f"kms/{name}/{file}"
        client = s3.client()
        client.put_object(Bucket="eo-data", Key=key, Body=b"<a/>", ServerSideEncryption=how)
    own = source(tmp_path, s3, root="s3://eo-data/kms")
    (item,) = own.search("sentinel-2-l2a", None, SPRING, Filters())
    receipts = own.fetch(item, (), tmp_path / "got")
    assert {r.path.name: r.verified for r in receipts} == {
        "MTD_MSIL2A.xml": "size",
        "manifest.safe": "md5",
    }


def test_products_are_found_by_their_names(tmp_path, s3):
    own = source(tmp_path, s3)
    names = {
        c: [i.properties["title"] for i in own.search(c, AREA, SPRING, Filters())]
        for c in own.collections()
    }
    assert names == {
        "sentinel-2-l2a": [L2A.removesuffix(".SAFE")],
        "sentinel-2-l1c": [],
        "sentinel-2-l2a-maja": [MAJA],
        "sentinel-1-grd": [GRD],
        "sentinel-1-slc": [],
        "landsat-c2-l1": [LANDSAT],
        "landsat-c2-l2": [],
    }
    (item,) = own.search("sentinel-2-l2a", AREA, SPRING, Filters(baseline="05.09"))
    assert item.properties["grid:code"] == "MGRS-31TFL"
    # The outline of the tile, T31TFL: 4.3..5.7 E, 44.9..46.0 N.
    assert item.bbox == pytest.approx([4.27, 45.01, 5.70, 46.04], abs=0.2)
    assert own.search("sentinel-2-l2a", None, None, Filters()).items != [item]


def test_only_the_bands_asked_for_leave_the_safe(tmp_path, s3):
    own = source(tmp_path, s3)
    (item,) = own.search("sentinel-2-l2a", AREA, SPRING, Filters())
    receipts = own.fetch(item, ["B04"], tmp_path / "got")
    got = {p.relative_to(tmp_path / "got").as_posix() for p in (r.path for r in receipts)}
    assert got == {
        f"{L2A}/manifest.safe",
        f"{L2A}/MTD_MSIL2A.xml",
        f"{L2A}/{BANDS}/T31TFL_20230415T105251_B04_10m.jp2",
    }
    assert {r.verified for r in receipts} == {"md5"}
    whole = own.fetch(item, (), tmp_path / "whole")
    assert len(whole) == 4
    for receipt in whole:
        key = receipt.path.relative_to(tmp_path / "whole").as_posix()
        assert receipt.path.read_bytes() == OBJECTS[f"opt/{key}"]
    with pytest.raises(ConfigError, match="expected a file of B11"):
        own.fetch(item, ["B11"], tmp_path / "got")


def test_archives_are_unpacked(tmp_path, s3):
    own = source(tmp_path, s3)
    (item,) = own.search("sentinel-1-grd", AREA, SPRING, Filters(polarisations=("VV",)))
    (receipt,) = own.fetch(item, ["VV"], tmp_path / "got")
    assert receipt.path == tmp_path / "got" / f"{GRD}.SAFE"
    assert (receipt.path / "annotation" / "a.xml").read_bytes() == b"<a/>"


def test_large_objects_that_came_in_parts_have_no_md5(tmp_path, s3):
    content = b"II*\0" + b"7" * (6 * 2**20)
    key = f"data/landsat/{LANDSAT}/{LANDSAT}_B5.TIF"
    client = s3.client()
    upload = client.create_multipart_upload(Bucket="eo-data", Key=key)["UploadId"]
    parts = []
    for number, start in enumerate(range(0, len(content), 5 * 2**20), 1):
        body = content[start : start + 5 * 2**20]
        where = {"Bucket": "eo-data", "Key": key, "UploadId": upload, "PartNumber": number}
        parts.append({"PartNumber": number, "ETag": client.upload_part(**where, Body=body)["ETag"]})
    whole = {"Bucket": "eo-data", "Key": key, "UploadId": upload}
    client.complete_multipart_upload(**whole, MultipartUpload={"Parts": parts})
    own = source(tmp_path, s3)
    (item,) = own.search("landsat-c2-l1", AREA, SPRING, Filters())
    receipts = own.fetch(item, ["B5"], tmp_path / "got")
    client.delete_object(Bucket="eo-data", Key=key)
    band = next(r for r in receipts if r.path.name.endswith("_B5.TIF"))
    assert hashlib.md5(band.path.read_bytes()).digest() == hashlib.md5(content).digest()
    assert band.verified in {"size", "crc32", "sha256"}


def test_paths_out_of_the_product_are_refused(tmp_path, s3):
    own = source(tmp_path, s3)
    (item,) = own.search("sentinel-2-l2a", AREA, SPRING, Filters())
    item.assets["MTD_MSIL2A.xml"].extra_fields["file:local_path"] = "../../etc/x.xml"
    with pytest.raises(AnswerError, match="a path inside the product"):
        own.fetch(item, (), tmp_path / "got")


def test_closed_and_absent_buckets(tmp_path, s3):
    denied = Response(b"<Error><Code>AccessDenied</Code></Error>", 403)
    with serve({"GET /eo-data": lambda _: denied}) as shut:
        closed = source(tmp_path, shut)
        with pytest.raises(AccessError, match="S3 keys that may read it"):
            closed.search("sentinel-2-l2a", AREA, SPRING, Filters())
        assert [f.ok for f in closed.check()] == [False]
    with pytest.raises(ConfigError, match="a bucket of that name"):
        source(tmp_path, s3, root="s3://nowhere/x").search("sentinel-2-l2a", None, None, Filters())
    with pytest.raises(ConfigError, match="set the endpoint 's3'"):
        S3Bucket(settings(tmp_path, {})).search("sentinel-2-l2a", None, None, Filters())
    assert [f.ok for f in source(tmp_path, s3).check()] == [True]
    assert [f.ok for f in source(tmp_path, s3, root="s3://eo-data/empty").check()] == [False]
