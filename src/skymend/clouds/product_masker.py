"""The provider's own mask as one of the cloud maskers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skymend.clouds.masker import Mask, Maskable
from skymend.core.errors import ProductError
from skymend.products.strips import strips


@dataclass(frozen=True)
class ProductMasker:
    """What the product says: SCL, MAJA's CLM, Landsat's QA_PIXEL or BQA.

    A product that tells no probability gives none, and no terrain shadow.
    """

    @property
    def name(self) -> str:
        """``product``."""
        return "product"

    def mask(
        self,
        product: Maskable,
        *,
        resolution_m: float,
        dem: Path | None = None,
        cpus: int = 1,
    ) -> Mask:
        """Read the provider's mask.

        Raises
        ------
        ProductError
            if the product has none, as Sentinel-2 L1C.
        """
        read = getattr(product, "labels", None)
        if read is None:
            raise ProductError(
                where=product.id,
                expected="a product with a mask of clouds and shadows",
                found="top-of-atmosphere reflectance without one",
                fix="choose a mask engine such as fmask",
            )
        native = product.grid() if callable(product.grid) else product.grid
        same = abs(native.resolution - resolution_m) < 1e-9
        grid = native if same else native.at_resolution(resolution_m)
        labels = np.empty(grid.shape, np.uint8)
        for window, part in strips(grid):
            labels[window.slices] = read(part)
        none = np.full(grid.shape, np.nan, np.float32)
        return Mask(labels, np.zeros(grid.shape, np.bool_), none, grid)
