"""The data folders are found in a wheel and in a checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from skymend.core import resources
from skymend.core.errors import InternalError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "src" / "skymend"
    folder.mkdir(parents=True)
    monkeypatch.setattr(resources, "_PACKAGE", folder)
    return folder


def test_a_checkout_serves_its_root_folders(package: Path, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "tasks").mkdir()

    assert resources.path("tasks", "optical.yaml") == tmp_path / "tasks" / "optical.yaml"


def test_a_wheel_serves_its_own_copy_first(package: Path, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "tasks").mkdir()
    (package / "_data" / "tasks").mkdir(parents=True)

    assert resources.path("tasks") == package / "_data" / "tasks"


def test_a_folder_beside_an_installed_wheel_is_not_taken(package: Path, tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()

    with pytest.raises(InternalError, match="install skymend again"):
        resources.path("tasks")


def test_only_the_data_folders_are_served(package: Path) -> None:
    (package / "_data" / "secrets").mkdir(parents=True)

    with pytest.raises(InternalError, match=r"expected one of the data folders config, .*tasks"):
        resources.path("secrets")
