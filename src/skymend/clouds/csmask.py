"""ukis-csmask: DLR's U-Nets for clouds and their shadows (Wieland, Li & Martinis 2019).

The networks lie as ONNX files in the ``ukis-csmask`` wheel (Apache-2.0), each with the mean and
deviation of its training bands. They were trained on pixels of about 30 m and see clouds worse
on much coarser ones. Here they run on overlapping windows whose probabilities are blended.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.clouds.masker import Mask, Maskable
from skymend.clouds.s2cloudless import package_file
from skymend.clouds.toa_stack import read_any
from skymend.core.encoding import ByteArray, FloatArray
from skymend.core.errors import ProductError
from skymend.products.labels import Label

BANDS = {
    "sentinel": ("B02", "B03", "B04", "B08", "B11", "B12"),
    "landsat": ("B2", "B3", "B4", "B5", "B6", "B7"),
}
"""Blue, green, red, near infrared and two short-wave infrared bands, by sensor."""

RESOLUTION_M = 20.0
WINDOW = 256
OVERLAP = 64

_CLASSES = np.array([Label.CLEAR, Label.CLOUD, Label.SHADOW], np.uint8)


@dataclass(frozen=True, slots=True)
class CsmaskMasker:
    """The ``csmask`` engine."""

    name: str = "csmask"

    def mask(
        self,
        product: Maskable,
        *,
        resolution_m: float = RESOLUTION_M,
        dem: Path | None = None,
        cpus: int = 1,
    ) -> Mask:
        """Mask a product at the top of the atmosphere or on the ground.

        See :class:`~skymend.clouds.masker.CloudMasker`.

        Raises
        ------
        ProductError
            if a band is missing.
        ToolMissingError
            if the package with the networks is not installed.
        """
        bands = BANDS["sentinel" if "B02" in product.bands else "landsat"]
        missing = [band for band in bands if band not in product.bands]
        if missing:
            raise ProductError(
                where=product.id,
                expected=f"the bands {', '.join(bands)} for csmask",
                found=f"none of {', '.join(missing)}",
                fix="give the whole product, or choose another mask engine",
            )
        values, grid, is_toa = read_any(product, bands, resolution_m, cpus=cpus)
        labels, cloud = classify(values, is_toa=is_toa, cpus=cpus)
        level = "l1c" if is_toa else "l2a"
        return Mask(labels, np.zeros(grid.shape, bool), cloud, grid, {"network": f"6b_{level}"})


def classify(values: FloatArray, *, is_toa: bool, cpus: int = 1) -> tuple[ByteArray, FloatArray]:
    """Label pixels as clear, cloud or shadow.

    Parameters
    ----------
    values : (6, rows, columns) reflectance; NaN where nodata.
    is_toa : top-of-atmosphere reflectance, else surface reflectance.

    Returns
    -------
    (rows, columns) labels, and the probability of cloud; 0 and NaN where nodata.
    """
    network = _Network("l1c" if is_toa else "l2a", cpus)
    valid = np.isfinite(values).all(axis=0)
    scores = _blended(network, np.nan_to_num(values, nan=0.0))
    labels = _CLASSES[scores.argmax(axis=0)]
    labels[~valid] = Label.NODATA
    cloud = np.where(valid, scores[1], np.float32(np.nan))
    return labels, cloud


class _Network:
    """One ONNX network with its normalisation."""

    def __init__(self, level: str, cpus: int) -> None:
        import onnxruntime

        path = package_file("ukis_csmask", (f"model_6b_{level}.onnx",))
        card: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
        mean, deviation = card["data"]["dataset_statistics"]["img"]
        self.mean = np.array(mean, np.float32)[:, None, None]
        self.deviation = np.array(deviation, np.float32)[:, None, None]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cpus
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.input = self.session.get_inputs()[0].name

    def probabilities(self, window: FloatArray) -> FloatArray:
        """Return (3, rows, columns) probabilities of a (6, rows, columns) window."""
        scaled = ((window - self.mean) / self.deviation)[None]
        logits = self.session.run(None, {self.input: scaled.astype(np.float32)})[0][0]
        powers = np.exp(logits - logits.max(axis=0))
        return np.asarray(powers / powers.sum(axis=0), np.float32)


def _blended(network: _Network, values: FloatArray) -> FloatArray:
    """Return probabilities of an image, windows blended by a weight that falls to their edges."""
    rows, columns = values.shape[1:]
    pads = [(0, 0), *((0, max(0, WINDOW - n)) for n in (rows, columns))]
    padded = np.pad(values, pads, mode="symmetric" if min(rows, columns) > 1 else "edge")
    sums = np.zeros((3, *padded.shape[1:]), np.float32)
    weights = np.zeros(padded.shape[1:], np.float32)
    weight = _weight()
    for row in _starts(padded.shape[1]):
        for column in _starts(padded.shape[2]):
            part = np.s_[row : row + WINDOW, column : column + WINDOW]
            sums[(slice(None), *part)] += weight * network.probabilities(
                padded[(slice(None), *part)]
            )
            weights[part] += weight
    return np.asarray((sums / weights)[:, :rows, :columns], np.float32)


def _starts(size: int) -> list[int]:
    last = size - WINDOW
    return [*range(0, last, WINDOW - OVERLAP), last]


def _weight() -> npt.NDArray[np.float32]:
    ramp = np.minimum(np.arange(1, WINDOW + 1), np.arange(WINDOW, 0, -1)) / OVERLAP
    line = np.minimum(ramp, 1.0).astype(np.float32)
    return np.outer(line, line).astype(np.float32)
