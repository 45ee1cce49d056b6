"""What the simulation writes: determinism, extension, formats."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import numpy as np
import pytest
import rasterio

from skymend.core.errors import ConfigError, StoreError
from skymend.core.grid import Grid
from skymend.core.raster import describe, read, read_labels, read_stored
from skymend.simulate import Scenario, tiny, truth, write
from skymend.simulate.benchmark import Mosaic
from skymend.simulate.geotiff import write_band


def digests(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    write(folder, tiny())
    return folder


def test_same_seed_same_bytes(written, tmp_path):
    from skymend.simulate import clouds, landscape, seasons, surface

    # Caches of the first run must not be what makes the second equal.
    caches = (clouds.sky, landscape.landscape, seasons.season, surface.surface)
    for cached in caches:
        cached.cache_clear()
    write(tmp_path, tiny())
    assert digests(tmp_path) == digests(written)


def test_other_seed_other_bytes(written, tmp_path):
    write(tmp_path, tiny(seed=4), formats=("dem",))
    assert digests(tmp_path)["dem/31TCJ.tif"] != digests(written)["dem/31TCJ.tif"]


def test_one_more_date_leaves_earlier_products_alone(written, tmp_path):
    write(tmp_path, tiny(days=46))
    before, after = digests(written), digests(tmp_path)
    changed = {name for name in before if before[name] != after[name]}
    # Only what lists or sums up the whole series may differ.
    assert changed <= {
        "stac/sentinel-1-grd/collection.json",
        "stac/sentinel-2-l2a/collection.json",
        "truth/changes.tif",
    }
    new = {name.split("/")[1] for name in set(after) - set(before) if name.startswith("theia/")}
    assert len(new) == 1


def test_theia_folder(written):
    scenario = tiny()
    products = sorted((written / "theia").iterdir())
    names = sorted(scenario.product_name(d) for d in scenario.optical_dates())
    assert [p.name for p in products] == names
    for product in products:
        bands = {p.name.rsplit("_", 1)[1] for p in product.glob("*_FRE_*.tif")}
        assert bands == {"B2.tif", "B3.tif", "B4.tif", "B8.tif"}
        info = describe(next(product.glob("*_FRE_B2.tif")))
        assert (info.dtype, info.nodata, info.scale) == ("int16", None, 1.0)
        assert info.grid == scenario.grid
        edge = read_labels(next(product.glob("MASKS/*_EDG_R1.tif")))
        numbers = read_stored(next(product.glob("*_FRE_B8.tif")))[0]
        np.testing.assert_array_equal(numbers == -10000, edge == 1)


def test_truth_is_the_land_without_clouds(written):
    scenario = tiny()
    day = scenario.optical_dates()[2]
    stored = read(written / "truth" / f"{day:%Y%m%d}_reflectance.tif", bands=scenario.bands)
    np.testing.assert_allclose(stored, truth(scenario, day), atol=0.51e-4)


def test_radar_images(written):
    scenario = tiny()
    files = sorted((written / "s1tiling" / "31TCJ").glob("*.tif"))
    assert len(files) == 2 * len(scenario.radar_passes())
    with rasterio.open(files[0]) as image:
        assert image.dtypes == ("float32",)
        assert image.nodata == 0
        assert image.tags()["CALIBRATION"] == "sigma"
        values = image.read(1)
    assert 1e-4 < np.median(values[values > 0]) < 1


def test_catalogue_opens_and_agrees_with_theia(written):
    import pystac

    catalogue = pystac.Catalog.from_file(str(written / "stac" / "catalog.json"))
    items = list(catalogue.get_items(recursive=True))
    scenario = tiny()
    assert len(items) == len(scenario.optical_dates()) + len(scenario.radar_passes())
    day = scenario.optical_dates()[1]
    item = next(i for i in items if i.id == f"S2_31TCJ_{day:%Y%m%d}")
    assert item.datetime.date() == day
    ours = read_stored(item.assets["B04"].get_absolute_href())[0].astype(int)
    folder = written / "theia" / scenario.product_name(day)
    theirs = read_stored(next(folder.glob("*_FRE_B4.tif")))[0].astype(int)
    np.testing.assert_array_equal(ours, np.where(theirs == -10000, 0, np.maximum(theirs, 1)))
    scl = read_labels(item.assets["SCL"].get_absolute_href())
    assert set(np.unique(scl)) <= {0, 3, 4, 5, 6, 8, 9, 10}


def test_catalogue_files_are_cogs(written):
    path = next((written / "stac").rglob("*_B08.tif"))
    with rasterio.open(path) as image:
        assert image.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_bands_of_20_m_come_at_20_m(tmp_path):
    scenario = Scenario(size_px=64, days=5, bands=("B04", "B8A", "B11"), orbits=())
    write(tmp_path, scenario, formats=("theia", "stac"))
    product = next((tmp_path / "theia").iterdir())
    assert describe(next(product.glob("*_FRE_B4.tif"))).grid.shape == (64, 64)
    for band in ("B8A", "B11"):
        info = describe(next(product.glob(f"*_FRE_{band}.tif")))
        assert (info.grid.shape, info.grid.resolution) == ((32, 32), 20)
    masks = {p.name[-6:-4] for p in product.glob("MASKS/*.tif")}
    assert masks == {"R1", "R2"}


def test_a_date_outside_the_swath_is_all_nodata(tmp_path):
    scenario = Scenario(size_px=64, days=5, outside_swath_share=1.0, orbits=())
    write(tmp_path, scenario, formats=("theia",))
    path = next((tmp_path / "theia").rglob("*_FRE_B2.tif"))
    assert (read_stored(path) == -10000).all()


def test_items_are_plain_json_with_the_layout_of_real_catalogues(written):
    path = next((written / "stac" / "sentinel-1-grd").glob("*/*.json"))
    item = json.loads(path.read_text())
    assert set(item["assets"]) == {"vv", "vh"}
    assert item["properties"]["proj:shape"] == [96, 96]
    assert item["assets"]["vv"]["raster:bands"][0]["unit"] == "sigma0 linear"


def test_unknown_format_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"expected some of theia.*found safe"):
        write(tmp_path, tiny(), formats=("theia", "safe"))


def test_unwritable_folder_is_told(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    grid = tiny().grid
    with pytest.raises(StoreError, match="check free space"):
        write_band(blocked / "x.tif", np.zeros(grid.shape, np.uint8), grid)


def test_mosaic_moves_all_rasters_alike(tmp_path):
    grid = Grid("EPSG:32631", (10, 0, 300000, 0, -10, 4900020), (120, 120))
    pattern = np.arange(1600, dtype=np.int16).reshape(40, 40)
    mosaic = Mosaic(grid, 5)
    mosaic.write(tmp_path / "a.tif", pattern)
    mosaic.write(tmp_path / "b.tif", (pattern * 2).astype(np.int16))
    a, b = (read_stored(tmp_path / f"{name}.tif")[0] for name in "ab")
    np.testing.assert_array_equal(b, 2 * a)
    for row in range(0, 120, 40):
        for column in range(0, 120, 40):
            block = a[row : row + 40, column : column + 40]
            np.testing.assert_array_equal(np.sort(block.ravel()), np.sort(pattern.ravel()))


def test_period_of_one_day_without_passes_still_writes_a_catalogue(tmp_path):
    scenario = tiny(days=1).model_copy(update={"start": tiny().start + timedelta(days=1)})
    write(tmp_path, scenario, formats=("stac",))
    assert (tmp_path / "stac" / "catalog.json").exists()
