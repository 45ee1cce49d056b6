"""Sentinel Hub through sentinelhub-py against a hand-built deployment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
import pytest

from skymend.core.errors import AccessError, AnswerError, ConfigError, ProductError, RetryableError
from skymend.core.grid import Grid
from skymend.core.raster import describe, read_stored
from skymend.products import open_optical
from skymend.products.stac_item import Item
from skymend.sources.area import Area
from skymend.sources.protocol import Filters
from skymend.sources.sentinel_hub import SentinelHub, units
from skymend.sources.sentinel_hub import render as rendering
from skymend.sources.sentinel_hub.render import Script
from tests.provider_case import settings
from tests.servers.routes import Response, serve
from tests.servers.sentinel_hub import CLIENT, HubServer, feature, pixel

AREA = Area.of_bounds(3.0, 51.0, 3.03, 51.02)
APRIL = (datetime(2023, 4, 1, tzinfo=UTC), datetime(2023, 4, 30, tzinfo=UTC))
BOX = (2.9, 50.5, 4.0, 51.5)
NAMES = [
    f"S2B_MSIL2A_202304{day:02d}T105629_N0509_R094_T31UES_202304{day:02d}T151300.SAFE"
    for day in (3, 6, 13)
]


def deployment(**changes) -> HubServer:
    shares = (10.0, 80.0, 0.0)
    moments = [f"{n[11:15]}-{n[15:17]}-{n[17:19]}T10:56:29Z" for n in NAMES]
    entries = zip(NAMES, moments, shares, strict=True)
    return HubServer(
        [feature(n, t, BOX, **{"eo:cloud_cover": c}) for n, t, c in entries], **changes
    )


@contextmanager
def source(tmp_path, state: HubServer, login=None) -> Iterator[SentinelHub]:
    with serve(state.routes()) as server:
        state.loopback = server
        login = CLIENT if login is None else login
        yield SentinelHub(settings(tmp_path, state.endpoints(server), sentinel_hub=login))


def expected(name: str, grid: Grid) -> np.ndarray:
    left, bottom, right, top = grid.bounds
    size = grid.resolution
    x = np.arange(left + size / 2, right, size)
    y = np.arange(top - size / 2, bottom, -size)
    return pixel(name, *np.meshgrid(x, y))


def test_search_pages_filters_and_shares_one_token(tmp_path):
    state = deployment()
    with source(tmp_path, state) as own:
        found = own.search("sentinel-2-l2a", AREA, APRIL, Filters())
        clear = own.search("sentinel-2-l2a", AREA, APRIL, Filters(cloud_cover_max=20, tile="31UES"))
    assert [i.properties["title"] for i in found] == [n.removesuffix(".SAFE") for n in NAMES]
    assert len(clear) == 2
    assert state.tokens == 1
    assert state.loopback.count("/search") == 3, "two pages, then one"
    item = found.items[0]
    assert item.properties["grid:code"] == "MGRS-31UES"
    assert item.properties["proj:code"] == "EPSG:32631"
    assert item.properties["skymend:bounds"] == [3.0, 51.0, 3.03, 51.02]
    another = SentinelHub(own.settings)
    assert another._hub._chain().access() == "token-1", "other processes find it in the cache"


def test_bands_are_rendered_in_tiles_on_the_grid_of_the_product(tmp_path, monkeypatch):
    monkeypatch.setattr(rendering, "LARGEST", 100)
    state = deployment(hole=(500300.0, 5649900.0))
    with source(tmp_path, state) as own:
        item = own.search("sentinel-2-l2a", AREA, APRIL, Filters()).items[0]
        receipts = own.fetch(item, ["B04", "B11", "SCL"], tmp_path / "got")
    folder = tmp_path / "got" / NAMES[0]
    assert [r.path for r in receipts] == [folder / f"{n}.tif" for n in ("B04", "B11", "SCL")]
    info = describe(folder / "B04.tif")
    assert (info.grid.crs, info.grid.resolution, info.nodata) == ("EPSG:32631", 10.0, 0.0)
    stored = read_stored(folder / "B04.tif")[0]
    hole = stored == 0
    assert 0 < hole.mean() < 0.5
    assert np.array_equal(stored[~hole], expected("B04", info.grid)[~hole].astype("uint16"))
    assert describe(folder / "B11.tif").grid.bounds == info.grid.bounds
    assert state.loopback.count("process") > 9
    asked = next(r for r in state.loopback.log if r.path.endswith("process")).json()
    when = asked["input"]["data"][0]["dataFilter"]["timeRange"]
    assert when == {"from": "2023-04-03T10:56:28.000Z", "to": "2023-04-03T10:56:30.000Z"}
    local = Item(folder / f"{NAMES[0]}.json", json.loads((folder / f"{NAMES[0]}.json").read_text()))
    assert local.file("B04") == folder / "B04.tif"
    assert local.assets["B04"].value("scale") == 1e-4


def test_what_arrives_is_what_the_readers_open(tmp_path):
    with source(tmp_path, deployment()) as own:
        item = own.search("sentinel-2-l2a", AREA, APRIL, Filters()).items[0]
        own.fetch(item, ["B04", "B8A", "SCL"], tmp_path / "got")
    folder = tmp_path / "got" / NAMES[0]
    grid = describe(folder / "B04.tif").grid
    product = open_optical(folder / f"{NAMES[0]}.json")
    values = product.read(("B04", "B8A"), grid)
    # float32 of at most 200 steps of 1e-4
    np.testing.assert_allclose(values[0], expected("B04", grid) * 1e-4, atol=1e-8)
    coarse = describe(folder / "B8A.tif").grid
    assert np.isclose(values[1].mean(), expected("B8A", coarse).mean() * 1e-4, rtol=0.02)
    assert product.time == datetime(2023, 4, 3, 10, 56, 29, tzinfo=UTC)


def test_a_wide_grid_keeps_below_the_limit_of_the_service(tmp_path):
    """The server refuses more than 2500 pixels a side, as the service does."""
    grid = Grid("EPSG:32631", (10.0, 0.0, 499980.0, 0.0, -10.0, 5650080.0), (6, 5201))
    state = deployment()
    with source(tmp_path, state) as own:
        item = own.search("sentinel-2-l2a", AREA, APRIL, Filters()).items[0]
        own.scene(item, "B04", grid, tmp_path / "B04.tif")
    assert state.loopback.count("process") == 3
    stored = read_stored(tmp_path / "B04.tif")[0]
    assert np.array_equal(stored, expected("B04", grid).astype("uint16"))


def test_a_run_that_broke_off_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(rendering, "LARGEST", 100)
    state = deployment()
    with source(tmp_path, state) as own:
        item = own.search("sentinel-2-l2a", AREA, APRIL, Filters()).items[0]
        good, count = state.process, [0]

        def failing(request):
            count[0] += 1
            return good(request) if count[0] < 4 else Response({"error": {"message": "no"}}, 400)

        monkeypatch.setattr(state, "process", failing)
        with serve(state.routes()) as broken:
            halfway = SentinelHub(settings(tmp_path, state.endpoints(broken), sentinel_hub=CLIENT))
            # The tiles are kept by what was asked for, address included.
            with pytest.raises(AnswerError, match="status 400: no"):
                halfway.fetch(item, ["B04"], tmp_path / "got")
            kept = sorted((tmp_path / "got" / NAMES[0] / ".B04.tiles").glob("*.tif"))
            assert len(kept) == 3
            kept[0].write_bytes(b"torn by a power cut")
            count[0] = -1000
            halfway.fetch(item, ["B04"], tmp_path / "got")
            tiles = {
                json.dumps(r.json(), sort_keys=True) for r in broken.log if "process" in r.path
            }
            assert len([r for r in broken.log if "process" in r.path]) == len(tiles) + 2, (
                "refused, torn"
            )
    assert not (tmp_path / "got" / NAMES[0] / ".B04.tiles").exists()


def test_a_refused_token_is_replaced_and_storms_are_waited_for(tmp_path):
    state = deployment()
    with source(tmp_path, state) as own:
        item = own.search("sentinel-2-l2a", AREA, APRIL, Filters()).items[0]
        state.refused, state.storms = {"token-1"}, 2
        own.fetch(item, ["SCL"], tmp_path / "got")
        assert state.tokens == 2
        state.storms = 99
        with pytest.raises(RetryableError, match="status 429, 4 times"):
            own.fetch(item, ["B04"], tmp_path / "got")


@pytest.mark.parametrize("stated", ["1.25", None, "NaN"])
def test_requests_and_units_of_the_month_are_counted(tmp_path, stated):
    """Each page, each repeated request and each tile; units as stated, else as documented."""
    state = deployment(units=stated)
    with source(tmp_path, state) as own:
        item = own.search("sentinel-2-l2a", AREA, APRIL, Filters()).items[0]
        state.storms = 1
        (receipt,) = own.fetch(item, ["SCL"], tmp_path / "got")
        month = own._hub.ledger().monthly("sentinel-hub")
        assert month.requests == 2 + 2, "two pages, one refused request, one tile"
        rows, columns = describe(receipt.path).grid.shape
        reckoned = max(0.01, rows * columns / 512**2) / 3
        assert month.units == pytest.approx(1.25 if stated == "1.25" else max(0.005, reckoned))
        assert "5 of 10000 requests" in own.check()[1].sentence, "this one was the fifth"
        limits = own.settings.cache / "ledger/limits.json"
        limits.write_text(json.dumps({"sentinel-hub": {"requests_per_month": 5}}))
        with pytest.raises(RetryableError, match=r"5 requests a month, found .* next month"):
            own.fetch(item, ["B04"], tmp_path / "got")


def test_units_as_the_service_documents_them():
    bands = 'const BANDS = ["VV", "VH"];\nconst SAMPLE_TYPE = "FLOAT32";'
    asked = {
        "evalscript": bands,
        "output": {"width": 1024, "height": 512},
        "input": {"data": [{"processing": {"orthorectify": True}}]},
    }
    assert units.reckoned(asked) == pytest.approx(2 * 2 / 3 * 2 * 2)
    small = {**asked, "output": {"width": 4, "height": 4}, "input": {"data": [{}]}}
    assert units.reckoned(small) == pytest.approx(0.01 * 2 / 3 * 2)
    assert units.reckoned({**small, "evalscript": 'const BANDS = ["B02"];'}) == 0.005
    assert units.spent({}, None) == 0.0, "Catalog"
    assert units.pause_s({"Retry-After": "1500"}) == 1.5


def test_an_eopatch_of_a_period(tmp_path):
    grid = Grid("EPSG:32631", (10.0, 0.0, 500040.0, 0.0, -10.0, 5650080.0), (48, 60))
    with source(tmp_path, deployment()) as own:
        folder = own.patch(
            "sentinel-2-l2a",
            grid,
            APRIL,
            ["B02", "B08"],
            tmp_path / "eopatch-0000",
            Filters(cloud_cover_max=50),
        )
    bands = np.load(folder / "data" / "BANDS.npy", allow_pickle=False)
    valid = np.load(folder / "mask" / "IS_DATA.npy", allow_pickle=False)
    assert (bands.shape, bands.dtype, valid.shape) == ((2, 48, 60, 2), "uint16", (2, 48, 60, 1))
    assert np.array_equal(bands[0, :, :, 1], expected("B08", grid).astype("uint16"))
    times = json.loads((folder / "timestamps.json").read_text())
    assert times == ["2023-04-03T10:56:29", "2023-04-13T10:56:29"]
    box = json.loads((folder / "bbox.geojson").read_text())
    assert box["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32631"
    assert not list(folder.rglob("*.pkl"))


BAND = {"source": "MS", "bandIndex": 1, "bitDepth": 16, "sampleFormat": "UINT"}


def test_ones_own_imagery(tmp_path):
    own_id = "12345678-abcd"
    description = {
        "id": own_id,
        "additionalData": {
            "bands": dict.fromkeys(("B1", "B2", "PAN"), BAND),
            "maxMetersPerPixel": 2.5,
        },
    }
    state = deployment(collections={own_id: description})
    sharp = Script.named("pansharpened")
    with source(tmp_path, state) as own:
        item = own.search(f"byoc-{own_id}", AREA, APRIL, Filters()).items[0]
        grid = Grid("EPSG:32631", (2.5, 0.0, 500040.0, 0.0, -2.5, 5650080.0), (40, 40))
        own.scene(item, "B1", grid, tmp_path / "B1.tif", script=sharp)
        with pytest.raises(AnswerError, match="status 404: no such collection"):
            own.search("byoc-other", AREA, APRIL, Filters())
    asked = state.loopback.log[-2].json()
    assert asked["input"]["data"][0]["type"] == f"byoc-{own_id}"
    assert 'const PAN = "PAN";' in asked["evalscript"]
    assert describe(tmp_path / "B1.tif").grid == grid


@pytest.mark.parametrize(
    ("broken", "kind", "sentence"),
    [
        (Response({"features": []}), AnswerError, "a field 'context'"),
        (Response({"context": {}}), AnswerError, "a field 'features'"),
        (Response(b"<html></html>"), AnswerError, "a JSON object"),
        (Response({"features": [7], "context": {}}), AnswerError, "field 'features'"),
        (Response({"error": {"message": "bad bbox"}}, 400), AnswerError, "status 400: bad bbox"),
        (Response({"error": {"message": "no"}}, 403), AccessError, "status 403: no"),
    ],
)
def test_malformed_catalogue_answers_give_one_sentence(tmp_path, broken, kind, sentence):
    with source(tmp_path, deployment(broken=broken)) as own, pytest.raises(kind, match=sentence):
        own.search("sentinel-2-l2a", AREA, APRIL, Filters())


def test_a_page_instead_of_an_image_is_refused(tmp_path):
    state = deployment()
    with source(tmp_path, state) as own:
        item = own.search("sentinel-2-l2a", AREA, APRIL, Filters()).items[0]
        state.broken = Response(b"<html>maintenance</html>", 200, {"Content-Type": "text/html"})
        with pytest.raises(ProductError, match="a TIFF of the bands"):
            own.fetch(item, ["B04"], tmp_path / "got")
    assert not (tmp_path / "got" / NAMES[0] / "B04.tif").exists()


def test_logins_and_choices_that_are_wrong(tmp_path):
    wrong = {**CLIENT, "client_secret": "wrong-secret"}
    with source(tmp_path, deployment(), wrong) as own:
        (finding,) = own.check()
        assert not finding.ok
        assert "wrong-secret" not in finding.sentence
    with (
        source(tmp_path, deployment(), {}) as own,
        pytest.raises(AccessError, match="SKYMEND_SENTINEL_HUB_CLIENT_ID"),
    ):
        own.search("sentinel-2-l2a", AREA, APRIL, Filters())
    with source(tmp_path, deployment()) as own:
        assert own.check()[0].ok
        with pytest.raises(ConfigError, match="an area"):
            own.search("sentinel-2-l2a", None, APRIL, Filters())
        with pytest.raises(ConfigError, match="sentinel-2-l2a"):
            own.search("sentinel-9", AREA, APRIL, Filters())
        item = own.search("sentinel-2-l2a", AREA, APRIL, Filters()).items[0]
        with pytest.raises(ConfigError, match="B04"):
            own.fetch(item, ["B99"], tmp_path / "got")
