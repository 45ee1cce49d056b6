"""The CRC of POSIX ``cksum`` (IEEE Std 1003.1, ``cksum``), which MODIS descriptions state."""

from __future__ import annotations

import zlib
from pathlib import Path

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_BLOCK = 2**20


def of_file(path: Path) -> int:
    """Return the CRC of a file, 0..2^32-1."""
    crc, size = _START, 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            crc = _more(crc, block)
            size += len(block)
    return _end(crc, size)


def of_bytes(content: bytes) -> int:
    """Return the CRC of bytes."""
    return _end(_more(_START, content), len(content))


_START = 0xFFFFFFFF
"""zlib begins with all ones where POSIX begins with zeros; this cancels it."""


def _more(crc: int, content: bytes) -> int:
    """Both use the polynomial 0x04C11DB7, zlib from the other end of each byte."""
    return zlib.crc32(content.translate(_REVERSED), crc)


def _end(crc: int, size: int) -> int:
    """Add the length, lowest byte first and without leading zeros, and turn the CRC round."""
    length = size.to_bytes((size.bit_length() + 7) // 8, "little")
    return int(f"{_more(crc, length):032b}"[::-1], 2)
