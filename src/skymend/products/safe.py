"""Sentinel-2 L2A products in ESA's SAFE folders.

Reflectance is ``(DN + BOA_ADD_OFFSET) / BOA_QUANTIFICATION_VALUE`` with DN 0 as nodata and
65535 as saturated (Sentinel-2 Products Specification; the offset came with processing baseline
04.00 on 25 January 2022). Both numbers are read from ``MTD_MSIL2A.xml``, never assumed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from skymend.core.encoding import ByteArray
from skymend.core.errors import ProductError
from skymend.core.grid import Grid
from skymend.core.raster import describe
from skymend.products.labels import from_scl
from skymend.products.readers import BandRasters, NamedProduct, accepted, image_of, no_folder
from skymend.products.sampling import Decoding, read_nearest
from skymend.products.sentinel1.markup import parse_xml
from skymend.products.stamps import utc

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

KIND = "safe-l2a"
METADATA = "MTD_MSIL2A.xml"

BAND_IDS = (
    *("B01", "B02", "B03", "B04", "B05", "B06", "B07"),
    *("B08", "B8A", "B09", "B10", "B11", "B12"),
)
"""Band names in the order of ``band_id`` 0 to 12."""

OFFSET_BASELINE = (4, 0)
"""First processing baseline with an offset."""

_NAME = re.compile(
    r"S2([A-D])_MSI(L1C|L2A)_(\d{8}T\d{6})_N(\d{2})(\d{2})_R(\d{3})_T(\d{2}[C-X][A-Z]{2})"
    r"_(\d{8}T\d{6})(?:\.SAFE)?"
)
_IMAGE = re.compile(r"[^.].*_(B\d[0-9A]|SCL)(?:_(10|20|60)m)?\.(?:jp2|tiff?)")
_INVALID = (0.0, 65535.0)
_BASELINE = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,3}))?")
_MAX_METADATA_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class Name:
    """What the name of a SAFE folder says."""

    platform: str
    level: str
    time: datetime
    baseline: tuple[int, int]
    relative_orbit: int
    tile: str
    made: str

    @classmethod
    def parse(cls, name: str) -> Name | None:
        """Return the parts of a folder name, None if it is not one."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        letter, level, stamp, major, minor, orbit, tile, made = match.groups()
        try:
            time = utc(*stamp.split("T"))
        except ValueError:
            return None
        baseline = (int(major), int(minor))
        return cls(f"sentinel-2{letter.lower()}", level, time, baseline, int(orbit), tile, made)


@dataclass(frozen=True, slots=True)
class Form:
    """How a level of product is laid out.

    Parameters
    ----------
    meaning : what its numbers stand for.
    metadata : name of the file of metadata, with the elements of ``offset`` and of
        ``quantification``.
    images : where images lie in the granule, as a pattern.
    example : such a name.
    """

    level: str
    meaning: str
    metadata: str
    offset: str
    quantification: str
    images: str
    example: str

    def refusal(self, path: Path) -> str | None:
        """Say why a path is no product of this level; None if it is one."""
        name = Name.parse(path.name.removesuffix(".zip"))
        if name is None:
            return f"the name is not like {self.example}"
        if name.level != self.level:
            return f"it is a level {name.level} product, and {self.meaning} is {self.level}"
        if (reason := no_folder(path)) is not None:
            return reason
        return None if (path / self.metadata).exists() else f"it holds no {self.metadata}"

    def accept(self, path: Path) -> Name:
        """Return the parts of the name of a product of this level.

        Raises
        ------
        ProductError
            if the path is none.
        """
        return accepted(
            path,
            self.refusal(path),
            Name.parse(path.name),
            expected=f"a Sentinel-2 {self.level} SAFE folder",
            fix=f"give the folder of one {self.level} product",
        )


FORM = Form(
    "L2A",
    "surface reflectance",
    METADATA,
    "BOA_ADD_OFFSET",
    "BOA_QUANTIFICATION_VALUE",
    "IMG_DATA/R*m/*",
    "S2A_MSIL2A_20200219T112111_N0214_R037_T29RKH_...SAFE",
)


