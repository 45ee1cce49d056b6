"""Searching folders and catalogues on disk."""

import json
import time as clock
from datetime import UTC, date, datetime

import numpy as np
import pytest

from skymend.core.errors import ConfigError, ProductError
from skymend.core.grid import Grid
from skymend.sources import search
from tests.product_case import (
    GRID,
    THEIA,
    safe_folder,
    safe_metadata,
    stac_catalogue,
    stac_item,
    theia_folder,
    write_tif,
)

RED = np.full(GRID.shape, 1000, np.int16)
CLOUDS = np.zeros((12, 15), np.uint8)
PERIOD = (date(2018, 6, 1), date(2018, 6, 30))


def _theia(root, name=THEIA, bands=("B04",)):
    return theia_folder(root, name, bands=dict.fromkeys(bands, RED), masks={"CLM_R2": CLOUDS})


def _named(day, version="1-8", tile="31TFJ"):
    return f"SENTINEL2A_{day}-105030-123_L2A_T{tile}_D_V{version}"


def _reasons(result):
    return {r.path.name: r.reason for r in result.rejected}


def test_theia_folder(tmp_path):
    kept = _theia(tmp_path / "2018")
    for name in (_named("20180530"), _named("20180615", "1-7"), _named("20180615", tile="31UFQ")):
        _theia(tmp_path, name)
    (tmp_path / "notes.csv").touch()
    (tmp_path / "empty").mkdir()
    result = search("theia", tmp_path, grid=GRID, period=PERIOD, bands=("B04",))
    assert [p.path for p in result.products] == [kept]
    product = result.products[0]
    assert product.kind == "theia"
    assert product.time == datetime(2018, 6, 15, 10, 50, 30, 123000, UTC)
    assert product.tags == {
        "sensor": "optical",
        "platform": "sentinel-2a",
        "tile": "31TFJ",
        "version": "1-8",
    }
    assert sorted(f.name.removeprefix(THEIA) for f in product.files) == [
        "_CLM_R2.tif",
        "_FRE_B4.tif",
    ]
    reasons = _reasons(result)
    assert len(reasons) == 5
    assert "outside the period 2018-06-01 to 2018-06-30" in reasons[_named("20180530")]
    assert reasons[_named("20180615", "1-7")] == f"an older version of {THEIA}"
    assert reasons[_named("20180615", tile="31UFQ")] == "tile 31UFQ does not touch the area"
    assert "is not like" in reasons["notes.csv"]
    assert "is not like" in reasons["empty"]


def test_versions_compare_as_numbers(tmp_path):
    for version in ("1-9", "1-10"):
        _theia(tmp_path, _named("20180615", version))
    result = search("theia", tmp_path, grid=GRID, period=PERIOD, bands=("B04",))
    assert [p.tags["version"] for p in result.products] == ["1-10"]


def test_the_last_day_belongs_to_the_period(tmp_path):
    _theia(tmp_path)
    day = date(2018, 6, 15)
    for period in ((day, day), (datetime(2018, 6, 15, 23, tzinfo=UTC), day)):
        assert len(search("theia", tmp_path, grid=GRID, period=period).products) == 1
    assert not search("theia", tmp_path, grid=GRID, period=(date(2018, 6, 16),) * 2).products


def test_a_missing_band_is_an_error_or_a_rejection(tmp_path):
    _theia(tmp_path)
    question = {"grid": GRID, "period": PERIOD, "bands": ("B04", "B08")}
    with pytest.raises(ProductError, match="expected the band B08"):
        search("theia", tmp_path, **question)
    result = search("theia", tmp_path, strict=False, **question)
    assert not result.products
    assert "B08" in _reasons(result)[THEIA]


def test_without_grid_and_period_everything_answers(tmp_path):
    _theia(tmp_path, _named("20180615", tile="31UFQ"))
    assert len(search("theia", tmp_path, grid=None, period=None).products) == 1


def test_another_zone_is_said(tmp_path):
    _theia(tmp_path, _named("20180615", tile="32TLP"))
    result = search("theia", tmp_path, grid=GRID, period=PERIOD)
    assert _reasons(result)[_named("20180615", tile="32TLP")] == (
        "tile 32TLP is in EPSG:32632, the region in EPSG:32631"
    )


def test_one_product_may_be_the_source(tmp_path):
    folder = _theia(tmp_path)
    assert len(search("theia", folder, grid=GRID, period=PERIOD).products) == 1


def test_bad_paths_and_kinds(tmp_path):
    with pytest.raises(ConfigError, match="found no such path"):
        search("theia", tmp_path / "none", grid=GRID, period=PERIOD)
    with pytest.raises(ConfigError, match="found an unknown kind"):
        search("modis", tmp_path, grid=GRID, period=PERIOD)


