"""The Copernicus Data Space client against a loopback one that serves simulated SAFE products."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from skymend.core.errors import (
    AccessError,
    AnswerError,
    ConfigError,
    ProductError,
    RetryableError,
    SkipJob,
)
from skymend.products import safe
from skymend.products.toa import open_toa
from skymend.simulate import Scenario, write
from skymend.sources import versions
from skymend.sources.area import Area
from skymend.sources.credentials import Credentials
from skymend.sources.fetching import plain
from skymend.sources.protocol import Filters, Settings
from skymend.sources.registry import open_source
from skymend.sources.tokens import totp
from tests.servers import cdse, routes
from tests.servers.routes import Response, redirect

SCENARIO = Scenario(size_px=60, start=date(2020, 4, 1), days=30, orbits=(), bands=("B02", "B04"))
PERIOD = (datetime(2020, 4, 1, tzinfo=UTC), datetime(2020, 4, 30, 23, 59, tzinfo=UTC))
L2A = "sentinel-2-l2a"


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    folder = tmp_path_factory.mktemp("products")
    write(folder, SCENARIO, formats=("safe-l2a",))
    return folder


@pytest.fixture(scope="module")
def server(products):
    with cdse.serve(products, page=2, s3=True) as running:
        yield running


@pytest.fixture
def settings(server, tmp_path):
    return settings_of(server, tmp_path)


def settings_of(server, tmp_path, **login):
    login = login or {"username": server.account.username, "password": server.account.password}
    credentials = Credentials({"cdse": login}, {}, tmp_path / "no-netrc")
    return Settings(server.endpoints, credentials, tmp_path / "cache", timeout_s=10)


def area():
    return Area.of_grid(SCENARIO.grid)


@pytest.mark.parametrize("provider", ["cdse", "cdse-odata"])
def test_all_pages_are_read_and_the_items_are_in_order(provider, settings, server):
    found = open_source(provider, settings).search(L2A, area(), PERIOD, Filters())
    assert {i.id for i in found} == {p.name.removesuffix(".SAFE") for p in server.products}
    assert len(found) == 6
    times = [i.datetime for i in found]
    assert times == sorted(times)
    assert {i.properties["processing:version"] for i in found} == {"05.00"}
    assert all(i.properties["platform"].startswith("sentinel-2") for i in found)


@pytest.mark.parametrize("provider", ["cdse", "cdse-odata"])
def test_filters_narrow_the_answer(provider, settings):
    source = open_source(provider, settings)
    everything = source.search(L2A, area(), PERIOD, Filters())
    clouds = sorted(i.properties["eo:cloud_cover"] for i in everything)
    for filters, count in (
        (Filters(platform="sentinel-2a"), 3),
        (Filters(tile="31TCJ"), 6),
        (Filters(tile="31UFQ"), 0),
        (Filters(relative_orbit=52), 0),
        (Filters(baseline="04.00"), 0),
        (Filters(cloud_cover_max=clouds[2]), 3),
        (Filters(product_id=everything[1].id + ".SAFE"), 1),
        (Filters(limit=2), 2),
    ):
        assert len(source.search(L2A, area(), PERIOD, filters)) == count, filters


@pytest.mark.parametrize("provider", ["cdse", "cdse-odata"])
def test_area_and_period_are_asked_for(provider, settings):
    source = open_source(provider, settings)
    elsewhere = Area.of_bounds(170, 10, -170, 20)
    assert len(source.search(L2A, elsewhere, PERIOD, Filters())) == 0
    day = (datetime(2020, 4, 9, tzinfo=UTC), datetime(2020, 4, 9, 23, 59, tzinfo=UTC))
    assert len(source.search(L2A, area(), day, Filters())) == 1


@pytest.mark.parametrize("way", ["cdse", "cdse-odata", "cdse-s3"])
def test_bands_of_a_safe_keep_its_structure_and_open(way, server, tmp_path):
    keys = {"access_key": "a-key-for-tests", "secret_key": "a-secret-for-tests"}
    settings = settings_of(server, tmp_path, **(keys if way == "cdse-s3" else {}))
    source = open_source(way, settings)
    (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
    receipts = source.fetch(item, ["B04"], tmp_path / "here")
    product = tmp_path / "here" / f"{item.id}.SAFE"
    (origin,) = [p.path for p in server.products if p.name == product.name]
    opened, truth = safe.open_product(product), safe.open_product(origin)
    assert opened.bands == ("B04",)
    grid = truth.grid
    np.testing.assert_array_equal(opened.read(["B04"], grid), truth.read(["B04"], grid))
    np.testing.assert_array_equal(opened.labels(grid), truth.labels(grid))
    assert {r.verified for r in receipts} == {"sha3-256"}
    for path in (p for p in product.rglob("*") if p.is_file()):
        assert path.read_bytes() == (origin / path.relative_to(product)).read_bytes()
    assert not list(product.rglob("*B02*"))


@pytest.mark.parametrize("way", ["cdse", "cdse-odata", "cdse-s3"])
def test_a_whole_product_is_the_same_tree(way, server, tmp_path):
    keys = {"access_key": "a-key-for-tests", "secret_key": "a-secret-for-tests"}
    settings = settings_of(server, tmp_path, **(keys if way == "cdse-s3" else {}))
    source = open_source(way, settings)
    (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
    receipts = source.fetch(item, (), tmp_path / "here")
    (origin,) = [p.path for p in server.products if p.name == f"{item.id}.SAFE"]
    assert _tree(tmp_path / "here" / f"{item.id}.SAFE") == _tree(origin)
    expected = {"cdse": {"md5"}, "cdse-odata": {"blake3"}, "cdse-s3": {"sha3-256"}}
    assert {r.verified for r in receipts} == expected[way]


def _tree(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_account_opens_one_session_for_many_processes(products, tmp_path):
    """Four processes whose tokens are refused: one password login, the rest is refreshed."""
    with cdse.serve(products) as server:
        code = (
            "import sys, json, pathlib\n"
            "from skymend.sources.credentials import Credentials\n"
            "from skymend.sources.tokens import TokenChain\n"
            "url, cache = sys.argv[1:]\n"
            "login = {'cdse': {'username': 'someone@example.org', 'password': 'correct horse'}}\n"
            "found = Credentials(login, {}, pathlib.Path('none'))\n"
            "chain = TokenChain('cdse', url, 'cdse-public', found, pathlib.Path(cache))\n"
            "tokens = []\n"
            "for _ in range(5):\n"
            "    tokens.append(chain.access())\n"
            "    tokens.append(chain.access(rejected=tokens[-1]))\n"
            "print(json.dumps(tokens))\n"
        )
        command = [sys.executable, "-c", code, server.endpoints["cdse.token"], str(tmp_path)]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
        outputs = [process.communicate(timeout=120)[0] for process in running]
        assert all(process.returncode == 0 for process in running)
        assert server.account.sessions == 1
        tokens = [t for output in outputs for t in json.loads(output)]
        assert len(tokens) == 40
        assert set(tokens) <= set(server.account.tokens)
        # A refused token is replaced once, for whoever comes first.
        assert 1 <= server.account.refreshed <= 20


def test_an_expired_token_is_renewed_in_the_middle_of_a_product(products, tmp_path):
    with cdse.serve(products) as server:
        source = open_source("cdse-odata", settings_of(server, tmp_path))
        (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
        source.fetch(item, ["metadata"], tmp_path / "first")
        server.account.tokens.clear()
        source.fetch(item, ["B04"], tmp_path / "second")
        assert (server.account.sessions, server.account.refreshed) == (1, 1)


def test_too_many_sessions_are_told_and_not_asked_for_again(products, tmp_path):
    with cdse.serve(products, account=cdse.Account(cap=0)) as server:
        source = open_source("cdse-odata", settings_of(server, tmp_path))
        (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
        for _ in range(3):
            with pytest.raises(RetryableError, match="Max session number exceeded"):
                source.fetch(item, ["B04"], tmp_path / "here")
        assert server.count("/token") == 1


def test_a_second_factor_is_sent_along(products, tmp_path):
    import time

    secret = "JBSWY3DPEHPK3PXP"
    account = cdse.Account(totp=lambda: totp(secret, time.time()))
    with cdse.serve(products, account=account) as server:
        login = {"username": account.username, "password": account.password}
        for extra, works in (({}, False), ({"totp_secret": secret}, True)):
            settings = settings_of(server, tmp_path / str(works), **login, **extra)
            finding = open_source("cdse", settings).check()[1]
            assert finding.ok == works, finding.sentence
            assert works or "totp_secret" in finding.sentence


def test_without_login_one_sentence_names_the_three_places(server, tmp_path):
    settings = replace(
        settings_of(server, tmp_path),
        credentials=Credentials({}, {}, tmp_path / "no-netrc"),
    )
    source = open_source("cdse", settings)
    (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
    with pytest.raises(AccessError) as caught:
        source.fetch(item, ["B04"], tmp_path / "here")
    for place in ("argument", "SKYMEND_CDSE_USERNAME", ".netrc"):
        assert place in str(caught.value)


def test_a_wrong_password_shows_nowhere(server, tmp_path, caplog):
    settings = settings_of(server, tmp_path, username="someone@example.org", password="hunter2!")
    source = open_source("cdse", settings)
    (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
    with pytest.raises(AccessError) as caught:
        source.fetch(item, ["B04"], tmp_path / "here")
    shown = f"{caught.value!r} {caught.value} {source.check()} {settings!r} {caplog.text}"
    assert "hunter2!" not in shown
    assert "refusal" in shown
    cached = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()]
    assert not any(b"hunter2!" in content for content in cached)


def test_tokens_are_for_the_owner_only_and_not_in_what_is_fetched(server, settings, tmp_path):
    source = open_source("cdse", settings)
    (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
    source.fetch(item, ["metadata"], tmp_path / "here")
    (file,) = (settings.cache / "tokens").glob("*.json")
    assert file.stat().st_mode & 0o777 == 0o600
    access = json.loads(file.read_text())["access"]
    others = [p for p in tmp_path.rglob("*") if p.is_file() and p != file]
    assert not any(access.encode() in p.read_bytes() for p in others)


def test_a_withdrawn_product_fails_with_its_successor(tmp_path):
    folder, cache = tmp_path / "products", tmp_path / "work"
    write(folder, SCENARIO.model_copy(update={"days": 5}), formats=("safe-l2a",))
    with cdse.serve(folder) as server:
        settings = settings_of(server, cache)
        (frozen,) = open_source("cdse", settings).search(L2A, area(), PERIOD, Filters())
    newer = SCENARIO.model_copy(update={"days": 5, "baseline": "05.10"})
    again = tmp_path / "reprocessed"
    write(again, newer, formats=("safe-l2a",))
    with cdse.serve(again) as server:
        source = open_source("cdse", settings_of(server, cache))
        (successor,) = source.search(L2A, area(), PERIOD, Filters())
        assert successor.id != frozen.id
        for assets in ([], ["B04"]):
            with pytest.raises(ProductError, match=f"its successor is {successor.id}"):
                source.fetch(frozen, assets, cache / "here")


def test_an_offline_product_is_skipped_with_the_reason(settings, tmp_path):
    source = open_source("cdse", settings)
    (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
    item.properties["order:status"] = "orderable"
    with pytest.raises(SkipJob, match="offline at cdse"):
        source.fetch(item, ["B04"], tmp_path)


def test_an_unknown_band_lists_those_there_are(settings, tmp_path):
    source = open_source("cdse", settings)
    (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
    with pytest.raises(ConfigError, match=r"expected a band B12, found AOT, B01, B02, B04, SCL"):
        source.fetch(item, ["B12"], tmp_path)


def test_an_item_survives_a_plan(settings, tmp_path):
    """A plan freezes the item as JSON; what a job reads back fetches the same."""
    import pystac

    source = open_source("cdse", settings)
    (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
    frozen = json.loads(json.dumps(plain(item)))
    receipts = source.fetch(pystac.Item.from_dict(frozen), ["B04_60m"], tmp_path / "here")
    assert any(r.path.name.endswith("B04_60m.jp2") for r in receipts)


def test_a_secret_in_the_environment_is_found(server, tmp_path):
    environment = {"CDSE_USERNAME": "someone@example.org", "SKYMEND_CDSE_PASSWORD": "correct horse"}
    settings = replace(
        settings_of(server, tmp_path),
        credentials=Credentials({}, environment, tmp_path / "no-netrc"),
    )
    assert [f.ok for f in open_source("cdse", settings).check()] == [True, True]


ODATA = "GET /odata/v1/Products"
STAC = "POST /v1/search"


@pytest.mark.parametrize(
    ("provider", "route", "body", "field"),
    [
        ("cdse-odata", ODATA, {"products": []}, "'value'"),
        ("cdse-odata", ODATA, {"value": [{"Name": "x"}]}, "'value.0.Id'"),
        ("cdse-odata", ODATA, {"value": [{"Id": "x"}]}, "'ContentDate.Start'"),
        (
            "cdse-odata",
            ODATA,
            {"value": [{"Id": "x", "ContentDate": {"Start": "soon"}}]},
            "'ContentDate.Start', found 'soon'",
        ),
        (
            "cdse-odata",
            ODATA,
            {"value": [{"Id": "x", "ContentDate": {"Start": "2020-04-05T00:00:00Z"}}]},
            "'Name'",
        ),
        ("cdse-odata", ODATA, b"<html>maintenance</html>", "a JSON object"),
        ("cdse", STAC, {"items": []}, "'features'"),
        ("cdse", STAC, {"features": [{"id": 7}]}, "'id'"),
        ("cdse", STAC, {"features": [{"id": "x"}]}, "'properties'"),
        ("cdse", STAC, {"features": [{"id": "x", "properties": {}}]}, "'properties.datetime'"),
        ("cdse", STAC, b"<html>maintenance</html>", "a JSON object"),
        ("cdse", "GET /v1/?", {"type": "Catalog"}, "'stac_version'"),
        ("cdse", "GET /v1/?", {"type": "Catalog", "stac_version": "1.1.0"}, "'links'"),
    ],
)
def test_malformed_answers_name_the_field(products, tmp_path, provider, route, body, field):
    with cdse.serve(products, extra={route: lambda _: Response(body)}) as server:
        source = open_source(provider, settings_of(server, tmp_path))
        with pytest.raises(AnswerError) as caught:
            source.search(L2A, area(), PERIOD, Filters())
    sentence = str(caught.value)
    assert field in sentence
    assert "\n" not in sentence
    assert len(sentence) < 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"access_token": "t"}, "'expires_in'"),
        ({"expires_in": 600}, "'access_token'"),
        ({"access_token": "t", "expires_in": "ten minutes"}, "'expires_in'"),
        (b"<html>login</html>", "a JSON object"),
    ],
)
def test_malformed_tokens_name_the_field(products, tmp_path, body, field):
    with cdse.serve(products, extra={"POST /token": lambda _: Response(body)}) as server:
        (_, login) = open_source("cdse", settings_of(server, tmp_path)).check()
    assert not login.ok
    assert field in login.sentence


def test_bands_of_a_level_1c_product(tmp_path):
    folder = tmp_path / "products"
    scenario = SCENARIO.model_copy(update={"days": 5, "baseline": "03.01"})
    write(folder, scenario, formats=("safe-l1c",))
    with cdse.serve(folder) as server:
        source = open_source("cdse-odata", settings_of(server, tmp_path))
        assert not source.search(L2A, area(), PERIOD, Filters())
        (item,) = source.search("sentinel-2-l1c", area(), PERIOD, Filters())
        receipts = source.fetch(item, ["B02", "B04"], tmp_path / "here")
    product = tmp_path / "here" / f"{item.id}.SAFE"
    images = sorted(p.stem[-3:] for p in product.rglob("*.jp2") if "IMG_DATA" in p.parts)
    assert images == ["B02", "B04"]
    assert (product / "MTD_MSIL1C.xml").is_file()
    opened, whole = open_toa(product), open_toa(folder / "safe" / product.name)
    grid = whole.grid(10)
    np.testing.assert_array_equal(opened.read(["B04"], grid), whole.read(["B04"], grid))
    for mine, theirs in zip(opened.view(grid), whole.view(grid), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert versions.offset_dn(item) == 0
    assert {r.verified for r in receipts} <= {"md5", "sha3-256"}


GRD = "S1A_IW_GRDH_1SDV_20200410T060000_20200410T060025_032000_03B2A1_9550"


def write_grd(folder: Path, name: str) -> Path:
    """Write a product of the GRD's layout; images and annotations are mere placeholders."""
    from skymend.simulate.markup import node, write_xml
    from skymend.simulate.safe_manifest import data_object, entries

    product = folder / f"{name}.SAFE"
    for channel in ("vv", "vh"):
        stem = f"s1a-iw-grd-{channel}-20200410t060000-20200410t060025-032000-03b2a1-001"
        for path, content in {
            f"measurement/{stem}.tiff": b"II*\0" + channel.encode() * 50_000,
            f"annotation/{stem}.xml": b"<?xml version='1.0'?><product/>",
            f"annotation/calibration/calibration-{stem}.xml": b"<?xml version='1.0'?><c/>",
            f"annotation/calibration/noise-{stem}.xml": b"<?xml version='1.0'?><noise/>",
            "preview/quick-look.png": b"png",
        }.items():
            (product / path).parent.mkdir(parents=True, exist_ok=True)
            (product / path).write_bytes(content)
    outline = node("coordinates", "43.7,1.0 43.7,1.3 43.9,1.3 43.9,1.0")
    frame = node("frameSet", outline, node("pass", "DESCENDING"), node("relativeOrbitNumber", "8"))
    section = node("dataObjectSection", *(data_object(e, "MD5") for e in entries(product)))
    write_xml(product / "manifest.safe", node("XFDU", frame, section))
    return product


