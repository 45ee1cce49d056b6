"""What the providers behind vendors' packages share: sessions, evalscripts, places, patches."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime

import numpy as np
import pystac
import pytest

from skymend.core.errors import (
    AccessError,
    AnswerError,
    ConfigError,
    ProductError,
    RetryableError,
    ToolMissingError,
)
from skymend.core.grid import Grid
from skymend.sources import places, sessions
from skymend.sources.area import Area
from skymend.sources.registry import open_source
from skymend.sources.sentinel_hub.offer import OFFERS, own
from skymend.sources.sentinel_hub.patches import write_patch
from skymend.sources.sentinel_hub.render import Script
from tests.provider_case import settings

NAMES = ("earthdata", "sentinel-hub", "earth-engine", "eodag", "pymodis")
GRID = Grid("EPSG:32631", (10.0, 0.0, 500040.0, 0.0, -10.0, 5650080.0), (4, 6))
NOW = datetime(2023, 4, 3, 10, 56, 29, tzinfo=UTC)


@pytest.mark.parametrize("name", NAMES)
def test_every_provider_opens_by_its_name_and_says_what_it_lacks(tmp_path, name):
    endpoints = {"earthdata.cmr": "http://127.0.0.1:9/search"}
    source = open_source(name, settings(tmp_path, endpoints))
    assert source.name == name
    if name in ("eodag", "earthdata", "pymodis"):
        return  # driven in tests/integration
    (finding,) = source.check()
    assert (finding.provider, finding.ok) == (name, False)
    assert "\n" not in finding.sentence


@pytest.mark.parametrize("name", NAMES[:4])
def test_a_client_that_is_not_installed_is_named(tmp_path, name, monkeypatch):
    monkeypatch.setattr(sessions, "find_spec", lambda _: None)
    with pytest.raises(ToolMissingError, match=r"skymend\[sources\]"):
        open_source(name, settings(tmp_path, {}))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, RetryableError),
        (503, RetryableError),
        (401, AccessError),
        (403, AccessError),
        (400, AnswerError),
        (418, AnswerError),
    ],
)
def test_what_a_status_means(status, kind):
    error = sessions.status_error("a service", status, "some\n words")
    assert type(error) is kind
    assert f"status {status}: some words" in str(error)


def evaluated(script: str, samples: list[dict[str, float]]) -> list[list[float]]:
    """Run an evalscript on samples in Node, as the service runs it."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no JavaScript engine (node) on this machine")
    values = f"{json.dumps(samples)}.map(evaluatePixel)"
    code = f"{script}\nconsole.log(JSON.stringify([setup(), {values}]))"
    done = subprocess.run([node, "-e", code], capture_output=True, text=True, check=True)
    made, values = json.loads(done.stdout)
    assert made["output"]["bands"] == len(values[0])
    assert len(made["input"][0]["bands"]) == len(made["input"][0]["units"])
    return values


def test_the_evalscripts_compute_what_they_say():
    chosen = OFFERS["sentinel-2-l2a"].chosen(["B04", "B08"])
    plain = Script.named("bands").filled(chosen)
    assert plain.startswith("//VERSION=3\n")
    assert evaluated(plain, [{"B04": 7, "B08": 9, "dataMask": 1}]) == [[7, 9, 1]]
    sharp = Script.named("pansharpened").filled(chosen)
    samples = [
        {"B04": 100, "B08": 300, "PAN": 400, "dataMask": 1},
        {"B04": 0, "B08": 0, "PAN": 400, "dataMask": 0},
    ]
    assert evaluated(sharp, samples) == [[200, 600, 1], [0, 0, 0]]


def test_a_script_without_the_declarations_is_refused():
    chosen = OFFERS["sentinel-2-l2a"].chosen(["B04"])
    with pytest.raises(ProductError, match="const BANDS"):
        Script("//VERSION=3\n").filled(chosen)
    with pytest.raises(ConfigError, match="B04"):
        OFFERS["sentinel-2-l2a"].chosen([])


def test_ones_own_bands_are_read_from_the_description():
    bands = {"R": {"bitDepth": 32, "sampleFormat": "FLOAT"}, "P": {"bitDepth": 8}}
    offer = own("byoc-1", {"additionalData": {"bands": bands}}, "a service")
    assert [b.dtype for b in offer.bands.values()] == ["float32", "uint8"]
    for wrong in ({}, {"bands": 7}, {"bands": {"R": {"bitDepth": 64}}}):
        with pytest.raises(AnswerError, match=r"additionalData\.bands"):
            own("byoc-1", {"additionalData": wrong}, "a service")


def item(**properties: object) -> pystac.Item:
    area = Area.of_bounds(2.9, 50.5, 4.0, 51.5)
    return pystac.Item("an item", area.geojson(), [2.9, 50.5, 4.0, 51.5], NOW, properties)


def test_grids_of_all_resolutions_nest():
    part = places.part_of(item(), Area.of_bounds(3.0, 51.0, 3.03, 51.02))
    grids = [places.grid_of(part, size) for size in (10.0, 20.0, 60.0)]
    assert len({g.bounds for g in grids}) == 1
    assert grids[0].crs == "EPSG:32631"
    assert grids[0].bounds[0] % 60 == 0
    south = places.grid_of(item(**{places.BOUNDS: [151.0, -34.0, 151.1, -33.9]}), 10.0)
    assert south.crs == "EPSG:32756"
    with pytest.raises(ConfigError, match="a footprint"):
        places.grid_of(pystac.Item("bare", None, None, NOW, {}), 10.0)


def test_a_patch_appears_whole_or_not_at_all(tmp_path):
    good = np.zeros((1, 4, 6, 2), np.uint16)
    folder = write_patch(tmp_path / "patch", GRID, [NOW], {"BANDS": good}, {})
    assert np.load(folder / "data" / "BANDS.npy").shape == (1, 4, 6, 2)
    for name, values in (("BANDS", good[:, :3]), ("../BANDS", good), ("BANDS", good[0])):
        with pytest.raises(ConfigError, match="EOPatch"):
            write_patch(tmp_path / "other", GRID, [NOW], {name: values}, {})
    assert not (tmp_path / "other").exists()
