"""``skymend simulate``, ``init`` and ``mask`` as a user calls them."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from skymend.cli import app
from skymend.core.errors import ConfigError, ProductError


def called(*arguments):
    """Run a command line that ends well; return what it says."""
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--days", -4, "--days: expected 1 to 3660, found -4"),
        ("--days", 100_000, "--days: expected 1 to 3660, found 100000"),
        ("--seed", -1, "--seed: expected 0 to 4294967295, found -1"),
        ("--format", "jpeg", "found jpeg"),
    ],
)
def test_impossible_seasons_are_refused_before_anything_is_written(tmp_path, option, value, told):
    with pytest.raises(ConfigError, match=told):
        called("simulate", tmp_path / "products", "--preset", "tiny", option, value)
    assert not (tmp_path / "products").exists()


def test_a_season_is_written_in_the_formats_asked_for(tmp_path):
    called("simulate", tmp_path, "--preset", "tiny", "--days", "5", "--format", "safe-l2a")
    assert [p.name for p in tmp_path.iterdir()] == ["safe"]
    assert [p.suffix for p in (tmp_path / "safe").iterdir()] == [".SAFE"]


def test_init_says_what_it_does_and_keeps_edited_files(tmp_path):
    first = called("init", tmp_path / "work")
    region = tmp_path / "work" / "config" / "tiny.yaml"
    assert str(region) in first.replace("\n", "")
    region.write_text("name: mine\n")
    again = called("init", tmp_path / "work")
    assert "all files are there already and were kept" in again
    assert region.read_text() == "name: mine\n"


def test_a_mask_is_a_geotiff_by_name_too(tmp_path):
    with pytest.raises(ConfigError, match=r"ends in \.tif.*, found mask\.png"):
        called("mask", tmp_path / "product", "--output", tmp_path / "mask.png")


def test_a_missing_radar_product_is_told_before_heights_are_fetched(tmp_path):
    with pytest.raises(ProductError, match="nothing here"):
        called("backscatter", tmp_path / "nothing here", "--output", tmp_path, "--grid", "31TCJ")
