"""Simulated Sentinel-1 GRD products: specification, truth, and what other readers make of them."""

import hashlib
import os
import shutil
import subprocess
import zipfile
from datetime import UTC, datetime
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio

from skymend.core.errors import ConfigError
from skymend.core.grid import Grid, Window
from skymend.products.sentinel1 import open_grd
from skymend.simulate import tiny, write
from skymend.simulate.facets import Terrain
from skymend.simulate.made_scene import frame_of, made_scene, noise_in, table_in
from skymend.simulate.radar_series import (
    area_of,
    flattened,
    survey_of,
    terrain_of,
    write_pass_grd,
    write_wide_elevation,
)
from skymend.simulate.s1_orbit import (
    earth_fixed,
    zero_doppler,
)
from skymend.simulate.safe_s1_tables import BETA_NOUGHT
from skymend.simulate.terrain_grd import Survey, images_of, look_over, write_terrain_grd

GEOID_M = 48.0
ROME = "S1B_IW_GRDH_1SDV_20211223T051122_20211223T051147_030148_039993_5371.SAFE"


@pytest.fixture(scope="module")
def scenario():
    return tiny()


@pytest.fixture(scope="module")
def products(tmp_path_factory, scenario):
    acquisition = scenario.radar_passes()[0]
    folder = tmp_path_factory.mktemp("grd")
    return write_pass_grd(folder, scenario, acquisition, grainless=True, undulation=GEOID_M)


def test_the_slices_are_read_and_join(products, scenario):
    first, second = (open_grd(p) for p in products)
    assert first.platform == "sentinel-1a"
    assert first.relative_orbit == scenario.radar_passes()[0].orbit.relative_orbit
    assert (first.direction, first.ipf) == ("descending", "003.31")
    assert first.polarisations == ("VV", "VH")
    annotation = first.annotation("VV")
    gap = (second.annotation("VV").first_line - annotation.last_line).total_seconds()
    # Times are written to the microsecond.
    assert gap == pytest.approx(annotation.line_interval, abs=2e-6)
    assert first.noise("VV").layout == "range-azimuth"


def test_numbers_hold_the_facets_backscatter(products, scenario):
    acquisition = scenario.radar_passes()[0]
    terrain = terrain_of(scenario, GEOID_M)
    seen = look_over(area_of(scenario), terrain, survey_of(acquisition))
    truth = images_of(seen.frame, terrain, flattened(scenario, acquisition))
    first_line = 0
    for path in products:
        product = open_grd(path)
        for polarisation in ("VV", "VH"):
            shape = product.annotation(polarisation).shape
            window = Window(0, 0, *shape)
            stored = product.dn(polarisation, window).astype(np.float64)
            noise = noise_in(product.noise(polarisation), window)
            table = table_in(product.calibration(polarisation).tables["beta0"], window)
            assert table == pytest.approx(BETA_NOUGHT)
            here = truth[polarisation][first_line : first_line + shape[0]]
            expected = here * table**2 + noise
            # Rounding moves DN by a half at most.
            assert np.abs(stored - np.sqrt(expected)).max() <= 0.5001
        first_line += shape[0]
    assert first_line == seen.frame.shape[0]


def test_the_engines_geometry_agrees_on_the_grid_points(products):
    from skymend.sar.doppler import to_earth_fixed
    from skymend.sar.doppler import zero_doppler as solve
    from skymend.sar.geolocation import RadarImage, track_of
    from skymend.sar.orbit import choose_orbit

    product = open_grd(products[0])
    annotation = product.annotation("VV")
    grid = annotation.geolocation
    track = track_of(choose_orbit(None, product, "VV"), annotation)
    points = to_earth_fixed(grid.longitude, grid.latitude, grid.height)
    seconds, slant = solve(points, track)[:2]
    image = RadarImage.of(annotation)
    assert np.abs(slant - grid.slant_range_time * 299_792_458 / 2).max() < 0.01
    assert np.abs(image.line(seconds, slant) - grid.line).max() < 0.01
    assert np.abs(image.sample(seconds, slant) - grid.pixel).max() < 0.01


def test_every_file_has_its_digest(products):
    for product in products:
        found = set()
        root = ElementTree.parse(product / "manifest.safe").getroot()
        for item in root.iter("dataObject"):
            stream = item.find("byteStream")
            path = product / stream.find("fileLocation").get("href")
            content = path.read_bytes()
            assert int(stream.get("size")) == len(content)
            assert stream.find("checksum").text == hashlib.md5(content).hexdigest()
            found.add(path.resolve())
        present = {p.resolve() for p in product.rglob("*") if p.is_file()}
        assert found == present - {(product / "manifest.safe").resolve()}


