"""Digests of files: how they are written down, and how they are computed in a stream."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from skymend.core.errors import ProductError

_LENGTHS = {
    "blake3": 32,
    "sha512": 64,
    "sha256": 32,
    "sha3-256": 32,
    "sha1": 20,
    "md5": 16,
    "crc32": 4,
}
"""Bytes of each digest, the most trustworthy (and at equal trust the fastest) first."""

_MULTIHASH = {0x11: "sha1", 0x12: "sha256", 0x13: "sha512", 0x16: "sha3-256", 0x1E: "blake3"}
_MULTIHASH[0xD5] = "md5"


class Hash(Protocol):
    """A digest being computed."""

    def update(self, data: memoryview, /) -> object:
        """Take in more bytes."""

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far, lower-case hexadecimal."""


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest that a provider states for a file.

    Parameters
    ----------
    algorithm : ``md5``, ``sha1``, ``sha256``, ``sha512``, ``sha3-256``, ``blake3`` or ``crc32``.
    value : hexadecimal, of the length of the algorithm; kept in lower case.

    Raises
    ------
    ProductError
        if the algorithm is unknown or the value is not such a digest.
    """

    algorithm: str
    value: str

    def __post_init__(self) -> None:
        algorithm = _canonical(self.algorithm)
        value = self.value.strip().lower()
        object.__setattr__(self, "algorithm", algorithm)
        object.__setattr__(self, "value", value)
        if algorithm not in _LENGTHS:
            raise _malformed(self.algorithm, f"one of {', '.join(_LENGTHS)}")
        if len(value) != 2 * _LENGTHS[algorithm] or set(value) - set("0123456789abcdef"):
            wanted = f"{2 * _LENGTHS[algorithm]} hexadecimal digits for {algorithm}"
            raise _malformed(self.value, wanted)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read ``algorithm:value``, such as ``md5:d41d8cd98f00b204e9800998ecf8427e``."""
        algorithm, colon, value = text.partition(":")
        if not colon:
            raise _malformed(text, "a digest such as md5:d41d8cd9...")
        return cls(algorithm, value)

    @classmethod
    def from_multihash(cls, text: str) -> Digest:
        """Read a multihash in hexadecimal, as in ``file:checksum`` of the STAC file extension.

        A multihash is the code of the algorithm and the length of the digest, both as
        unsigned variable-length integers, then the digest (multiformats, table multicodec).
        """
        try:
            raw = bytes.fromhex(text)
            code, rest = _varint(raw)
            length, value = _varint(rest)
        except (ValueError, IndexError):
            raise _malformed(text, "a multihash in hexadecimal") from None
        if code not in _MULTIHASH:
            raise _malformed(text, "a multihash of md5, sha1, sha2, sha3-256 or blake3")
        if length != len(value):
            raise _malformed(text, f"a multihash with {length} bytes of digest")
        return cls(_MULTIHASH[code], value.hex())


def _canonical(name: str) -> str:
    """Return our name of an algorithm: providers write SHA-256, SHA256, sha2-256, BLAKE3, ..."""
    plain = name.strip().lower().replace("_", "-")
    other = {"sha-1": "sha1", "sha3256": "sha3-256", "sha3": "sha3-256", "crc-32": "crc32"}
    for bits in ("256", "512"):
        other[f"sha-{bits}"] = other[f"sha2-{bits}"] = f"sha{bits}"
    return other.get(plain, plain)


def _varint(raw: bytes) -> tuple[int, bytes]:
    number = shift = position = 0
    while True:
        byte = raw[position]
        number |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return number, raw[position:]


def _malformed(text: str, expected: str) -> ProductError:
    return ProductError(
        where="checksum",
        expected=expected,
        found=repr(text[:80]),
        fix="report the answer to its provider; without a checksum only the size can be checked",
    )


def known(algorithm: str) -> bool:
    """Say whether digests of an algorithm, in any spelling, can be computed here."""
    return _canonical(algorithm) in _LENGTHS


def strongest(digests: Iterable[Digest]) -> Digest | None:
    """Return the digest to check among several of one file, None without any."""
    order = list(_LENGTHS)
    return min(digests, key=lambda digest: order.index(digest.algorithm), default=None)


def start(algorithm: str) -> Hash:
    """Begin to compute a digest."""
    if algorithm == "crc32":
        return _Crc32()
    if algorithm == "blake3":
        from blake3 import blake3

        hasher: Hash = blake3()
        return hasher
    make: Callable[[], Hash] = {
        "md5": lambda: hashlib.md5(usedforsecurity=False),
        "sha1": lambda: hashlib.sha1(usedforsecurity=False),
        "sha256": hashlib.sha256,
        "sha512": hashlib.sha512,
        "sha3-256": hashlib.sha3_256,
    }[algorithm]
    return make()


class _Crc32:
    """CRC-32 of zip archives, with the face of a hash."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: memoryview, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"
