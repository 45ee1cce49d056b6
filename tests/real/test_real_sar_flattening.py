"""Terrain flattening in the frame of a real product, on mountains integrated by facets of 5 m."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from skymend.core.grid import Grid, Window
from skymend.core.raster import read, read_labels
from skymend.sar.embedded import EmbeddedEngine
from skymend.sar.engine import SHADOW, Chain
from skymend.sar.geoid import read_geoid
from skymend.sar.nodes import illuminated_area, locate_nodes
from skymend.sar.terrain import Terrain
from tests.sar_case import (
    copy_safe,
    image_and_track,
    integrate_facets,
    rome,
    tables,
    to_dn,
    write_dem,
    write_dn,
)

pytestmark = [pytest.mark.real, pytest.mark.slow]

GAMMA0 = 0.1
DEM = Grid("EPSG:32633", (30.0, 0.0, 360_000.0, 0.0, -30.0, 4_650_000.0), (260, 260))
FINE = Grid("EPSG:32633", (5.0, 0.0, 360_600.0, 0.0, -5.0, 4_649_400.0), (1320, 1320))
GRID = Grid("EPSG:32633", (10.0, 0.0, 361_800.0, 0.0, -10.0, 4_648_200.0), (420, 420))
BRIGHT = 100.0
"""The made image is this many times too bright, so that whole numbers DN do not show."""


@pytest.fixture(scope="module", params=[600.0, 1100.0])
def mountains(request, shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mountains")
    safe = copy_safe(rome(shared_data), folder)
    heights = gaussian_filter(np.random.default_rng(3).standard_normal(DEM.shape), 12)
    heights = (heights - heights.min()) / (heights.max() - heights.min()) * request.param
    dem = write_dem(folder / "dem.tif", heights, DEM)
    x = (FINE.transform[2] + 5 * (np.arange(FINE.shape[1]) + 0.5) - DEM.transform[2]) / 30 - 0.5
    y = (DEM.transform[5] - FINE.transform[5] + 5 * (np.arange(FINE.shape[0]) + 0.5)) / 30 - 0.5
    fine = map_coordinates(heights, np.meshgrid(y, x, indexing="ij"), order=1)
    facets = integrate_facets(safe, FINE, fine)
    a = tables(safe, facets.window)[0]
    write_dn(safe, to_dn(GAMMA0 * facets.area * BRIGHT, a, 0), facets.window)
    return safe, dem, facets


def process(mountains, out, convention):
    out.mkdir()
    chain = Chain(convention=convention, remove_thermal_noise=False, remove_border_noise=False)
    safe, dem, _ = mountains
    scene = EmbeddedEngine().process([safe], GRID, dem, out, chain=chain, work=out / "work")
    return read(scene.backscatter)[0] / BRIGHT, read(scene.incidence)[0], read_labels(scene.state)


def test_means_over_local_incidence_are_level(mountains, tmp_path):
    flat, incidence, state = process(mountains, tmp_path / "flat", "gamma0-flattened")
    sigma0, _, _ = process(mountains, tmp_path / "sigma", "sigma0")
    good = (state == 0) & np.isfinite(flat)
    assert good.mean() > 0.7
    means, plain = [], []
    for low in range(0, 90, 5):
        inside = good & (incidence >= low) & (incidence < low + 5)
        if inside.sum() >= 2000:
            means.append(10 * np.log10(flat[inside].mean() / GAMMA0))
            plain.append(10 * np.log10(sigma0[inside].mean()))
    assert max(plain) - min(plain) > 3
    assert max(means) - min(means) < 0.3
    assert np.abs(means).max() < 0.3


def test_area_is_conserved_within_a_hundredth(mountains):
    """Our area image against that of the facets, summed; and the plane the facets tile."""
    _, _, facets = mountains
    inner = Window(150, 150, facets.window.rows - 300, facets.window.columns - 300)
    # Signed area of the facets in the slant plane: every radar pixel is tiled once.
    assert facets.beta[inner.slices].mean() == pytest.approx(1, abs=0.01)
    ours = area_of(mountains)[inner.slices]
    assert ours.sum() == pytest.approx(facets.area[inner.slices].sum(), rel=0.01)
    # beta0 times the area it refers to comes back: gamma0 times the illuminated area.
    beta0 = GAMMA0 * facets.area[inner.slices]
    gamma0 = beta0 / np.maximum(ours, 0.02)
    assert (gamma0 * ours).sum() == pytest.approx(beta0.sum(), rel=0.01)


def area_of(mountains):
    """The engine's area image in the window of the facets."""
    safe, dem, facets = mountains
    wide = Grid("EPSG:32633", (10.0, 0.0, 360_300.0, 0.0, -10.0, 4_649_700.0), (720, 720))
    heights = Terrain.open(dem, wide).heights(wide)
    image, track = image_and_track(safe)
    nodes = locate_nodes(wide, heights, image, track, read_geoid(), facets.window)
    hidden = (nodes.state(heights) & SHADOW) > 0
    whole = Window(0, 0, facets.window.rows, facets.window.columns)
    return illuminated_area(nodes, hidden, whole)
