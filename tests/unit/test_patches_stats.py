"""Statistics of scenes on masks drawn by hand, and their table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skymend.core.cog import write_cog
from skymend.core.encoding import BACKSCATTER, FLAG, LABELS, REFLECTANCE
from skymend.core.errors import GridError, ProductError
from skymend.core.grid import Grid
from skymend.patches.stats import (
    block_sums,
    optical_statistics,
    radar_statistics,
    read_stats,
    write_stats,
)

NOON = datetime(2020, 6, 1, 12, tzinfo=UTC)


def _grid(rows: int, columns: int) -> Grid:
    return Grid("EPSG:32631", (10.0, 0.0, 600_000.0, 0.0, -10.0, 4_900_020.0), (rows, columns))


def _scene(folder: Path, rows: int = 130, columns: int = 200) -> dict[str, np.ndarray]:
    """Two rows and three columns of whole blocks; the rest of the scene is the rim."""
    optical = np.full((2, rows, columns), 0.2, np.float32)
    labels = np.ones((rows, columns), np.uint8)
    hidden = np.zeros((rows, columns), np.uint8)
    optical[0, 0, 0:10] = np.nan  # block (0, 0): 10 pixels without one band
    labels[64:128, 0:32] = 2  # block (1, 0): half cloud
    labels[64:80, 64:128] = 3  # block (1, 1): a quarter shadow
    labels[0:64, 128:192] = 0  # block (0, 2): nothing
    labels[64:128, 128:192] = 4  # block (1, 2): snow is no cloud
    hidden[64:96, 128:192] = 1  # block (1, 2): half hidden
    hidden[64:80, 64:128] = 1  # block (1, 1): hidden where it is shadow anyway
    labels[128:, :] = 2  # the rim belongs to no block
    grid = _grid(rows, columns)
    write_cog(folder / "reflectance.tif", optical, grid, ("B04", "B08"), REFLECTANCE)
    write_cog(folder / "mask.tif", labels[None], grid, ("mask",), LABELS)
    write_cog(folder / "hidden.tif", hidden[None], grid, ("hidden",), FLAG)
    return {"optical": optical, "labels": labels, "hidden": hidden}


def test_shares_of_a_mask_drawn_by_hand(tmp_path: Path) -> None:
    _scene(tmp_path)
    stats = optical_statistics(
        tmp_path / "reflectance.tif",
        tmp_path / "mask.tif",
        hidden=tmp_path / "hidden.tif",
        scene="x",
        time=NOON,
    )
    assert stats.valid_share.tolist() == [
        [pytest.approx(1 - 10 / 4096, abs=1e-7), 1.0, 0.0],
        [1.0, 1.0, 1.0],
    ]
    assert stats.cloud_share.tolist() == [[0, 0, 0], [0.5, 0.25, 0.5]]
    assert stats.hidden_share.tolist() == [[0, 0, 0], [0, 0.25, 0.5]]


def test_without_hidden_pixels(tmp_path: Path) -> None:
    _scene(tmp_path)
    paths = (tmp_path / "reflectance.tif", tmp_path / "mask.tif")
    stats = optical_statistics(*paths, scene="x", time=NOON)
    assert stats.cloud_share[1].tolist() == [0.5, 0.25, 0]
    assert not stats.hidden_share.any()


@settings(max_examples=25, deadline=None)
@given(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=200), st.integers(0, 2**31))
def test_block_sums_equal_sums_one_by_one(shape, seed) -> None:
    flags = np.random.default_rng(seed).random(shape) < 0.7
    sums = block_sums(flags)
    assert sums.shape == (shape[0] // 64, shape[1] // 64)
    for row, column in np.ndindex(sums.shape):
        block = flags[64 * row : 64 * row + 64, 64 * column : 64 * column + 64]
        assert sums[row, column] == np.count_nonzero(block)


def test_a_scene_of_many_strips_is_that_of_one(tmp_path: Path) -> None:
    rows, columns = 64 * 19 + 7, 64 * 2
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, (rows, columns)).astype(np.uint8)
    optical = np.full((1, rows, columns), 0.1, np.float32)
    grid = _grid(rows, columns)
    write_cog(tmp_path / "reflectance.tif", optical, grid, ("B04",), REFLECTANCE)
    write_cog(tmp_path / "mask.tif", labels[None], grid, ("mask",), LABELS)
    paths = (tmp_path / "reflectance.tif", tmp_path / "mask.tif")
    stats = optical_statistics(*paths, scene="x", time=NOON)
    cloudy = block_sums((labels == 2) | (labels == 3)) / 4096
    np.testing.assert_array_equal(stats.cloud_share, cloudy)
    np.testing.assert_array_equal(stats.valid_share, block_sums(labels != 0) / 4096)


def test_radar_is_invalid_where_a_polarisation_is_missing_or_zero(tmp_path: Path) -> None:
    power = np.full((2, 64, 128), 0.1, np.float32)
    power[1, 3, 4] = np.nan
    power[0, 5, 6] = 0.0
    write_cog(tmp_path / "backscatter.tif", power, _grid(64, 128), ("VV", "VH"), BACKSCATTER)
    stats = radar_statistics(
        tmp_path / "backscatter.tif",
        scene="s1",
        time=NOON,
        relative_orbit=37,
        direction="ascending",
    )
    assert (1 - stats.valid_share).tolist() == [[pytest.approx(2 / 4096), 0]]
    assert stats.sensor == "radar"
    assert not stats.cloud_share.any()


def test_table_round_trip_and_same_bytes(tmp_path: Path) -> None:
    _scene(tmp_path)
    paris = NOON.astimezone(timezone(timedelta(hours=2)))
    paths = (tmp_path / "reflectance.tif", tmp_path / "mask.tif")
    stats = optical_statistics(*paths, scene="x", time=paris)
    write_stats(tmp_path / "a.parquet", stats)
    write_stats(tmp_path / "b.parquet", stats)
    again = read_stats(tmp_path / "a.parquet")
    assert (again.scene, again.sensor, again.time) == ("x", "optical", NOON)
    assert again.time.utcoffset() == timedelta(0)
    assert (again.relative_orbit, again.direction) == (None, None)
    for name in ("valid_share", "cloud_share", "hidden_share"):
        np.testing.assert_array_equal(getattr(again, name), getattr(stats, name))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert again.seconds == NOON.timestamp()


def test_many_tables_are_one_dataset(tmp_path: Path) -> None:
    import pyarrow.dataset as ds

    _scene(tmp_path)
    (tmp_path / "tables").mkdir()
    paths = (tmp_path / "reflectance.tif", tmp_path / "mask.tif")
    for i in range(3):
        stats = optical_statistics(*paths, scene=f"x{i}", time=NOON + timedelta(days=i))
        write_stats(tmp_path / "tables" / f"{i}.parquet", stats)
    table = ds.dataset(tmp_path / "tables").to_table(filter=ds.field("cloud_share") > 0.3)
    assert table["scene"].to_pylist() == ["x0", "x1", "x2"]
    assert table["row"].to_pylist() == [1, 1, 1]


@pytest.mark.parametrize("content", [None, b"", b"PAR1 and nothing else", "other"])
def test_files_that_are_no_table_are_refused(tmp_path: Path, content) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "stats.parquet"
    if content == "other":
        pq.write_table(pa.table({"a": [1]}), path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ProductError, match="a table of patch statistics"):
        read_stats(path)


def test_rasters_on_different_grids_are_refused(tmp_path: Path) -> None:
    _scene(tmp_path)
    (tmp_path / "other").mkdir()
    _scene(tmp_path / "other", rows=140)
    with pytest.raises(GridError, match=r"mask\.tif"):
        optical_statistics(
            tmp_path / "reflectance.tif", tmp_path / "other" / "mask.tif", scene="x", time=NOON
        )


def test_areas_smaller_than_a_block_are_refused(tmp_path: Path) -> None:
    power = np.ones((1, 40, 80), np.float32)
    write_cog(tmp_path / "s1.tif", power, _grid(40, 80), ("VV",), BACKSCATTER)
    with pytest.raises(GridError, match="at least 64 x 64"):
        radar_statistics(tmp_path / "s1.tif", scene="x", time=NOON)
