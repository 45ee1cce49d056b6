"""What doctor says of providers and region files."""

from __future__ import annotations

import pytest

from skymend.core.errors import AccessError, ConfigError
from skymend.pipelines import doctor
from skymend.sources import doctor as checks
from skymend.sources.credentials import Credentials
from skymend.sources.protocol import Finding, Settings, endpoints_of


def settings(tmp_path, **environment):
    return Settings({}, Credentials({}, environment, tmp_path / "netrc"), tmp_path / "cache")


def test_only_providers_with_a_login_are_configured(tmp_path):
    found = checks.configured(settings(tmp_path, GEODES_API_KEY="k", CDSE_USERNAME="me"))
    assert found == ("cdse", "geodes")


def test_a_netrc_counts_too(tmp_path):
    (tmp_path / "netrc").write_text("machine urs.earthdata.nasa.gov login me password p\n")
    (tmp_path / "netrc").chmod(0o600)
    assert set(checks.configured(settings(tmp_path))) >= {"earthdata", "asf"}


def test_a_provider_that_fails_is_a_finding(tmp_path, monkeypatch):
    def refuse(name, given):
        raise AccessError(where=name, expected="a login", found="none", fix="give one")

    monkeypatch.setattr(checks, "open_source", refuse)
    (finding,) = checks.check_providers(["cdse"], settings(tmp_path))
    assert finding == Finding("cdse", False, "cdse: expected a login, found none; give one")


def test_an_unknown_provider_is_named(tmp_path):
    (finding,) = checks.check_providers(["scihub"], settings(tmp_path))
    assert not finding.ok
    assert "scihub" in finding.sentence


@pytest.mark.parametrize(("there", "word"), [(True, "ok"), (False, "wrong")])
def test_the_folders_of_a_region_are_checked(tmp_path, there, word):
    if there:
        (tmp_path / "products").mkdir()
    region = tmp_path / "region.yaml"
    region.write_text(
        "name: a\narea: {tiles: [31TCJ]}\nperiod: {start: 2020-01-01, end: 2020-01-02}\n"
        "sources: {s2: {provider: theia, path: products}}\noutputs: [{reconstruct: {}}]\n"
    )
    text = doctor.text(doctor.of_region(region))
    assert text.startswith(f"sources.s2 theia: {word}: ")


def test_a_wrong_region_is_a_finding_that_names_every_provider(tmp_path):
    region = tmp_path / "region.yaml"
    region.write_text(
        "name: a\narea: {tiles: [31TCJ]}\nperiod: {start: 2020-01-01, end: 2020-01-02}\n"
        "sources: {s2: {provider: cdsee}}\noutputs: [{reconstruct: {}}]\n"
    )
    (finding,) = doctor.of_region(region)
    assert not finding.ok
    assert "'theia'" in finding.sentence
    assert "'cdse'" in finding.sentence
    assert "found 'cdsee'" in finding.sentence


def test_a_folder_serves_as_endpoint(tmp_path):
    pairs = [f"srtm={tmp_path}", "cdse.stac=http://127.0.0.1:9/v1"]
    assert endpoints_of(pairs) == {
        "srtm": str(tmp_path),
        "cdse.stac": "http://127.0.0.1:9/v1",
    }
    with pytest.raises(ConfigError, match="NAME=FOLDER"):
        endpoints_of([f"srtm={tmp_path}/none"])
