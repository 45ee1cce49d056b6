"""Files in quarantine: listed with their reasons, and let go by name."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from skymend.cli import app
from skymend.core.errors import ConfigError
from skymend.sources.held import quarantine_report, released
from skymend.sources.transfer import Digest, Quarantine, Remote
from skymend.sources.transfer.quarantine import Held, release_command


def bad(folder, name, provider="cdse"):
    remote = Remote(f"http://h/{name}?key=1", provider, name, digests=(Digest("md5", "0" * 32),))
    for _ in range(2):
        Quarantine(folder).note(remote, "md5 1")
    return remote


def test_what_is_held_is_listed_with_its_reason(tmp_path):
    assert quarantine_report(tmp_path) == "nothing is in quarantine"
    bad(tmp_path, "b.zip")
    bad(tmp_path, "a.zip")
    once = Remote("http://h/c", "cdse", "c.zip")
    assert not Quarantine(tmp_path).note(once, "md5 1")
    assert quarantine_report(tmp_path).splitlines() == [
        f"cdse  {n}: {n} came twice with the same wrong md5 1 (http://h/{n})"
        for n in ("a.zip", "b.zip")
    ]
    held = json.loads(quarantine_report(tmp_path, as_json=True))["quarantine"]
    assert [one["name"] for one in held] == ["a.zip", "b.zip"]


def test_a_released_file_may_come_again(tmp_path):
    first, other = bad(tmp_path, "a.zip"), bad(tmp_path, "a.zip", "asf")
    bad(tmp_path, "b.zip")
    assert released(["a.zip"], tmp_path).count("may be fetched again") == 2
    quarantine = Quarantine(tmp_path)
    assert quarantine.reason(first) is quarantine.reason(other) is None
    assert not quarantine.note(first, "md5 1"), "it may be wrong once more before it is held"
    with pytest.raises(ConfigError, match=r"one of b\.zip, found 'a\.zip'"):
        released(["a.zip"], tmp_path)


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("SKYMEND_CACHE", str(tmp_path))
    bad(tmp_path / "ledger", "a.zip")
    run = CliRunner().invoke
    assert "came twice with the same wrong md5" in run(app, ["quarantine"]).stdout
    assert "a.zip: may be fetched again" in run(app, ["quarantine", "--release", "a.zip"]).stdout
    assert run(app, ["quarantine"]).stdout == "nothing is in quarantine\n"
    assert json.loads(run(app, ["quarantine", "--json"]).stdout) == {"quarantine": []}
    refused = run(app, ["quarantine", "--release", "a.zip"])
    assert isinstance(refused.exception, ConfigError)


@pytest.mark.parametrize(
    ("stated", "address"), [("md5:0,sha1:1", ""), ("http://h/x/a.zip", "http://h/x/a.zip")]
)
def test_entries_of_the_first_version_are_listed_and_released(tmp_path, stated, address):
    reason = "a.zip came twice with the same wrong md5 1"
    (tmp_path / "quarantine").mkdir()
    entries = {f"cdse/a.zip/{stated}": {"found": ["md5 1"], "reason": reason}}
    (tmp_path / "quarantine" / "quarantine.json").write_text(json.dumps(entries))
    assert Quarantine(tmp_path).held() == (Held("cdse", "a.zip", address, reason),)
    assert quarantine_report(tmp_path) == f"cdse  a.zip: {reason}" + f" ({address})" * bool(address)
    released(["a.zip"], tmp_path)
    assert quarantine_report(tmp_path) == "nothing is in quarantine"


def test_the_advice_names_a_cache_that_was_moved(tmp_path, monkeypatch):
    monkeypatch.delenv("SKYMEND_CACHE", raising=False)
    assert release_command("a b.zip") == "skymend quarantine --release 'a b.zip'"
    monkeypatch.setenv("SKYMEND_CACHE", "/a store/cache")
    assert release_command("a.zip").startswith("SKYMEND_CACHE='/a store/cache' skymend quarantine")
