"""pymodis in a process of its own: a stand-in of its documented interface, a folder as mirror."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core.errors import ConfigError, ProductError, RetryableError, ToolMissingError
from skymend.sources import cksum
from skymend.sources.area import Area
from skymend.sources.protocol import Filters
from skymend.sources.pymodis import VARIABLE, Pymodis
from tests.provider_case import settings

AREA = Area.of_bounds(5.0, 45.0, 5.4, 45.3)
DAYS = (datetime(2023, 1, 1, tzinfo=UTC), datetime(2023, 1, 2, 12, tzinfo=UTC))
LOGIN = {"username": "someone", "password": "pass word"}
HDF = b"\x0e\x03\x13\x01" + bytes(range(256)) * 40
DESCRIPTION = (
    "<DataFileContainer><FileSize>{size}</FileSize><ChecksumType>CKSUM</ChecksumType>"
    "<Checksum>{crc}</Checksum></DataFileContainer>"
)


def name(day: int, tile: str = "h18v04") -> str:
    return f"MOD11A1.A2023{day:03d}.{tile}.061.2023{day + 1:03d}093645.hdf"


@pytest.fixture
def mirror(tmp_path, monkeypatch) -> Path:
    """A mirror of three days and two tiles, and a Python that has the stand-in."""
    folder = tmp_path / "mirror" / "MOLT" / "MOD11A1.061"
    for day in (1, 2, 3):
        place = folder / f"2023.01.{day:02d}"
        place.mkdir(parents=True)
        for tile in ("h18v04", "h19v04"):
            path = place / name(day, tile)
            path.write_bytes(HDF + path.name.encode())
            crc = cksum.of_file(path)
            text = DESCRIPTION.format(size=path.stat().st_size, crc=crc)
            path.with_name(f"{path.name}.xml").write_text(text)
    package = tmp_path / "site" / "pymodis"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(Path(__file__).with_name("standin_pymodis.py"), package / "downmodis.py")
    python = tmp_path / "python-with-pymodis"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{package.parent}" exec "{sys.executable}" "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv(VARIABLE, str(python))
    monkeypatch.setenv("STANDIN_MIRROR", str(tmp_path / "mirror"))
    return folder


def source(tmp_path, login=None, url="http://mirror.invalid") -> Pymodis:
    endpoints = {"pymodis": url} if url else {}
    return Pymodis(settings(tmp_path, endpoints, pymodis=LOGIN if login is None else login))


def test_a_mirror_is_listed_and_fetched(tmp_path, mirror):
    own = source(tmp_path)
    found = own.search("mod11a1", AREA, DAYS, Filters())
    assert [i.id for i in found] == [name(d).removesuffix(".hdf") for d in (1, 2)]
    item = found.items[1]
    assert item.properties["platform"] == "terra"
    assert item.properties["grid:code"] == "MSIN-1804"
    assert item.properties["created"] == "2023-01-03T00:00:00.000Z"
    (receipt,) = own.fetch(item, (), tmp_path / "got")
    assert receipt.verified == "crc"
    assert receipt.path.read_bytes() == HDF + name(2).encode()
    assert [p.name for p in (tmp_path / "got").iterdir()] == [name(2)]
    assert [f.ok for f in own.check()] == [True]


def test_a_tile_by_its_name(tmp_path, mirror):
    found = source(tmp_path).search("mod11a1", None, DAYS, Filters(tile="h19v04"))
    assert {i.properties["grid:code"] for i in found} == {"MSIN-1904"}


def test_a_damaged_file_is_refused(tmp_path, mirror):
    own = source(tmp_path)
    item = own.search("mod11a1", AREA, DAYS, Filters()).items[0]
    path = mirror / "2023.01.01" / name(1)
    good = path.read_bytes()
    for content, words in (
        (good[:-1] + b"?", "another CRC"),
        (good[:-7], "bytes instead of"),
        (b"<html>sorry</html>", "a file that begins with"),
    ):
        path.write_bytes(content)
        with pytest.raises(ProductError, match=words):
            own.fetch(item, (), tmp_path / "got")
    assert list((tmp_path / "got").iterdir()) == []
    path.unlink()
    with pytest.raises(RetryableError, match="'earthdata'"):
        own.fetch(item, (), tmp_path / "got")


def test_the_host_that_stopped_and_its_replacement(tmp_path, mirror):
    for url in ("", "https://e4ftl01.cr.usgs.gov"):
        own = source(tmp_path, url=url)
        with pytest.raises(ConfigError, match=r"June 2025.*'earthdata'"):
            own.search("mod11a1", AREA, DAYS, Filters())
        assert "earthdata" in own.check()[0].sentence


def test_who_never_asked_for_it_is_not_warned(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    (finding,) = source(tmp_path, url="").check()
    assert finding.ok
    assert "earthdata" in finding.sentence


def test_a_refused_login_does_not_show_the_password(tmp_path, mirror):
    own = source(tmp_path, {"username": "someone", "password": "wrong-word"})
    with pytest.raises(RetryableError, match="is refused") as caught:
        own.search("mod11a1", AREA, DAYS, Filters())
    assert "wrong-word" not in str(caught.value)


def test_a_mirror_without_the_product(tmp_path, mirror):
    with pytest.raises(RetryableError, match="SystemExit: no connection"):
        source(tmp_path).search("mod09gq", AREA, DAYS, Filters())


def test_without_pymodis(tmp_path, mirror, monkeypatch):
    monkeypatch.setenv(VARIABLE, sys.executable)
    with pytest.raises(ToolMissingError, match=r"environment of its own.*'earthdata'"):
        source(tmp_path).search("mod11a1", AREA, DAYS, Filters())
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(ToolMissingError, match=VARIABLE):
        source(tmp_path).search("mod11a1", AREA, DAYS, Filters())


def test_questions_that_say_too_little(tmp_path, mirror):
    with pytest.raises(ConfigError, match="an area or a tile"):
        source(tmp_path).search("mod11a1", None, DAYS, Filters())
    with pytest.raises(ConfigError, match="a period"):
        source(tmp_path).search("mod11a1", AREA, None, Filters())


@given(st.binary(max_size=5000))
def test_the_crc_is_that_of_the_program(content):
    done = subprocess.run(["cksum"], input=content, capture_output=True, check=True)
    assert cksum.of_bytes(content) == int(done.stdout.split()[0])
