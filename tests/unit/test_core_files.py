"""The folder that the processes of a machine share."""

from __future__ import annotations

from pathlib import Path

from skymend.core.files import machine_cache


def test_the_cache_of_the_machine_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("SKYMEND_CACHE", str(tmp_path))
    assert machine_cache() == tmp_path
    monkeypatch.delenv("SKYMEND_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert machine_cache() == tmp_path / "skymend"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert machine_cache() == Path.home() / ".cache" / "skymend"
