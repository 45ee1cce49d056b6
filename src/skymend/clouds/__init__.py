"""Masks: the label set, dilation in metres, the user's own mask."""

from __future__ import annotations

from skymend.clouds.dilation import dilate
from skymend.clouds.shares import Shares, usable
from skymend.clouds.user import apply_user_mask
from skymend.products.labels import Label, from_maja, from_scl

__all__ = [
    "Label",
    "Shares",
    "apply_user_mask",
    "dilate",
    "from_maja",
    "from_scl",
    "usable",
]
