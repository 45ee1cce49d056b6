"""Shared settings: no deadlines on noisy machines, and where the real imagery lies."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("skymend", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("skymend")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Keep locks and leftovers of plans out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKYMEND_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real imagery; tests that need it are skipped without it."""
    folder = Path(os.environ.get("SKYMEND_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no real imagery: {folder} is absent")
    return folder