def refusal(path: Path) -> str | None:
    """Say why this reader does not take a path; None if it does."""
    return FORM.refusal(path)


def open_product(path: Path) -> SafeProduct:
    """Open a SAFE folder.

    Raises
    ------
    ProductError
        if the path is not one.
    """
    return SafeProduct(path, FORM.accept(path))


@dataclass(frozen=True, slots=True)
class Radiometry:
    """What the metadata say of reflectance: divisor, and offset in DN by band."""

    path: Path
    quantification: float
    offsets: dict[str, float]

    def decoding(self, band: str) -> Decoding:
        """Return how the stored numbers of a band become reflectance.

        Raises
        ------
        ProductError
            if other bands have an offset and this one has not.
        """
        if self.offsets and band not in self.offsets:
            raise lacking(self.path, f"an offset of the band {band}", sorted(self.offsets))
        offset = self.offsets.get(band, 0.0) / self.quantification
        return Decoding(1.0 / self.quantification, offset, _INVALID)


@dataclass(frozen=True)
class SafeFolder(NamedProduct[Name], BandRasters):
    """One Sentinel-2 product of either level; its time is the start of the datatake."""

    form: ClassVar[Form]

    @cached_property
    def granule(self) -> Path:
        """The one granule of the product.

        Raises
        ------
        ProductError
            if there is none, or several as in products before December 2016.
        """
        folders = (p for p in self.path.glob("GRANULE/*") if not p.name.startswith("."))
        found = sorted(p for p in folders if p.is_dir())
        if len(found) != 1:
            raise ProductError(
                where=self.path,
                expected="one granule below GRANULE",
                found=f"{len(found)}",
                fix="fetch the product again, or a reprocessed one of a single tile",
            )
        return found[0]

    @cached_property
    def images(self) -> dict[str, Path]:
        """Finest image of each band, and of SCL, by name."""
        found: dict[str, tuple[int, Path]] = {}
        for path in sorted(self.granule.glob(self.form.images)):
            match = _IMAGE.fullmatch(path.name)
            if match is not None:
                candidate = (int(match.group(2) or 0), path)
                found[match.group(1)] = min(found.get(match.group(1), candidate), candidate)
        return {name: path for name, (_, path) in found.items()}

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands present, sorted."""
        return tuple(sorted(b for b in self.images if b != "SCL"))

    @cached_property
    def radiometry(self) -> Radiometry:
        """Divisor and offsets, from the metadata.

        Raises
        ------
        ProductError
            if the metadata cannot be read, or lack the offset that their baseline demands.
        """
        form = self.form
        return read_radiometry(
            self.path / form.metadata, offset=form.offset, quantification=form.quantification
        )

    def stored(self, band: str) -> tuple[Path, Decoding]:
        """Return the finest image of a band; 0 is nodata and 65535 saturated."""
        return self._image(band), self.radiometry.decoding(band)

    def _image(self, name: str) -> Path:
        return image_of(
            self.images,
            name,
            where=self.path,
            expected=f"an image {name} below GRANULE/*/IMG_DATA",
            fix="ask for bands that the product holds, or fetch it again",
        )


@dataclass(frozen=True)
class SafeProduct(SafeFolder):
    """One Sentinel-2 L2A product."""

    form = FORM

    @property
    def grid(self) -> Grid:
        """Grid of the finest image."""
        # R10m sorts before R20m and R60m.
        finest = min(self.images, key=lambda n: self.images[n].parent.name, default="SCL")
        return describe(self._image(finest)).grid

    def files(self, bands: Sequence[str]) -> tuple[Path, ...]:
        """Return the band images, SCL and the metadata."""
        _ = self.radiometry
        return (*(self._image(b) for b in bands), self._image("SCL"), self.path / METADATA)

    def labels(self, grid: Grid) -> ByteArray:
        """Read the scene classification as labels; it knows the edge of the swath itself."""
        return from_scl(read_nearest(self._image("SCL"), grid))


def read_radiometry(
    path: Path,
    *,
    offset: str = "BOA_ADD_OFFSET",
    quantification: str = "BOA_QUANTIFICATION_VALUE",
) -> Radiometry:
    """Read divisor and offsets from ``MTD_MSIL2A.xml``.

    Parameters
    ----------
    offset, quantification : the elements that hold them; those of ``MTD_MSIL1C.xml`` differ.

    Raises
    ------
    ProductError
        if one is missing or no number, or offsets that the processing baseline demands are.
    """
    texts: dict[str, str] = {}
    offsets: dict[str, float] = {}
    for element in parse_metadata(path).iter():
        # Before baseline 02.07 the divisor of level 2A was called L2A_BOA_QUANTIFICATION_VALUE.
        tag = element.tag.rpartition("}")[2].removeprefix("L2A_")
        text = (element.text or "").strip()
        if tag == offset:
            band = band_of(path, f"{tag} with band_id", element.attrib.get("band_id", ""))
            offsets[band] = _number(path, tag, text)
        elif tag in {quantification, "PROCESSING_BASELINE"}:
            texts[tag] = text
    if len(texts) < 2:
        raise lacking(path, f"{quantification} and PROCESSING_BASELINE", sorted(texts))
    _demand_offsets(path, offset, offsets, texts["PROCESSING_BASELINE"])
    divisor = _number(path, quantification, texts[quantification])
    if divisor <= 0:
        raise lacking(path, f"a positive {quantification}", [f"{divisor:g}"])
    return Radiometry(path, divisor, offsets)


def _demand_offsets(path: Path, tag: str, offsets: dict[str, float], baseline: str) -> None:
    try:
        needed = parse_baseline(baseline) >= OFFSET_BASELINE
    except ValueError:
        raise lacking(path, "a PROCESSING_BASELINE such as 05.09", [repr(baseline[:40])]) from None
    if needed and not offsets:
        raise lacking(
            path,
            f"{tag}, which products have from processing baseline 04.00 on",
            [f"baseline {baseline} without it"],
        )


def band_of(path: Path, what: str, band_id: str) -> str:
    """Return the band of a ``band_id``; ``what`` names the field in the error.

    Raises
    ------
    ProductError
        if it is none of 0 to 12.
    """
    if not re.fullmatch(r"[0-9]{1,2}", band_id) or int(band_id) >= len(BAND_IDS):
        raise lacking(path, f"{what} 0 to 12", [repr(band_id[:40])])
    return BAND_IDS[int(band_id)]


def _number(path: Path, tag: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise lacking(path, f"a number in {tag}", [repr(text[:40])])
    return value


def parse_baseline(text: str) -> tuple[int, int]:
    """Turn a baseline such as ``05.09`` into numbers that compare.

    Raises
    ------
    ValueError
        if the text is no baseline.
    """
    match = _BASELINE.fullmatch(text.strip())
    if match is None:
        raise ValueError(text[:40])
    return int(match[1]), int(match[2] or 0)


def cloud_share(metadata: Path) -> float | None:
    """Return the share 0..1 of cloud in the whole product that its metadata state, if they do.

    Raises
    ------
    ProductError
        if the file cannot be read, or what it states is no share.
    """
    for element in parse_metadata(metadata).iter():
        if element.tag.rpartition("}")[2] == "Cloud_Coverage_Assessment":
            share = _number(metadata, "Cloud_Coverage_Assessment", (element.text or "").strip())
            if not 0 <= share <= 100:
                raise lacking(metadata, "a Cloud_Coverage_Assessment of 0..100", [f"{share:g}"])
            return share / 100
    return None


def parse_metadata(path: Path) -> Element:
    """Parse an XML file of a SAFE folder: bounded in size, without entities.

    Raises
    ------
    ProductError
        if it is missing, too large, not plain or not well-formed.
    """
    if not path.is_file():
        raise lacking(path, "the metadata", ["no such file"])
    if path.stat().st_size > _MAX_METADATA_BYTES:
        raise lacking(path, "metadata below 20 MB", [f"{path.stat().st_size} bytes"])
    return parse_xml(path.read_bytes(), str(path)).element


def lacking(path: Path, expected: str, found: list[str]) -> ProductError:
    """Return the error for metadata that do not say what they must."""
    return ProductError(
        where=path,
        expected=expected,
        found=", ".join(found) or "none of it",
        fix="fetch the product again",
    )
