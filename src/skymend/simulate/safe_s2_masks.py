"""Masks of Sentinel-2 SAFE: GML polygons before baseline 04.00, JPEG 2000 images from it on.

Sentinel-2 Products Specification: version 14 for the GML masks ``DETFOO``, ``CLOUDS``,
``NODATA``, ``SATURA``, ``DEFECT`` and ``TECQUA``; version 14.9 for the images ``DETFOO`` (the
number of the detector), ``QUALIT`` (eight flags) and ``CLASSI`` (opaque cloud, cirrus, snow).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray
from skymend.core.grid import Grid
from skymend.simulate.granule import Granule
from skymend.simulate.jpeg2000 import write_jp2
from skymend.simulate.markup import Node, node, with_attributes, write_xml
from skymend.simulate.msi import BANDS

Mask = tuple[str, str, str]
"""Band or "", type, and path in the product."""

_OPAQUE, _THIN = 0.5, 0.02
_NAMESPACES = {
    "xmlns:eop": "http://www.opengis.net/eop/2.0",
    "xmlns:gml": "http://www.opengis.net/gml/3.2",
}
_TYPES = {
    "DETFOO": "DETECTOR_FOOTPRINT",
    "CLOUDS": "OPAQUE",
    "NODATA": "NODATA",
    "SATURA": "SATURATION",
    "DEFECT": "DEFECT",
    "TECQUA": "TECHNICAL_QUALITY",
}
_EMPTY_KINDS = ("DEFECT", "NODATA", "SATURA", "TECQUA")


def write_masks(product: Path, granule: Granule, footprint: ByteArray) -> list[Mask]:
    """Write the masks of the granule's baseline.

    Parameters
    ----------
    product : folder of the product.
    footprint : (rows, columns) at 10 m, the detector that sees each pixel, 0 for none.

    Returns
    -------
    What was written, in order.
    """
    if granule.version >= (4, 0):
        return list(_images(product, granule, footprint))
    return list(_polygons(product, granule, footprint))


def _images(product: Path, granule: Granule, footprint: ByteArray) -> Iterator[Mask]:
    for band in granule.reflectance:
        step = BANDS[band].resolution_m // 10
        grid = granule.grid_of(BANDS[band].resolution_m)
        seen = np.ascontiguousarray(footprint[step // 2 :: step, step // 2 :: step])
        flags = np.zeros((8, *grid.shape), np.uint8)
        flags[6] = seen == 0
        for kind, image in (("DETFOO", seen), ("QUALIT", flags)):
            path = f"{granule.folder}/QI_DATA/MSK_{kind}_{band}.jp2"
            write_jp2(product / path, image, grid)
            yield band, f"MSK_{kind}", path
    path = f"{granule.folder}/QI_DATA/MSK_CLASSI_B00.jp2"
    write_jp2(product / path, _classes(granule), granule.grid_of(60))
    yield "", "MSK_CLASSI", path


def _classes(granule: Granule) -> ByteArray:
    """Return opaque cloud, cirrus and snow at 60 m, (3, rows, columns) of 0 and 1."""
    cloud, cirrus = (_opacity(granule, a) for a in (granule.cloud, granule.cirrus))
    maps = (cloud > _OPAQUE, (cirrus > _THIN) & (cloud <= _OPAQUE), granule.labels == 4)
    rows, columns = granule.grid.shape
    blocks = np.stack(maps).reshape(3, rows // 6, 6, columns // 6, 6)
    return np.asarray(blocks.mean(axis=(2, 4)) > 0.5, np.uint8)


def _opacity(granule: Granule, layer: npt.NDArray[np.float32] | None) -> npt.NDArray[Any]:
    return np.zeros(granule.grid.shape, np.float32) if layer is None else layer


def _polygons(product: Path, granule: Granule, footprint: ByteArray) -> Iterator[Mask]:
    cloudy = _classes(granule)[0]
    path = f"{granule.folder}/QI_DATA/MSK_CLOUDS_B00.gml"
    features = _features("CLOUDS", cloudy, granule.grid_of(60), "B00")
    write_xml(product / path, _document(granule, "CLOUDS", features))
    yield "", "MSK_CLOUDS", path
    outlines = list(_outlines(footprint, granule.grid))
    for band in granule.reflectance:
        for kind in ("DETFOO", *_EMPTY_KINDS):
            path = f"{granule.folder}/QI_DATA/MSK_{kind}_{band}.gml"
            features = _detectors(outlines, band) if kind == "DETFOO" else []
            write_xml(product / path, _document(granule, kind, features))
            yield band, f"MSK_{kind}", path


def _outlines(image: ByteArray, grid: Grid) -> Iterator[tuple[int, list[list[float]]]]:
    """Yield value and outer ring of each connected area of an image, 0 left out.

    A ring runs along pixel edges, in the coordinates of the grid.
    """
    from rasterio.features import shapes
    from rasterio.transform import Affine

    found = shapes(image, mask=image > 0, transform=Affine(*grid.transform))
    for shape, value in found:
        yield int(value), shape["coordinates"][0]


def _detectors(outlines: list[tuple[int, list[list[float]]]], band: str) -> list[Node]:
    return [
        _feature("DETFOO", ring, f"detector_footprint-{band}-{detector:02d}-{number}")
        for number, (detector, ring) in enumerate(outlines)
    ]


def _features(kind: str, image: ByteArray, grid: Grid, band: str) -> list[Node]:
    return [
        _feature(kind, ring, f"{_TYPES[kind]}.{band}.{number}")
        for number, (_, ring) in enumerate(_outlines(image, grid))
    ]


def _feature(kind: str, ring: list[list[float]], identifier: str) -> Node:
    text = " ".join(f"{x:.12g} {y:.12g} 0" for x, y in ring)
    positions = node("gml:posList", text, srsDimension="3")
    polygon = _identified(
        node("gml:Polygon", node("gml:exterior", node("gml:LinearRing", positions))),
        f"{identifier}_Polygon",
    )
    space = f"urn:gs2:S2PDGS:{_TYPES[kind]}"
    feature = node(
        "eop:MaskFeature",
        node("eop:maskType", _TYPES[kind], codeSpace=space),
        node("eop:extentOf", polygon),
    )
    return _identified(feature, identifier)


def _identified(element: Node, identifier: str) -> Node:
    return with_attributes(element, {"gml:id": identifier})


def _document(granule: Granule, kind: str, features: list[Node]) -> Node:
    left, bottom, right, top = granule.grid.bounds
    code = granule.grid.crs.replace("EPSG:", "urn:ogc:def:crs:EPSG:8.7.1:")
    envelope = node(
        "gml:Envelope",
        node("gml:lowerCorner", f"{left:.12g} {bottom:.12g}"),
        node("gml:upperCorner", f"{right:.12g} {top:.12g}"),
        srsName=code,
    )
    name = f"{granule.identifier('TL')}_MSK_{kind}"
    members = [node("eop:maskMembers", *features)] if features else []
    document = node(
        "eop:Mask",
        node("gml:name", name),
        node("gml:boundedBy", envelope),
        *members,
    )
    return _identified(with_attributes(document, _NAMESPACES), name)
