"""The one interface of all radar engines: products in, a backscatter scene on a grid out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from skymend.core.errors import ConfigError
from skymend.core.grid import Grid

Calibration = Literal["gamma0-flattened", "gamma0", "sigma0", "beta0"]
"""Backscatter conventions an engine can make; the first is terrain-flattened gamma0."""

FLATTENED: Calibration = "gamma0-flattened"
"""The convention that divides by the illuminated area of the terrain (Small 2011)."""

Speckle = Literal["none", "boxcar", "lee", "refined-lee", "lee-sigma", "gamma-map"]
"""Single-date speckle filters."""

Resampling = Literal["bilinear", "nearest"]
"""How radar pixels are interpolated at the pixel centres of the grid."""

POLARISATIONS = ("VV", "VH", "HH", "HV")
"""Channels in the order they are written."""

LAYOVER = 1
"""Bit 1 of the state raster: several ground points share the radar pixel."""

SHADOW = 2
"""Bit 2 of the state raster: terrain hides the pixel from the radar."""

FLOOR = 4
"""Bit 3 of the state raster: a channel was at or below the thermal noise and holds the floor."""


@dataclass(frozen=True, slots=True)
class Chain:
    """What is done to the pixels, in the order of the fields.

    Parameters
    ----------
    convention : what the backscatter is normalised to.
    remove_thermal_noise, remove_border_noise : corrections of the measurement.
    speckle, speckle_window : filter in radar geometry, and the side of its window in pixels (odd).
    multilook : side of the square of radar pixels averaged into one.
    resampling : interpolation of power at the pixel centres of the grid.
    decibel : write 10*log10 of power.
    polarisations : channels wanted; empty for all that the product has.
    """

    convention: Calibration = FLATTENED
    remove_thermal_noise: bool = True
    remove_border_noise: bool = True
    speckle: Speckle = "none"
    speckle_window: int = 7
    multilook: int = 1
    decibel: bool = False
    polarisations: tuple[str, ...] = ()
    resampling: Resampling = "bilinear"

    def __post_init__(self) -> None:
        if self.speckle_window < 3 or self.speckle_window % 2 == 0:
            raise _bad("speckle_window", "an odd number of at least 3", self.speckle_window)
        if not 1 <= self.multilook <= 64:
            raise _bad("multilook", "a whole number from 1 to 64", self.multilook)
        unknown = [p for p in self.polarisations if p not in POLARISATIONS]
        if unknown:
            raise _bad("polarisations", f"channels out of {', '.join(POLARISATIONS)}", unknown)
        if len(set(self.polarisations)) < len(self.polarisations):
            raise _bad("polarisations", "each channel once", list(self.polarisations))


def _bad(name: str, expected: str, found: object) -> ConfigError:
    return ConfigError(
        where=f"chain.{name}", expected=expected, found=repr(found), fix="change the option"
    )


@dataclass(frozen=True, slots=True)
class BackscatterScene:
    """What an engine leaves on disk.

    Parameters
    ----------
    backscatter : (polarisations, rows, columns) float32, linear power (dB if asked), NaN where
        there is none; band names are the polarisations.
    incidence : bands ``local`` and ``ellipsoid``, degrees; None where an engine gives none.
    state : uint8 bits, 1 layover, 2 shadow, 4 noise floor; None where an engine gives none.
    facts : small JSON values: convention, orbit source, noise applied, IPF, geoid, ...
    """

    backscatter: Path
    incidence: Path | None
    state: Path | None
    facts: Mapping[str, Any] = field(default_factory=dict)


class SarEngine(Protocol):
    """A way to turn radar products into backscatter on a grid."""

    @property
    def name(self) -> str:
        """Name of the engine, as in the region file."""

    def process(
        self,
        products: Sequence[Path],
        grid: Grid,
        dem: Path,
        out: Path,
        *,
        chain: Chain,
        orbit: Path | None = None,
        geoid: Path | None = None,
        work: Path,
        cpus: int = 1,
    ) -> BackscatterScene:
        """Make the backscatter of one pass.

        Parameters
        ----------
        products : the slices of one pass, IW GRD SAFE folders or zips.
        grid : where the scene lies.
        dem : GeoTIFF or folder of them, metres above the geoid.
        out : existing folder the rasters are written into.
        orbit : EOF file, or a folder of them; the annotation's state vectors when None.
        geoid : undulation grid (GTX or GeoTIFF); EGM96 of proj-data when None.
        work : private scratch folder.

        Raises
        ------
        ProductError
            if a product is damaged, of another kind, or the DEM does not cover the scene.
        SkipJob
            if the pass does not touch the grid.
        """