def test_safe_folder_keeps_the_newest_baseline(tmp_path):
    scl = np.full((12, 15), 4, np.uint8)
    names = [
        "S2A_MSIL2A_20180615T105031_N0208_R051_T31TFJ_20180615T170000.SAFE",
        "S2A_MSIL2A_20180615T105031_N0500_R051_T31TFJ_20230801T170000.SAFE",
        "S2A_MSIL1C_20180615T105031_N0500_R051_T31TFJ_20230801T170000.SAFE",
    ]
    for name in names:
        safe_folder(
            tmp_path, name, images={("SCL", 20): scl}, metadata=safe_metadata("05.00", {3: -1000})
        )
    result = search("safe", tmp_path, grid=GRID, period=PERIOD)
    assert [p.path.name for p in result.products] == [names[1]]
    assert result.products[0].kind == "safe-l2a"
    assert result.products[0].tags["relative_orbit"] == "51"
    reasons = _reasons(result)
    assert "older version" in reasons[names[0]]
    assert "level L1C" in reasons[names[2]]


def test_safe_without_offset_stops_the_search(tmp_path):
    safe_folder(
        tmp_path,
        "S2A_MSIL2A_20220615T105031_N0400_R051_T31TFJ_20220615T170000.SAFE",
        images={("SCL", 20): np.full((12, 15), 4, np.uint8)},
        metadata=safe_metadata("04.00", None),
    )
    with pytest.raises(ProductError, match="BOA_ADD_OFFSET"):
        search("safe", tmp_path, grid=GRID, period=(date(2022, 1, 1), date(2022, 12, 31)))


def _radar(folder, stamp, channels=("vv", "vh"), way="DES", suffix=""):
    power = np.ones(GRID.shape, np.float32)
    for channel in channels:
        write_tif(folder / f"s1a_31TFJ_{channel}_{way}_037_{stamp}{suffix}.tif", power, GRID)


def test_s1tiling_gives_one_product_per_pass(tmp_path):
    folder = tmp_path / "31TFJ"
    _radar(folder, "20180603t054329")
    _radar(folder, "20180609t174329", way="ASC")
    _radar(folder, "20180615t054329", channels=("vv",))
    _radar(folder, "20180621t054329")
    _radar(folder, "20180621txxxxxx")
    _radar(folder, "20180627t054329", suffix="_filtered")
    _radar(folder, "20180627t054329")
    _radar(folder, "20180703t054329")
    (folder / "s1a_31TFJ_vv_DES_037_20180603t054329_BorderMask.tif").touch()
    question = {"grid": GRID, "period": PERIOD, "polarisations": ("VV", "VH")}
    result = search("s1tiling", tmp_path, **question)
    assert [p.id for p in result.products] == [
        "s1a_31TFJ_DES_037_20180603t054329",
        "s1a_31TFJ_ASC_037_20180609t174329",
        "s1a_31TFJ_DES_037_20180621txxxxxx",
        "s1a_31TFJ_DES_037_20180627t054329",
    ]
    first = result.products[0]
    assert [f.name[10:12] for f in first.files] == ["vv", "vh"]
    assert first.path == first.files[0]
    assert first.tags == {
        "sensor": "radar",
        "platform": "sentinel-1a",
        "tile": "31TFJ",
        "relative_orbit": "037",
        "direction": "descending",
        "convention": "sigma0",
    }
    text = " ".join(_reasons(result).values())
    for reason in ("border mask", "polarisation VH", "joined image", "same pass", "outside"):
        assert reason in text
    one = search("s1tiling", tmp_path, **{**question, "polarisations": ("VV",)})
    assert len(one.products) == 5


def _optical_item(root, name, time, **properties):
    values = np.full(GRID.shape, 1000, np.uint16)
    scl = np.full(GRID.shape, 4, np.uint8)
    assets = {"B04": (values, {"scale": 1e-4, "offset": 0}), "SCL": (scl, {})}
    return stac_item(root, name, time, assets, **properties)


def _radar_item(root, name, time, channels=("vv", "vh"), **properties):
    power = np.ones(GRID.shape, np.float32)
    assets = {c: (power, {"unit": "sigma0 linear", "nodata": "nan"}) for c in channels}
    return stac_item(root, name, time, assets, **properties)


@pytest.fixture
def catalogue(tmp_path):
    items = [
        _optical_item(tmp_path / "s2", "A", "2018-06-03T10:50:00Z"),
        _optical_item(tmp_path / "s2", "late", "2018-07-01T00:00:00Z"),
        _optical_item(
            tmp_path / "s2", "zone", "2018-06-03T10:50:00Z", **{"proj:code": "EPSG:32632"}
        ),
        _optical_item(
            tmp_path / "s2", "old", "2018-06-08T10:50:00Z", **{"s2:processing_baseline": "02.08"}
        ),
        _optical_item(
            tmp_path / "s2", "new", "2018-06-08T10:50:00Z", **{"s2:processing_baseline": "05.00"}
        ),
        _radar_item(tmp_path / "s1", "R", "2018-06-04T05:40:00Z"),
        _radar_item(tmp_path / "s1", "single", "2018-06-10T05:40:00Z", channels=("vv",)),
    ]
    return stac_catalogue(tmp_path, items)


