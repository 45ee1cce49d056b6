"""Simulated Sentinel-2 SAFE: the truth comes back through independent readers."""

import hashlib
from dataclasses import replace
from datetime import date
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio

from skymend.core.errors import ConfigError
from skymend.products import open_optical
from skymend.simulate import tiny, write
from skymend.simulate.msi import BANDS
from skymend.simulate.optical import observe
from skymend.simulate.safe_s2 import numbers, write_l2a
from skymend.simulate.safe_series import sampled, surface_granule
from skymend.simulate.scenario import BANDS as SCENARIO_BANDS
from skymend.simulate.scenario import Scenario

DAY = date(2018, 6, 4)


def scenario(**changes) -> Scenario:
    return Scenario.model_validate({**tiny().model_dump(), "bands": SCENARIO_BANDS, **changes})


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    return write_l2a(tmp_path_factory.mktemp("safe"), surface_granule(scenario(), DAY))


def manifest_files(product):
    for item in ElementTree.parse(product / "manifest.safe").getroot().iter("dataObject"):
        stream = item.find("byteStream")
        location, checksum = stream.find("fileLocation"), stream.find("checksum")
        yield product / location.get("href"), int(stream.get("size")), checksum


def test_the_reader_returns_the_observed_reflectance(product):
    seen = open_optical(product)
    truth = observe(scenario(), DAY)
    values = seen.read(("B02", "B03", "B04", "B08"), scenario().grid)
    wanted = truth.reflectance[[SCENARIO_BANDS.index(b) for b in ("B02", "B03", "B04", "B08")]]
    # Numbers are rounded to 1e-4; float32 adds a few units in the eighth digit.
    np.testing.assert_allclose(values, wanted, atol=0.5001e-4)
    assert seen.time == scenario().optical_time(DAY).replace(microsecond=0)
    assert seen.grid == scenario().grid


def test_scene_classes_agree_with_the_truth(product):
    labels = open_optical(product).labels(scenario().grid)
    truth = observe(scenario(), DAY).labels
    whole = truth.reshape(48, 2, 48, 2).transpose(0, 2, 1, 3).reshape(48, 48, 4)
    uniform = (whole == whole[..., :1]).all(axis=2)
    assert uniform.mean() > 0.8
    np.testing.assert_array_equal(labels[::2, ::2][uniform], whole[..., 0][uniform])


@pytest.mark.parametrize("resolution", [10, 20, 60])
def test_gdal_reads_it_as_sentinel_2(product, resolution):
    name = f"SENTINEL2_L2A:{product / 'MTD_MSIL2A.xml'}:{resolution}m:EPSG_32631"
    with rasterio.open(name) as dataset:
        stack = dataset.read()
        names = [d.split(",")[0] for d in dataset.descriptions]
        assert dataset.bounds == tuple(scenario().grid.bounds)
    truth = surface_granule(scenario(), DAY)
    own = [b for b in BANDS if b in truth.reflectance and BANDS[b].resolution_m == resolution]
    for band in own:
        stored = stack[names.index(band.replace("B0", "B"))]
        np.testing.assert_array_equal(stored, numbers(truth.reflectance[band], -1000))


def test_shares_of_classes_are_those_of_the_image(product):
    (image,) = product.glob("GRANULE/*/IMG_DATA/R20m/*SCL*")
    with rasterio.open(image) as dataset:
        classes = dataset.read(1)
    seen = np.count_nonzero(classes)
    names = {3: "CLOUD_SHADOW", 4: "VEGETATION", 5: "NOT_VEGETATED", 9: "HIGH_PROBA_CLOUDS"}
    (tile,) = product.glob("GRANULE/*/MTD_TL.xml")
    for path in (tile, product / "MTD_MSIL2A.xml"):
        content = ElementTree.parse(path).getroot().find(".//Image_Content_QI")
        for number, name in names.items():
            share = float(content.findtext(f"{name}_PERCENTAGE"))
            assert share == pytest.approx(100 * np.mean(classes == number) * classes.size / seen)
    cloud = 100 * np.isin(classes, (8, 9, 10)).sum() / seen
    assert float(
        ElementTree.parse(product / "MTD_MSIL2A.xml")
        .getroot()
        .findtext(".//Cloud_Coverage_Assessment")
    ) == pytest.approx(cloud, abs=1e-6)


def test_the_manifest_says_which_files_hold_the_metadata(product):
    top = ElementTree.parse(product / "manifest.safe").getroot()
    files = {d.get("ID"): d.find(".//fileLocation").get("href") for d in top.iter("dataObject")}
    pointed = {
        o.get("ID"): files[o.find("dataObjectPointer").get("dataObjectID")]
        for o in top.iter("metadataObject")
        if o.find("dataObjectPointer") is not None
    }
    assert pointed["S2_Level-2A_Product_Metadata_Information"] == "./MTD_MSIL2A.xml"
    assert pointed["INSPIRE_Metadata_Information"] == "./INSPIRE.xml"
    assert {p.rpartition("/")[2] for p in pointed.values()} >= {"MTD_DS.xml", "MTD_TL.xml"}


