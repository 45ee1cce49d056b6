"""Calibration and thermal noise annotation: look-up tables over lines and samples.

Sentinel-1 Product Specification (S1-RS-MDA-52-7441), sections 6.4 (calibration) and 6.5 (noise).
Before IPF 2.9 the noise file holds ``noiseVectorList`` (range only), from then on
``noiseRangeVectorList`` and ``noiseAzimuthVectorList``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from skymend.products.sentinel1.markup import Doubles, Node, increasing, parse_xml

Quantity = Literal["beta0", "sigma0", "gamma0"]

_TAGS: dict[str, Quantity] = {
    "betaNought": "beta0",
    "sigmaNought": "sigma0",
    "gamma": "gamma0",
}


@dataclass(frozen=True, slots=True)
class RangeTable:
    """A quantity given along range on some lines.

    Parameters
    ----------
    lines : (vectors,) float64, rising; may reach beyond the image.
    pixels, values : for each vector, (samples,) float64; pixels rise.
    """

    lines: Doubles
    pixels: tuple[Doubles, ...]
    values: tuple[Doubles, ...]

    def at_pixels(self, pixels: Doubles) -> Doubles:
        """Return (vectors, len(pixels)): every vector interpolated linearly along range."""
        rows = zip(self.pixels, self.values, strict=True)
        return np.stack([np.interp(pixels, p, v) for p, v in rows])


@dataclass(frozen=True, slots=True)
class AzimuthBlock:
    """Thermal noise along azimuth in one part of the image (one sub-swath).

    Parameters
    ----------
    first_line, last_line, first_pixel, last_pixel : both included.
    lines, values : (samples,) float64; lines rise.
    """

    first_line: int
    last_line: int
    first_pixel: int
    last_pixel: int
    lines: Doubles
    values: Doubles


@dataclass(frozen=True, slots=True)
class Noise:
    """Thermal noise in DN squared.

    Parameters
    ----------
    range_table : noise along range; None where the file has none (the noise cannot be removed).
    azimuth : factors along azimuth; empty before IPF 2.9.
    zero : every number along range is zero, as in some early products.
    """

    range_table: RangeTable | None
    azimuth: tuple[AzimuthBlock, ...] = ()
    zero: bool = False

    @property
    def usable(self) -> bool:
        """Whether there is any noise to remove."""
        return self.range_table is not None and not self.zero

    @property
    def layout(self) -> str:
        """``range-azimuth``, ``range`` or ``none``."""
        if self.range_table is None:
            return "none"
        return "range-azimuth" if self.azimuth else "range"


@dataclass(frozen=True, slots=True)
class Calibration:
    """Calibration tables A of ``power = DN^2 / A^2``, by quantity, and the absolute constant."""

    constant: float
    tables: dict[Quantity, RangeTable]


def parse_calibration(content: bytes, where: str) -> Calibration:
    """Parse a calibration annotation.

    Raises
    ------
    ProductError
        if a table is missing, ragged or not positive.
    """
    root = parse_xml(content, where)
    vectors = list(root.get("calibrationVectorList").children("calibrationVector"))
    tables = {name: _table(root, vectors, tag) for tag, name in _TAGS.items()}
    for name, table in tables.items():
        if min(v.min() for v in table.values) <= 0:
            raise root.error(f"positive calibration numbers for {name}", "zero or less")
    constant = root.number("calibrationInformation/absoluteCalibrationConstant")
    return Calibration(constant, tables)


def parse_noise(content: bytes, where: str) -> Noise:
    """Parse a noise annotation of either layout.

    Absent vectors give a table of None, vectors of zeros give ``zero``; both are the processor's
    way to say nothing, not damage.
    """
    root = parse_xml(content, where)
    tag, vectors = "noiseRangeLut", _vectors(root, "noiseRangeVectorList", "noiseRangeVector")
    if not vectors:
        tag, vectors = "noiseLut", _vectors(root, "noiseVectorList", "noiseVector")
    if not vectors:
        return Noise(None)
    table = _table(root, vectors, tag)
    if min(v.min() for v in table.values) < 0:
        raise root.error("noise of zero or more", "negative numbers")
    zero = max(v.max() for v in table.values) == 0
    blocks = _vectors(root, "noiseAzimuthVectorList", "noiseAzimuthVector")
    return Noise(table, tuple(_azimuth_block(n) for n in blocks), zero)


def _vectors(root: Node, list_tag: str, tag: str) -> list[Node]:
    found = root.find(list_tag)
    return [] if found is None else list(found.children(tag))


def _table(root: Node, vectors: Sequence[Node], tag: str) -> RangeTable:
    lines = np.array([v.number("line") for v in vectors], np.float64)
    pixels = tuple(v.numbers("pixel") for v in vectors)
    values = tuple(v.numbers(tag) for v in vectors)
    ragged = any(p.size != v.size or p.size < 2 for p, v in zip(pixels, values, strict=True))
    if not vectors or ragged or not increasing(lines) or not all(map(increasing, pixels)):
        raise root.error(f"vectors of {tag}, one number a pixel, rising", "ragged or unsorted ones")
    return RangeTable(lines, pixels, values)


def _azimuth_block(node: Node) -> AzimuthBlock:
    lines, values = node.numbers("line"), node.numbers("noiseAzimuthLut")
    if lines.size != values.size or lines.size < 1 or not increasing(lines):
        raise node.error("one azimuth noise number a line, rising", "ragged or unsorted ones")
    if values.min() < 0:
        raise node.error("azimuth noise of zero or more", "negative numbers")
    return AzimuthBlock(
        node.whole("firstAzimuthLine"),
        node.whole("lastAzimuthLine"),
        node.whole("firstRangeSample"),
        node.whole("lastRangeSample"),
        lines,
        values,
    )


def azimuth_factor(
    blocks: Sequence[AzimuthBlock],
    lines: npt.NDArray[np.int64],
    pixels: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """Return (lines, pixels) float32 azimuth noise factors; 1 outside every block."""
    factor = np.ones((lines.size, pixels.size), np.float32)
    for block in blocks:
        rows = np.flatnonzero((lines >= block.first_line) & (lines <= block.last_line))
        columns = np.flatnonzero((pixels >= block.first_pixel) & (pixels <= block.last_pixel))
        if rows.size and columns.size:
            along = np.interp(lines[rows], block.lines, block.values).astype(np.float32)
            factor[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = along[:, None]
    return factor
