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

from skymend.core.errors import AccessError, AnswerError, ConfigError, SkipJob
from skymend.products import safe
from skymend.simulate import Scenario, write
from skymend.sources.area import Area
from skymend.sources.credentials import Credentials
from skymend.sources.protocol import Filters, Settings
from skymend.sources.registry import open_source
from tests.servers import cdse
from tests.servers.routes import Response

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
