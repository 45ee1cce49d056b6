"""Readers and searches on real imagery, against rasterio's own reading."""

from collections import Counter
from datetime import UTC, date, datetime

import numpy as np
import pytest

from skymend.clouds import Shares
from skymend.core.grid import Grid
from skymend.products import Label, open_optical, open_radar, read_dem
from skymend.products.safe import read_radiometry, refusal
from skymend.products.theia import Name
from skymend.sources import search

pytestmark = pytest.mark.real

THEIA_GRID = Grid("EPSG:32631", (10.0, 0.0, 670540.0, 0.0, -10.0, 5461500.0), (80, 80))
BELGIUM_GRID = Grid("EPSG:32631", (10.0, 0.0, 643260.0, 0.0, -10.0, 5676480.0), (66, 64))
YEARS = (date(2015, 1, 1), date(2018, 12, 31))
APRIL = (date(2023, 4, 1), date(2023, 4, 30))


def _raw(path):
    import rasterio

    with rasterio.open(path) as dataset:
        return dataset.read(1)


@pytest.fixture(scope="module")
def theia(shared_data):
    folder = shared_data / "theia-fordead-31UFQ" / "SENTINEL"
    bands = ("B02", "B03", "B04", "B8A")
    return search("theia", folder, grid=THEIA_GRID, period=YEARS, bands=bands)


@pytest.fixture(scope="module")
def belgium(shared_data):
    return search(
        "stac",
        shared_data / "belgium-2023-stac",
        grid=BELGIUM_GRID,
        period=APRIL,
        bands=("B04", "B08", "B11"),
        polarisations=("VV", "VH"),
    )


def test_theia_series_is_found_whole(theia):
    assert len(theia.products) == 106
    assert [p.time for p in theia.products] == sorted(p.time for p in theia.products)
    assert {len(p.files) for p in theia.products} == {5}
    assert {p.tags["tile"] for p in theia.products} == {"31UFQ"}


def test_theia_dates_are_as_clear_as_known(theia):
    found = Counter()
    for product in theia.products:
        shares = Shares.of(open_optical(product.path, product.kind).labels(THEIA_GRID))
        if shares.valid_share == 0:
            found["outside"] += 1
        else:
            found[{1.0: "clear", 0.0: "cloudy"}.get(shares.clear_share, "partly")] += 1
    assert found == {"clear": 34, "partly": 10, "cloudy": 13, "outside": 49}


def test_theia_reflectance_equals_rasterio(theia):
    for product in theia.products[::9]:
        opened = open_optical(product.path)
        values = opened.read(("B04", "B8A"), THEIA_GRID)
        stored = _raw(product.path / f"{product.id}_FRE_B4.tif")
        expected = np.where(stored == -10000, np.nan, stored / 10000)
        np.testing.assert_allclose(values[0], expected, atol=1e-7)
        coarse = _raw(product.path / f"{product.id}_FRE_B8A.tif")
        np.testing.assert_array_equal(
            np.isnan(values[1]), np.kron(coarse == -10000, np.ones((2, 2))) > 0
        )


def test_every_theia_name_is_understood(shared_data):
    root = shared_data / "theia-fordead-31UFQ" / "SENTINEL" / "ZoneTest"
    names = [p.name for p in root.iterdir() if p.name.startswith("SENTINEL")]
    assert all(Name.parse(n) is not None for n in names)


def test_belgium_has_twelve_optical_and_ten_radar_dates(belgium):
    kinds = Counter(p.tags["sensor"] for p in belgium.products)
    assert kinds == {"optical": 12, "radar": 10}
    assert not belgium.rejected


def test_belgium_is_clear_on_the_fifth_and_fifteenth_only(belgium):
    clear = {}
    for product in belgium.products:
        if product.tags["sensor"] == "optical":
            labels = open_optical(product.path).labels(BELGIUM_GRID)
            clear[product.time.day] = Shares.of(labels).clear_share
    assert {d for d, share in clear.items() if share > 0.9} == {5, 15}
    assert all(share == 0 for d, share in clear.items() if d not in {5, 15})


