"""The folder that the processes of a machine share."""

from __future__ import annotations

from pathlib import Path

from skymend.core.files import file_lock, machine_cache


def test_the_cache_of_the_machine_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("SKYMEND_CACHE", str(tmp_path))
    assert machine_cache() == tmp_path
    monkeypatch.delenv("SKYMEND_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert machine_cache() == tmp_path / "skymend"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert machine_cache() == Path.home() / ".cache" / "skymend"


def test_a_lock_may_be_its_owner_s_alone(tmp_path):
    path = tmp_path / "new" / "a.lock"
    with file_lock(path, mode=0o600):
        assert path.stat().st_mode & 0o777 == 0o600