@pytest.mark.parametrize(
    ("baseline", "algorithm", "offset", "suffix"),
    [
        ("02.07", "MD5", 0, "gml"),
        ("03.01", "SHA3-256", 0, "gml"),
        ("04.00", "SHA3-256", -1000, "jp2"),
        ("05.11", "SHA3-256", -1000, "jp2"),
    ],
)
def test_baselines(tmp_path, baseline, algorithm, offset, suffix):
    granule = surface_granule(scenario(baseline=baseline, size_px=60), DAY)
    folder = write_l2a(tmp_path, granule)
    assert f"_N{baseline.replace('.', '')}_" in folder.name
    assert {p.suffix[1:] for p in folder.rglob("MSK_DETFOO_*")} == {suffix}
    radiometry = open_optical(folder).radiometry
    assert set(radiometry.offsets.values()) == ({offset} if offset else set())
    listed = list(manifest_files(folder))
    assert len(listed) == sum(p.is_file() for p in folder.rglob("*")) - 1
    new = {"MD5": "md5", "SHA3-256": "sha3_256"}[algorithm]
    for path, size, checksum in listed:
        content = path.read_bytes()
        assert checksum.get("checksumName") == algorithm
        assert (size, checksum.text) == (len(content), hashlib.new(new, content).hexdigest())


def test_same_scenario_same_bytes(tmp_path):
    made = [write_l2a(tmp_path / n, surface_granule(scenario(size_px=60), DAY)) for n in "ab"]
    files = [sorted(p for p in m.rglob("*") if p.is_file()) for m in made]
    assert [p.relative_to(made[0]) for p in files[0]] == [p.relative_to(made[1]) for p in files[1]]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(*files, strict=True))


def test_numbers_keep_negative_reflectance_where_an_offset_allows():
    values = np.array([np.nan, -0.05, 0.0, 0.1234, 9.0], np.float32)
    assert numbers(values, -1000).tolist() == [0, 500, 1000, 2234, 65534]
    assert numbers(values, 0).tolist() == [0, 1, 1, 1234, 65534]


def test_detectors_and_view_angles_of_the_tile_metadata(product):
    (path,) = product.glob("GRANULE/*/MTD_TL.xml")
    grids = list(ElementTree.parse(path).getroot().iter("Viewing_Incidence_Angles_Grids"))
    assert {int(g.get("detectorId")) for g in grids} == {8, 9}
    assert {int(g.get("bandId")) for g in grids} == set(range(13))
    with rasterio.open(next(product.rglob("MSK_DETFOO_B02.jp2"))) as dataset:
        footprint = dataset.read(1)
    assert set(np.unique(footprint)) == {8, 9}
    # Eastern detectors have higher numbers on a descending pass.
    assert footprint[:, -1].min() == 9
    assert footprint[:, 0].max() == 8


def test_polygons_hold_the_pixels_of_their_detector(tmp_path):
    granule = surface_granule(scenario(baseline="02.07"), DAY)
    folder = write_l2a(tmp_path, granule)
    root = ElementTree.parse(next(folder.rglob("MSK_DETFOO_B03.gml"))).getroot()
    gml, eop = "{http://www.opengis.net/gml/3.2}", "{http://www.opengis.net/eop/2.0}"
    from shapely import contains_xy
    from shapely.geometry import Polygon

    x, y = (np.asarray(c) for c in np.meshgrid(*(np.arange(n) * 10.0 + 5 for n in (96, 96))))
    left, _, _, top = scenario().grid.bounds
    truth = granule.swath.detectors(granule.grid)
    for feature in root.iter(f"{eop}MaskFeature"):
        detector = int(feature.get(f"{gml}id").split("-")[2])
        numbers_of = [float(v) for v in feature.find(f".//{gml}posList").text.split()]
        ring = np.reshape(numbers_of, (-1, 3))[:, :2]
        inside = contains_xy(Polygon(ring), left + x, top - y)
        np.testing.assert_array_equal(inside, truth == detector)


def test_sizes_must_fit_60_m(tmp_path):
    with pytest.raises(ConfigError, match="multiples of 6"):
        surface_granule(scenario(size_px=64), DAY)
    with pytest.raises(ConfigError, match="level L2A"):
        write_l2a(tmp_path, replace(surface_granule(scenario(), DAY), level="L1C"))


def test_a_scenario_writes_its_safe_products(tmp_path):
    short = scenario(days=12, bands=("B04", "B08"), size_px=60)
    write(tmp_path, short, formats=("safe-l2a",))
    found = sorted((tmp_path / "safe").iterdir())
    assert len(found) == len(short.optical_dates())
    assert open_optical(found[0]).bands == ("B04", "B08")
    assert not (tmp_path / "theia").exists()


def test_means_over_coarser_pixels():
    image = np.arange(144, dtype=np.float32).reshape(12, 12)
    assert sampled(image, 60).shape == (2, 2)
    assert sampled(image, 20)[0, 0] == pytest.approx((0 + 1 + 12 + 13) / 4)