def test_belgium_reflectance_equals_rasterio(belgium):
    product = next(p for p in belgium.products if p.id == "S2_BE_20230415")
    assert product.time == datetime(2023, 4, 15, tzinfo=UTC)
    values = open_optical(product.path).read(("B04", "B11"), BELGIUM_GRID)
    stored = _raw(product.path.with_name("S2_BE_20230415_B04.tif"))
    np.testing.assert_allclose(values[0], stored * 1e-4, rtol=1e-6)


def test_belgium_backscatter_is_plausible(belgium):
    for product in belgium.products:
        if product.tags["sensor"] != "radar":
            continue
        opened = open_radar(product.path, product.kind)
        values = opened.read(("VV", "VH"), BELGIUM_GRID)
        assert opened.convention == "sigma0"
        stored = _raw(product.path.with_name(f"{product.id}_vv.tif"))
        valid = np.isfinite(values[0])
        np.testing.assert_array_equal(values[0][valid], stored[valid])
        # A handful of saturated pixels with the same number in both channels are masked.
        assert 0 <= (~valid).sum() <= 8
        assert 0.03 < np.nanmedian(values[0]) < 0.12
        assert np.nanmedian(values[1]) < np.nanmedian(values[0])
        assert not ((values[0] == values[1]) & (values[0] > 1)).any()


def test_earth_search_scene_is_read_from_the_files_beside_its_item(shared_data):
    item = shared_data / "s2-l2a-cog-29RKH" / "S2A_29RKH_20200219_0_L2A.json"
    product = open_optical(item)
    grid = product.grid
    assert (product.tile, grid.shape, grid.resolution) == ("29RKH", (1098, 1098), 100.0)
    values = product.read(("B8A", "B04"), grid)
    np.testing.assert_allclose(values[1], _raw(item.with_name("B04.tif")) * 1e-4, rtol=1e-6)
    assert abs(np.nanmean(values[0]) - _raw(item.with_name("B8A.tif")).mean() * 1e-4) < 1e-3
    labels = product.labels(grid)
    clouds = np.isin(_raw(item.with_name("SCL.tif")), (8, 9, 10))
    assert abs((labels == Label.CLOUD).mean() - clouds.mean()) < 1e-6


def test_offsets_of_real_metadata(shared_data):
    root = shared_data / "s2-safe-metadata-stactools"
    folder = root / "S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126.SAFE"
    radiometry = read_radiometry(folder / "MTD_MSIL2A.xml")
    assert radiometry.quantification == 10000
    assert set(radiometry.offsets.values()) == {-1000}
    assert len(radiometry.offsets) == 13
    assert radiometry.decoding("B8A").offset == -0.1
    level_1 = "S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE"
    assert "level L1C" in refusal(root / level_1)


def test_real_metadata_without_its_offset_is_refused(shared_data, tmp_path):
    from skymend.core.errors import ProductError

    root = shared_data / "s2-safe-metadata-stactools"
    folder = root / "S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126.SAFE"
    lines = (folder / "MTD_MSIL2A.xml").read_text().splitlines()
    path = tmp_path / "MTD_MSIL2A.xml"
    path.write_text("\n".join(x for x in lines if "BOA_ADD_OFFSET" not in x))
    with pytest.raises(ProductError, match=r"04\.00 without it"):
        read_radiometry(path)


def test_real_dem_is_warped_into_utm(shared_data):
    path = shared_data / "s1-safe-dem-rome-sarsen" / "Rome-30m-DEM.tif"
    import rasterio
    from rasterio.warp import transform

    with rasterio.open(path) as dataset:
        centre = [(dataset.bounds.left + dataset.bounds.right) / 2]
        middle = [(dataset.bounds.top + dataset.bounds.bottom) / 2]
        x, y = transform(dataset.crs, "EPSG:32633", centre, middle)
        sample = next(dataset.sample([(centre[0], middle[0])]))[0]
    left, top = round(x[0], -1) - 100, round(y[0], -1) + 100
    grid = Grid("EPSG:32633", (10.0, 0.0, left, 0.0, -10.0, top), (20, 20))
    heights = read_dem(path, grid)
    assert np.isfinite(heights).all()
    # The sample is of a 30 m pixel, the surface between its neighbours.
    assert abs(heights[9:11, 9:11].mean() - sample) < 15