@pytest.mark.parametrize("way", ["cdse", "cdse-odata", "cdse-s3"])
def test_one_polarisation_of_a_radar_product_without_its_twin(way, tmp_path):
    folder = tmp_path / "products"
    origin = write_grd(folder, GRD)
    write_grd(folder, f"{GRD[:-4]}A1B2_COG")
    keys = {"access_key": "a-key-for-tests", "secret_key": "a-secret-for-tests"}
    with cdse.serve(folder, s3=way == "cdse-s3") as server:
        settings = settings_of(server, tmp_path, **(keys if way == "cdse-s3" else {}))
        source = open_source(way, settings)
        filters = Filters(polarisations=("VV", "VH"), orbit_direction="descending")
        found = source.search("sentinel-1-grd", area(), PERIOD, filters)
        assert len(found) == 2
        (item,) = versions.newest(found).kept
        assert item.id == GRD
        assert item.properties["sar:polarizations"] == ["VV", "VH"]
        source.fetch(item, ["VV"], tmp_path / "here")
        assert not source.search("sentinel-1-grd", area(), PERIOD, Filters(polarisations=("HH",)))
    fetched = _tree(tmp_path / "here" / f"{GRD}.SAFE")
    assert len(fetched) == 5
    assert all("-vv-" in p.name or p.name == "manifest.safe" for p in fetched)
    assert all(content == (origin / p).read_bytes() for p, content in fetched.items())