def test_the_measurement_looks_like_a_real_one(products):
    (path,) = (products[0] / "measurement").glob("*-vv-*")
    with rasterio.open(path) as dataset:
        points, crs = dataset.gcps
        assert len(points) == 210
        assert crs.to_epsg() == 4326
        assert dataset.dtypes == ("uint16",)
        assert dataset.tags()["TIFFTAG_IMAGEDESCRIPTION"] == "Sentinel-1A IW GRD HR L1"
    frame_lines = {int(p.row) for p in points}
    assert max(frame_lines) == dataset.height - 1


def test_annotations_follow_the_schemas_of_the_specification(products, shared_data, tmp_path):
    xmlschema = pytest.importorskip("xmlschema")
    archive = shared_data / "s1-grd-safe-metadata"
    (zipped,) = archive.glob("*20210119*.zip")
    with zipfile.ZipFile(zipped) as source:
        for name in source.namelist():
            if name.endswith(".xsd"):
                (tmp_path / name.rpartition("/")[2]).write_bytes(source.read(name))
    for product in products:
        for kind, pattern in (
            ("product", "annotation/*.xml"),
            ("calibration", "annotation/calibration/calibration-*.xml"),
            ("noise", "annotation/calibration/noise-*.xml"),
        ):
            schema = xmlschema.XMLSchema(str(tmp_path / f"s1-level-1-{kind}.xsd"))
            files = list(product.glob(pattern))
            assert len(files) == 2
            for path in files:
                schema.validate(str(path))
                text = path.read_text().replace("<polarisation>", "<polarization>")
                text = text.replace("</polarisation>", "</polarization>")
                with pytest.raises(xmlschema.XMLSchemaValidationError):
                    schema.validate(text)


def test_old_processors_give_noise_along_range_only(tmp_path, scenario):
    acquisition = scenario.radar_passes()[1]
    (path,) = write_pass_grd(
        tmp_path, scenario, acquisition, slices=1, ipf="002.72", undulation=GEOID_M
    )
    product = open_grd(path)
    assert product.noise("VH").layout == "range"
    assert product.direction == "ascending"
    stored = product.dn("VV", Window(0, 0, *product.annotation("VV").shape))
    assert stored.min() >= 1


def test_same_ground_same_bytes_across_the_antimeridian(tmp_path):
    grid = Grid("EPSG:32660", (10.0, 0.0, 824_350.0, 0.0, -10.0, 1_494_870.0), (90, 90))
    terrain = Terrain(grid, np.full(grid.shape, 20.0))
    survey = Survey(datetime(2021, 5, 4, 6, 0, tzinfo=UTC), 36.0, "ASC")
    area = grid.crop(Window(30, 30, 30, 30))
    made = [
        write_terrain_grd(tmp_path / n, area, terrain, {"VV": 0.1, "VH": 0.02}, survey)[0]
        for n in "ab"
    ]
    files = [sorted(p for p in m.rglob("*") if p.is_file()) for m in made]
    assert made[0].name == made[1].name
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(*files, strict=True))
    annotation = open_grd(made[0]).annotation("VV")
    longitude = annotation.geolocation.longitude
    assert longitude.min() < -179.9
    assert longitude.max() > 179.9


@pytest.mark.slow
def test_a_scenario_writes_radar_products_and_wide_elevation(tmp_path, scenario):
    find_egm96()
    short = scenario.model_copy(update={"days": 7})
    write(tmp_path, short, formats=("safe-grd",))
    assert len(list((tmp_path / "safe").iterdir())) == 2 * len(short.radar_passes())
    with rasterio.open(tmp_path / "dem" / "wide.tif") as dataset:
        # GLO-30 posts its heights on whole arcseconds.
        x, y = dataset.xy(0, 0)
        assert x * 3600 == pytest.approx(round(x * 3600), abs=1e-6)
        assert y * 3600 == pytest.approx(round(y * 3600), abs=1e-6)
        assert dataset.read(1).min() > 100


def find_egm96():
    from skymend.core.errors import SkymendError
    from skymend.sar.geoid import read_geoid

    try:
        read_geoid()
    except SkymendError as error:
        pytest.skip(str(error))


def test_wide_elevation_is_the_scenarios_inside(tmp_path, scenario):
    from rasterio.warp import transform
    from scipy.ndimage import map_coordinates

    from skymend.simulate.landscape import landscape

    path = tmp_path / "wide.tif"
    write_wide_elevation(path, scenario, margin_px=300)
    left, _, _, top = scenario.grid.bounds
    rows, columns = np.meshgrid(np.arange(10, 86, 7), np.arange(10, 86, 7))
    x, y = left + 10 * (columns + 0.5), top - 10 * (rows + 0.5)
    longitude, latitude = transform(
        scenario.grid.crs, "EPSG:4326", x.ravel().tolist(), y.ravel().tolist()
    )[:2]
    with rasterio.open(path) as dataset:
        back = ~dataset.transform * np.stack([longitude, latitude])
        image = dataset.read(1)
    found = map_coordinates(image, np.stack([back[1], back[0]]) - 0.5, order=1)
    truth = landscape(scenario.seed, scenario.size_px).elevation[rows, columns].ravel()
    # Posts stand 31 and 22 m apart; what lies between two of them is lost.
    assert np.sqrt(np.mean((found - truth) ** 2)) < 0.05 * np.ptp(truth)
    assert abs(np.mean(found - truth)) < 0.01 * np.ptp(truth)


