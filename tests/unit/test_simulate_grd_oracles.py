"""Orfeo ToolBox and sarsen place the pixels of simulated GRD where its own geometry has them."""

import os
import shutil
import subprocess
import warnings
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio

from skymend.core.grid import Grid, Window
from skymend.products.sentinel1 import open_grd
from skymend.simulate.facets import Terrain
from skymend.simulate.msi import centres
from skymend.simulate.noise import fractal
from skymend.simulate.s1_orbit import earth_fixed, zero_doppler
from skymend.simulate.safe_s1_tables import BETA_NOUGHT
from skymend.simulate.terrain_grd import Survey, look_over, write_terrain_grd

pytestmark = pytest.mark.slow

ORIGIN = (380_000.0, 4_840_000.0)
WHOLE = Grid("EPSG:32631", (10.0, 0.0, ORIGIN[0], 0.0, -10.0, ORIGIN[1]), (420, 420))
AREA = WHOLE.crop(Window(90, 90, 240, 240))
SURVEY = Survey(
    datetime(2021, 5, 4, 6, 0, tzinfo=UTC), 36.0, "DES", noise={"VV": 0.0}, relative_orbit=8
)


class Case:
    """A hilly field with texture, imaged without speckle or noise, VV alone."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(5)
        hills = 60 * fractal(WHOLE.shape, rng, slope=4.2, longest_px=250)
        self.terrain = Terrain(WHOLE, 300.0 + hills.astype(np.float64))
        texture = np.exp(0.8 * fractal(WHOLE.shape, rng, slope=1.6, longest_px=20))
        gamma0 = {"VV": (0.15 * texture).astype(np.float32)}
        (self.path,) = write_terrain_grd(folder, AREA, self.terrain, gamma0, SURVEY, grainless=True)
        self.frame = look_over(AREA, self.terrain, SURVEY).frame
        (self.measurement,) = (self.path / "measurement").glob("*-vv-*")
        product = open_grd(self.path)
        self.numbers = product.dn("VV", Window(0, 0, *self.frame.shape))

    def heights(self):
        return self.terrain.height[90:330, 90:330]

    def nearest(self, shift=0.0):
        """DN of the pixel nearest to each map pixel, by the simulator's own geometry."""
        from rasterio.warp import transform

        x, y = centres(AREA)
        flat = transform(AREA.crs, "EPSG:4326", x.ravel().tolist(), y.ravel().tolist())[:2]
        longitude, latitude = (np.array(a).reshape(x.shape) for a in flat)
        points = earth_fixed(longitude, latitude, self.heights())
        seconds = zero_doppler(self.frame.orbit, points)
        slant = np.linalg.norm(points - self.frame.orbit.at(seconds)[0], axis=-1)
        line, sample = (np.rint(a + shift).astype(int) for a in self.frame.pixel(seconds, slant))
        return self.numbers[
            np.clip(line, 0, self.numbers.shape[0] - 1),
            np.clip(sample, 0, self.numbers.shape[1] - 1),
        ]


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return Case(tmp_path_factory.mktemp("oracle"))


@pytest.mark.skipif(shutil.which("otbcli_OrthoRectification") is None, reason="no Orfeo ToolBox")
def test_orfeo_toolbox_rectifies_it(case, tmp_path):
    write_degrees(case, tmp_path / "dem" / "dem.tif")
    left, _, _, top = AREA.bounds
    out = tmp_path / "ortho.tif"
    options = {
        "io.in": case.measurement, "map": "epsg", "map.epsg.code": 32631, "outputs.mode": "auto",
        "outputs.ulx": left, "outputs.uly": top, "outputs.spacingx": 10, "outputs.spacingy": -10,
        "outputs.sizex": 240, "outputs.sizey": 240, "elev.dem": tmp_path / "dem",
        "opt.gridspacing": 10, "interpolator": "nn",
    }  # fmt: skip
    command = ["otbcli_OrthoRectification", "-io.out", str(out), "uint16"]
    command += [str(w) for name, value in options.items() for w in (f"-{name}", value)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stdout[-400:] + done.stderr[-400:]
    with rasterio.open(out) as dataset:
        found = dataset.read(1)
    # OTB interpolates positions between nodes and heights between the pixels of its model.
    assert (found == case.nearest()).mean() > 0.85
    assert (found == case.nearest(1.0)).mean() < 0.3


def test_sarsen_rectifies_it(case, tmp_path):
    sarsen = pytest.importorskip("sarsen")
    dem, out = tmp_path / "dem.tif", tmp_path / "gtc.tif"
    options = {"driver": "GTiff", "count": 1, "dtype": "float32", "height": 240, "width": 240}
    transform = rasterio.Affine(*AREA.transform)
    with rasterio.open(dem, "w", crs=AREA.crs, transform=transform, **options) as dataset:
        dataset.write(case.heights().astype(np.float32), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        product = sarsen.Sentinel1SarProduct(str(case.path), "IW/VV")
        sarsen.terrain_correction(product, dem_urlpath=str(dem), output_urlpath=str(out))
    with rasterio.open(out) as dataset:
        found = dataset.read(1)
        # Its maps are south-up.
        found = found[::-1] if dataset.transform.e > 0 else found
    wanted = case.nearest().astype(np.float64) ** 2 / BETA_NOUGHT**2
    seen = np.isfinite(found)
    assert seen.mean() > 0.98
    # Both take the nearest pixel; those near the middle between two may differ.
    assert np.isclose(found, wanted, rtol=1e-4)[seen].mean() > 0.9
    assert found[seen].mean() == pytest.approx(wanted[seen].mean(), rel=0.01)


def write_degrees(case, path):
    """Heights above the ellipsoid in degrees: OTB takes them as such without a geoid."""
    from rasterio.transform import from_bounds
    from rasterio.warp import Resampling, reproject, transform_bounds

    bounds = transform_bounds(WHOLE.crs, "EPSG:4326", *WHOLE.bounds)
    transform = from_bounds(*bounds, 420, 420)
    image = np.full((420, 420), 300.0, np.float32)
    reproject(
        case.terrain.height.astype(np.float32),
        image,
        src_transform=rasterio.Affine(*WHOLE.transform),
        src_crs=WHOLE.crs,
        dst_transform=transform,
        dst_crs="EPSG:4326",
        resampling=Resampling.bilinear,
    )
    path.parent.mkdir()
    options = {"driver": "GTiff", "count": 1, "dtype": "float32", "height": 420, "width": 420}
    with rasterio.open(path, "w", crs="EPSG:4326", transform=transform, **options) as dataset:
        dataset.write(image, 1)
