"""Earth Engine through earthengine-api: its own discovery document, hand-built answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from skymend.core.errors import AccessError, AnswerError, ConfigError, ProductError, RetryableError
from skymend.core.raster import describe, read_stored
from skymend.products import open_optical
from skymend.products.stac_item import Item
from skymend.sources.area import Area
from skymend.sources.earth_engine import EarthEngine, Extremes, tiling
from skymend.sources.protocol import Filters
from tests.provider_case import settings
from tests.servers.earth_engine import PROJECT, EngineServer, band, image, key_file, pixel
from tests.servers.routes import Response, serve

AREA = Area.of_bounds(3.0, 51.0, 3.02, 51.01)
APRIL = (datetime(2023, 4, 1, tzinfo=UTC), datetime(2023, 4, 30, tzinfo=UTC))
BOX = (2.9, 50.5, 4.0, 51.5)
S2 = "COPERNICUS/S2_SR_HARMONIZED"
S1 = "COPERNICUS/S1_GRD_FLOAT"
LST = "MODIS/061/MOD11A1"
UTM = ("EPSG:32631", (499980.0, 5700000.0))
BANDS = [
    band("B4", *UTM, 10.0, (10980, 10980)),
    band("B11", *UTM, 20.0, (5490, 5490)),
    band("SCL", *UTM, 20.0, (5490, 5490), 255),
]
CHANNELS = [
    {**band(n, *UTM, 10.0, (9000, 9000)), "dataType": {"precision": "DOUBLE"}} for n in ("VV", "VH")
]
GLOBAL = ("SR-ORG:6974", (-20015109.354, 10007554.677), 926.625433056, (21600, 43200))


def sentinel2(day: int, clouds: float):
    name = f"202304{day:02d}T105629_202304{day:02d}T110243_T31UES"
    product = f"S2B_MSIL2A_202304{day:02d}T105629_N0509_R094_T31UES_202304{day:02d}T151300"
    own = {"PRODUCT_ID": product, "CLOUDY_PIXEL_PERCENTAGE": clouds}
    return image(S2, name, f"2023-04-{day:02d}T11:02:43.000Z", BANDS, BOX, **own)


RADAR = {
    "transmitterReceiverPolarisation": ["VV", "VH"],
    "instrumentMode": "IW",
    "orbitProperties_pass": "DESCENDING",
    "relativeOrbitNumber_start": 8.0,
}


@pytest.fixture(scope="module")
def state():
    day = "2023-04-03T00:00:00.000Z"
    product = "S1A_IW_GRDH_1SDV_20230403T054013_20230403T054038_047934_05C1B4_6B5A"
    return EngineServer(
        {
            S2: [sentinel2(3, 10.0), sentinel2(6, 80.0), sentinel2(13, 0.0)],
            S1: [image(S1, product, "2023-04-03T05:40:13.000Z", CHANNELS, BOX, **RADAR)],
            LST: [
                image(LST, "2023_04_03", day, [band("LST_Day_1km", *GLOBAL)], (-180, -90, 180, 90))
            ],
        }
    )


@pytest.fixture(scope="module")
def own(state, tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    with serve(state.routes()) as server:
        state.loopback = server
        login = {"project": PROJECT, "key_file": str(key_file(folder, f"{server.url}/token"))}
        yield EarthEngine(settings(folder, {"earth-engine": server.url}, earth_engine=login))


def test_search_pages_and_speaks_skymend(own, state):
    found = own.search("sentinel-2-l2a", AREA, APRIL, Filters())
    clear = own.search("sentinel-2-l2a", AREA, APRIL, Filters(cloud_cover_max=20, tile="31UES"))
    assert [i.datetime.day for i in found] == [3, 6, 13]
    assert [i.datetime.day for i in clear] == [3, 13]
    asked = [r.query for r in state.loopback.log if r.path.endswith("listAssets")]
    assert 'intersects("POLYGON' in asked[0]["filter"]
    assert asked[1]["pageToken"] == "2"
    item = found.items[0]
    assert item.properties["platform"] == "sentinel-2b"
    assert item.properties["processing:version"] == "05.09"
    assert sorted(item.assets) == ["B04", "B11", "SCL"]


def test_radar_in_skymends_words(own):
    (item,) = own.search("sentinel-1-grd", AREA, APRIL, Filters(polarisations=("VV", "VH")))
    assert item.properties["sat:relative_orbit"] == 8
    assert item.properties["sat:orbit_state"] == "descending"
    assert item.assets["VV"].extra_fields["raster:bands"][0]["data_type"] == "float32"


def expected(name, grid):
    left, bottom, right, top = grid.bounds
    size = grid.resolution
    x, y = np.arange(left + size / 2, right, size), np.arange(top - size / 2, bottom, -size)
    easting, northing = np.meshgrid(x[: grid.shape[1]], y[: grid.shape[0]])
    valid = np.floor(easting / size) % 17 > 0
    return pixel(name, easting, northing, size), valid


def test_pixels_come_in_tiles_below_the_limit(own, state, tmp_path, monkeypatch):
    monkeypatch.setattr(tiling, "MOST_BYTES", 2 * 2 * 64 * 64)
    item = own.search("sentinel-2-l2a", AREA, APRIL, Filters()).items[0]
    before = state.loopback.count("computePixels")
    receipts = own.fetch(item, ["B04", "SCL"], tmp_path)
    folder = tmp_path / item.id
    info = describe(folder / "B04.tif")
    assert info.grid.crs == "EPSG:32631"
    assert 100 < info.grid.shape[1] < 200, "the part of the area, not the tile"
    numbers, valid = expected("B4", info.grid)
    stored = read_stored(folder / "B04.tif")[0]
    assert np.array_equal(stored, np.where(valid, numbers, 0))
    assert state.loopback.count("computePixels") - before > 4
    assert [r.verified for r in receipts] == ["size", "size"]
    read = open_optical(folder / f"{item.id}.json").read(("B04",), info.grid)[0]
    np.testing.assert_allclose(read[valid], numbers[valid] * 1e-4, atol=1e-8)
    assert np.isnan(read[~valid]).all()
    local = Item(folder / f"{item.id}.json", json.loads((folder / f"{item.id}.json").read_text()))
    assert local.assets["B04"].value("scale") == 1e-4
    assert local.grid_of("B04")[1] is not None


def test_a_wide_image_keeps_below_the_limits_of_the_service(own, state, tmp_path):
    """The server refuses more than 48 MB, as the service does."""
    wide = [band("B4", *UTM, 10.0, (5, 40_000))]
    name = "20230401T105629_20230401T110243_T31UES"
    own_facts = {"PRODUCT_ID": "", "CLOUDY_PIXEL_PERCENTAGE": 0.0}
    state.images["COPERNICUS/S2_HARMONIZED"] = [
        image("COPERNICUS/S2_HARMONIZED", name, "2023-04-01T11:02:43.000Z", wide, BOX, **own_facts)
    ]
    (item,) = own.search("sentinel-2-l1c", None, APRIL, Filters())
    own.fetch(item, (), tmp_path)
    info = describe(tmp_path / item.id / "B04.tif")
    assert info.grid.shape == (5, 40_000)
    numbers, valid = expected("B4", info.grid)
    assert np.array_equal(
        read_stored(tmp_path / item.id / "B04.tif")[0], np.where(valid, numbers, 0)
    )


def test_modis_stays_on_its_own_grid(own, state, tmp_path):
    (item,) = own.search("mod11a1", AREA, APRIL, Filters())
    own.fetch(item, (), tmp_path)
    asked = next(r for r in reversed(state.loopback.log) if "computePixels" in r.path).json()
    assert "Sinusoidal" in asked["grid"]["crsWkt"]
    info = describe(tmp_path / item.id / "LST_Day_1km.tif")
    assert info.grid.resolution == pytest.approx(926.625433056)
    assert max(info.grid.shape) < 6


def test_extremes_of_a_year(own, state):
    state.values = {
        "B4_min_min": 12,
        "B4_min_max": 40,
        "B4_max_min": 300,
        "B4_max_max": 9000,
        "B11_min_min": None,
        "B11_max_max": None,
    }
    found = own.extremes("sentinel-2-l2a", AREA, 2023, ["B04", "B11"], 100.0)
    assert found == (Extremes("B04", 12.0, 9000.0), Extremes("B11", None, None))
    text = json.dumps(state.expressions[-1])
    assert all(word in text for word in ("Image.reduceRegion", "Reducer.minMax", "2024-01-01", S2))
    state.values = {"B4_min_min": 12}
    with pytest.raises(AnswerError, match="'B4_max_max'"):
        own.extremes("sentinel-2-l2a", AREA, 2023, ["B04"], 100.0)


def test_check_and_a_busy_service(own, state):
    assert own.check()[0].ok
    state.busy = 2
    assert own.check()[0].ok, "429 is waited for"
    state.busy = 99
    with pytest.raises(RetryableError, match="status 429"):
        own.search("mod11a1", AREA, APRIL, Filters())
    state.busy = 0


@pytest.mark.parametrize(
    ("where", "broken", "kind", "sentence"),
    [
        ("list", Response({"assets": [{"id": 7}]}), AnswerError, "a text in field 'id'"),
        ("list", Response({"assets": "none"}), AnswerError, "earth-engine: .*expected"),
        ("list", Response({"error": {"message": "Not found"}}, 404), AnswerError, "status 404"),
        ("list", Response({"error": {"message": "No"}}, 403), AccessError, "status 403"),
        ("pixels", Response(b"<html>"), ProductError, "a GeoTIFF of band and mask"),
        ("value", Response({"result": 7}), AnswerError, "a number in field 'B4_min_min'"),
    ],
)
def test_malformed_answers_give_one_sentence(own, state, tmp_path, where, broken, kind, sentence):
    item = own.search("sentinel-2-l2a", AREA, APRIL, Filters()).items[0]
    asked = {
        "list": lambda: own.search("sentinel-2-l2a", AREA, APRIL, Filters()),
        "pixels": lambda: own.fetch(item, ["B04"], tmp_path),
        "value": lambda: own.extremes("sentinel-2-l2a", AREA, 2023, ["B04"], 100.0),
    }[where]
    state.broken = {where: broken}
    try:
        with pytest.raises(kind, match=sentence):
            asked()
    finally:
        state.broken = {}


def test_a_project_is_mandatory(tmp_path):
    alone = EarthEngine(settings(tmp_path, {"earth-engine": "http://127.0.0.1:9"}))
    assert "project" in alone.check()[0].sentence
    with pytest.raises(AccessError, match="SKYMEND_EARTH_ENGINE_PROJECT"):
        alone.search("mod11a1", AREA, APRIL, Filters())
    with pytest.raises(ConfigError, match="mod11a1"):
        alone.search("mod99", AREA, APRIL, Filters())


def test_a_key_file_that_is_none(tmp_path):
    login = {"project": PROJECT, "key_file": str(tmp_path / "absent.json")}
    alone = EarthEngine(settings(tmp_path, {}, earth_engine=login))
    with pytest.raises(AccessError, match="the JSON key of a service account"):
        alone.search("mod11a1", AREA, APRIL, Filters())
