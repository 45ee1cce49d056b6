"""Our own files, as a crash, a full disk or another hand may leave them."""

import json

import numpy as np
import pytest

from skymend.core.errors import AnswerError, ConfigError, ProductError, StoreError
from skymend.core.plan import Plan
from skymend.core.store import LocalStore
from skymend.inference.checkpoint import Checkpoint
from skymend.patches.arrays import load_array
from skymend.patches.card import KeySpec, StoreCard
from skymend.patches.layout import load_layout
from skymend.patches.store import PatchStore, StoreWriter, sample_dtype
from skymend.pipelines.region import grids, load_region
from skymend.pipelines.snapshot import Snapshot
from skymend.sources import landsat_m2m
from skymend.sources.credentials import Credentials
from skymend.sources.tokens import TokenChain, Tokens
from skymend.sources.transfer.answers import (
    Version,
    content_length,
    content_range,
    digests,
    retry_after,
    validator,
)
from skymend.sources.transfer.intervals import Interval
from skymend.sources.transfer.part import Part
from skymend.sources.transfer.types import Remote

DEEP = b"[" * 100_000


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"key": "../../x"}', DEEP])
def test_a_damaged_pointer_points_to_nothing(tmp_path, content):
    store = LocalStore(tmp_path / "store")
    store.prepare()
    path = store.root / "content" / "fuse" / "0.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert store.record_with_content("fuse", "0") is None


@pytest.mark.parametrize("content", [b"", b"\xff", DEEP])
def test_a_damaged_store_is_refused(tmp_path, content):
    store = LocalStore(tmp_path / "store")
    store.prepare()
    (store.root / "store.json").write_bytes(content)
    with pytest.raises(StoreError, match="store format"):
        store.prepare()


@pytest.mark.parametrize(
    "parts",
    [
        {"jobs": [{"key": "0"}]},
        {"jobs": 1},
        {"products": []},
        {"products": {"p": True}},
        {"notes": "one"},
    ],
)
def test_a_damaged_plan_names_the_field(tmp_path, parts):
    path = tmp_path / "plan.json"
    whole = json.loads(Plan("reconstruct", "tiny", (), {}, ()).as_text())
    path.write_text(json.dumps(whole))
    assert Plan.read(path).name == "tiny"
    path.write_text(json.dumps({**whole, **parts}))
    with pytest.raises(ConfigError, match=rf"a skymend plan.* found {next(iter(parts))}"):
        Plan.read(path)


@pytest.mark.parametrize(
    "products",
    [
        {"optical/a": True},
        {"optical/a": {"id": "a", "kind": "optical", "path": "", "tags": {}, "files": []}},
        {
            "optical/b": {
                "id": "a",
                "kind": "optical",
                "path": "",
                "tags": {"datetime": "2022-06-15T00:00:00Z"},
                "files": [],
            }
        },
    ],
)
def test_a_damaged_snapshot_says_what_removing_it_means(tmp_path, products):
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps({"products": products, "checksums": {}}))
    with pytest.raises(StoreError, match="remove the file"):
        Snapshot(path)


REGION = """
name: a
area: {AREA}
period: {start: 2022-01-01, end: 2022-12-31}
sources: {s2: {provider: theia, path: theia}}
outputs: [{reconstruct: {bands: [B04], method: linear}}]
"""


@pytest.mark.parametrize(
    ("area", "said"),
    [
        ("{bbox: [.nan, 1, 2, 3]}", "west < east"),
        ("{bbox: [1, 1, .inf, 3]}", "west < east"),
        ("{bbox: [2, 1, 1, 3]}", "west < east"),
        ("{bbox: [1, 1, 2, 93]}", "south < north"),
        ("{tiles: [31TFJ], bounds: [2, 1, 1, 3]}", "left < right"),
        ("{tiles: [31TFJ]}\nlast: 2022-13-45", "unknown key 'last'"),
        ("{tiles: [31TFJ]}\nlast: \xff", "YAML in UTF-8"),
        ("[" * 5000, "YAML"),
    ],
)
def test_a_region_that_cannot_be_is_one_sentence(tmp_path, area, said):
    path = tmp_path / "region.yaml"
    path.write_bytes(REGION.replace("{AREA}", area).encode("latin-1"))
    with pytest.raises(ConfigError, match=said):
        load_region(path)


def test_a_folder_is_no_region(tmp_path):
    with pytest.raises(ConfigError, match="Is a directory"):
        load_region(tmp_path)


