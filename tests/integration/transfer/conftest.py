"""A server that goes wrong as the ``CASES`` of a test module say."""

import pytest

from tests.transfer_case import shop


@pytest.fixture(scope="module")
def served(request, tmp_path_factory):
    with shop(request.module.CASES, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def url(served):
    return served[0]


@pytest.fixture(scope="module")
def content(served):
    return served[1]
