"""DEM files: a GeoTIFF, or a folder of them, in any CRS."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from skymend.core.errors import ProductError
from skymend.core.product import Product, Rejection, SearchResult
from skymend.core.raster import describe, open_raster
from skymend.products import dem
from skymend.sources.question import Candidate, Question, settle

TIMELESS = datetime(2000, 1, 1, tzinfo=UTC)
"""The fixed time of every DEM."""


def search(path: Path, question: Question, *, strict: bool) -> SearchResult:
    """Find the DEM files that touch the area; the period plays no part."""
    rejected: list[Rejection] = []
    reason = dem.refusal(path)
    if reason is not None:
        return SearchResult((), (Rejection(path, reason),))
    candidates = []
    for file in dem.elevation_files(path):
        try:
            outside = _outside(file, question)
        except ProductError as error:
            if strict:
                raise
            outside = error.found
        if outside is not None:
            rejected.append(Rejection(file, outside))
            continue
        candidates.append(Candidate(file, file.stem, file, 0, partial(_product, file)))
    return settle(candidates, rejected, strict=strict)


def _product(file: Path) -> Product:
    return Product(file.stem, dem.KIND, TIMELESS, file, (file,), {"sensor": "dem"})


def _outside(path: Path, question: Question) -> str | None:
    from pyproj import CRS, Transformer

    if question.grid is None:
        return None
    grid = describe(path).grid
    with open_raster(path) as dataset:
        crs = None if dataset.crs is None else CRS.from_wkt(dataset.crs.to_wkt())
    if crs is None:
        return "it has no CRS"
    transformer = Transformer.from_crs(crs, question.grid.crs, always_xy=True)
    bounds = transformer.transform_bounds(*grid.bounds)
    return question.outside_bounds(question.grid.crs, bounds)