@pytest.mark.parametrize(
    ("ring", "said"),
    [
        ([[600_000, 1], [600_001, 1], [600_001, 2], [600_000, 1]], "degrees|longitude"),
        ([[1, 2]], "geometry"),
    ],
)
def test_an_outline_that_cannot_be_is_one_sentence(tmp_path, ring, said):
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    path = tmp_path / "region.yaml"
    path.write_text(REGION.replace("{AREA}", "{geojson: a.geojson}"))
    with pytest.raises(ConfigError, match=said):
        grids(load_region(path))


@pytest.mark.parametrize("version", [None, [], {"total": "9"}, {"total": 9, "ranged": 1, "x": 2}])
def test_a_journal_that_tells_no_version_starts_anew(tmp_path, version):
    remote = Remote("https://localhost/a", "s3", "a")
    part = Part(tmp_path / "a.part", remote)
    assert part.try_open()
    part.begin(Version(9, None, ranged=True))
    part.note(Interval(0, 4))
    part.close()
    header = json.loads(part.journal.read_bytes().split(b"\n")[0]) | {"version": version}
    part.journal.write_text(json.dumps(header) + "\n0 4 4\n" + f"0 {'9' * 5000} 1\n")
    assert part.try_open()
    try:
        part.resume(verifiable=True)
        assert part.version is None
        assert part.have == []
    finally:
        part.close()


@pytest.mark.parametrize("stated", [{"access": 1}, {"refresh_until": None}, {"a": "b"}, []])
def test_damaged_tokens_are_none(tmp_path, stated):
    login = {"cdse": {"username": "somebody", "password": "x"}}
    chain = TokenChain("cdse", "https://localhost", "public", Credentials(login), tmp_path)
    chain._path.parent.mkdir()
    chain._path.write_text(json.dumps(stated))
    assert chain._read() == Tokens()


def test_headers_beyond_reason_say_nothing():
    digits = "9" * 5000
    assert content_range({"Content-Range": f"bytes 0-1/{digits}"}) is None
    assert content_length({"Content-Length": digits}) is None
    assert retry_after({"Retry-After": digits}, None) is None
    assert digests({"Digest": "md5=\xe1"}) == ()
    dates = {"Date": "Wed, 15 Jun 99999999999999999999 10:50:31 GMT"}
    assert validator({**dates, "Last-Modified": dates["Date"]}) is None


@pytest.mark.parametrize("line", [b"\xff", b"[[1e999, 0]]", DEEP, b"[[1]]"])
def test_a_spoilt_line_of_a_checkpoint_is_left_out(tmp_path, line):
    path = tmp_path / "cells.txt"
    identity = Checkpoint(path, {}).identity.encode()
    path.write_bytes(identity + b"\n[[0, 64]]\n" + line + b"\n")
    assert Checkpoint(path, {}).load() == {(0, 64)}


@pytest.mark.parametrize("text", ["[]", '{"options": 1}', "[" * 100_000])
def test_a_layout_that_is_none_is_one_sentence(tmp_path, text):
    path = tmp_path / "layout.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="layout"):
        load_layout(path)


WHOLE = {"id": "p", "entityId": "e", "displayId": "N", "available": True, "productName": "Bundle"}


@pytest.mark.parametrize("left_out", ["id", "entityId", "displayId"])
def test_an_offer_of_m2m_without_a_field_names_it(left_out):
    offer = {key: value for key, value in WHOLE.items() if key != left_out}
    with pytest.raises(AnswerError, match=left_out):
        landsat_m2m._chosen([None, offer], "N", (), "m2m")


def test_other_entries_of_an_offer_do_not_matter():
    assert landsat_m2m._chosen(["x", WHOLE], "N", (), "m2m") == [WHOLE]


@pytest.mark.parametrize("header", [b"{'descr': [('split', '|u1", b"{", b"(" * 100])
def test_an_array_with_a_torn_header_is_one_sentence(tmp_path, header):
    path = tmp_path / "samples.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00v\x00" + header.ljust(118))
    with pytest.raises(ProductError, match=r"complete \.npy array"):
        load_array(path, None)


def test_a_table_of_samples_without_its_times_is_refused(tmp_path):
    keys = (KeySpec(name="dem", kind="dem", bands=("elevation",), size=4),)
    card = StoreCard(keys=keys, samples=1, splits={"train": 1}, patch_size=4, resolution_m=10.0)
    table = np.zeros(1, sample_dtype(1))
    with StoreWriter(tmp_path / "patches", keys, table) as writer:
        writer.write("dem", [0], np.zeros((1, *keys[0].shape), np.int16))
        writer.finish(card)
    assert len(PatchStore(tmp_path / "patches")) == 1
    np.save(tmp_path / "patches" / "samples.npy", table[["split", "row"]])
    with pytest.raises(ProductError, match=r"samples\.npy.*time"):
        PatchStore(tmp_path / "patches")
