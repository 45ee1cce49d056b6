"""A tiny simulated season and the command line as a user calls it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REGION = """\
name: tiny
area: {{tiles: [31TCJ], bounds: [350000, 4849060, 350960, 4850020]}}
period: {{start: 2018-06-01, end: {end}}}
sources:
  s2: {{provider: theia, path: {products}/theia}}
  s1: {{provider: s1tiling, path: {products}/s1tiling/31TCJ}}
  dem: {{provider: dem, path: {products}/dem}}
mask: {{dilate_m: 20}}
outputs:
  - reconstruct: {{method: regression, bands: [B04, B08], window_days: 20, reach_days: 30}}
  - evaluate: {{methods: [linear, regression], share: 0.3, donor_days: 30, widen_days: [0]}}
"""


def skymend(*arguments, check=True, **options):
    """Call the command line; return the finished process."""
    environment = {**os.environ, "PYTHONHASHSEED": "random"}
    done = subprocess.run(
        [sys.executable, "-m", "skymend", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=1800,
        check=False,
        **options,
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def tally(done):
    """Return the last line of ``run --json``."""
    return json.loads(done.stdout.strip().splitlines()[-1])


def rasters(store):
    """Return relative path -> sha256 of every raster a store holds."""
    from skymend.core.keys import file_sha256

    paths = sorted(Path(store).glob("**/*.tif"))
    return {p.relative_to(store).as_posix(): file_sha256(p) for p in paths}


@pytest.fixture(scope="session")
def products(tmp_path_factory):
    """Products of the tiny preset, one more date than the region asks for at first."""
    folder = tmp_path_factory.mktemp("products")
    skymend("simulate", folder, "--preset", "tiny", "--days", "41")
    return folder


@pytest.fixture
def region(tmp_path, products):
    """Write a region file that ends at a date; return its path."""

    def write(end="2018-07-06"):
        path = tmp_path / "region.yaml"
        path.write_text(REGION.format(products=products, end=end))
        return path

    return write
