"""A made pass over hills for the embedded engine, and one way to run it."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from scipy.ndimage import gaussian_filter

from skymend.core.grid import Grid, Window
from skymend.core.raster import read, read_labels
from skymend.sar.embedded import EmbeddedEngine
from skymend.sar.engine import Chain
from skymend.simulate.facets import Terrain
from skymend.simulate.terrain_grd import Survey, write_terrain_grd
from tests.sar_case import positions_lonlat, write_dem

GAMMA0 = {"VV": 0.1, "VH": 0.02}
AREA = Grid("EPSG:32631", (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_800_000.0), (200, 200))
WIDE = AREA.crop(Window(-75, -75, 350, 350))
SURVEY = Survey(datetime(2020, 5, 6, 6, 0, 0, tzinfo=UTC), 38.0, "DES", slices=2)

LITTLE = AREA.crop(Window(0, 0, 100, 100))
LITTLE_WIDE = LITTLE.crop(Window(-40, -40, 180, 180))
ENGINE = EmbeddedEngine()
DARK = replace(SURVEY, slices=1, noise={"VV": 10**-2.4})


def hills(shape, relief, seed=4, smooth=14):
    rng = np.random.default_rng(seed)
    heights = gaussian_filter(rng.standard_normal(shape), smooth)
    return (heights - heights.min()) / (heights.max() - heights.min()) * relief


def make(folder, relief=250.0, survey=SURVEY, gamma0=GAMMA0, wide=WIDE, area=AREA, **options):
    """Products of a pass, and the DEM (geoid heights) they were made from."""
    folder.mkdir(exist_ok=True)
    heights = hills(wide.shape, relief) + 100.0
    longitude, latitude = positions_lonlat(wide)
    from skymend.sar.geoid import read_geoid

    undulation = read_geoid().at(longitude, latitude)
    dem = write_dem(folder / "dem.tif", heights, wide)
    terrain = Terrain(wide, heights + undulation)
    options = {"grainless": True} | options
    return write_terrain_grd(folder, area, terrain, gamma0, survey, **options), dem


def make_little(folder, **options):
    return make(folder, area=LITTLE, wide=LITTLE_WIDE, **options)


def run(products, dem, out, grid=AREA, engine=ENGINE, cpus=1, orbit=None, **chain):
    out.mkdir(exist_ok=True)
    scene = engine.process(
        products, grid, dem, out, chain=Chain(**chain), orbit=orbit, work=out / "work", cpus=cpus
    )
    return scene, read(scene.backscatter), read(scene.incidence), read_labels(scene.state)
