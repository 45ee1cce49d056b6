"""Bands read by several threads: the same numbers, the first error, bounded memory."""

import threading
import time

import numpy as np
import pytest

from skymend.core.errors import ProductError
from skymend.core.grid import Grid
from skymend.products.planes import BLOCK, _threads, blocks, read_planes
from skymend.products.toa import open_toa
from skymend.simulate.cloud_scene import cloud_scene
from skymend.simulate.safe_s2 import write_l1c
from skymend.simulate.toa_series import scene_granule

GRID = Grid("EPSG:32631", (20.0, 0.0, 3e5, 0.0, -20.0, 4.9e6), (BLOCK + 300, 2 * BLOCK + 1))


class Corners:
    """A product whose pixels say where they lie; remembers how many threads read at once."""

    def __init__(self, *, broken=()):
        self.broken = broken
        self.lock = threading.Lock()
        self.now = self.most = 0

    def read(self, bands, grid):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.02)
        with self.lock:
            self.now -= 1
        if (bands[0], grid.transform[2]) in self.broken:
            raise ProductError(where=bands[0], expected="a band", found="none", fix="fetch it")
        rows, columns = grid.shape
        down = (GRID.transform[5] - grid.transform[5]) / 20 + np.arange(rows)
        along = (grid.transform[2] - GRID.transform[2]) / 20 + np.arange(columns)
        plane = int(bands[0][1:]) * 1e7 + down[:, None] * 3000 + along
        return plane[None]


def test_every_pixel_of_every_band_is_in_its_place():
    product = Corners()
    planes = read_planes(product, ("B1", "B2"), GRID, lambda v: v, np.float64, cpus=3)
    rows, columns = GRID.shape
    where = np.arange(rows)[:, None] * 3000 + np.arange(columns)
    np.testing.assert_array_equal(planes[1] - planes[0], 1e7)
    np.testing.assert_array_equal(planes[0], 1e7 + where)
    assert 2 <= product.most <= 3


def test_blocks_cover_the_grid_once():
    seen = np.zeros(GRID.shape, int)
    for window, part in blocks(GRID):
        seen[window.slices] += 1
        assert part.shape == (window.rows, window.columns)
    assert (seen == 1).all()


def test_the_first_error_in_order_is_the_one_told():
    left = GRID.transform[2]
    product = Corners(broken={("B1", left + 20 * BLOCK), ("B2", left)})
    with pytest.raises(ProductError, match="B1"):
        read_planes(product, ("B1", "B2"), GRID, lambda v: v, np.float32, cpus=4)


@pytest.mark.parametrize(("resolution", "threads"), [(10.0, 16), (20.0, 16), (60.0, 3)])
def test_few_blocks_are_held_where_each_averages_many_pixels(resolution, threads):
    assert _threads(GRID.at_resolution(resolution), 16) == threads


def test_jpeg_2000_decoded_by_threads_is_the_same(tmp_path):
    scene = cloud_scene(4, size_px=120)
    product = open_toa(write_l1c(tmp_path, scene_granule(scene)))
    grid = product.grid(20.0)
    one, three = (
        read_planes(product, product.bands, grid, lambda v: v, np.float32, cpus=n) for n in (1, 3)
    )
    np.testing.assert_array_equal(one, three)
    np.testing.assert_array_equal(one, product.read(product.bands, grid))
