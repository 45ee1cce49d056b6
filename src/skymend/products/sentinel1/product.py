"""Sentinel-1 IW GRD products: the reader and its refusals."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skymend.core.errors import ProductError
from skymend.core.grid import Window
from skymend.products.protocols import Direction
from skymend.products.sentinel1.annotation import Annotation, parse_annotation
from skymend.products.sentinel1.archive import SafeArchive, open_archive
from skymend.products.sentinel1.manifest import Manifest, Role, read_manifest
from skymend.products.sentinel1.radiometry import (
    Calibration,
    Noise,
    parse_calibration,
    parse_noise,
)

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

KIND = "safe-grd"

_NAME = re.compile(
    r"S1([A-D])_(S[1-6]|IW|EW|WV|EN|N[1-6])_(RAW|SLC|GRD|OCN|ETA)([FHM_])_[012][SA](SH|SV|DH|DV|HH|HV|VV|VH)"
    r"_(\d{8}T\d{6})_(\d{8}T\d{6})_(\d{6})_([0-9A-F]{6})_([0-9A-F]{4})(?:_COG)?"
)
_MODES = {"EW": "extra-wide swath", "WV": "wave mode", "EN": "elevation notch"}
_TYPES = {
    "SLC": "single look complex, which needs de-bursting first",
    "OCN": "ocean geophysics, without an image",
    "RAW": "raw echoes",
    "ETA": "an engineering product",
}
_CHUNK_LINES = 1024


def refusal(path: Path) -> str | None:
    """Say why this reader does not take a path; None if it does."""
    name = path.name.removesuffix(".zip").removesuffix(".SAFE")
    match = _NAME.fullmatch(name)
    if match is None:
        return "the name is not like S1A_IW_GRDH_1SDV_20200708T182643_..._9550.SAFE"
    reason = _kind_refusal(match.group(2), match.group(3))
    if reason is None and not path.exists():
        return "no such folder or zip"
    return reason


def _kind_refusal(mode: str, kind: str) -> str | None:
    """Say why a mode or product type is not processed."""
    if kind != "GRD":
        reason = _TYPES.get(kind, "of another level")
        return f"it is a {kind} product ({reason}), and only GRD is taken"
    if mode != "IW":
        name = _MODES.get(mode, "stripmap")
        return f"it was taken in mode {mode} ({name}), and only IW is taken"
    return None


def open_grd(path: Path) -> GrdProduct:
    """Open an IW GRD product, folder or zip, without unpacking it.

    Raises
    ------
    ProductError
        in one sentence, if it is of another mode or level, damaged or incomplete.
    """
    match = _NAME.fullmatch(path.name.removesuffix(".zip").removesuffix(".SAFE"))
    reason = _kind_refusal(match.group(2), match.group(3)) if match else None
    if reason is None:
        archive = open_archive(path)
        manifest = read_manifest(archive)
        reason = _kind_refusal(manifest.mode, manifest.product_type)
    if reason is not None:
        raise ProductError(
            where=path,
            expected="a Sentinel-1 IW GRD product",
            found=f"another: {reason}",
            fix="search for product type IW_GRDH_1S",
        )
    return GrdProduct(path, archive, manifest)


@dataclass(frozen=True, slots=True)
class GrdProduct:
    """One IW GRD slice.

    Parameters
    ----------
    path : the folder or zip.
    """

    path: Path
    archive: SafeArchive
    manifest: Manifest
    _parsed: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)

    @property
    def id(self) -> str:
        """The provider's name of the product, without ``.SAFE`` and ``.zip``."""
        return self.path.name.removesuffix(".zip").removesuffix(".SAFE")

    @property
    def platform(self) -> str:
        """``sentinel-1a`` to ``sentinel-1d``."""
        return self.manifest.platform

    @property
    def time(self) -> datetime:
        """Sensing time of the first line, UTC."""
        return self.manifest.start

    @property
    def stop(self) -> datetime:
        """Sensing time of the last line, UTC."""
        return self.manifest.stop

    @property
    def relative_orbit(self) -> int:
        """Relative orbit number, 1..175."""
        return self.manifest.relative_orbit

    @property
    def direction(self) -> Direction:
        """Direction of flight."""
        return self.manifest.direction

    @property
    def ipf(self) -> str:
        """Version of the processor, such as ``003.31``."""
        return self.manifest.ipf

    @property
    def polarisations(self) -> tuple[str, ...]:
        """Channels whose annotation is there, in the order VV, VH, HH, HV."""
        files = self.manifest.files
        return tuple(
            p
            for p in ("VV", "VH", "HH", "HV")
            if ("annotation", p) in files and self.archive.has(files["annotation", p])
        )

    @property
    def footprint(self) -> tuple[tuple[float, float], ...]:
        """Corners as (latitude, longitude), degrees."""
        return self.manifest.footprint

    def annotation(self, polarisation: str) -> Annotation:
        """Return the annotation of a channel."""
        parsed: Annotation = self._parse("annotation", polarisation, parse_annotation)
        return parsed

    def calibration(self, polarisation: str) -> Calibration:
        """Return the calibration tables of a channel."""
        parsed: Calibration = self._parse("calibration", polarisation, parse_calibration)
        return parsed

    def noise(self, polarisation: str) -> Noise:
        """Return the thermal noise of a channel; without vectors if there is no noise file."""
        name = self.manifest.files.get(("noise", polarisation))
        if name is None or not self.archive.has(name):
            return Noise(None)
        parsed: Noise = self._parse("noise", polarisation, parse_noise)
        return parsed

    def demand(self, polarisations: Sequence[str]) -> None:
        """Check that channels are there with everything they need.

        Raises
        ------
        ProductError
            that names what is missing.
        """
        for polarisation in polarisations:
            self.annotation(polarisation)
            self.calibration(polarisation)
            with self._measurement(polarisation):
                pass

    def dn(self, polarisation: str, window: Window) -> npt.NDArray[np.uint16]:
        """Read digital numbers.

        Parameters
        ----------
        window : part of the image, inside it.

        Returns
        -------
        (lines, samples) uint16, 0 where there is no value.

        Raises
        ------
        ProductError
            if the measurement is missing, truncated, or not the image the annotation describes.
        """
        import rasterio
        from rasterio.errors import RasterioError

        out = np.empty((window.rows, window.columns), np.uint16)
        # Lines are stored one by one; without direct reading, narrow windows cost whole lines.
        direct = rasterio.Env(GTIFF_DIRECT_IO="YES")
        with direct, self._measurement(polarisation) as dataset:
            try:
                for first in range(0, window.rows, _CHUNK_LINES):
                    last = min(first + _CHUNK_LINES, window.rows)
                    where = (
                        (window.row + first, window.row + last),
                        (window.column, window.column + window.columns),
                    )
                    out[first:last] = dataset.read(1, window=where)
            except RasterioError as error:
                raise self._damaged(polarisation, str(error.__cause__ or error)) from error
        return out

    def _measurement(self, polarisation: str) -> DatasetReader:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError

        from skymend.core.raster import gdal_env

        name = self._file("measurement", polarisation)
        try:
            with gdal_env(), warnings.catch_warnings():
                # Where it lies is read from the annotation, not from the TIFF.
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                dataset = rasterio.open(self.archive.gdal_path(name), driver="GTiff")
        except RasterioError as error:
            raise self._damaged(polarisation, str(error)) from error
        shape = self.annotation(polarisation).shape
        if dataset.shape != shape or dataset.count != 1 or dataset.dtypes[0] != "uint16":
            said = f"{dataset.count} band of {dataset.shape} {dataset.dtypes[0]}"
            dataset.close()
            raise self.archive.error(name, f"one band of {shape} uint16 as annotated", said)
        return dataset

    def _damaged(self, polarisation: str, reason: str) -> ProductError:
        name = self._file("measurement", polarisation)
        return self.archive.error(
            name, "a whole measurement TIFF", f"a damaged or truncated one ({reason.strip()[:120]})"
        )

    def _file(self, role: Role, polarisation: str) -> str:
        name = self.manifest.files.get((role, polarisation))
        if name is None or not self.archive.has(name):
            raise ProductError(
                where=self.path,
                expected=f"the {role} of {polarisation}",
                found=f"channels {', '.join(self.polarisations) or 'none'}"
                + ("" if name is None else f", and no file {name}"),
                fix="ask for channels the product has, or fetch it again",
            )
        return name

    def _parse(self, role: Role, polarisation: str, parser: Any) -> Any:
        key = (role, polarisation)
        if key not in self._parsed:
            name = self._file(role, polarisation)
            content = self.archive.read(name)
            self._parsed[key] = parser(content, f"{self.path.name}/{name}")
        return self._parsed[key]
