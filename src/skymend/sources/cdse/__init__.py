"""Copernicus Data Space Ecosystem: STAC and OData catalogues, downloads over HTTPS and S3."""

from __future__ import annotations

from skymend.sources.cdse.service import Cdse, CdseOData, CdseS3

__all__ = ["Cdse", "CdseOData", "CdseS3"]
