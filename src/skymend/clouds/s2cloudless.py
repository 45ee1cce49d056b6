"""s2cloudless: Sentinel Hub's pixel classifier, on its own model, seven times as fast.

The model lies in the ``s2cloudless`` package under CC-BY-SA 4.0. It is read from there each
time, evaluated by :mod:`skymend.clouds.forest` and never copied. Bands, thresholds and the two
disks are those the package documents for 60 m pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skymend.clouds.forest import Forest, read_forest
from skymend.clouds.masker import Mask, Maskable
from skymend.clouds.toa_stack import read_bands, require_toa
from skymend.core.encoding import FloatArray
from skymend.core.errors import ToolMissingError

BoolArray = npt.NDArray[np.bool_]

BANDS = ("B01", "B02", "B04", "B05", "B08", "B8A", "B09", "B10", "B11", "B12")
"""What the classifier looks at, in its order."""

MODEL = "pixel_s2_cloud_detector_lightGBM_v0.1.txt"

RESOLUTION_M = 60.0
"""The pixel size that the disks below are meant for."""


@dataclass(frozen=True, slots=True)
class S2CloudlessMasker:
    """The ``s2cloudless`` engine.

    Parameters
    ----------
    threshold : averaged probability above which a pixel is cloud.
    average_m, dilate_m : radii of the disks that average probabilities and widen the mask.
    """

    name: str = "s2cloudless"
    threshold: float = 0.4
    average_m: float = 240.0
    dilate_m: float = 120.0

    def mask(
        self,
        product: Maskable,
        *,
        resolution_m: float = RESOLUTION_M,
        dem: Path | None = None,
        cpus: int = 1,
    ) -> Mask:
        """Mask a Sentinel-2 L1C product; see :class:`~skymend.clouds.masker.CloudMasker`.

        Raises
        ------
        ProductError
            if the product is not level 1C of Sentinel-2, or lacks a band.
        ToolMissingError
            if the package with the model is not installed.
        """
        from skymend.clouds.fmask.around import mask_around

        toa = require_toa(product, self.name, BANDS)
        grid = toa.grid(resolution_m)
        values = read_bands(toa, BANDS, grid, cpus=cpus)
        probability = probabilities(values, cpus=cpus)
        average, dilate = (round(m / resolution_m) for m in (self.average_m, self.dilate_m))
        cloud = cloud_mask(probability, self.threshold, average, dilate)
        return mask_around(toa, grid, cloud, probability, dem=dem, cpus=cpus)


def probabilities(values: FloatArray, *, cpus: int = 1) -> FloatArray:
    """Return the probability of cloud.

    Parameters
    ----------
    values : (bands, rows, columns) reflectance of :data:`BANDS`; NaN where nodata.

    Returns
    -------
    (rows, columns) float32, 0..1; NaN where any band is nodata.
    """
    valid = np.isfinite(values).all(axis=0)
    scores = model().scores(np.ascontiguousarray(values[:, valid].T), cpus=cpus)
    found = np.full(valid.shape, np.nan, np.float32)
    found[valid] = 1.0 / (1.0 + np.exp(-scores))
    return found


def cloud_mask(probability: FloatArray, threshold: float, average: int, dilate: int) -> BoolArray:
    """Average probabilities over a disk, cut at the threshold and widen by a disk.

    Parameters
    ----------
    probability : (rows, columns); NaN counts as clear.
    average, dilate : radii in pixels; 0 leaves the step out.
    """
    import cv2

    filled = np.nan_to_num(probability, nan=0.0)
    if average:
        disk = _disk(average)
        filled = cv2.filter2D(filled, -1, disk / np.sum(disk), borderType=cv2.BORDER_REFLECT)
    cloud = (filled > threshold).astype(np.uint8)
    if dilate:
        cloud = cv2.dilate(cloud, _disk(dilate))
    return np.asarray(cloud, bool)


def _disk(radius: int) -> npt.NDArray[np.uint8]:
    """Return the pixels whose centres lie within ``radius`` of the middle one."""
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(rows**2 + columns**2 <= radius**2, np.uint8)


@lru_cache(maxsize=1)
def model() -> Forest:
    """Return the classifier of the installed package.

    Raises
    ------
    ToolMissingError
        if it is not installed.
    """
    return read_forest(package_file("s2cloudless", ("models", MODEL)))


def package_file(package: str, parts: Sequence[str]) -> Path:
    """Return the path of a model file inside an installed package, without importing it."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder).joinpath(*parts)
        if path.is_file():
            return path
    raise ToolMissingError(
        where=f"mask.engine, package {package}",
        expected=f"the model {parts[-1]} in the installed package",
        found="no such file" if spec else "the package is not installed",
        fix='install it: pip install "skymend[clouds]"',
    )
