"""OTB on the real annotation over Rome: a made backscatter in, found where geometry puts it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from skymend.core.grid import Grid, Window
from skymend.core.raster import describe, read
from skymend.sar.doppler import zero_doppler
from skymend.sar.engine import Chain
from skymend.sar.otb import OtbEngine
from tests.engine_case import make_dem
from tests.sar_case import (
    copy_safe,
    image_and_track,
    positions,
    rome,
    tables,
    to_dn,
    write_dn,
)

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("otbcli_SARCalibration") is None, reason="otb-bin is not installed"
    ),
]

HEIGHT_M = 50.0


def test_a_chessboard_over_rome(shared_data, tmp_path):
    """The whole frame, 26,102 x 16,705, through calibration, noise and orthorectification."""
    safe = copy_safe(rome(shared_data), tmp_path / "in")
    tile = Grid.from_mgrs("33TTG")
    grid = tile.crop(Window(4600, 9100, 300, 400))
    image, track = image_and_track(safe, residual_bistatic=False)
    points, _ = positions(grid, np.full(grid.shape, HEIGHT_M))
    seconds, slant, _ = zero_doppler(points, track)
    line, sample = image.line(seconds, slant), image.sample(seconds, slant)
    window = Window(
        int(line.min()) - 50,
        int(sample.min()) - 50,
        int(np.ptp(line)) + 100,
        int(np.ptp(sample)) + 100,
    )
    a, noise = tables(safe, window)
    board = np.add.outer(np.arange(window.rows) // 40, np.arange(window.columns) // 40) % 2
    beta0 = 0.05 + 0.2 * board
    write_dn(safe, to_dn(beta0, a, noise), window)
    for folder in ("out", "work"):
        (tmp_path / folder).mkdir()
    scene = OtbEngine().process(
        [safe],
        grid,
        make_dem(tmp_path, tile, HEIGHT_M),
        tmp_path / "out",
        chain=Chain(convention="beta0", resampling="nearest"),
        work=tmp_path / "work",
        cpus=2,
    )
    assert describe(scene.backscatter).grid == grid
    (image_file,) = (tmp_path / "work" / "s1tiling").rglob("*.tif")
    assert image_file.name == "s1b_33TTG_vv_DES_022_20211223t051122_beta.tif"
    power = read(scene.backscatter)[0]
    assert np.isfinite(power).all()
    row, column = (np.rint(v).astype(int) for v in (line - window.row, sample - window.column))
    expected = beta0[row, column]
    # Fields of 40 x 40 pixels: a shift of half a pixel would spoil 1.3 % of them. The level of
    # each is that of the look-up tables, but for 3 % of noise and the rounding of DN.
    assert (np.abs(power / expected - 1) < 0.03).mean() > 0.995
    assert not any(p.suffix == ".tif" for p in (tmp_path / "work").iterdir())
