"""What doctor says of providers and region files."""

from __future__ import annotations

import pytest

from skymend.core.errors import AccessError, ConfigError
from skymend.pipelines import doctor
from skymend.simulate import Scenario, write
from skymend.sources import doctor as checks
from skymend.sources.credentials import Credentials
from skymend.sources.inventory import describe, holdings
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


def region_of(tmp_path, sources):
    path = tmp_path / "region.yaml"
    path.write_text(
        "name: a\narea: {tiles: [31TCJ]}\nperiod: {start: 2020-01-01, end: 2020-01-02}\n"
        f"sources: {sources}\noutputs: [{{reconstruct: {{}}}}]\n"
    )
    return path


@pytest.fixture(scope="module")
def theia(tmp_path_factory):
    folder = tmp_path_factory.mktemp("theia")
    scenario = Scenario(size_px=60, days=12, orbits=(), bands=("B02",))
    write(folder, scenario, formats=("theia",))
    return folder


def test_the_folders_of_a_region_are_searched(tmp_path, theia):
    region = region_of(tmp_path, f"{{s2: {{provider: theia, path: {theia}}}}}")
    (finding,) = doctor.of_region(region)
    assert finding.ok
    assert finding.provider == "sources.s2 theia"
    assert "products" in finding.sentence


def test_an_empty_folder_of_a_region_is_wrong(tmp_path):
    (tmp_path / "empty").mkdir()
    text = doctor.text(
        doctor.of_region(region_of(tmp_path, "{s2: {provider: theia, path: empty}}"))
    )
    assert text.startswith("sources.s2 theia: wrong: ")
    assert "no product of this kind" in text


def test_a_missing_folder_of_a_region_is_wrong(tmp_path):
    text = doctor.text(doctor.of_region(region_of(tmp_path, "{s2: {provider: theia, path: gone}}")))
    assert text.startswith("sources.s2 theia: wrong: ")
    assert "no such path" in text


def test_a_region_that_asks_a_provider_for_what_it_lacks_is_wrong(tmp_path, theia):
    (tmp_path / "N43E001.hgt").write_bytes(bytes(2 * 1201**2))
    dem = f"{{provider: srtm, collection: mod11a1, endpoints: {{srtm: {tmp_path}}}}}"
    sources = f"{{s2: {{provider: theia, path: {theia}}}, dem: {dem}}}"
    text = doctor.text(doctor.of_region(region_of(tmp_path, sources)))
    assert "sources.dem: wrong: srtm serves no mod11a1, only srtm" in text


def test_the_orbit_files_of_a_region_are_looked_for(tmp_path, theia):
    s1 = f"{{provider: stac, path: {theia}, orbits: {tmp_path}}}"
    sources = f"{{s2: {{provider: theia, path: {theia}}}, s1: {s1}}}"
    text = doctor.text(doctor.of_region(region_of(tmp_path, sources)))
    assert f"sources.s1.orbits: wrong: {tmp_path}: 0 orbit files" in text


def test_a_folder_is_told_by_what_sources_find_in_it(theia):
    (held,) = holdings(theia)
    text, sound = describe(theia)
    assert text == f"{theia}: {held.images} theia products"
    assert held.images > 1
    assert sound


def test_a_stac_catalogue_is_told_by_its_items(shared_data):
    catalogue = shared_data / "belgium-2023-stac"
    for path in (catalogue, catalogue / "catalog.json"):
        text = f"{path}: 12 optical images (stac), 10 radar images (stac)"
        assert describe(path) == (text, True)


def test_broken_products_of_a_folder_are_named(tmp_path):
    name = "S2A_MSIL2A_20200219T112111_N0214_R037_T29RKH_20200219T123456.SAFE"
    (tmp_path / name).mkdir()
    (tmp_path / name / "MTD_MSIL2A.xml").write_text("<a>")
    text, sound = describe(tmp_path)
    assert not sound
    assert "1 broken products" in text
    assert f"{name}: expected" in text


def test_orbit_files_are_told(shared_data):
    text, sound = describe(shared_data / "s1-slc-subset-eof")
    assert sound
    assert text.endswith(": 2 orbit files")


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
