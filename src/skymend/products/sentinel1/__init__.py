"""Sentinel-1 IW GRD products in ESA's SAFE format, folder or zip, satellites A to D."""

from __future__ import annotations

from skymend.products.sentinel1.annotation import (
    Annotation,
    GeolocationGrid,
    GroundRangeRecords,
    StateVectors,
    parse_annotation,
)
from skymend.products.sentinel1.manifest import Manifest
from skymend.products.sentinel1.product import KIND, GrdProduct, open_grd, refusal
from skymend.products.sentinel1.radiometry import (
    AzimuthBlock,
    Calibration,
    Noise,
    RangeTable,
    azimuth_factor,
    parse_calibration,
    parse_noise,
)

__all__ = [
    "KIND",
    "Annotation",
    "AzimuthBlock",
    "Calibration",
    "GeolocationGrid",
    "GrdProduct",
    "GroundRangeRecords",
    "Manifest",
    "Noise",
    "RangeTable",
    "StateVectors",
    "azimuth_factor",
    "open_grd",
    "parse_annotation",
    "parse_calibration",
    "parse_noise",
    "refusal",
]
