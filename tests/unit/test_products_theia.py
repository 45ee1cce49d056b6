"""THEIA folders, written here as MUSCATE writes them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core.errors import ProductError
from skymend.products import KINDS, Label, detect, open_optical
from skymend.products.theia import Name, refusal
from tests.product_case import GRID, THEIA, theia_folder, write_tif

RNG = np.random.default_rng(5)
RED = RNG.integers(0, 4000, GRID.shape).astype(np.int16)
SWIR = RNG.integers(0, 4000, (12, 15)).astype(np.int16)


@given(
    st.sampled_from("ABCD"),
    st.datetimes(datetime(2015, 6, 23), datetime(2030, 1, 1)),
    st.integers(0, 999),
    st.tuples(st.integers(0, 9), st.integers(0, 99)),
)
def test_names_come_back_as_they_were_made(letter, time, milliseconds, version):
    time = time.replace(microsecond=milliseconds * 1000, tzinfo=UTC)
    stamp = f"{time:%Y%m%d-%H%M%S}-{milliseconds:03d}"
    name = Name.parse(f"SENTINEL2{letter}_{stamp}_L2A_T31UFQ_C_V{version[0]}-{version[1]}")
    assert name == Name(f"sentinel-2{letter.lower()}", time, "31UFQ", version)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("SENTINEL2X_20180601-000000-000_L3A_T31UFQ_D_V1-0", "another level than L2A"),
        ("SENTINEL2A_20181301-105030-123_L2A_T31UFQ_D_V1-8", "is not like"),
        ("holiday", "is not like"),
        (THEIA, "no such folder"),
    ],
)
def test_refusals(tmp_path, name, reason):
    assert reason in refusal(tmp_path / name)


def test_an_archive_is_not_a_folder(tmp_path):
    path = tmp_path / THEIA
    path.write_bytes(b"PK")
    assert "unpack" in refusal(path)


def test_bands_are_read_by_name_in_any_order(tmp_path):
    red = RED.copy()
    red[:5] = -10000
    folder = theia_folder(
        tmp_path,
        bands={"B04": red, "B02": RED, "B11": SWIR, "B8A": SWIR},
        masks={"CLM_R2": np.zeros((12, 15), np.uint8)},
    )
    product = open_optical(folder)
    assert product.bands == ("B02", "B04", "B11", "B8A")
    assert product.time == datetime(2018, 6, 15, 10, 50, 30, 123000, UTC)
    assert (product.platform, product.tile, product.grid) == ("sentinel-2a", "31TFJ", GRID)
    values = product.read(("B11", "B04"), GRID)
    assert values.shape == (2, *GRID.shape)
    expected = np.where(red == -10000, np.nan, red / 10000)
    np.testing.assert_allclose(values[1], expected, atol=1e-7)
    # The mean of an interpolated band moves by its rim only.
    assert abs(values[0].mean() - SWIR.mean() / 10000) < 0.01


def test_only_what_is_asked_for_is_required(tmp_path):
    folder = theia_folder(
        tmp_path, bands={"B04": RED}, masks={"CLM_R1": np.zeros(GRID.shape, np.uint8)}
    )
    product = open_optical(folder)
    assert [p.name.removeprefix(THEIA) for p in product.files(("B04",))] == [
        "_FRE_B4.tif",
        "_CLM_R1.tif",
    ]
    with pytest.raises(ProductError, match=r"expected the band B08 in .*_FRE_B8\.tif, found the"):
        product.files(("B04", "B08"))
    with pytest.raises(ProductError, match="found the bands B04"):
        product.read(("B08",), GRID)


def test_a_folder_without_cloud_mask_is_refused(tmp_path):
    product = open_optical(theia_folder(tmp_path, bands={"B04": RED}, masks={}))
    with pytest.raises(ProductError, match="expected a cloud mask"):
        product.labels(GRID)


def test_nodata_comes_from_the_band_without_edge_mask(tmp_path):
    red = RED.copy()
    red[:, :7] = -10000
    clouds = np.zeros((12, 15), np.uint8)
    clouds[0] = 3
    clouds[1] = 33
    product = open_optical(theia_folder(tmp_path, bands={"B04": red}, masks={"CLM_R2": clouds}))
    labels = product.labels(GRID)
    assert (labels[:, :7] == Label.NODATA).all()
    assert (labels[:2, 7:] == Label.CLOUD).all()
    assert (labels[2:4, 7:] == Label.SHADOW).all()
    assert (labels[4:, 7:] == Label.CLEAR).all()


def test_edge_and_geophysical_masks_count_where_present(tmp_path):
    edge = np.zeros(GRID.shape, np.uint8)
    edge[0] = 1
    surface = np.zeros(GRID.shape, np.uint8)
    surface[1], surface[2] = 1, 4
    masks = {"CLM_R1": np.zeros(GRID.shape, np.uint8), "EDG_R1": edge, "MG2_R1": surface}
    product = open_optical(theia_folder(tmp_path, bands={"B04": RED}, masks=masks))
    labels = product.labels(GRID)
    assert [int(labels[r, 0]) for r in range(4)] == [0, 5, 4, 1]
    assert len(product.files(("B04",))) == 4


def test_fine_mask_wins_over_coarse(tmp_path):
    masks = {
        "CLM_R1": np.zeros(GRID.shape, np.uint8),
        "CLM_R2": np.full((12, 15), 3, np.uint8),
    }
    product = open_optical(theia_folder(tmp_path, bands={"B04": RED}, masks=masks))
    assert (product.labels(GRID) == Label.CLEAR).all()


def test_detect_names_the_reader_and_every_refusal(tmp_path):
    folder = theia_folder(tmp_path, bands={"B04": RED}, masks={})
    found = detect(folder)
    assert found.kind == "theia"
    assert set(found.refusals) == set(KINDS) - {"theia"}
    nothing = detect(tmp_path / "nothing.tif")
    assert nothing.kind is None
    assert "dem: no such file" in nothing.sentence()
    with pytest.raises(ProductError, match="found none of them"):
        open_optical(tmp_path / "nothing.tif")


def test_wrong_kind_is_said(tmp_path):
    dem = write_tif(tmp_path / "dem.tif", np.ones(GRID.shape, np.float32), GRID)
    with pytest.raises(ProductError, match="expected an optical product, found the kind 'dem'"):
        open_optical(dem)
    with pytest.raises(ProductError, match="expected a THEIA L2A folder"):
        open_optical(dem, "theia")


def test_time_is_utc():
    assert Name.parse(THEIA).time.utcoffset() == timedelta(0)
