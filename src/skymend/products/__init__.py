"""Readers of products: one module per provider, all behind two protocols.

>>> from pathlib import Path
>>> from skymend.products import detect, open_optical
>>> product = open_optical(Path("SENTINEL2A_20170526-105518-082_L2A_T31UFQ_D_V1-4"))
... # doctest: +SKIP
>>> product.read(("B04",), grid)  # (bands, rows, columns) reflectance  # doctest: +SKIP
"""

from __future__ import annotations

from skymend.products.dem import read_dem
from skymend.products.detection import KINDS, Detection, detect, open_optical, open_radar
from skymend.products.labels import Label
from skymend.products.protocols import Convention, Direction, OpticalProduct, RadarProduct

__all__ = [
    "KINDS",
    "Convention",
    "Detection",
    "Direction",
    "Label",
    "OpticalProduct",
    "RadarProduct",
    "detect",
    "open_optical",
    "open_radar",
    "read_dem",
]
