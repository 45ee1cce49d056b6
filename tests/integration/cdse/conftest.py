"""A loopback Data Space with simulated products, and settings that lead to it."""

from __future__ import annotations

import pytest

from tests.cdse_case import made_products, settings_of
from tests.servers import cdse


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    return made_products(tmp_path_factory.mktemp("products"))


@pytest.fixture(scope="module")
def server(products):
    with cdse.serve(products, page=2, s3=True) as running:
        yield running


@pytest.fixture
def settings(server, tmp_path):
    return settings_of(server, tmp_path)
