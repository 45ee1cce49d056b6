"""Landsat 8 and 9: level 1 of Collections 1 and 2, and level 2 of Collection 2.

Top-of-atmosphere reflectance is ``(REFLECTANCE_MULT * Q + REFLECTANCE_ADD) / sin(SUN_ELEVATION)``
and brightness temperature ``K2 / ln(K1 / (RADIANCE_MULT * Q + RADIANCE_ADD) + 1)`` (Landsat 8
Data Users Handbook, LSDS-1574, section 5). Surface reflectance of level 2 is ``2.75e-5 Q - 0.2``
(LSDS-1619), read from the metadata. Q 0 is fill. Bands go by the sensor's names, B1 to B11.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from skymend.core.encoding import ByteArray, FloatArray
from skymend.core.errors import ProductError
from skymend.core.grid import Grid
from skymend.core.raster import describe
from skymend.products.landsat_labels import from_bqa, from_qa_pixel
from skymend.products.landsat_metadata import Metadata
from skymend.products.readers import BandRasters, image_of, no_folder
from skymend.products.sampling import Decoding, read_continuous, read_nearest
from skymend.products.toa import Angles, Sensor

KIND = "landsat-l1"
SURFACE_KIND = "landsat-c2-l2"

_NAME = re.compile(
    r"L([CO])0([89])_(L1TP|L1GT|L1GS|L2SP|L2SR)_(\d{6})_(\d{8})_(\d{8})_(\d{2})_(RT|T1|T2)"
)
_BAND_FILE = re.compile(r"_(?:SR_)?(B\d{1,2})\.(?:TIF|tif)$")
_REFLECTIVE = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B9")
"""Bands at 30 m that have a reflectance; B8 is panchromatic on a lattice of its own."""

_THERMAL = "B10"
_FILL = (0.0,)
_FIX = "fetch the product again, unpacked"


def refusal(path: Path) -> str | None:
    """Say why the level-1 reader does not take a path; None if it does."""
    return _refusal(path, "L1")


def surface_refusal(path: Path) -> str | None:
    """Say why the level-2 reader does not take a path; None if it does."""
    return _refusal(path, "L2")


def _refusal(path: Path, level: str) -> str | None:
    match = _NAME.match(path.name)
    if match is None:
        return "the name is not like LC08_L1TP_016037_20170813_20170814_01_RT"
    if not match.group(3).startswith(level):
        return f"it is a product of {match.group(3)}, not of level {level}"
    if (reason := no_folder(path)) is not None:
        return reason
    if not any(path.glob("*_MTL.*")):
        return "it holds no *_MTL.txt, .json or .xml"
    return None


def open_product(path: Path) -> LandsatToa:
    """Open a level-1 folder.

    Raises
    ------
    ProductError
        if the path is not one.
    """
    if (reason := refusal(path)) is not None:
        raise _unfit(path, "a Landsat 8 or 9 level-1 folder", reason)
    return LandsatToa(path)


def open_surface(path: Path) -> LandsatSurface:
    """Open a level-2 folder of Collection 2.

    Raises
    ------
    ProductError
        if the path is not one.
    """
    if (reason := surface_refusal(path)) is not None:
        raise _unfit(path, "a Landsat 8 or 9 level-2 folder", reason)
    return LandsatSurface(path)


@dataclass(frozen=True)
class _Folder(BandRasters):
    """What both levels share: names, files, grid and quality band."""

    path: Path

    @property
    def id(self) -> str:
        """The name of the folder."""
        return self.path.name

    @cached_property
    def metadata(self) -> Metadata:
        """The fields of the metadata file."""
        return Metadata.of(self.path)

    @property
    def time(self) -> datetime:
        """Time of the scene's centre, UTC."""
        return self.metadata.time

    @property
    def platform(self) -> str:
        """``landsat-8`` or ``landsat-9``."""
        return self._satellite

    @property
    def _satellite(self) -> Sensor:
        return "landsat-9" if self.id[3] == "9" else "landsat-8"

    @property
    def tile(self) -> None:
        """None: Landsat scenes lie on paths and rows."""

    @cached_property
    def images(self) -> dict[str, Path]:
        """Image of each band, by name."""
        matches = ((_BAND_FILE.search(p.name), p) for p in sorted(self.path.iterdir()))
        return {m.group(1): p for m, p in matches if m is not None}

    @property
    def bands(self) -> tuple[str, ...]:
        """Reflective bands present, sorted."""
        return tuple(b for b in _REFLECTIVE if b in self.images)

    @property
    def native_grid(self) -> Grid:
        """Grid of the reflective bands."""
        return describe(self._image(next(iter(self.bands), "B2"))).grid

    def labels(self, grid: Grid) -> ByteArray:
        """Read the provider's quality band as labels.

        Raises
        ------
        ProductError
            if there is neither QA_PIXEL nor BQA.
        """
        path = self.quality
        translate = from_bqa if path.stem.endswith("_BQA") else from_qa_pixel
        labels: ByteArray = translate(read_nearest(path, grid, outside=1))
        return labels

    @property
    def quality(self) -> Path:
        """The provider's quality band.

        Raises
        ------
        ProductError
            if there is neither QA_PIXEL nor BQA.
        """
        for name in ("QA_PIXEL", "BQA"):
            for path in self._side_files(name):
                return path
        raise _unfit(self.path, "a quality band *_QA_PIXEL.TIF or *_BQA.TIF", "none")

    def _side_files(self, *names: str) -> list[Path]:
        """Return the images of those names that there are."""
        return [p for n in names for p in sorted(self.path.glob(f"*_{n}.[Tt][Ii][Ff]"))]

    def _image(self, band: str) -> Path:
        return image_of(
            self.images,
            band,
            where=self.path,
            expected=f"an image of the band {band}",
            fix=_FIX,
        )


