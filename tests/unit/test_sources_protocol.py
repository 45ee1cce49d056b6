"""The words of the protocol, and answers that are not as documented."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core.errors import AnswerError, ConfigError
from skymend.sources import answers
from skymend.sources.protocol import (
    Filters,
    Settings,
    digests_of,
    interval,
    size_of,
    timestamp,
)
from skymend.sources.registry import PROVIDERS, check_endpoints, open_source

MD5 = "d41d8cd98f00b204e9800998ecf8427e"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"cloud_cover_max": 101}, "cloud_cover_max"),
        ({"orbit_direction": "up"}, "ascending or descending"),
        ({"limit": 0}, "at least one item"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(wrong, words):
    with pytest.raises(ConfigError, match=words):
        Filters(**wrong)


def test_moments_are_written_in_utc():
    noon = datetime(2020, 8, 8, 12, 0, 0, 24_000, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp(noon) == "2020-08-08T10:00:00.024Z"
    assert timestamp(noon.replace(tzinfo=None)) == "2020-08-08T12:00:00.024Z"
    assert interval((noon, noon)) == "2020-08-08T10:00:00.024Z/2020-08-08T10:00:00.024Z"


def asset(**fields):
    return pystac.Asset("s3://bucket/key", extra_fields=fields)


def test_digests_and_size_ride_in_the_asset():
    stated = asset(**{"file:checksum": f"d50110{MD5}", "file:size": 7})
    (digest,) = digests_of(stated)
    assert (str(digest), size_of(stated)) == (f"md5:{MD5}", 7)
    assert digests_of(asset()) == ()
    assert size_of(asset()) is None
    assert size_of(asset(**{"file:size": "7"})) is None


def test_more_digests_are_taken_once_each():
    both = asset(**{"file:checksum": f"d50110{MD5}", "skymend:checksums": [f"d50110{MD5}"]})
    assert len(digests_of(both)) == 1


def test_a_digest_that_contradicts_itself_counts_as_none():
    """So recorded at the Copernicus Data Space: code of MD5, length and value of SHA3-256."""
    assert digests_of(asset(**{"file:checksum": "d50120" + "ea" * 32})) == ()


def test_settings_use_the_cache_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("SKYMEND_CACHE", str(tmp_path))
    assert Settings().cache == tmp_path


def test_an_unknown_provider_lists_the_known_ones():
    with pytest.raises(ConfigError) as caught:
        open_source("scihub", Settings())
    assert all(name in str(caught.value) for name in PROVIDERS)


def test_endpoints_replace_addresses():
    settings = Settings(endpoints={"cdse.stac": "http://here/v1/"})
    assert settings.endpoint("cdse.stac", "https://there") == "http://here/v1"
    assert settings.endpoint("cdse.odata", "https://there/") == "https://there"


DOCUMENT = {"value": [{"Id": "x", "Size": 7, "Start": "2020-01-01T00:00:00+02:00", "Old": None}]}


def test_fields_are_read_with_their_type():
    assert answers.field(DOCUMENT, "value.0.Size", int, "test") == 7
    assert answers.field(DOCUMENT, "value.0.Size", float, "test") == 7.0
    assert answers.field(DOCUMENT, "value.0.Old", str, "test", default="") == ""
    moment = answers.time_of(DOCUMENT, "value.0.Start", "test")
    assert moment == datetime(2019, 12, 31, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("path", "kind", "found"),
    [
        ("value.0.Name", str, "no such field"),
        ("value.1.Id", str, "no such field"),
        ("value.0.Id", int, "'x'"),
        ("value.0.Size", str, "7"),
        ("value.0.Id.deeper", str, "no such field"),
        ("value.0", list, "{'Id'"),
    ],
)
def test_a_wrong_field_is_named_with_what_it_is(path, kind, found):
    with pytest.raises(AnswerError) as caught:
        answers.field(DOCUMENT, path, kind, "answer of a test")
    assert f"field '{path}'" in str(caught.value)
    assert found in str(caught.value)
    assert caught.value.exit_code == 76


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "x"])
def test_a_time_that_no_calendar_has_is_named(text):
    with pytest.raises(AnswerError, match=r"a time in field 'a\.b', found"):
        answers.time_of({"a": {"b": text}}, "a.b", "test")


def test_a_number_that_no_float_holds_is_named():
    with pytest.raises(AnswerError, match="a number in field 'a', found 1000"):
        answers.field({"a": 10**400}, "a", float, "test")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_any_other_document_is_refused_in_one_short_sentence(document):
    with pytest.raises(AnswerError) as caught:
        answers.field(document, "properties.datetime", str, "test")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "text", [b"", b"<html>busy</html>", b"[1]", b"\xff\xfe", "null", "[" * 10**5]
)
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(AnswerError, match="a JSON object"):
        answers.read_json(text, "test")


@pytest.mark.parametrize("name", ["cdse.stca", "cdsee.stac", "nobody", "asf.s4"])
def test_an_endpoint_that_nobody_listens_to_is_refused(name):
    with pytest.raises(ConfigError, match=name.replace(".", r"\.")):
        check_endpoints({name: "http://127.0.0.1:1"})


def test_endpoints_of_every_kind_are_taken():
    names = ("cdse.stac", "asf", "asf.orbits", "sentinel-hub", "cop-dem-30.s3", "eodag.config")
    check_endpoints(dict.fromkeys(names, "http://127.0.0.1:1"))
