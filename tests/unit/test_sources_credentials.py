"""Logins from arguments, environment and netrc; secrets that never show."""

from __future__ import annotations

import pickle

import pytest

from skymend.core.errors import AccessError, ConfigError
from skymend.sources.credentials import NETRC_HOSTS, WELL_KNOWN, Credentials, Secrets, variable
from skymend.sources.registry import PROVIDERS

LOGIN = ("username", "password")
NETRC = """
machine identity.dataspace.copernicus.eu login netrc-user password netrc-word
machine urs.earthdata.nasa.gov login e-user password e-word
machine geodes-portal.cnes.fr login any password a-key
"""


@pytest.fixture
def netrc(tmp_path):
    path = tmp_path / "netrc"
    path.write_text(NETRC)
    path.chmod(0o600)
    return path


def test_arguments_come_before_variables_before_netrc(netrc):
    environment = {"SKYMEND_CDSE_USERNAME": "e-user", "SKYMEND_CDSE_PASSWORD": "e-word"}
    arguments = {"cdse": {"username": "a-user", "password": "a-word"}}
    for credentials, expected in (
        (Credentials(arguments, environment, netrc), "a-user a-word"),
        (Credentials({}, environment, netrc), "e-user e-word"),
        (Credentials({}, {}, netrc), "netrc-user netrc-word"),
    ):
        found = credentials.find("cdse", LOGIN)
        assert f"{found['username']} {found['password']}" == expected


def test_a_provider_s_well_known_variables_count_after_ours(netrc):
    environment = {"CDSE_USERNAME": "known", "CDSE_PASSWORD": "word"}
    assert Credentials({}, environment, netrc).find("cdse", LOGIN)["username"] == "known"
    environment["SKYMEND_CDSE_USERNAME"] = "ours"
    assert Credentials({}, environment, netrc).find("cdse", LOGIN)["username"] == "ours"


def test_a_password_of_somebody_else_is_not_taken_from_netrc(netrc):
    credentials = Credentials({"cdse": {"username": "other"}}, {}, netrc)
    with pytest.raises(AccessError, match="no password"):
        credentials.find("cdse", LOGIN)
    same = Credentials({"cdse": {"username": "netrc-user"}}, {}, netrc)
    assert same.find("cdse", LOGIN)["password"] == "netrc-word"


def test_the_error_names_the_three_places(tmp_path):
    with pytest.raises(AccessError) as caught:
        Credentials({}, {}, tmp_path / "none").find("cdse", LOGIN)
    text = str(caught.value)
    assert "no username and no password" in text
    for place in ("argument", "SKYMEND_CDSE_USERNAME and SKYMEND_CDSE_PASSWORD", "~/.netrc"):
        assert place in text
    assert NETRC_HOSTS["cdse"][0] in text
    assert "\n" not in text


def test_only_some_of_a_login_says_what_is_missing(tmp_path):
    credentials = Credentials({"cdse": {"username": "me"}}, {}, tmp_path / "none")
    with pytest.raises(AccessError) as caught:
        credentials.find("cdse", LOGIN)
    assert "found no password;" in str(caught.value)


def test_empty_values_count_as_absent(tmp_path):
    credentials = Credentials({}, {"SKYMEND_CDSE_USERNAME": ""}, tmp_path / "none")
    assert not credentials.seek("cdse", LOGIN)


def test_keys_of_a_provider_may_stand_as_password_in_netrc(netrc):
    assert Credentials({}, {}, netrc).find("geodes", ["api_key"])["api_key"] == "a-key"
    assert Credentials({}, {}, netrc).seek("earthdata", ["token"]) == {}


def test_origin_says_where_a_name_comes_from(netrc):
    environment = {"EARTHDATA_TOKEN": "t"}
    credentials = Credentials({"asf": {"token": "x"}}, environment, netrc)
    assert credentials.origin("asf", "token") == "arguments"
    assert credentials.origin("earthdata", "token") == "EARTHDATA_TOKEN"
    assert credentials.origin("earthdata", "username") == "netrc"
    assert credentials.origin("s3", "access_key") is None


def test_a_damaged_netrc_is_told_without_its_content(tmp_path):
    path = tmp_path / "netrc"
    path.write_text("machine identity.dataspace.copernicus.eu logon me sesame\n")
    path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        Credentials({}, {}, path).find("cdse", LOGIN)
    assert "line 1" in str(caught.value)
    assert "sesame" not in f"{caught.value} {caught.value.__cause__}"


def test_values_never_show():
    secrets = Secrets({"password": "open-sesame", "token": "abc123"})
    arguments = {"cdse": dict(secrets)}
    credentials = Credentials(arguments, {"CDSE_PASSWORD": "open-sesame"})
    for shown in (repr(secrets), str(secrets), f"{secrets}", repr(credentials), f"{credentials}"):
        assert "open-sesame" not in shown
        assert "abc123" not in shown
    assert "password" in repr(secrets)
    assert secrets.hide("login open-sesame failed for abc123") == "login *** failed for ***"


def test_every_provider_of_the_tables_exists():
    assert set(WELL_KNOWN) <= set(PROVIDERS)
    assert set(NETRC_HOSTS) <= set(PROVIDERS)
    assert variable("sentinel-hub", "client_id") == "SKYMEND_SENTINEL_HUB_CLIENT_ID"


def test_credentials_travel_to_worker_processes():
    credentials = Credentials({"cdse": {"username": "me"}}, {})
    assert pickle.loads(pickle.dumps(credentials)).seek("cdse", LOGIN)["username"] == "me"
