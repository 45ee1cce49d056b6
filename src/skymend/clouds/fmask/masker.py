"""Fmask as one of the cloud maskers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from skymend.clouds.fmask.engine import Options, empty_mask, run_fmask
from skymend.clouds.fmask.scene import read_scene
from skymend.clouds.masker import Mask, Maskable
from skymend.core.errors import ProductError
from skymend.products.toa import ToaOptical, TopOfAtmosphere


@dataclass(frozen=True)
class FmaskMasker:
    """The embedded Fmask, for Sentinel-2 L1C and Landsat 8 and 9 level 1."""

    options: Options = field(default_factory=Options)

    @property
    def name(self) -> str:
        """``fmask``."""
        return "fmask"

    def mask(
        self,
        product: Maskable,
        *,
        resolution_m: float,
        dem: Path | None = None,
        cpus: int = 1,
    ) -> Mask:
        """Mask a product of top-of-atmosphere reflectance.

        Raises
        ------
        ProductError
            if the product is not one, or lacks a band.
        """
        source = as_toa(product)
        grid = source.grid(resolution_m)
        scene = read_scene(source, grid, dem, cpus=cpus)
        if scene is None:
            return empty_mask(grid)
        return run_fmask(scene, self.options, cpus=cpus)


def as_toa(product: Maskable) -> TopOfAtmosphere:
    """Return a product as one of top-of-atmosphere reflectance.

    Raises
    ------
    ProductError
        if it is one of surface reflectance.
    """
    if isinstance(product, ToaOptical):
        return product.product
    if not hasattr(product, "sensor"):
        raise ProductError(
            where=product.id,
            expected="top-of-atmosphere reflectance (Sentinel-2 L1C or Landsat level 1)",
            found="surface reflectance",
            fix="give the L1C product, or choose the engine `product`",
        )
    return cast(TopOfAtmosphere, product)
