"""Keeping the start of a job short: a plan has hundreds of them."""

from __future__ import annotations

import sys


def import_rasterio() -> None:
    """Import rasterio without boto3.

    rasterio imports boto3 wherever it is installed, for sessions that skymend does not use
    (GDAL reads S3 through its own driver); that is half of the start of a job. boto3 itself
    can still be imported afterwards.
    """
    if "rasterio" in sys.modules or "boto3" in sys.modules:
        return
    sys.modules["boto3"] = None  # type: ignore[assignment]
    try:
        import rasterio  # noqa: F401
    finally:
        del sys.modules["boto3"]