def test_a_redirect_within_the_service_is_followed(products, tmp_path):
    """Downloads may be sent on; the token goes along only where the service is the same."""
    seen = []

    def elsewhere(request, path):
        seen.append(request.headers.get("Authorization"))
        return Response(b"<html>not here</html>", 404)

    with routes.serve({"GET /other/(.*)": elsewhere}) as other:
        on = {
            r"GET /odata/v1/Products\((.*)\)/Nodes.*": lambda *_: redirect(f"{other.url}/other/x")
        }
        with cdse.serve(products, extra=on) as server:
            source = open_source("cdse-odata", settings_of(server, tmp_path))
            (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
            with pytest.raises((ProductError, RetryableError, AccessError)):
                source.fetch(item, ["B04"], tmp_path / "here")
    assert seen
    assert set(seen) == {None}


def test_wrong_bytes_do_not_pass(products, tmp_path):
    """Every band comes damaged: nothing of the name of an image is left behind."""
    with cdse.serve(products) as server:
        settings = settings_of(server, tmp_path)
        (item,) = open_source("cdse-odata", settings).search(L2A, area(), PERIOD, Filters(limit=1))
    damaged = {r"GET /odata/v1/Products\(.*IMG_DATA.*": lambda *_: Response(b"\0" * 2000)}
    with cdse.serve(products, extra=damaged) as server:
        source = open_source("cdse-odata", settings_of(server, tmp_path))
        with pytest.raises((ProductError, RetryableError)):
            source.fetch(item, ["B04"], tmp_path / "here")
    assert not list((tmp_path / "here").rglob("T31*.jp2"))


def test_a_complete_product_is_not_fetched_again(products, tmp_path):
    with cdse.serve(products) as server:
        source = open_source("cdse-odata", settings_of(server, tmp_path))
        (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
        (first,) = source.fetch(item, (), tmp_path / "here")
        before = server.count("value")
        (again,) = source.fetch(item, (), tmp_path / "here")
        assert server.count("value") == before
        assert (again.path, again.verified) == (first.path, "manifest")
        (first.path / "MTD_MSIL2A.xml").write_bytes(b"torn")
        (mended,) = source.fetch(item, (), tmp_path / "here")
        assert mended.verified == "blake3"
        assert (first.path / "MTD_MSIL2A.xml").read_bytes() != b"torn"


def test_the_bytes_are_written_into_the_ledger_of_the_machine(server, settings, tmp_path):
    from skymend.sources.cdse.catalogue import LIMITS
    from skymend.sources.transfer import Ledger

    source = open_source("cdse", settings)
    (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
    receipts = source.fetch(item, ["B04"], tmp_path / "here")
    ledger = Ledger(settings.cache / "ledger", {"cdse": LIMITS})
    spent = 12 * 10**12 - ledger.room("cdse")
    assert spent >= sum(r.bytes for r in receipts)


def test_a_simulated_radar_pass_is_found_fetched_and_opened(tmp_path):
    """Both slices of a pass stay, though their names differ by less than their seconds."""
    from skymend.products.sentinel1 import open_grd
    from skymend.simulate.scenario import ORBITS

    folder = tmp_path / "products"
    scenario = SCENARIO.model_copy(update={"orbits": ORBITS[:1], "days": 12})
    write(folder, scenario, formats=("safe-grd",))
    with cdse.serve(folder) as server:
        source = open_source("cdse", settings_of(server, tmp_path))
        filters = Filters(polarisations=("VV",), orbit_direction="descending", relative_orbit=110)
        found = versions.newest(source.search("sentinel-1-grd", area(), PERIOD, filters)).kept
        assert len(found) == len(server.products) == 2
        for item in found:
            source.fetch(item, ["VV"], tmp_path / "here")
    for item in found:
        opened = open_grd(tmp_path / "here" / f"{item.id}.SAFE")
        assert opened.polarisations == ("VV",)
        assert opened.relative_orbit == item.properties["sat:relative_orbit"] == 110


def test_a_fetch_that_broke_off_goes_on_with_what_is_missing(products, tmp_path):
    """The last band of the first run is refused; the second run asks for no file twice."""
    refused = {r"GET /odata/v1/Products\(.*B04_10m.*": lambda *_: Response(b"gone", 404)}
    with cdse.serve(products, extra=refused) as server:
        # One file after the other, so that the first band is here when the second fails.
        settings = replace(settings_of(server, tmp_path), connections=1)
        source = open_source("cdse-odata", settings)
        (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
        with pytest.raises(ProductError, match="status 404"):
            source.fetch(item, ["B02_10m", "B04_10m"], tmp_path / "here")
    before = {p.name for p in (tmp_path / "here").rglob("*.jp2")}
    assert any(name.endswith("B02_10m.jp2") for name in before)
    with cdse.serve(products) as server:
        source = open_source("cdse-odata", settings_of(server, tmp_path))
        source.fetch(item, ["B02_10m", "B04_10m"], tmp_path / "here")
        assert server.count("B04_10m") == 1
        assert server.count("B02_10m") == 0


@pytest.mark.parametrize("way", ["cdse", "cdse-odata", "cdse-s3"])
def test_the_doctor_tries_what_a_fetch_would_use(way, server, tmp_path):
    keys = {"access_key": "a-key-for-tests", "secret_key": "a-secret-for-tests"}
    settings = settings_of(server, tmp_path, **(keys if way == "cdse-s3" else {}))
    catalogue, login = open_source(way, settings).check()
    assert catalogue.ok
    assert login.ok
    assert ("S3 keys" in login.sentence) == (way == "cdse-s3")
    assert ("OData" in catalogue.sentence) == (way == "cdse-odata")
    assert {catalogue.provider, login.provider} == {way}


def test_the_doctor_says_what_is_wrong(products, tmp_path):
    refusal = {"GET /eodata/?": lambda _: Response(b"", 403)}
    keys = {"access_key": "a-key-for-tests", "secret_key": "a-secret-for-tests"}
    with cdse.serve(products, extra=refusal) as server:
        settings = settings_of(server, tmp_path, **keys)
        endpoints = {**server.endpoints, "cdse.s3": server.web.url}
        refused = open_source("cdse-s3", replace(settings, endpoints=endpoints)).check()
        nobody = replace(settings, credentials=Credentials({}, {}, tmp_path / "none"))
        missing = open_source("cdse-s3", nobody).check()
    assert [f.ok for f in (*refused, *missing)] == [True, False, True, False]
    assert "403" in refused[1].sentence
    assert "SKYMEND_CDSE_ACCESS_KEY" in missing[1].sentence
    assert "a-secret" not in f"{refused}"