def test_stac_catalogue(catalogue):
    question = {"grid": GRID, "period": PERIOD}
    result = search(
        "stac", catalogue.parent, bands=("B04",), polarisations=("VV", "VH"), **question
    )
    assert [p.id for p in result.products] == ["A", "R", "new"]
    assert [p.tags["sensor"] for p in result.products] == ["optical", "radar", "optical"]
    assert result.products[1].tags["convention"] == "sigma0"
    assert [f.name for f in result.products[0].files] == ["A_B04.tif", "A_SCL.tif", "A.json"]
    reasons = _reasons(result)
    assert "outside the period" in reasons["late.json"]
    assert "EPSG:32632" in reasons["zone.json"]
    assert reasons["old.json"] == "an older version of new"
    assert reasons["single.json"] == "it has no polarisation VH"
    optical = search("stac", catalogue, bands=("B04",), **question)
    assert [p.id for p in optical.products] == ["A", "new"]
    radar = search("stac", catalogue, polarisations=("VV",), **question)
    assert [p.id for p in radar.products] == ["R", "single"]


def test_stac_links_do_not_leave_the_catalogue(catalogue):
    document = json.loads(catalogue.read_text())
    document["links"] += [
        {"rel": "item", "href": "https://example.org/item.json"},
        {"rel": "child", "href": "../../catalog.json"},
        {"rel": "child", "href": "./catalog.json"},
    ]
    catalogue.write_text(json.dumps(document))
    result = search("stac", catalogue, grid=GRID, period=PERIOD, bands=("B04",))
    assert [p.id for p in result.products] == ["A", "new"]
    assert sum("leaves the catalogue" in r for r in _reasons(result).values()) == 2


def test_stac_item_without_map_grid_is_placed_by_its_box(tmp_path):
    path = _optical_item(tmp_path, "A", "2018-06-03T10:50:00Z")
    document = json.loads(path.read_text())
    for key in ("proj:code", "proj:shape", "proj:transform"):
        del document["properties"][key]
    path.write_text(json.dumps({**document, "bbox": [4.2, 44.2, 4.3, 44.3]}))
    question = {"grid": GRID, "period": PERIOD, "bands": ("B04",)}
    assert len(search("stac", path, **question).products) == 1
    path.write_text(json.dumps({**document, "bbox": [5.2, 44.2, 5.3, 44.3]}))
    assert _reasons(search("stac", path, **question)) == {
        "A.json": "the image does not touch the area"
    }


def test_a_damaged_item_is_an_error_or_a_rejection(tmp_path):
    path = _optical_item(tmp_path, "A", "yesterday")
    with pytest.raises(ProductError, match=r"A\.json: expected properties\.datetime"):
        search("stac", path, grid=GRID, period=PERIOD, bands=("B04",))
    result = search("stac", path, grid=GRID, period=PERIOD, bands=("B04",), strict=False)
    assert "datetime" in _reasons(result)["A.json"]


def test_an_empty_folder_is_no_catalogue(tmp_path):
    with pytest.raises(ProductError, match="expected a STAC catalogue"):
        search("stac", tmp_path, grid=GRID, period=PERIOD)


def test_dem_files_that_touch_the_area(tmp_path):
    heights = np.ones((24, 30), np.float32)
    near = write_tif(tmp_path / "near.tif", heights, GRID)
    far = Grid(GRID.crs, (10.0, 0.0, 700_000.0, 0.0, -10.0, 4_900_020.0), GRID.shape)
    write_tif(tmp_path / "far.tif", heights, far)
    result = search("dem", tmp_path, grid=GRID, period=PERIOD)
    assert [p.files for p in result.products] == [(near,)]
    assert _reasons(result) == {"far.tif": "the image does not touch the area"}


def test_five_thousand_products_in_a_few_seconds(tmp_path):
    for number in range(5000):
        stamp = f"2018{1 + number % 12:02d}15-105030-{number % 1000:03d}"
        name = f"SENTINEL2A_{stamp}_L2A_T31TFJ_D_V1-{number // 1000}"
        folder = tmp_path / name
        (folder / "MASKS").mkdir(parents=True)
        (folder / f"{name}_FRE_B4.tif").touch()
        (folder / "MASKS" / f"{name}_CLM_R2.tif").touch()
    started = clock.monotonic()
    result = search(
        "theia", tmp_path, grid=GRID, period=(date(2018, 1, 1), date(2018, 12, 31)), bands=("B04",)
    )
    assert len(result.products) + len(result.rejected) == 5000
    # About 1 s here; the bound leaves room for a busy machine.
    assert clock.monotonic() - started < 8
