"""What every reader hands out, whatever the provider."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from skymend.core.encoding import ByteArray, FloatArray
from skymend.core.grid import Grid

Convention = Literal["sigma0", "gamma0", "gamma0-flattened", "beta0", "unknown"]
"""Backscatter conventions; ``gamma0-flattened`` is terrain-flattened gamma0."""

Direction = Literal["ascending", "descending"]


class Acquisition(Protocol):
    """What every product says of itself."""

    @property
    def id(self) -> str:
        """The provider's identifier."""

    @property
    def platform(self) -> str:
        """Satellite, such as ``sentinel-2a``."""

    @property
    def tile(self) -> str | None:
        """MGRS tile without the leading T, where known."""


class Reflective(Acquisition, Protocol):
    """One acquisition of reflectance in some bands."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands present, by the sensor's own names: ``B02``, ``B8A``, ..."""

    def files(self, bands: Sequence[str]) -> tuple[Path, ...]:
        """Return the files that reading ``bands``, and the labels or angles, needs.

        Raises
        ------
        ProductError
            if one of them is missing.
        """

    def read(self, bands: Sequence[str], grid: Grid) -> FloatArray:
        """Read reflectance on ``grid``.

        Coarser bands are interpolated bilinearly between pixel centres, finer ones averaged.

        Returns
        -------
        (bands, rows, columns) float32 after scale and offset: 1 is a white surface (bright
        clouds exceed it), values below 0 are kept; NaN outside the swath and where the
        provider says nodata.

        Raises
        ------
        ProductError
            if a band is missing or a file is damaged.
        GridError
            if a file is not on the lattice of ``grid``.
        """


class OpticalProduct(Reflective, Protocol):
    """One optical acquisition, opened: surface reflectance, mostly."""

    @property
    def time(self) -> datetime:
        """Sensing time, UTC."""

    @property
    def grid(self) -> Grid:
        """The grid of the finest image there is."""

    def labels(self, grid: Grid) -> ByteArray:
        """Read the provider's mask on ``grid``, before any dilation.

        Returns
        -------
        (rows, columns) uint8 of :class:`~skymend.products.labels.Label`, nearest neighbour.
        """


class RadarProduct(Acquisition, Protocol):
    """One pass of a radar satellite, opened."""

    @property
    def time(self) -> datetime:
        """Sensing time, UTC."""

    @property
    def polarisations(self) -> tuple[str, ...]:
        """Names of the channels present: ``VV``, ``VH``."""

    @property
    def convention(self) -> Convention:
        """What the backscatter is normalised to."""

    @property
    def relative_orbit(self) -> int | None:
        """Relative orbit number, where known."""

    @property
    def direction(self) -> Direction | None:
        """Direction of flight, where known."""

    def files(self, polarisations: Sequence[str]) -> tuple[Path, ...]:
        """Return the files that reading ``polarisations`` needs."""

    def read(self, polarisations: Sequence[str], grid: Grid) -> FloatArray:
        """Read backscatter on ``grid``.

        Returns
        -------
        (polarisations, rows, columns) float32, linear power; NaN where there is none.
        """
