"""What may go wrong at the Data Space: malformed answers, wrong bytes, products that are gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skymend.core.errors import AnswerError, ConfigError, ProductError, RetryableError, SkipJob
from skymend.simulate import write
from skymend.sources.downloads import fetch_item
from skymend.sources.protocol import Filters
from skymend.sources.registry import open_source
from skymend.sources.transfer import Ledger
from tests.cdse_case import L2A, PERIOD, SCENARIO, area, settings_of
from tests.servers import cdse
from tests.servers.routes import Response

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
        ("cdse", "GET /v1/?", {"stac_version": "1.1.0", "id": "x"}, "'links'"),
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
                fetch_item(source, frozen, assets, cache / "here")


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


def test_the_bytes_are_written_into_the_ledger_of_the_machine(server, settings, tmp_path):
    from skymend.sources.cdse.catalogue import LIMITS
    from skymend.sources.transfer import Ledger

    source = open_source("cdse", settings)
    (item,) = source.search(L2A, area(), PERIOD, Filters(limit=1))
    receipts = source.fetch(item, ["B04"], tmp_path / "here")
    ledger = Ledger(settings.cache / "ledger", {"cdse": LIMITS})
    spent = 12 * 10**12 - ledger.room("cdse")
    assert spent >= sum(r.bytes for r in receipts)


@pytest.mark.parametrize("provider", ["cdse", "cdse-odata"])
def test_a_pause_that_the_service_asked_for_holds_for_searches(provider, settings):
    """Whatever process of the machine was told to wait, by whichever of its services."""
    Ledger(settings.cache / "ledger").pause("cdse", 300)
    with pytest.raises(RetryableError, match=r"a pause of (300|299) s that it asked for"):
        open_source(provider, settings).search(L2A, area(), PERIOD, Filters())


@pytest.mark.parametrize("provider", ["cdse", "cdse-odata"])
def test_limits_of_the_machine_hold_for_searches(provider, settings):
    own = settings.cache / "ledger/limits.json"
    own.parent.mkdir(parents=True)
    own.write_text('{"cdse": {"requests_per_month": 1}}')
    with pytest.raises(RetryableError, match="1 requests a month"):
        open_source(provider, settings).search(L2A, area(), PERIOD, Filters())
