"""Top-of-atmosphere products: what a cloud masker needs to know of an acquisition.

Readers: :mod:`~skymend.products.safe_l1c` (Sentinel-2 L1C), :mod:`~skymend.products.landsat`
(Landsat 8 and 9 level 1) and :mod:`~skymend.products.band_folder` (a plain folder of bands).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, cast

from skymend.core.encoding import ByteArray, FloatArray
from skymend.core.errors import ProductError
from skymend.core.grid import Grid
from skymend.products.protocols import OpticalProduct, Reflective

Sensor = Literal["sentinel-2", "landsat-8", "landsat-9"]
"""The instruments whose bands and thresholds are known."""


class Angles(NamedTuple):
    """Where the sun or the sensor stands, seen from the ground.

    ``zenith`` in degrees from the vertical, ``azimuth`` in degrees clockwise from grid north.
    Each is a float, or a (rows, columns) float32 array on the grid that was asked for.
    """

    zenith: FloatArray | float
    azimuth: FloatArray | float


class TopOfAtmosphere(Reflective, Protocol):
    """One acquisition of top-of-atmosphere reflectance, opened."""

    @property
    def path(self) -> Path:
        """The folder of the product."""

    @property
    def time(self) -> datetime | None:
        """Sensing time, UTC; None where a plain folder of bands does not say."""

    @property
    def sensor(self) -> Sensor:
        """The instrument, which decides what the band names mean."""

    def grid(self, resolution_m: float | None = None) -> Grid:
        """Return the grid of the product at a pixel size; of its finest band when None."""

    def brightness_temperature(self, grid: Grid) -> FloatArray | None:
        """Read the temperature of a thermal band on ``grid``.

        Returns
        -------
        (rows, columns) float32, kelvin, NaN where nodata; None if there is no thermal band.
        """

    def sun(self, grid: Grid) -> Angles:
        """Return where the sun stands, from the ground."""

    def view(self, grid: Grid) -> Angles:
        """Return where the sensor stands, from the ground."""


def open_toa(path: Path, *, sun: tuple[float, float] | None = None) -> TopOfAtmosphere:
    """Open a Sentinel-2 L1C folder, a Landsat 8 or 9 level-1 folder or a folder of bands.

    Parameters
    ----------
    sun : (zenith, azimuth) in degrees, for a folder of bands, which does not know it.

    Raises
    ------
    ProductError
        if no reader takes the path, with the reason of each.
    """
    from skymend.products import band_folder, landsat, safe_l1c

    if (reason_safe := safe_l1c.refusal(path)) is None:
        return safe_l1c.open_product(path)
    if (reason_landsat := landsat.refusal(path)) is None:
        return landsat.open_product(path)
    if (reason_bands := band_folder.refusal(path)) is None:
        return band_folder.open_product(path, sun=sun)
    raise ProductError(
        where=path,
        expected="a product of top-of-atmosphere reflectance",
        found=(
            f"none (Sentinel-2 L1C: {reason_safe}; Landsat level 1: {reason_landsat}; "
            f"folder of bands: {reason_bands})"
        ),
        fix="give the folder of one such product",
    )


@dataclass(frozen=True)
class ToaOptical:
    """A top-of-atmosphere product behind the protocol of optical products.

    So a region can run on L1C: the reflectance of its scenes is then that at the top of the
    atmosphere.
    """

    product: TopOfAtmosphere

    @property
    def id(self) -> str:
        """The provider's identifier."""
        return self.product.id

    @property
    def time(self) -> datetime:
        """Sensing time, UTC."""
        if self.product.time is None:
            raise ProductError(
                where=self.product.path,
                expected="a product that knows its time",
                found="a plain folder of bands",
                fix="take the SAFE or Landsat folder",
            )
        return self.product.time

    @property
    def platform(self) -> str:
        """Satellite."""
        return self.product.platform

    @property
    def tile(self) -> str | None:
        """MGRS tile, where known."""
        return self.product.tile

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands present."""
        return self.product.bands

    @property
    def grid(self) -> Grid:
        """Grid of the finest band."""
        return self.product.grid()

    def files(self, bands: Sequence[str]) -> tuple[Path, ...]:
        """Return the files that reading ``bands`` needs."""
        return self.product.files(bands)

    def read(self, bands: Sequence[str], grid: Grid) -> FloatArray:
        """Read top-of-atmosphere reflectance, (bands, rows, columns); NaN where nodata."""
        return self.product.read(bands, grid)

    def labels(self, grid: Grid) -> ByteArray:
        """Read the provider's mask, which Landsat has at level 1 too.

        Raises
        ------
        ProductError
            if the product has none that tells clouds from shadows, as Sentinel-2.
        """
        if hasattr(self.product, "labels"):
            return cast(OpticalProduct, self.product).labels(grid)
        raise ProductError(
            where=self.product.path,
            expected="a product with a mask of clouds and shadows",
            found="top-of-atmosphere reflectance without one",
            fix="choose a mask engine such as fmask",
        )