@dataclass(frozen=True)
class LandsatToa(_Folder):
    """One level-1 product: top-of-atmosphere reflectance and brightness temperature."""

    @property
    def sensor(self) -> Sensor:
        """``landsat-8`` or ``landsat-9``."""
        return self._satellite

    def grid(self, resolution_m: float | None = None) -> Grid:
        """Return the grid of the reflective bands, or one of another pixel size."""
        native = self.native_grid
        return native if resolution_m is None else native.at_resolution(resolution_m)

    def files(self, bands: Sequence[str]) -> tuple[Path, ...]:
        """Return the band images and the metadata, and what there is of others.

        These are the thermal image, the quality band and the images of angles.
        """
        thermal = [self.images[_THERMAL]] if _THERMAL in self.images else []
        others = self._side_files("QA_PIXEL", "BQA", "SZA", "SAA", "VZA", "VAA")
        return (*(self._image(b) for b in bands), *thermal, self.metadata.path, *others)

    def stored(self, band: str) -> tuple[Path, Decoding]:
        """Return the image of a band, scaled by the metadata and the sun's height."""
        path = self._image(band)
        sine = math.sin(math.radians(90 - self._sun_zenith()))
        scale = self.metadata.number(f"REFLECTANCE_MULT_BAND_{band[1:]}") / sine
        offset = self.metadata.number(f"REFLECTANCE_ADD_BAND_{band[1:]}") / sine
        return path, Decoding(scale, offset, _FILL)

    def brightness_temperature(self, grid: Grid) -> FloatArray | None:
        """Read the temperature of band 10, kelvin, NaN where nodata; None without that band."""
        if _THERMAL not in self.images:
            return None
        number = self.metadata.number
        scale, offset = (number(f"RADIANCE_{term}_BAND_10") for term in ("MULT", "ADD"))
        k1, k2 = (number(f"K{i}_CONSTANT_BAND_10") for i in (1, 2))
        radiance = read_continuous(self.images[_THERMAL], grid, Decoding(scale, offset, _FILL))
        kelvin: FloatArray = (k2 / np.log(k1 / radiance + 1)).astype(np.float32)
        return kelvin

    def sun(self, grid: Grid) -> Angles:
        """Return the sun's angles: by pixel where the product has SZA and SAA, else one pair."""
        by_pixel = self._angles("S", grid)
        return by_pixel or Angles(self._sun_zenith(), self.metadata.number("SUN_AZIMUTH") % 360)

    def view(self, grid: Grid) -> Angles:
        """Return the sensor's angles: by pixel where the product has VZA and VAA, else nadir.

        The instrument looks at most 7.5 degrees aside.
        """
        return self._angles("V", grid) or Angles(0.0, 0.0)

    def _sun_zenith(self) -> float:
        elevation = self.metadata.number("SUN_ELEVATION")
        if not 0 < elevation <= 90:
            raise _unfit(self.metadata.path, "a SUN_ELEVATION of 0 to 90", f"{elevation:g}")
        return 90 - elevation

    def _angles(self, which: Literal["S", "V"], grid: Grid) -> Angles | None:
        hundredths = Decoding(0.01)
        planes = []
        for kind in ("ZA", "AA"):
            paths = self._side_files(f"{which}{kind}")
            if not paths:
                return None
            planes.append(read_continuous(paths[0], grid, hundredths))
        return Angles(planes[0], np.mod(planes[1], np.float32(360)))


@dataclass(frozen=True)
class LandsatSurface(_Folder):
    """One level-2 product of Collection 2: surface reflectance with QA_PIXEL."""

    @property
    def grid(self) -> Grid:
        """Grid of the reflective bands."""
        return self.native_grid

    def files(self, bands: Sequence[str]) -> tuple[Path, ...]:
        """Return the band images, the quality band and the metadata."""
        return (*(self._image(b) for b in bands), self.quality, self.metadata.path)

    def stored(self, band: str) -> tuple[Path, Decoding]:
        """Return the image of a band, scaled by the metadata's fields of level 2."""
        path = self._image(band)
        terms = (f"REFLECTANCE_{term}_BAND_{band[1:]}" for term in ("MULT", "ADD"))
        scale, offset = (self.metadata.number(term, level=2) for term in terms)
        return path, Decoding(scale, offset, _FILL)


def _unfit(path: Path, expected: str, found: str) -> ProductError:
    return ProductError(where=path, expected=expected, found=found, fix=_FIX)
