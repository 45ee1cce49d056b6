"""Which assets are fetched, under which names, and what the copy of the item says."""

from __future__ import annotations

import hashlib
import json

import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core.errors import AnswerError, ConfigError, ProductError
from skymend.sources import fetching
from skymend.sources.fetching import Door, choose, multihash, remote_of, unpacked, write_item
from skymend.sources.naming import PRODUCT, harmonise
from skymend.sources.protocol import Settings
from skymend.sources.transfer import Digest, Receipt
from tests.provider_case import zip_of


def item(**assets: dict) -> pystac.Item:
    document = {
        "id": "x/../y",
        "geometry": None,
        "properties": {"datetime": "2023-04-01T00:00:00Z"},
        "assets": {k.replace("__", "-"): v for k, v in assets.items()},
    }
    return harmonise(document, "c", "p", where="w")


SENTINEL = {
    "red": {"href": "https://e.org/B04.tif", "roles": ["data"]},
    "B08_20m": {"href": "https://e.org/B08_20m.jp2", "roles": ["data"]},
    "B08_10m": {"href": "https://e.org/B08_10m.jp2", "roles": ["data"]},
    "visual": {"href": "https://e.org/TCI.tif", "roles": ["visual"]},
    "thumbnail": {"href": "https://e.org/preview.jpg", "roles": ["thumbnail"]},
    "tilejson": {"href": "https://e.org/tilejson.json?x", "roles": ["tiles"]},
    "page": {"href": "https://e.org/", "type": "text/html"},
    "meta": {"href": "https://e.org/MTD.xml", "roles": ["metadata"]},
}


@pytest.mark.parametrize(
    ("asked", "keys"),
    [
        ((), ["red", "B08_20m", "B08_10m", "meta"]),
        (["B04"], ["red"]),
        (["B08", "B04", "B08"], ["B08_10m", "red"]),
        (["B08_20m"], ["B08_20m"]),
        (["thumbnail"], ["thumbnail"]),
    ],
)
def test_assets_by_band_and_key(asked, keys):
    assert choose(item(**SENTINEL), asked) == keys


def test_the_whole_product_is_one_archive_where_there_is_one():
    both = item(**SENTINEL, product={"href": "https://e.org/x.zip"})
    assert choose(both, ()) == [PRODUCT]


def test_what_is_not_there_is_named():
    with pytest.raises(ConfigError, match="expected an asset B11"):
        choose(item(**SENTINEL), ["B11"])
    pictures = {k: SENTINEL[k] for k in ("thumbnail", "page")}
    with pytest.raises(AnswerError, match="holds pictures only"):
        choose(item(**pictures), ())


@pytest.mark.parametrize(
    ("asset", "name", "kind"),
    [
        ({"href": "https://e.org/a/B04.tif?sig=secret"}, "B04.tif", "geotiff"),
        ({"href": "s3://b/S1A_IW_GRDH_x.zip"}, "S1A_IW_GRDH_x.zip", "safe-zip"),
        ({"href": "https://e.org/download/7", "file:local_path": "p/L.zip"}, "L.zip", "zip"),
        ({"href": "https://e.org/M.hdf"}, "M.hdf", "hdf"),
        ({"href": "https://e.org/x.EOF"}, "x.EOF", "xml"),
        ({"href": "https://e.org/"}, "file", "file"),
        ({"href": "https://e.org/..%2F..%2Fetc"}, "_2F.._2Fetc", "file"),
    ],
)
def test_names_and_kinds(asset, name, kind):
    remote = remote_of(item(a=asset), "a", "p")
    assert (remote.name, remote.kind) == (name, kind)


@given(st.text(max_size=60))
def test_names_never_leave_their_folder(text):
    remote = remote_of(item(a={"href": "https://e.org/x", "file:local_path": text}), "a", "p")
    assert "/" not in remote.name
    assert "\\" not in remote.name
    assert not remote.name.startswith(".")
    assert remote.name


def test_offline_and_digests_ride_in_the_item():
    content = b"abc"
    digest = Digest("sha256", hashlib.sha256(content).hexdigest())
    asset = {
        "href": "https://e.org/x.tif",
        "file:checksum": multihash(digest),
        "file:size": 3,
        "storage:tier": "offline",
    }
    remote = remote_of(item(a=asset), "a", "p")
    assert remote.digests == (digest,)
    assert (remote.size, remote.online) == (3, False)


@given(st.sampled_from(["md5", "sha1", "sha256", "sha512", "sha3-256", "blake3"]), st.data())
def test_multihashes_are_read_back(algorithm, data):
    length = {"md5": 16, "sha1": 20, "sha512": 64}.get(algorithm, 32)
    value = data.draw(st.binary(min_size=length, max_size=length)).hex()
    digest = Digest(algorithm, value)
    assert Digest.from_multihash(multihash(digest)) == digest


def test_files_of_one_name_are_refused_together(tmp_path):
    twins = item(
        a={"href": "https://e.org/1/B04.tif", "roles": ["data"]},
        b={"href": "https://e.org/2/B04.tif", "roles": ["data"]},
    )
    with pytest.raises(AnswerError, match=r"two called B04\.tif"):
        fetching.fetch_assets(twins, (), tmp_path, Door("p", Settings()))


def test_the_copy_of_an_item_holds_no_address(tmp_path):
    original = item(**SENTINEL)
    file = tmp_path / "B04.tif"
    path = write_item(original, {"red": file}, tmp_path)
    assert path.parent == tmp_path
    document = json.loads(path.read_text())
    assert document["assets"]["red"]["href"] == "B04.tif"
    assert set(document["assets"]) == {"red"}
    assert document["links"] == []
    assert original.assets["red"].href == "https://e.org/B04.tif"


def receipt_of(tmp_path, name: str, content: bytes) -> Receipt:
    path = tmp_path / name
    path.write_bytes(content)
    return Receipt(path, len(content), "md5", 0, 0, 0.0)


def test_archives_become_their_folder(tmp_path):
    one = receipt_of(tmp_path, "a.zip", zip_of({"A.SAFE/x/y.xml": b"<a/>"}))
    done = unpacked(one, tmp_path)
    assert done.path == tmp_path / "A.SAFE"
    assert (done.path / "x" / "y.xml").read_bytes() == b"<a/>"
    assert not one.path.exists()
    tar = receipt_of(tmp_path, "b.EOF", b"<a/>")
    assert unpacked(tar, tmp_path) is tar


@pytest.mark.parametrize("members", [{"a/x": b"1", "b/y": b"2"}, {"../x": b"1"}, {"/etc/x": b"1"}])
def test_archives_of_anything_else_are_refused(tmp_path, members):
    (tmp_path / "in").mkdir()
    one = receipt_of(tmp_path / "in", "a.zip", zip_of(members))
    with pytest.raises(ProductError):
        unpacked(one, tmp_path / "in")
    assert not (tmp_path / "x").exists()
