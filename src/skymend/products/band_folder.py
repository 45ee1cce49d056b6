"""A plain folder of bands: ``B01`` to ``B12`` as GeoTIFF or JPEG 2000, one file each.

File names end in the name of the band, such as ``scene_B8A.tif`` or ``B02.tif``. The files'
own scale, offset and nodata hold; whole numbers without a scale are reflectance x 10000, as
Sentinel-2 stores them. The folder knows neither the sun nor, mostly, the time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from skymend.core.errors import ConfigError, ProductError
from skymend.core.grid import Grid
from skymend.core.raster import RasterInfo, describe
from skymend.products.readers import BandRasters, image_of, no_folder
from skymend.products.sampling import Decoding
from skymend.products.toa import Angles, Sensor

KIND = "band-folder"

_BAND_FILE = re.compile(r"(?:^|_)(B(?:0[1-9]|1[0-2]|8A))(?:_\d\dm)?\.(?:tiff?|jp2)$", re.IGNORECASE)


def refusal(path: Path) -> str | None:
    """Say why this reader does not take a path; None if it does."""
    if (reason := no_folder(path)) is not None:
        return reason
    if not any(_BAND_FILE.search(p.name) for p in path.iterdir()):
        return "it holds no file such as B02.tif"
    return None


def open_product(
    path: Path,
    *,
    sun: tuple[float, float] | None = None,
    view: tuple[float, float] = (0.0, 0.0),
) -> BandFolder:
    """Open a folder of bands.

    Parameters
    ----------
    sun, view : (zenith, azimuth) in degrees; without the sun no shadow can be looked for.

    Raises
    ------
    ProductError
        if the path is not such a folder.
    ConfigError
        if the sun is below the horizon.
    """
    if (reason := refusal(path)) is not None:
        raise ProductError(
            where=path,
            expected="a folder of bands",
            found=reason,
            fix="name the files after the bands: B02.tif, B8A.tif, ...",
        )
    if sun is not None and not 0 <= sun[0] < 90:
        raise ConfigError(
            where="--sun",
            expected="a zenith angle from 0 to below 90 degrees",
            found=f"{sun[0]:g}",
            fix="give ZENITH,AZIMUTH in degrees",
        )
    return BandFolder(path, sun, view)


@dataclass(frozen=True)
class BandFolder(BandRasters):
    """One acquisition of Sentinel-2 bands without any metadata."""

    path: Path
    sun_angles: tuple[float, float] | None
    view_angles: tuple[float, float]

    @property
    def id(self) -> str:
        """The name of the folder."""
        return self.path.resolve().name

    @property
    def time(self) -> None:
        """None: the folder does not know it."""

    @property
    def platform(self) -> str:
        """``sentinel-2``."""
        return self.sensor

    @property
    def sensor(self) -> Sensor:
        """``sentinel-2``."""
        return "sentinel-2"

    @property
    def tile(self) -> None:
        """None: not known."""

    @cached_property
    def images(self) -> dict[str, Path]:
        """Image of each band, by name."""
        matches = ((_BAND_FILE.search(p.name), p) for p in sorted(self.path.iterdir()))
        return {m.group(1).upper(): p for m, p in matches if m is not None}

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands present, sorted."""
        return tuple(sorted(self.images))

    def grid(self, resolution_m: float | None = None) -> Grid:
        """Return the grid of the finest band, or one of another pixel size."""
        grids = [self._describe(path).grid for path in self.images.values()]
        finest = min(grids, key=lambda grid: grid.resolution)
        return finest if resolution_m is None else finest.at_resolution(resolution_m)

    def files(self, bands: Sequence[str]) -> tuple[Path, ...]:
        """Return the band images."""
        return tuple(self._image(b) for b in bands)

    def stored(self, band: str) -> tuple[Path, Decoding]:
        """Return the image of a band, decoded as the file itself says."""
        path = self._image(band)
        return path, _decoding(self._describe(path))

    def brightness_temperature(self, grid: Grid) -> None:
        """Return None: the instrument has no thermal band."""

    def sun(self, grid: Grid) -> Angles:
        """Return the sun's angles as they were given.

        Raises
        ------
        ConfigError
            if they were not.
        """
        if self.sun_angles is None:
            raise ConfigError(
                where=self.path,
                expected="the position of the sun",
                found="a plain folder of bands, which does not know it",
                fix="give --sun ZENITH,AZIMUTH in degrees",
            )
        return Angles(*self.sun_angles)

    def view(self, grid: Grid) -> Angles:
        """Return the sensor's angles as they were given, nadir if not."""
        return Angles(*self.view_angles)

    def _describe(self, path: Path) -> RasterInfo:
        info = describe(path)
        if not info.grid.crs:
            raise ProductError(
                where=path,
                expected="a georeferenced band",
                found="no CRS",
                fix="assign CRS and pixel size first: gdal_translate -a_srs -a_ullr",
            )
        return info

    def _image(self, band: str) -> Path:
        return image_of(
            self.images,
            band,
            where=self.path,
            expected=f"a file {band}.tif",
            fix=f"add the band {band}, or choose an engine that does without",
        )


def _decoding(info: RasterInfo) -> Decoding:
    """Return how stored numbers become reflectance; DN 0 is nodata where the file is silent."""
    whole = np.dtype(info.dtype).kind in "iu"
    plain = info.scale == 1.0 and info.offset == 0.0
    invalid = (float(info.nodata),) if info.nodata is not None else ((0.0,) if whole else ())
    if whole and plain:
        return Decoding(1e-4, 0.0, invalid)
    return Decoding(info.scale, info.offset, invalid)
