"""The patch store: one memory-mapped ``.npy`` per key, read in batches at memory speed.

A store is a folder with ``card.json``, one array ``<key>.npy`` per key and the table of
samples ``samples.npy``. It is written once, in a bounded amount of memory, and moved into
place as a whole; the same samples give the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.core.errors import InternalError, ProductError
from skymend.core.files import store_errors, write_text
from skymend.patches.arrays import load_array
from skymend.patches.card import (
    OPTICAL_SCALE,
    RADAR_NODATA,
    RADAR_SCALE_DB,
    SPLITS,
    KeySpec,
    StoreCard,
    read_card,
)

Batch: TypeAlias = dict[str, npt.NDArray[Any]]
Indices: TypeAlias = Sequence[int] | npt.NDArray[np.integer[Any]]

SAMPLES = "samples.npy"
"""File of the table of samples: a structured array, one row per sample."""

FLOOR_DB = -60.0
"""Backscatter at or below this (also zero and negative after noise removal) is stored as it."""

_CHUNK = 1 << 22


def sample_dtype(acquisitions: int) -> np.dtype[Any]:
    """Return the row type of the table of samples.

    ``split`` counts in :data:`~skymend.patches.card.SPLITS`; ``row`` and ``column`` are the
    upper-left pixel of the patch in the grid; ``time`` is the reference time in UTC seconds
    since 1970; ``optical`` and ``radar`` are scene numbers per acquisition of the layout and
    ``donor`` that of the scene that lent its clouds (-1: none).
    """
    return np.dtype(
        [
            ("split", "u1"),
            ("row", "<i4"),
            ("column", "<i4"),
            ("time", "<f8"),
            ("optical", "<i4", (acquisitions,)),
            ("radar", "<i4", (acquisitions,)),
            ("donor", "<i4"),
        ]
    )


def encode_decibel(power: FloatArray) -> npt.NDArray[np.int16]:
    """Encode linear backscatter power as int16 hundredths of a decibel, 10*log10.

    Parameters
    ----------
    power : (...) float32 linear power, NaN where invalid.
    """
    floor = np.float32(10.0 ** (FLOOR_DB / 10.0))
    decibel = np.log10(np.fmax(power, floor), where=~np.isnan(power), out=np.full_like(power, 0))
    stored = np.rint(decibel * np.float32(10.0 / RADAR_SCALE_DB))
    np.clip(stored, RADAR_NODATA + 1, -RADAR_NODATA - 1, out=stored)
    stored[np.isnan(power)] = RADAR_NODATA
    return stored.astype(np.int16)


@cache
def _radar_table(decibel: bool) -> FloatArray:
    """Physical value of each of the 65,536 stored numbers: a look-up beats a power function."""
    stored = np.arange(-32768, 32768, dtype=np.float64) * RADAR_SCALE_DB
    values = stored if decibel else 10.0 ** (stored / 10.0)
    values[0] = np.nan
    table = np.roll(values.astype(np.float32), 32768)
    table.setflags(write=False)
    return table


def decode(
    batch: Mapping[str, npt.NDArray[Any]], card: StoreCard, *, decibel: bool = False
) -> dict[str, npt.NDArray[Any]]:
    """Turn encoded arrays into physical float32, NaN where there is no value.

    Parameters
    ----------
    batch : key -> (samples, rows, columns, bands) as :meth:`PatchStore.batch` returns it.
    card : card of the store.
    decibel : give radar in decibel instead of linear power.

    Returns
    -------
    key -> float32 of the same shape: reflectance 0..1, backscatter linear power (or decibel),
    height in metres; masks come out as bool.
    """
    return {name: _decode(stored, card.key(name), decibel) for name, stored in batch.items()}


def _decode(stored: npt.NDArray[Any], key: KeySpec, decibel: bool) -> npt.NDArray[Any]:
    if key.kind == "mask":
        return stored.astype(bool)
    if key.kind == "radar":
        return np.take(_radar_table(decibel), stored.view(np.uint16))
    values = stored.astype(np.float32)
    if key.kind == "optical":
        values *= np.float32(OPTICAL_SCALE)
    values[stored == key.nodata] = np.nan
    return values


class PatchStore:
    """A patch store opened for reading.

    Parameters
    ----------
    folder : what a :class:`StoreWriter` left.

    Raises
    ------
    ProductError
        if the card or an array is missing, damaged or of another shape than the card says.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.card = read_card(self.folder)
        self._arrays = {key.name: self._open(key) for key in self.card.keys}
        self.samples: npt.NDArray[Any] = load_array(self.folder / SAMPLES, None)
        self._require(SAMPLES, self.samples.shape, (self.card.samples,))
        self._require(SAMPLES, _columns(self.samples.dtype), _columns(sample_dtype(1)))

    def __len__(self) -> int:
        return self.card.samples

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the arrays."""
        return tuple(self._arrays)

    def array(self, key: str) -> npt.NDArray[Any]:
        """Return one whole array, memory-mapped and read-only: (samples, rows, columns, bands)."""
        self.card.key(key)
        return self._arrays[key]

    def split(self, name: str) -> npt.NDArray[np.int64]:
        """Return the sample numbers of ``train``, ``valid`` or ``test``, ascending."""
        if name not in SPLITS:
            raise InternalError(
                where=f"split {name!r}",
                expected=f"one of {', '.join(SPLITS)}",
                found="an unknown split",
                fix="use a split of the store",
            )
        return np.flatnonzero(self.samples["split"] == SPLITS.index(name))

    def batch(self, indices: Indices, keys: Iterable[str] | None = None) -> Batch:
        """Return the samples asked for, in the order asked for, as they are stored.

        Parameters
        ----------
        indices : sample numbers, 0 .. len - 1; may repeat.
        keys : names; all when None.

        Returns
        -------
        key -> (len(indices), rows, columns, bands), freshly allocated.

        Raises
        ------
        InternalError
            if an index is outside the store.
        """
        wanted = np.asarray(indices, np.intp)
        if wanted.size and not 0 <= int(wanted.min()) <= int(wanted.max()) < len(self):
            raise InternalError(
                where="patch store batch",
                expected=f"sample numbers 0 .. {len(self) - 1}",
                found=f"{wanted.min()} .. {wanted.max()}",
                fix="take the numbers from split()",
            )
        names = self._arrays if keys is None else [self.card.key(k).name for k in keys]
        return {name: np.take(self._arrays[name], wanted, axis=0) for name in names}

    def decode(self, batch: Mapping[str, npt.NDArray[Any]], *, decibel: bool = False) -> Batch:
        """Turn a batch into physical values; see :func:`decode`."""
        return decode(batch, self.card, decibel=decibel)

    @property
    def times(self) -> npt.NDArray[np.float64]:
        """Reference time of each sample: (samples,) UTC seconds since 1970."""
        return np.asarray(self.samples["time"], np.float64)

    def verify(self) -> None:
        """Compare the arrays with the hash in the card.

        Raises
        ------
        ProductError
            if a byte of them changed.
        """
        found = data_hash(self.folder, self.card.keys)
        if found != self.card.data_hash:
            raise ProductError(
                where=self.folder,
                expected=f"arrays with the hash {self.card.data_hash[:12]}",
                found=found[:12],
                fix="make the dataset again",
            )

    def _open(self, key: KeySpec) -> npt.NDArray[Any]:
        array = load_array(self.folder / f"{key.name}.npy", "r")
        self._require(f"{key.name}.npy", array.shape, (self.card.samples, *key.shape))
        self._require(f"{key.name}.npy", array.dtype, key.dtype)
        return array

    def _require(self, name: str, found: object, expected: object) -> None:
        if found != expected:
            raise ProductError(
                where=self.folder / name,
                expected=str(expected),
                found=str(found),
                fix="make the dataset again",
            )


def _columns(dtype: np.dtype[Any]) -> dict[str, str]:
    """Return column -> type of one value of a table."""
    return {name: dtype[name].base.str for name in dtype.names or ()}


class StoreWriter:
    """Writes a patch store in a bounded amount of memory; it appears whole or not at all.

    Samples may come in any order and key by key, so that a dataset can be cut scene by scene.

    Parameters
    ----------
    folder : the final folder; must not exist or be empty.
    keys : the arrays.
    samples : the table of samples, one row each, of a :func:`sample_dtype`.

    >>> with StoreWriter(folder, keys, samples) as writer:      # doctest: +SKIP
    ...     writer.write("s2_t", indices, stored)
    ...     writer.finish(card)
    """

    def __init__(self, folder: Path, keys: Sequence[KeySpec], samples: npt.NDArray[Any]) -> None:
        self.folder = folder
        self.keys = {key.name: key for key in keys}
        self.samples = samples
        self.part = folder.with_name(f".{folder.name}.part")
        self._files: dict[str, tuple[int, int]] = {}
        shutil.rmtree(self.part, ignore_errors=True)
        with store_errors(self.part):
            self.part.mkdir(parents=True)
            for key in keys:
                self._files[key.name] = self._create(key)

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._close()
        if self.part.exists():
            shutil.rmtree(self.part, ignore_errors=True)

    def write(self, key: str, indices: Indices, stored: npt.NDArray[Any]) -> None:
        """Write encoded samples.

        Parameters
        ----------
        indices : (n,) sample numbers.
        stored : (n, rows, columns, bands) of the type of the key.
        """
        spec = self.keys[key]
        if stored.shape[1:] != spec.shape or stored.dtype != spec.dtype:
            raise InternalError(
                where=f"patch store key {key}",
                expected=f"(n, {', '.join(map(str, spec.shape))}) {spec.dtype}",
                found=f"{stored.shape} {stored.dtype}",
                fix="encode the samples as the key says",
            )
        descriptor, start = self._files[key]
        size = self._bytes(spec)
        with store_errors(self._work(key)):
            for index, sample in zip(indices, stored, strict=True):
                _write_at(descriptor, sample.tobytes(), start + int(index) * size)

    def read(self, key: str, indices: Indices) -> npt.NDArray[Any]:
        """Read back samples written before, (n, rows, columns, bands)."""
        spec = self.keys[key]
        descriptor, start = self._files[key]
        size = self._bytes(spec)
        parts = [os.pread(descriptor, size, start + int(i) * size) for i in indices]
        return np.frombuffer(b"".join(parts), spec.dtype).reshape(-1, *spec.shape).copy()

    def finish(self, card: StoreCard) -> StoreCard:
        """Write table and card, then move the store into place; return the card with its hash.

        Samples written one by one leave the arrays in small pieces, on the disk and in the page
        cache. One sequential copy of each makes them whole: batches then come as fast as from
        memory (large folios), also from a disk that seeks.
        """
        with store_errors(self.part):
            np.save(self.part / SAMPLES, self.samples, allow_pickle=False)
            self._close()
            digests = {SAMPLES: _digest(self.part / SAMPLES)}
            for name in self.keys:
                digests[f"{name}.npy"] = _copy(self._work(name), self.part / f"{name}.npy")
                self._work(name).unlink()
        keys = tuple(self.keys.values())
        document = {**card.model_dump(), "keys": keys, "data_hash": _total(digests)}
        done = StoreCard.model_validate(document)
        write_text(self.part / "card.json", done.model_dump_json(indent=1) + "\n")
        with store_errors(self.folder):
            os.replace(self.part, self.folder)
        return done

    def _work(self, name: str) -> Path:
        return self.part / f".{name}.work"

    def _create(self, key: KeySpec) -> tuple[int, int]:
        path = self._work(key.name)
        shape = (len(self.samples), *key.shape)
        header = {
            "descr": np.lib.format.dtype_to_descr(key.dtype),
            "fortran_order": False,
            "shape": shape,
        }
        with path.open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, header)
            start = stream.tell()
            stream.truncate(start + self._bytes(key) * len(self.samples))
        return os.open(path, os.O_RDWR), start

    @staticmethod
    def _bytes(key: KeySpec) -> int:
        return int(np.prod(key.shape)) * key.dtype.itemsize

    def _close(self) -> None:
        for descriptor, _ in self._files.values():
            os.close(descriptor)
        self._files = {}


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of ``data``; a disk that fills up may take a part before it says so."""
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)


def _copy(source: Path, goal: Path) -> str:
    """Copy a file in one long sequential write and return its sha256."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, goal.open("wb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _total(digests: Mapping[str, str]) -> str:
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def data_hash(folder: Path, keys: Iterable[KeySpec]) -> str:
    """Return the sha256 over names and contents of the arrays and the table of samples."""
    names = [SAMPLES, *(f"{key.name}.npy" for key in keys)]
    return _total({name: _digest(folder / name) for name in names})
