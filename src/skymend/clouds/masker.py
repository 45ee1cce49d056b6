"""The one interface of all cloud maskers, and the table of those there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray, FloatArray
from skymend.core.grid import Grid
from skymend.core.lazy import look_up
from skymend.products.protocols import OpticalProduct
from skymend.products.toa import TopOfAtmosphere

BoolArray = npt.NDArray[np.bool_]

Maskable: TypeAlias = TopOfAtmosphere | OpticalProduct
"""What a masker takes; each says in one sentence which of the two it needs."""


@dataclass(frozen=True, slots=True)
class Mask:
    """What a masker found.

    Parameters
    ----------
    labels : (rows, columns) uint8 of :class:`~skymend.products.labels.Label`.
    terrain_shadow : (rows, columns) boolean, ground that mountains shade; the labels do not
        count it as hidden. All False without a DEM.
    probability : (rows, columns) float32, 0..1 that a pixel is cloud; NaN where nodata, or
        everywhere if the masker has no such number.
    grid : where the pixels lie.
    facts : small JSON values about the run: thresholds found, cloud heights, early stops.
    """

    labels: ByteArray
    terrain_shadow: BoolArray
    probability: FloatArray
    grid: Grid
    facts: Mapping[str, Any] = field(default_factory=dict)


class CloudMasker(Protocol):
    """An engine that labels clouds, shadows, snow and water."""

    @property
    def name(self) -> str:
        """Name in the table and in region files."""

    def mask(
        self,
        product: Maskable,
        *,
        resolution_m: float,
        dem: Path | None = None,
        cpus: int = 1,
    ) -> Mask:
        """Mask a whole product.

        Parameters
        ----------
        product : an acquisition, opened.
        resolution_m : pixel size of the mask.
        dem : GeoTIFF, or folder of them, with heights in metres.
        cpus : threads to use; the result does not depend on it.

        Raises
        ------
        ProductError
            if the product lacks what the engine needs.
        """


_MASKERS = {
    "fmask": "skymend.clouds.fmask.masker:FmaskMasker",
    "s2cloudless": "skymend.clouds.s2cloudless:S2CloudlessMasker",
    "csmask": "skymend.clouds.csmask:CsmaskMasker",
    "fmask-external": "skymend.clouds.fmask_external:ExternalFmaskMasker",
    "product": "skymend.clouds.product_masker:ProductMasker",
    "consensus": "skymend.clouds.consensus:ConsensusMasker",
}

MASKERS = tuple(_MASKERS)
"""Names of the maskers there are."""


def open_masker(name: str) -> CloudMasker:
    """Return a masker by name; its module is imported only now.

    Raises
    ------
    ConfigError
        if there is none of that name.
    """
    fix = "choose one of them"
    masker: CloudMasker = look_up(_MASKERS, name, where="mask.engine", fix=fix)()
    return masker
