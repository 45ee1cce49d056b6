"""``skymend search`` through real clients: a loopback Copernicus Data Space and a STAC API."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from datetime import date, timedelta

import numpy as np
import pystac
import pytest
from PIL import Image
from shapely.geometry import Polygon, box, mapping

from skymend.core.errors import ConfigError, NoImageError
from skymend.core.raster import read_labels
from skymend.report.footprints import draw_footprints
from skymend.report.search import search_door
from skymend.simulate import Scenario, write
from skymend.sources.area import Area
from skymend.sources.candidates import Table
from skymend.sources.credentials import Credentials
from skymend.sources.finding import Footprint, Found, days
from skymend.sources.globe import on_map
from skymend.sources.pairing import PairingRules
from skymend.sources.protocol import Filters, Settings
from tests.servers import cdse
from tests.servers.routes import serve
from tests.servers.stac import HandBuilt, feature

SCENARIO = Scenario(size_px=60, start=date(2020, 4, 1), days=30, orbits=(), bands=("B02", "B04"))
APRIL = "2020-04-01/2020-04-30"
L2A = "sentinel-2-l2a"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("products")
    write(folder, SCENARIO, formats=("safe-l2a",))
    with cdse.serve(folder, page=2) as running:
        yield running


@pytest.fixture(scope="module")
def radar():
    """Two orbits, of which one covers the area; both fly every six days."""
    west, south, east, north = Area.of_grid(SCENARIO.grid).bounds
    whole = (west - 1, south - 1, east + 1, north + 1)
    half = (west - 1, south - 1, (west + east) / 2, north + 1)
    features = []
    for day in range(1, 30, 6):
        for orbit, bounds, hour in ((8, whole, 6), (110, half, 17)):
            moment = f"2020-04-{day:02d}T{hour:02d}:00:00Z"
            properties = {
                "datetime": moment,
                "platform": "sentinel-1a",
                "sat:relative_orbit": orbit,
                "sat:orbit_state": "descending" if hour == 6 else "ascending",
            }
            name = f"radar-{orbit:03d}-{day:02d}"
            features.append(feature(name, "sentinel-1-grd", bounds, properties, {}))
    built = HandBuilt(features)
    with serve(built.routes()) as running:
        built.loopback = running
        yield running


@pytest.fixture
def settings(server, radar, tmp_path):
    login = {"username": server.account.username, "password": server.account.password}
    credentials = Credentials({"cdse": login}, {}, tmp_path / "no-netrc")
    endpoints = {**server.endpoints, "stac-api": f"{radar.url}/stac"}
    return Settings(endpoints, credentials, tmp_path / "cache", timeout_s=10)


@pytest.fixture
def area(tmp_path):
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps(Area.of_grid(SCENARIO.grid).geojson()))
    return path


def test_a_plain_search_lists_everything(settings, area):
    answer = search_door("cdse", L2A, area, [APRIL], settings=settings)
    assert answer.exit_code == 0
    assert len(answer.found.items) == 6
    assert answer.text.splitlines()[-1] == "6 candidates, 6 chosen (*)"


def test_best_pair_table_map_and_items(settings, area, tmp_path):
    answer = search_door(
        "cdse", L2A, area, ["2020-04-01/2020-04-15", "2020-04-16/2020-04-30"],
        settings=settings, best="clearest", cloud_max=0.95, radar_provider="stac-api",
        rules=PairingRules(window_days=4), csv=tmp_path / "table.csv",
        picture=tmp_path / "map.png", items=tmp_path / "items.json",
    )  # fmt: skip
    found = answer.found
    assert answer.exit_code == 0, answer.text
    assert len(found.passes) == len(found.radar) == 2
    assert {p.relative_orbit for p in found.radar} == {8}
    for one, two in zip(found.passes, found.radar, strict=True):
        assert abs(one.time - two.time) <= timedelta(days=4)
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert {row["collection"] for row in rows} == {L2A, "sentinel-1-grd"}
    assert all(row["reason"] for row in rows)
    assert sum(row["chosen"] == "yes" for row in rows) == len(found.items) == 4
    assert any("covers 50 %" in row["reason"] or "see 50 %" in row["reason"] for row in rows)
    items = pystac.ItemCollection.from_file(str(tmp_path / "items.json"))
    assert [i.id for i in items] == [i.id for i in found.items]
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.format == "PNG"
        assert len(picture.getcolors(100_000)) > 5


def test_clouds_are_counted_inside_the_area_from_fetched_scene_classes(
    settings, area, server, tmp_path
):
    answer = search_door(
        "cdse", L2A, area, [APRIL], settings=settings, best="clearest", cloud_max=1.0,
        coverage_min=0.5, scene_classes=tmp_path / "classes",
    )  # fmt: skip
    counted = {row.id: row.cloud for row in answer.found.table.rows if row.cloud is not None}
    assert len(counted) >= 3
    for product in server.products:
        (path,) = product.path.rglob("*SCL_20m.jp2")
        classes = read_labels(path)
        truth = np.isin(classes[classes != 0], (3, 8, 9, 10)).mean() if classes.any() else None
        name = product.name.removesuffix(".SAFE")
        if name in counted:
            # the area is the grid; pixels are 20 m of 600 m, and its edges are chords in degrees
            assert counted[name] == pytest.approx(truth, abs=0.02)
    best = min(counted.values())
    assert [row.cloud for row in answer.found.table.rows if row.chosen] == [best]
    fetched = {p.name for p in (tmp_path / "classes").rglob("*.jp2")}
    assert fetched
    assert any("SCL" in name for name in fetched)
    assert not any("_B0" in name and "MSK" not in name for name in fetched), "no band is fetched"


def test_nothing_clear_enough_is_said_and_is_no_success(settings, area):
    answer = search_door(
        "cdse", L2A, area, [APRIL], settings=settings, best="latest", coverage_min=1.0,
        cloud_max=0.0, filters=Filters(),
    )  # fmt: skip
    if answer.found.passes:
        pytest.fail("the simulated month has no image without any cloud")
    assert answer.exit_code == NoImageError.exit_code
    assert "nothing between 2020-04-01 and 2020-04-30 is clear enough" in answer.text


def test_no_image_at_all_is_said(settings, area):
    answer = search_door("cdse", L2A, area, ["1999-01-01/1999-01-31"], settings=settings)
    assert answer.exit_code == NoImageError.exit_code
    assert "cdse has no sentinel-2-l2a of the area between 1999-01-01" in answer.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"periods": []}, "at least one"),
        ({"periods": ["soon"]}, "2020-01-01/2020-01-31"),
        ({"periods": ["2020-04-30/2020-04-01"]}, "a start before its end"),
        ({"cloud_max": 20}, "a share of 0..1"),
        ({"best": "nicest"}, "clearest"),
        ({"radar_provider": "stac-api"}, "--best"),
    ],
)
def test_wrong_wishes_are_one_sentence(settings, area, change, words):
    asked = {"periods": [APRIL], **change}
    with pytest.raises(ConfigError, match=words):
        search_door("cdse", L2A, area, settings=settings, **asked)


def test_a_day_alone_is_a_period():
    start, end = days("2020-02-29", "period")
    assert (end - start) < timedelta(days=1)
    assert end.date() == date(2020, 2, 29)


@pytest.mark.parametrize(
    "shape",
    [
        Polygon([(179, -18), (-178, -18), (-178, -16), (179, -16)]),
        Polygon([(float(a), -85.0) for a in range(-180, 180, 10)]),
        box(5, 45, 5.01, 45.01),
        box(-30, -50, 60, 60),
    ],
)
def test_maps_at_the_antimeridian_and_the_poles(tmp_path, shape):
    area = Area.of_shape(shape)
    around = Footprint(on_map(shape), "2020-02-04 D008", chosen=True, radar=False)
    found = Found(area, (), (), (), Table(()), (around,), ())
    draw_footprints(found, tmp_path / "map.png", size_px=400)
    with Image.open(tmp_path / "map.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    amber = (pixels[..., 0] - pixels[..., 2] > 60).mean()
    assert 0.1 < amber < 0.9, "the area fills a good part of the map, wherever it lies"
    assert mapping(area.shape)["type"] == "MultiPolygon"


def test_the_command_line_searches_and_draws(radar, area, tmp_path):
    command = [
        *(sys.executable, "-m", "skymend", "search", "stac-api", "sentinel-1-grd"),
        *("--area", str(area), "--period", "2020-04-01/2020-04-10"),
        *("--endpoint", f"stac-api={radar.url}/stac"),
        *("--csv", str(tmp_path / "t.csv"), "--picture", str(tmp_path / "map.png")),
    ]
    environment = {**os.environ, "SKYMEND_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "4 candidates, 4 chosen (*)"
    assert (tmp_path / "t.csv").read_text().count("\n") == 5
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
