"""What readers share, so that each module says only how its own format differs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.core.errors import ProductError
from skymend.core.grid import Grid
from skymend.products.sampling import Decoding, read_continuous

T = TypeVar("T")


class Name(Protocol):
    """What the name of a product says."""

    @property
    def time(self) -> datetime:
        """Sensing time, UTC."""

    @property
    def platform(self) -> str:
        """Satellite."""

    @property
    def tile(self) -> str:
        """MGRS tile without the leading T."""


NameT = TypeVar("NameT", bound=Name)


@dataclass(frozen=True)
class NamedProduct(Generic[NameT]):
    """A product of which the name says what, when and where."""

    path: Path
    name: NameT

    @property
    def id(self) -> str:
        """The name of the product, without ``.SAFE``."""
        return self.path.name.removesuffix(".SAFE")

    @property
    def time(self) -> datetime:
        """Sensing time, UTC."""
        return self.name.time

    @property
    def platform(self) -> str:
        """Satellite, such as ``sentinel-2a``."""
        return self.name.platform

    @property
    def tile(self) -> str | None:
        """MGRS tile."""
        return self.name.tile


class BandRasters(ABC):
    """A product of one raster for each band."""

    @abstractmethod
    def stored(self, band: str) -> tuple[Path, Decoding]:
        """Return the raster of a band, and how its numbers become physical ones.

        Raises
        ------
        ProductError
            if the band is missing, or nothing says what its numbers mean.
        """

    def read(self, bands: Sequence[str], grid: Grid) -> FloatArray:
        """Read reflectance, (bands, rows, columns) float32; NaN where there is none."""
        values = np.empty((len(bands), *grid.shape), np.float32)
        for index, band in enumerate(bands):
            path, decoding = self.stored(band)
            values[index] = read_continuous(path, grid, decoding)
        return values


def no_folder(path: Path) -> str | None:
    """Say why a path is no folder; None if it is one."""
    if path.is_dir():
        return None
    return "it is a file (unpack it first)" if path.exists() else "no such folder"


def accepted(path: Path, reason: str | None, found: T | None, *, expected: str, fix: str) -> T:
    """Return what a reader found in a name.

    Raises
    ------
    ProductError
        if there is a reason to refuse the path.
    """
    if reason is not None or found is None:
        raise ProductError(where=path, expected=expected, found=reason or "another name", fix=fix)
    return found


def image_of(
    images: Mapping[str, Path], name: str, *, where: Path, expected: str, fix: str
) -> Path:
    """Return the image of a band.

    Raises
    ------
    ProductError
        if there is none.
    """
    if name in images:
        return images[name]
    found = ", ".join(sorted(images)) or "no image at all"
    raise ProductError(where=where, expected=expected, found=found, fix=fix)
