"""The patch store: round trip, order, hash, refusal of damage, bounded and atomic writing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core.errors import InternalError, ProductError
from skymend.patches.card import KeySpec, StoreCard
from skymend.patches.store import PatchStore, StoreWriter, encode_decibel, sample_dtype

KEYS = (
    KeySpec(name="s2_t", kind="optical", acquisition="t", bands=("B04", "B08"), size=8),
    KeySpec(name="s1_t", kind="radar", acquisition="t", bands=("VV", "VH"), size=8),
    KeySpec(name="dem", kind="dem", bands=("elevation",), size=4, resolution_ratio=2),
    KeySpec(name="usable_target", kind="mask", acquisition="target", bands=("usable",), size=8),
)


def _arrays(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {
        key.name: rng.integers(0, 2 if key.kind == "mask" else 9000, (count, *key.shape)).astype(
            key.dtype
        )
        for key in KEYS
    }


def _write(folder: Path, count: int = 10, order: list[int] | None = None) -> StoreCard:
    samples = np.zeros(count, sample_dtype(2))
    samples["split"] = np.arange(count) % 3
    arrays = _arrays(count)
    splits = {
        n: int((samples["split"] == i).sum()) for i, n in enumerate(("train", "valid", "test"))
    }
    card = StoreCard(keys=KEYS, samples=count, splits=splits, patch_size=8, resolution_m=10.0)
    with StoreWriter(folder, KEYS, samples) as writer:
        for index in order or range(count):
            for name, values in arrays.items():
                writer.write(name, [index], values[[index]])
        return writer.finish(card)


def test_round_trip_gives_samples_in_the_order_asked(tmp_path: Path) -> None:
    _write(tmp_path / "patches")
    store = PatchStore(tmp_path / "patches")
    wanted = [7, 0, 7, 3]
    batch = store.batch(wanted)
    for name, values in _arrays(10).items():
        np.testing.assert_array_equal(batch[name], values[wanted])
    assert len(store) == 10
    assert set(store.batch([1], keys=["dem"])) == {"dem"}


def test_splits_partition_the_samples(tmp_path: Path) -> None:
    _write(tmp_path / "patches")
    store = PatchStore(tmp_path / "patches")
    parts = [store.split(name) for name in ("train", "valid", "test")]
    assert sorted(np.concatenate(parts).tolist()) == list(range(10))
    assert store.card.splits == {"train": 4, "valid": 3, "test": 3}


def test_writing_order_does_not_change_a_byte(tmp_path: Path) -> None:
    one = _write(tmp_path / "a")
    two = _write(tmp_path / "b", order=[9, 3, 1, 0, 2, 8, 7, 4, 6, 5])
    assert one == two
    digests = [
        {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (tmp_path / n).iterdir()}
        for n in "ab"
    ]
    assert digests[0] == digests[1]


def test_hash_notices_one_changed_byte(tmp_path: Path) -> None:
    _write(tmp_path / "patches")
    PatchStore(tmp_path / "patches").verify()
    path = tmp_path / "patches" / "s1_t.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ProductError, match="expected arrays with the hash"):
        PatchStore(tmp_path / "patches").verify()


def test_interrupted_writer_leaves_nothing(tmp_path: Path) -> None:
    samples = np.zeros(2, sample_dtype(1))
    with pytest.raises(RuntimeError), StoreWriter(tmp_path / "patches", KEYS, samples):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["missing", "truncated", "shape", "card", "no card"])
def test_damage_is_refused_in_one_sentence(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "patches"
    _write(folder)
    array, card = folder / "dem.npy", folder / "card.json"
    if damage == "missing":
        array.unlink()
    elif damage == "truncated":
        array.write_bytes(array.read_bytes()[:-10])
    elif damage == "shape":
        np.save(array, np.zeros((10, 3, 3, 1), np.int16))
    elif damage == "card":
        card.write_text(card.read_text().replace('"samples": 10', '"samples": 11'))
    else:
        card.unlink()
    with pytest.raises(ProductError, match="make the dataset again"):
        PatchStore(folder)


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    _write(tmp_path / "patches")
    np.save(tmp_path / "patches" / "dem.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ProductError):
        PatchStore(tmp_path / "patches")


@pytest.mark.parametrize("name", ["../evil", "a/b", "S2", ""])
def test_key_names_cannot_leave_the_folder(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        KeySpec(name=name, kind="mask", bands=("x",), size=1)


def test_unknown_sample_key_or_split(tmp_path: Path) -> None:
    _write(tmp_path / "patches")
    store = PatchStore(tmp_path / "patches")
    with pytest.raises(InternalError, match=r"0 \.\. 9, found 10 \.\. 10"):
        store.batch([10])
    with pytest.raises(InternalError, match="found -1"):
        store.batch([-1])
    with pytest.raises(ProductError, match="usable_target"):
        store.batch([0], keys=["s3"])
    with pytest.raises(InternalError, match="train, valid, test"):
        store.split("dev")


def test_decode_gives_physical_values(tmp_path: Path) -> None:
    _write(tmp_path / "patches")
    store = PatchStore(tmp_path / "patches")
    shape = (1, 1, 1, 2)
    batch = {
        "s2_t": np.array([[[[-10000, 2500]]]], np.int16),
        "s1_t": np.array([[[[-32768, -1000]]]], np.int16),
        "dem": np.array([[[[-32768], [431]]]], np.int16),
        "usable_target": np.array([[[[0], [1]]]], np.uint8),
    }
    out = store.decode(batch)
    assert out["s2_t"].shape == shape
    np.testing.assert_allclose(out["s2_t"].ravel(), [np.nan, 0.25], rtol=1e-6)
    np.testing.assert_allclose(out["s1_t"].ravel(), [np.nan, 0.1], rtol=1e-6)
    np.testing.assert_allclose(out["dem"].ravel(), [np.nan, 431.0])
    assert out["usable_target"].ravel().tolist() == [False, True]
    decibel = store.decode(batch, decibel=True)["s1_t"]
    np.testing.assert_allclose(decibel.ravel(), [np.nan, -10.0], rtol=1e-6)


@given(st.floats(min_value=-59.0, max_value=40.0))
def test_decibels_are_ten_log_ten_to_half_a_hundredth(decibel: float) -> None:
    stored = encode_decibel(np.array([10.0 ** (decibel / 10)], np.float32))
    # half a step of 0.01 dB, and float32 rounding of the power (6e-8 relative, 3e-7 dB).
    assert abs(stored[0] * 0.01 - decibel) <= 0.005 + 1e-4


def test_backscatter_without_a_logarithm() -> None:
    power = np.array([np.nan, 0.0, -0.01, 1.0], np.float32)
    assert encode_decibel(power).tolist() == [-32768, -6000, -6000, 0]