@pytest.mark.skipif(shutil.which("otbcli_SARCalibration") is None, reason="no Orfeo ToolBox")
@pytest.mark.parametrize("table", ["sigma", "gamma", "beta"])
def test_orfeo_toolbox_calibrates_it(products, tmp_path, table):
    (path,) = (products[0] / "measurement").glob("*-vh-*")
    out = tmp_path / "calibrated.tif"
    command = ["otbcli_SARCalibration", "-in", str(path), "-lut", table, "-out", str(out), "float"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stdout[-400:] + done.stderr[-400:]
    product = open_grd(products[0])
    window = Window(0, 0, *product.annotation("VH").shape)
    name = {"sigma": "sigma0", "gamma": "gamma0", "beta": "beta0"}[table]
    numbers = product.dn("VH", window).astype(np.float64)
    expected = numbers**2 / table_in(product.calibration("VH").tables[name], window) ** 2
    with rasterio.open(out) as dataset:
        np.testing.assert_allclose(dataset.read(1), expected, rtol=2e-6)


def test_real_annotations_are_reproduced(shared_data):
    """The forward geometry behind every facet places real grid points where they are."""
    sources = [
        *sorted((shared_data / "s1-grd-safe-metadata").glob("*.zip")),
        shared_data / "s1-safe-dem-rome-sarsen" / ROME,
    ]
    assert len(sources) == 3
    for source in sources:
        annotation = open_grd(source).annotation("VV")
        grid, frame = annotation.geolocation, frame_of(annotation)
        points = earth_fixed(grid.longitude, grid.latitude, grid.height)
        seconds = zero_doppler(frame.orbit, points, grid.seconds)
        slant = np.linalg.norm(points - frame.orbit.at(seconds)[0], axis=-1)
        assert np.abs(slant - grid.slant_range_time * 299_792_458 / 2).max() < 0.01
        assert np.abs(frame.pixel(seconds, slant)[0] - grid.line).max() < 0.01


def test_a_made_scene_keeps_the_metadata_and_holds_the_field(shared_data, tmp_path):
    window = Window(8000, 12_000, 300, 400)
    field = np.full((300, 400), 0.2, np.float32)
    field[100:150] = 0.02
    field[:, :5] = np.nan
    source = shared_data / "s1-safe-dem-rome-sarsen" / ROME
    path = made_scene(source, tmp_path, {"VV": field}, window, grainless=True)
    made, given = open_grd(path), open_grd(source)
    assert path.name == source.name
    for role in ("annotation", "calibration", "noise"):
        name = made.manifest.files[role, "VV"]
        assert made.archive.read(name) == given.archive.read(name)
    stored = made.dn("VV", window).astype(np.float64)
    noise = noise_in(made.noise("VV"), window)
    table = table_in(made.calibration("VV").tables["beta0"], window)
    expected = np.sqrt(np.where(np.isnan(field), 0, field) * table**2 + noise)
    seen = ~np.isnan(field)
    assert np.abs(stored - expected)[seen].max() <= 0.5001
    assert (stored[~seen] == 0).all()
    outside = made.dn("VV", Window(0, 0, 50, 50))
    assert outside.max() == 0
    listed = ElementTree.parse(path / "manifest.safe").getroot().iter("dataObject")
    names = set()
    for item in listed:
        stream = item.find("byteStream")
        content = (path / stream.find("fileLocation").get("href")).read_bytes()
        assert stream.find("checksum").text == hashlib.md5(content).hexdigest()
        names.add(stream.find("fileLocation").get("href"))
    assert len(names) == 4
    with pytest.raises(ConfigError, match="inside"):
        made_scene(source, tmp_path, {"VV": field}, Window(16_600, 0, 300, 400))


def test_a_made_scene_from_a_zip_with_both_channels(shared_data, tmp_path):
    (source,) = (shared_data / "s1-grd-safe-metadata").glob("*20200708*.zip")
    window = Window(0, 0, 256, 256)
    fields = {p: np.zeros((256, 256), np.float32) for p in ("VV", "VH")}
    path = made_scene(source, tmp_path, fields, window, seed=4)
    product = open_grd(path)
    assert product.polarisations == ("VV", "VH")
    stored = product.dn("VH", window).astype(np.float64)
    noise = noise_in(product.noise("VH"), window)
    # A null field: its mean is the noise, within three times the error of correlated speckle
    # (about 256^2 / 4 independent pixels of 4.4 looks) and the rounding of small numbers.
    assert (stored**2).mean() / noise.mean() == pytest.approx(1, abs=0.02)
